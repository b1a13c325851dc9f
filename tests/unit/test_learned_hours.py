"""Calls are collected hour by hour, and an hour that says nothing of how things are is left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from exporter.clock import Clock
from exporter.database.identity import DatabaseIdentity
from exporter.learning.hours import (
    HOURS,
    KEPT,
    KEPT_UNWRITTEN,
    MOST_STATEMENTS_AN_HOUR,
    LearnedHours,
    RecordedHour,
    StatementKey,
    UnreadableError,
)
from exporter.state import StateStore
from exporter.statements.counters import Delta
from exporter.statements.text import identity
from tests.support.disk import full_disk
from tests.support.state import opened, save, scope
from tests.support.windows import HOUR, MONDAY, OWNER, called, window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INVOICES = StatementKey(identity("select * from invoices") or "", "anon", "invoices")


def deltas(hour: RecordedHour) -> dict[StatementKey, Delta]:
    """Return what was called in an hour, by statement."""
    return {StatementKey(*row[:3]): Delta(*row[3:]) for row in hour.statements}


class Collector:
    """Hours that can be restarted, on a file that can be lost."""

    def __init__(self, path: Path, hour_seconds: float = HOUR) -> None:
        self.path = path
        self._hour_seconds = hour_seconds
        self.store = StateStore(path)
        self.restart()

    def restart(self, identity: DatabaseIdentity = OWNER) -> None:
        """Begin anew with what is written down."""
        self.store.close()
        self.store = StateStore(self.path)
        self.learned = LearnedHours(Clock(self._hour_seconds))
        self.learned.begin(scope(self.store, identity=identity))

    def hours(self) -> dict[float, RecordedHour]:
        """Return all hours, by how many there are since Monday."""
        return {
            (start - MONDAY) / self._hour_seconds: hour
            for start, hour in self.learned.reader(math.inf)()
        }

    def calls(self) -> dict[float, int]:
        """Return how often the one statement was called in each hour."""
        return {at: deltas(hour)[INVOICES].calls for at, hour in self.hours().items()}

    def excluded(self) -> dict[float, str | None]:
        """Return why each hour is left out, if it is."""
        return {at: hour.excluded for at, hour in self.hours().items()}


@pytest.fixture
def collector(path: Path) -> Iterator[Collector]:
    made = Collector(path)
    yield made
    made.store.close()


def at(hour: float) -> float:
    return MONDAY + hour * HOUR


def test_calls_are_in_the_hour_in_which_their_window_began(collector: Collector) -> None:
    collector.learned.add(window(at(0), called(0.1, 0.3)))
    collector.learned.add(window(at(1) - 1, called(0.2)))
    collector.learned.add(window(at(1), called(0.5)))
    hours = collector.hours()
    assert collector.calls() == {0.0: 3, 1.0: 1}
    assert deltas(hours[0])[INVOICES].seconds == pytest.approx(0.6)
    assert deltas(hours[0])[INVOICES].squared_deviation == pytest.approx(0.02)
    assert (hours[0].watched_seconds, hours[1].watched_seconds) == (60.0, 30.0)
    assert collector.learned.watched_seconds == HOUR + 30.0


def test_hour_is_over_when_its_end_has_come(collector: Collector) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.learned.add(window(at(1), called(0.1)))
    assert list(collector.learned.reader(at(1) - 1)()) == []
    assert [start for start, _ in collector.learned.reader(at(1))()] == [at(0)]


def test_restart_goes_on_with_the_hour(collector: Collector) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.learned.add(window(at(1), called(0.1, 0.2)))
    before = collector.hours()
    collector.restart()
    assert collector.hours() == before
    collector.learned.add(window(at(1.5), called(0.1)))
    collector.learned.add(window(at(2), called(0.1)))
    assert collector.calls() == {0.0: 1, 1.0: 3, 2.0: 1}


def test_window_longer_than_an_hour_is_left_out(collector: Collector) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.learned.add(window(at(0.1), called(0.1), seconds=HOUR + 1, resets=1))
    assert collector.calls() == {0.0: 1}
    assert collector.excluded() == {0.0: None}


def test_calls_of_unknown_text_are_left_out(collector: Collector) -> None:
    collector.learned.add(window(at(0), called(0.1), called(0.1, text=None)))
    assert deltas(collector.hours()[0]).keys() == {INVOICES}


@pytest.mark.parametrize(
    ("befallen", "reason"),
    [
        ({"resets": 1}, "statistics were reset"),
        ({"lost": frozenset({"other", "invoices"})}, "entries of statements were thrown out"),
        ({"lost": frozenset({"other"}), "evictions": 2}, None),
    ],
)
def test_hour_with_a_reset_or_an_eviction_of_a_class_is_excluded(
    collector: Collector, befallen: dict[str, Any], reason: str | None
) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.learned.add(window(at(1), called(0.1), **befallen))
    collector.learned.add(window(at(1.1), called(0.1)))
    collector.learned.add(window(at(2), called(0.1)))
    collector.restart()
    assert collector.excluded() == {0.0: None, 1.0: reason, 2.0: None}
    assert collector.hours()[1].evictions == befallen.get("evictions", 0)


@pytest.mark.parametrize("hour", [0.0, 1.0, 2.0])
def test_hour_in_which_the_server_began_is_excluded_whenever_it_is_found_out(
    collector: Collector, hour: float
) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.learned.add(window(at(1), called(0.1)))
    collector.restart()
    for _ in range(2):
        collector.learned.exclude(at(hour + 0.5), "the server was restarted")
        collector.learned.add(window(at(2), called(0.1)))
    found = {each for each, reason in collector.excluded().items() if reason}
    assert found == {hour}


def test_another_database_begins_without_hours(collector: Collector) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.restart(DatabaseIdentity("loom", 6, "7000"))
    assert collector.hours() == {}
    collector.learned.add(window(at(1), called(0.1)))
    assert collector.calls() == {1.0: 1}
    collector.restart()
    assert collector.calls() == {0.0: 1}, "nothing of the first is lost"


def test_one_hour_that_cannot_be_understood_costs_no_other(collector: Collector) -> None:
    for hour in range(3):
        collector.learned.add(window(at(hour), called(0.1)))
    save(scope(collector.store, identity=OWNER), HOURS.name, {f"{at(1):.3f}": "[1", "x": "[]"})
    collector.restart()
    assert collector.calls() == {0.0: 1, 2.0: 1}


def test_clock_that_was_wrong_for_a_moment_does_not_end_the_collecting(
    collector: Collector,
) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.learned.add(window(at(5000), called(0.1)))
    collector.learned.add(window(at(5000), called(0.1), seconds=-5000 * HOUR))
    for hour in (0.1, 1.0):
        collector.learned.add(window(at(hour), called(0.1)))
    assert collector.calls() == {0.0: 2, 1.0: 1, 5000.0: 2}
    assert collector.hours()[5000].watched_seconds == 30.0
    collector.restart()
    collector.learned.add(window(at(1.1), called(0.1)))
    assert [start for start, _ in collector.learned.reader(at(3))()] == [at(0), at(1)]
    assert collector.calls()[1.0] == 2


def test_oldest_hours_make_room(path: Path) -> None:
    collector = Collector(path, hour_seconds=3.0)
    for hour in range(KEPT + 2):
        collector.learned.add(window(MONDAY + 3.0 * hour, called(0.1), seconds=2.0))
    for _ in range(2):
        assert [*collector.calls()] == [float(hour) for hour in range(2, KEPT + 2)]
        collector.restart()
    collector.store.close()


def test_hours_that_could_not_be_written_are_written_when_they_can(collector: Collector) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    with full_disk():
        collector.learned.add(window(at(0.5), called(0.1)))
        collector.learned.add(window(at(1), called(0.1)))
        assert collector.store.problem
        assert collector.calls() == {0.0: 2, 1.0: 1}
    collector.learned.add(window(at(2), called(0.1)))
    collector.restart()
    assert collector.calls() == {0.0: 2, 1.0: 1, 2.0: 1}


def test_hours_that_cannot_be_written_do_not_fill_the_memory(path: Path) -> None:
    with opened(path, read_only=True) as store:
        learned = LearnedHours(Clock())
        learned.begin(scope(store, identity=OWNER))
        for number in range(KEPT_UNWRITTEN + 3):
            learned.add(window(at(number), called(0.1)))
        found = [(start - MONDAY) / HOUR for start, _ in learned.reader(math.inf)()]
    assert found == [float(hour) for hour in range(3, KEPT_UNWRITTEN + 3)]


def test_state_that_is_lost_costs_the_hours_that_are_over_and_nothing_that_follows(
    collector: Collector,
) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.learned.add(window(at(1), called(0.1)))
    for file in collector.path.parent.iterdir():
        file.unlink()
    for hour in (1.5, 1.6, 2.0, 3.0):
        collector.learned.add(window(at(hour), called(0.1)))
    for _ in range(2):
        assert collector.calls() == {1.0: 3, 2.0: 1, 3.0: 1}
        collector.restart()


def test_state_that_cannot_be_read_is_not_taken_for_an_empty_one(collector: Collector) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.learned.add(window(at(1), called(0.1)))
    folder = collector.path.parent
    folder.rename(folder.with_name("away"))
    folder.write_text("in the way")
    with pytest.raises(UnreadableError):
        collector.hours()
    folder.unlink()
    folder.with_name("away").rename(folder)
    collector.restart()
    assert collector.calls() == {0.0: 1, 1.0: 1}


def test_many_statements_of_no_class_do_not_keep_those_of_one_out(collector: Collector) -> None:
    strangers = [
        called(0.1, text=f"select column_{number} from other_table", class_name="other")
        for number in range(MOST_STATEMENTS_AN_HOUR + 10)
    ]
    collector.learned.add(window(at(0), *strangers, called(0.1)))
    collector.learned.add(window(at(0.1), strangers[0], strangers[-1]))
    statements = deltas(collector.hours()[0])
    assert len(statements) == MOST_STATEMENTS_AN_HOUR + 1
    assert statements[INVOICES].calls == 1
    assert sum(delta.calls for delta in statements.values()) == MOST_STATEMENTS_AN_HOUR + 2


def test_hours_are_forgotten_once_they_are_used(collector: Collector) -> None:
    collector.learned.add(window(at(0), called(0.1)))
    collector.learned.clear()
    assert (collector.hours(), collector.learned.watched_seconds) == ({}, 0.0)
    collector.restart()
    assert collector.hours() == {}
