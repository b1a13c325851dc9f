"""A week in which nothing is wrong: with a daily rhythm, a nightly job, a restart, a reset."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, NamedTuple

from tests.e2e.test_alert_rules import run_tool
from tests.support.promtool import Claim, write_test

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEP_MINUTES = 4
HOUR = 60 // STEP_MINUTES
DAY = 24 * HOUR
DAYS = 9
STEPS = DAYS * DAY

DEPLOYED = 1 * DAY + 10 * HOUR
RESTART = 3 * DAY + 5 * HOUR
"""The exporter comes back under another address, with its state."""
RESET = 4 * DAY + 9 * HOUR
"""Somebody resets the statistics of the database; the exporter's own counters go on."""
MISSED = range(6 * DAY + 11 * HOUR, 6 * DAY + 12 * HOUR)
"""Scrapes that fail, for an hour."""

MEANS_SECONDS = {"mfa_status": 0.004, "resource_library": 0.02, "audit_log": 0.001}
HOUR_NOISE = 0.1
"""Standard deviation of the logarithm of what an hour is slower or faster than the next."""

Series = dict[str, list[float | None]]


class _Load(NamedTuple):
    calls: float
    """Calls in a step."""
    slower: float


def _rhythm(step: int) -> float:
    """Return how busy it is: between a tenth at four at night and 1 in the afternoon."""
    return 0.55 + 0.45 * math.sin((step / DAY - 10 / 24) * 2 * math.pi)


def _is_night_job(step: int) -> bool:
    return 2 * HOUR <= step % DAY < 2 * HOUR + 5


def _loads(draw: random.Random, calls_an_hour: float) -> Iterator[_Load]:
    slower = 1.0
    for step in range(STEPS):
        if step % HOUR == 0:
            slower = math.exp(draw.gauss(-(HOUR_NOISE**2) / 2, HOUR_NOISE))
        busy = calls_an_hour / HOUR * _rhythm(step) * draw.uniform(0.8, 1.2)
        yield _Load(float(round(busy)), slower)


def _counter(steps: Iterator[float], *, reset: bool = False) -> list[float | None]:
    values: list[float | None] = []
    total = 0.0
    for number, step in enumerate(steps):
        total = step if reset and number == RESET else total + step
        values.append(total)
    return values


def _grown(load: _Load, mean: float) -> dict[str, float]:
    """Return what the calls of a step add; their times are exponential: as spread as long."""
    expected, squared = load.calls * mean, load.calls * mean**2
    return {
        "calls": load.calls,
        "exec_seconds": expected * load.slower,
        "matched_calls": load.calls,
        "matched_exec_seconds": expected * load.slower,
        "expected_exec_seconds": expected,
        "expected_exec_seconds_squared": squared,
        "expected_variance_seconds_squared": squared,
        "deviation_seconds_squared": squared * (load.slower**2 + (load.slower - 1) ** 2),
    }


def _classes(draw: random.Random) -> Series:
    series: Series = {}
    for name, mean in MEANS_SECONDS.items():
        loads = list(_loads(draw, 600.0))
        labels = f'{{database="loom", class="{name}", role="authenticated"}}'
        grown = [_grown(load, mean) for load in loads]
        for metric in grown[0]:
            steps = (each[metric] for each in grown)
            series[f"loom_statement_{metric}_total{labels}"] = _counter(steps)
        series[f"loom_baseline_calls{labels}"] = [600.0 * 24 * 7 * 0.55] * STEPS
        series[f"loom_baseline_relative_error{labels}"] = [0.02] * STEPS
        for length in ("1h", "6h", "24h"):
            of_window = labels.replace("}", f', window="{length}"}}')
            series[f"loom_baseline_window_log_stddev{of_window}"] = [HOUR_NOISE] * STEPS
        about = f'{{database="loom", class="{name}", phase="all", severity="critical"}}'
        series[f"loom_class_info{about}"] = [1.0] * STEPS
        of_class = f'{{database="loom", class="{name}"}}'
        series[f"loom_statements_slow{of_class}"] = [float(_is_night_job(s)) for s in range(STEPS)]
        series[f"loom_statement_change_ratio{of_class}"] = [0.6] * STEPS
    series['loom_baseline_window_seconds{database="loom"}'] = [7 * 86400.0] * STEPS
    return series


def _statements(draw: random.Random) -> Series:
    """Return the classes: known first to one address, and from the restart on to another."""
    series: Series = {}
    for name, values in _classes(draw).items():
        known = name.removesuffix("}")
        series[f'{known}, instance="a"}}'] = _within(range(RESTART), values)
        series[f'{known}, instance="b"}}'] = _within(range(RESTART, STEPS), values)
    return series


def _within(lives: range, values: list[float | None]) -> list[float | None]:
    return [value if step in lives else None for step, value in enumerate(values)]


