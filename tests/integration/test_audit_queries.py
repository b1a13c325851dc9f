"""What is shown of the audit log, into which anybody may write anything."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.shipped_queries import series_of, shipped_query
from tests.support.truth import assert_between, in_windows
from tests.support.watching import look

if TYPE_CHECKING:
    from tests.support.journey import Seen
    from tests.support.loom_database import LoomDatabase
    from tests.support.truth import Truth


def test_audit_events_are_counted_in_their_windows(seen: Seen) -> None:
    shown = seen.series["loom_audit_events"]
    listed = {kind for kind, _, _ in shown}
    assert len(shown) == len(listed) * 5 * 2

    def counted(truth: Truth) -> Counter[tuple[str, ...]]:
        named = [
            ((kind if kind in listed else "other"), severity, at)
            for kind, severity, at in truth.events
        ]
        windows = Counter[tuple[str, ...]]()
        for severity in {severity for _, severity, _ in named}:
            events = [(kind, at) for kind, each, at in named if each == severity and at]
            for (kind, window), count in in_windows(events, truth.now).items():
                windows[kind, severity, window] = count
        return windows

    assert_between(shown, counted(seen.after), counted(seen.before))


def test_last_events_are_the_newest_of_their_type(seen: Seen) -> None:
    shown = seen.series["loom_audit_last_event_timestamp_seconds"]
    listed = {kind for kind, _, _ in seen.series["loom_audit_events"]}
    newest: dict[tuple[str, ...], float] = {}
    for kind, _, at in seen.before.events:
        if at is not None:
            key = (kind if kind in listed else "other",)
            newest[key] = max(at.timestamp(), newest.get(key, 0.0))
    assert shown == pytest.approx(newest, abs=1e-5)


# ── Traps ────────────────────────────────────────────────────────────────────────────────────────


def test_audit_event_that_arrives_late_is_counted(watched: LoomDatabase) -> None:
    def role_changes() -> float:
        return series_of(watched, "audit_events")["loom_audit_events"]["role_change", "error", "1h"]

    insert = "INSERT INTO public.security_audit_log (event_type, severity) VALUES (%s, %s)"
    with watched.connect() as slow, watched.connect() as quick:
        with slow.transaction():
            slow.execute(insert, ["role_change", "error"])
            quick.execute(insert, ["role_change", "error"])
            assert role_changes() == 1
        # Now there is a row that is older than the newest one already counted.
        assert role_changes() == 2


def test_audit_event_without_a_time_or_from_the_future_is_no_event_to_go_by(
    watched: LoomDatabase,
) -> None:
    before = series_of(watched, "audit_events")
    with watched.connect() as connection:
        connection.execute(
            "INSERT INTO public.security_audit_log (event_type, timestamp) VALUES"
            " ('mfa_consolidation', NULL), ('mfa_consolidation', now() + interval '1 year')"
        )
    last = series_of(watched, "audit_last_event")["loom_audit_last_event_timestamp_seconds"]
    assert ("mfa_consolidation",) not in last
    assert max(last.values()) <= time.time()
    assert series_of(watched, "audit_events") == before
    # It is there all the same.
    present = series_of(watched, "audit_expected_events")["loom_audit_expected_event_present"]
    assert present["mfa_consolidation",] == 1


def test_event_types_that_anybody_makes_up_make_no_series(watched: LoomDatabase) -> None:
    with watched.connect() as connection:
        connection.execute("SET ROLE anon")
        connection.execute(
            "INSERT INTO public.security_audit_log (event_type)"
            " SELECT 'made up ' || n FROM generate_series(1, 500) AS n"
        )
    events = series_of(watched, "audit_events")["loom_audit_events"]
    assert len(events) == 80
    assert events["other", "info", "1h"] >= 500


def test_number_of_synchronised_records_is_read_and_what_is_no_number_is_not(
    watched: LoomDatabase,
) -> None:
    def records() -> dict[tuple[str, ...], float]:
        query = shipped_query("audit_synchronisation")
        samples = look(watched, query)[query.name].samples
        return dict(samples.get("loom_mfa_synchronised_records", {}))

    insert = (
        "INSERT INTO public.security_audit_log (event_type, event_details, severity, timestamp)"
        " VALUES ('mfa_synchronization', %s, 'info', now() + %s * interval '1 s')"
    )
    assert records() == {}
    with watched.connect() as connection:
        connection.execute(insert, ('{"records_updated": 14}', 0))
        assert records() == {(): 14.0}
        for number, details in enumerate(('{"records_updated": "many"}', "[1]", '"text"')):
            connection.execute(insert, (details, number + 1))
            assert records() == {}
