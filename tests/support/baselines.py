"""Baselines for tests: one as a person would meet it, and any that there may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from exporter.baseline.artefact import (
    Backtest,
    Baseline,
    BaselineClass,
    BaselinePeriod,
    BaselineStatement,
    Cell,
    Excluded,
    Gauge,
    GaugeSeries,
    Provenance,
)

START = datetime(2025, 10, 13, tzinfo=UTC)
"""A Monday."""

IDENTITY = Provenance(
    system_identifier="7432109876543210987",
    database_oid=16385,
    database_name="loom",
    server_version_num=150018,
    postmaster_start=START - timedelta(days=30),
    extension_version="1.10",
    extension_schema="extensions",
    settings={
        "compute_query_id": "auto",
        "pg_stat_statements.max": "5000",
        "pg_stat_statements.track": "top",
        "pg_stat_statements.track_planning": "off",
        "pg_stat_statements.track_utility": "on",
    },
    planner_sha256="a1" * 32,
    classes_sha256="b2" * 32,
)

BASELINE = Baseline(
    tool_version="0.3.0",
    created_at=START + timedelta(days=7, hours=2),
    source="automatic",
    deployment="orders",
    identity=IDENTITY,
    window=BaselinePeriod(
        start=START,
        end=START + timedelta(days=7),
        bucket_seconds=3600.0,
        buckets=167,
        excluded=(
            Excluded(
                start=START + timedelta(hours=30),
                end=START + timedelta(hours=31),
                reason="the server was restarted",
            ),
        ),
        evictions=3,
    ),
    statements=(
        BaselineStatement(
            id="0f" * 8,
            role="authenticated",
            class_name="invoices",
            text="select * from public.invoices where id = ?",
            calls=12_000,
            seconds=30.1,
            rows=24_000,
            blocks=60_000,
            variance=2.5e-05,
            hours_left_out=1,
            moved=1.25,
            hours_of_week={9: Cell(700, 1.7, 1e-05), 10: Cell(800, 2.1, 2e-05)},
            hours_of_day={9: Cell(3000, 7.5, 1.5e-05), 33: Cell(90, 0.2, 1e-06)},
        ),
        BaselineStatement(
            id="1e" * 8,
            role="other",
            class_name="other",
            text=None,
            calls=4,
            seconds=0.1 + 0.2,
            rows=0,
            blocks=0,
            variance=0.0,
        ),
    ),
    classes=(
        BaselineClass(
            class_name="invoices",
            role="authenticated",
            calls=12_000,
            seconds=30.1,
            relative_error=0.0213,
            hour_log_stddev=0.08,
            six_hours_log_stddev=0.06,
            day_log_stddev=0.04,
            usual_calls=(71.5,) * 168,
            moved=1.25,
        ),
        BaselineClass(
            class_name="refunds",
            role="anon",
            calls=0,
            seconds=0.0,
            relative_error=0.0,
            hour_log_stddev=0.0,
            six_hours_log_stddev=0.0,
            day_log_stddev=0.0,
            usual_calls=(0.0,) * 168,
        ),
    ),
    gauges=(
        Gauge(
            metric="orders_open",
            series=(
                GaugeSeries(labels=("web",), value=1200.0),
                GaugeSeries(labels=("Übersee",), value=-0.5),
            ),
            taken_at=START + timedelta(days=7),
        ),
    ),
    left_out=2,
    backtest=Backtest(windows=160, pages=1, tickets=2),
)

_counts = st.integers(0, 2**63 - 1)
_amounts = st.floats(0, allow_infinity=False)
_names = st.text(max_size=12)
_digests = st.text("0123456789abcdef", min_size=64, max_size=64)
_moments = st.datetimes(timezones=st.just(UTC))
_cells = st.builds(Cell, _counts, _amounts, _amounts)
_identities = st.builds(
    Provenance,
    system_identifier=st.none() | st.from_regex(r"[0-9]{1,20}", fullmatch=True),
    database_oid=_counts,
    database_name=_names,
    server_version_num=_counts,
    postmaster_start=_moments,
    extension_version=st.none() | _names,
    extension_schema=st.none() | _names,
    settings=st.dictionaries(_names, _names, max_size=5),
    planner_sha256=_digests,
    classes_sha256=st.none() | _digests,
)
_windows = st.builds(
    BaselinePeriod,
    start=_moments,
    end=_moments,
    bucket_seconds=st.floats(0, 3e9, exclude_min=True),
    buckets=_counts,
    excluded=st.lists(st.builds(Excluded, start=_moments, end=_moments, reason=_names), max_size=3),
    evictions=_counts,
)
_statements = st.builds(
    BaselineStatement,
    id=st.text("0123456789abcdef", min_size=16, max_size=16),
    role=_names,
    class_name=_names,
    text=st.none() | _names,
    calls=_counts,
    seconds=_amounts,
    rows=_counts,
    blocks=_counts,
    plan_seconds=_amounts,
    variance=_amounts,
    hours_left_out=_counts,
    moved=_amounts,
    hours_of_week=st.dictionaries(st.integers(0, 167), _cells, max_size=12),
    hours_of_day=st.dictionaries(st.integers(0, 47), _cells, max_size=12),
)
_classes = st.builds(
    BaselineClass,
    class_name=_names,
    role=_names,
    calls=_counts,
    seconds=_amounts,
    relative_error=_amounts,
    hour_log_stddev=_amounts,
    six_hours_log_stddev=_amounts,
    day_log_stddev=_amounts,
    usual_calls=st.lists(_amounts, min_size=1, max_size=3).map(lambda few: (few * 168)[:168]),
    moved=_amounts,
)
_series = st.builds(
    GaugeSeries,
    labels=st.lists(_names, max_size=3),
    value=st.floats(allow_nan=False, allow_infinity=False),
)
_gauges = st.builds(Gauge, metric=_names, series=st.lists(_series, max_size=3), taken_at=_moments)

baselines = st.builds(
    Baseline,
    tool_version=_names,
    created_at=_moments,
    source=st.sampled_from(("automatic", "captured", "since_reset")),
    deployment=_names,
    identity=_identities,
    window=_windows,
    statements=st.lists(_statements, max_size=4),
    classes=st.lists(_classes, max_size=3),
    gauges=st.lists(_gauges, max_size=3),
    left_out=_counts,
    backtest=st.builds(Backtest, windows=_counts, pages=_counts, tickets=_counts),
)
"""Any baseline."""
