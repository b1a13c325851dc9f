"""Two polls are compared only if one server answered both, and its clock was not set."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from exporter.statements.continuity import CLOCK_TOLERANCE_SECONDS, Break, break_between
from exporter.statements.counters import Key, Poll, Reading
from tests.support.windows import MONDAY, moment

NOW = moment(MONDAY)
STARTED = NOW - timedelta(days=9)
ONE, OTHER = Key(1, 5, 1), Key(1, 5, 2)


def poll(
    at: float,
    *entries: tuple[Key, float | None],
    started: float = -9 * 86400.0,
    reset: float | None = -5 * 86400.0,
    hidden: int = 0,
) -> Poll:
    """Return a poll; times are seconds from now, `entries` have those at which they began."""
    readings = {
        key: Reading(30_000, 9.0, 0.1, 0, 0, 0, None if since is None else _at(since))
        for key, since in entries
    }
    begin = moment(MONDAY + at)
    return Poll(
        begin,
        begin + timedelta(seconds=0.1),
        readings,
        None if reset is None else _at(reset),
        0,
        hidden,
        5,
        _at(started),
    )


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


BEFORE = poll(0, (ONE, -3600.0))


@pytest.mark.parametrize(
    "after",
    [
        poll(30, (ONE, -3600.0)),
        poll(30, (ONE, -3600.0), (OTHER, 12.0)),
        poll(30, (ONE, 12.0)),
        poll(30, (ONE, 0.05)),
        poll(30, reset=10.0),
        poll(30, started=12.0, reset=12.0),
        poll(30, (ONE, None), reset=None),
    ],
    ids=[
        "nothing",
        "a new entry",
        "an entry was reset",
        "an entry began during the previous poll",
        "all were reset",
        "the server was restarted",
        "an older extension",
    ],
)
def test_what_the_server_itself_has_done_since_then_breaks_nothing(after: Poll) -> None:
    assert break_between(BEFORE, after, 30.0) is None
    assert break_between(BEFORE, after, None) is None


@pytest.mark.parametrize(
    "after",
    [
        poll(30, (ONE, -3600.0), started=-8 * 86400.0),
        poll(30, (ONE, -3600.0), reset=-4 * 86400.0),
        poll(30, (ONE, -7200.0)),
        poll(30, (ONE, -3600.0), (OTHER, -60.0)),
    ],
    ids=["another start", "another reset", "another life of an entry", "an old entry"],
)
def test_what_was_there_before_and_not_seen_is_of_another_server(after: Poll) -> None:
    assert break_between(BEFORE, after, 30.0) is Break.OTHER_SERVER


def test_entry_that_was_hidden_is_not_of_another_server() -> None:
    before = poll(0, (ONE, -3600.0), hidden=1)
    assert break_between(before, poll(30, (ONE, -3600.0), (OTHER, -60.0)), 30.0) is None


@pytest.mark.parametrize(
    ("at", "elapsed", "found"),
    [
        (7230.0, 30.0, Break.CLOCK_STEP),
        (-7170.0, 30.0, Break.CLOCK_STEP),
        (-7170.0, None, Break.CLOCK_STEP),
        (7230.0, None, None),
        (30.0 + CLOCK_TOLERANCE_SECONDS - 1, 30.0, None),
        (86_400.0, 86_400.0, None),
    ],
)
def test_clock_that_was_set_is_noticed(at: float, elapsed: float | None, found: object) -> None:
    assert break_between(BEFORE, poll(at, (ONE, -3600.0)), elapsed) is found