def _database(draw: random.Random) -> Series:
    def scans(step: int) -> float:
        return 400.0 if _is_night_job(step) else 1.0

    steps = range(STEPS)
    ends = {"commit": 400.0, "rollback": 2.0}
    series: Series = {
        f'loom_database_transactions_total{{database="loom", outcome="{outcome}"}}': _counter(
            (round(most * _rhythm(step) * draw.uniform(0.8, 1.2)) for step in steps), reset=True
        )
        for outcome, most in ends.items()
    }
    table = '{database="loom", table="users"}'
    return series | {
        f"loom_table_sequential_scans_total{table}": _counter(map(scans, steps), reset=True),
        f"loom_table_index_scans_total{table}": _counter(
            (300.0 * _rhythm(step) for step in steps), reset=True
        ),
        f"loom_table_rows_estimate{table}": [5000.0] * STEPS,
        'loom_database_up{database="loom"}': [1.0] * STEPS,
        'loom_database_lock_waiters{database="loom"}': [4.0 * (s % DAY == 33) for s in steps],
        'loom_database_connections{database="loom", state="idle"}': [
            60 * _rhythm(step) for step in steps
        ],
        'loom_database_max_connections{database="loom"}': [100.0] * STEPS,
    }


def _deployment(draw: random.Random) -> Series:
    steps = range(STEPS)
    night = (2 * HOUR) / DAY
    refreshed = [
        STEP_MINUTES * 60.0 * DAY * math.floor(step / DAY - night) + 7200 for step in steps
    ]
    series: Series = {
        f'loom_migration_applied{{database="loom", phase="{phase}", version="{number}"}}': [
            float(step >= DEPLOYED + number) for step in steps
        ]
        for number, phase in enumerate(("security", "rls", "mfa"))
    }
    deployed_at = DEPLOYED * STEP_MINUTES * 60.0
    appears: Series = {
        'loom_deployment_timestamp_seconds{database="loom", phase="mfa"}': [deployed_at] * STEPS,
        'loom_rls_policies_changed_timestamp_seconds{database="loom", table="file_shares"}': [
            deployed_at
        ]
        * STEPS,
        'loom_mfa_view_refreshed_timestamp_seconds{database="loom"}': list(refreshed),
        'loom_mfa_refresh_job_last_success_timestamp_seconds{database="loom"}': list(refreshed),
    }
    for values in appears.values():
        values[:DEPLOYED] = [None] * DEPLOYED
    events = [float(round(200 * draw.uniform(0.8, 1.2))) for _ in range(DAYS)]
    return (
        series
        | appears
        | {
            'loom_mfa_discrepancies{database="loom", source="live"}': [
                14.0 * (step <= DEPLOYED) for step in steps
            ],
            'loom_deployment_warmup_active{database="loom"}': [
                float(DEPLOYED <= step < DEPLOYED + 8) for step in steps
            ],
            'loom_audit_events{database="loom", event_type="other", severity="info", '
            'window="24h"}': [events[step // DAY] for step in steps],
            'loom_audit_events{database="loom", event_type="other", severity="error", '
            'window="1h"}': [float(draw.randint(0, 3)) for _ in steps],
            'loom_users{database="loom"}': [1000.0 + step / 100 for step in steps],
            'loom_users_baseline{database="loom"}': [1000.0] * STEPS,
        }
    )


def _exporter() -> Series:
    series: Series = {}
    for instance, lives in (("a", range(RESTART)), ("b", range(RESTART, STEPS))):
        labels = f'database="loom", instance="{instance}"'
        for name, value in {
            f'loom_exporter_pool_connections{{{labels}, state="idle"}}': 1.0,
            f'loom_exporter_build_info{{instance="{instance}"}}': 1.0,
            f'loom_exporter_query_state{{{labels}, query="users", state="ok"}}': 1.0,
            f'loom_exporter_query_interval_seconds{{{labels}, query="users"}}': 60.0,
            f'loom_exporter_state_persistent{{instance="{instance}"}}': 1.0,
        }.items():
            series[name] = [value if step in lives else None for step in range(STEPS)]
        success = f'loom_exporter_query_last_success_timestamp_seconds{{{labels}, query="users"}}'
        series[success] = [
            step * STEP_MINUTES * 60.0 if step in lives else None for step in range(STEPS)
        ]
    return series


def test_ordinary_week_fires_nothing_but_what_is_meant_to(tmp_path: Path) -> None:
    draw = random.Random(7)
    series = _statements(draw) | _database(draw) | _deployment(draw) | _exporter()
    for values in series.values():
        for step in MISSED:
            values[step] = None
    fired = "count by (alertname) (count_over_time(ALERTS{alertstate='firing'}[9d]))"
    path = write_test(
        tmp_path,
        series,
        [
            # Nobody watched for an hour, and that is said.
            Claim(
                fired,
                {'{alertname="LoomWatchdog"}': 1.0, '{alertname="LoomExporterDown"}': 1.0},
            ),
            # The rules have judged, and found the classes to be as they were.
            Claim("count(max_over_time(loom:slower:bool{window='1h'}[9d]) == 0)", {"{}": 3.0}),
        ],
        step_minutes=STEP_MINUTES,
        at_minutes=(STEPS - 1) * STEP_MINUTES,
        evaluate_minutes=2 * STEP_MINUTES,
    )
    run_tool("promtool", "test", "rules", path)
