"""Counters never fall, never count a call twice, and lose no more than what was lost.

Against a model of pg_stat_statements that keeps every single call.
"""

from __future__ import annotations

import copy
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.statements.counters import (
    Advance,
    Delta,
    Key,
    Poll,
    Reading,
    advance,
    combine,
    difference,
)
from tests.support.statement_model import KEYS, START, Life, Server

SECONDS = st.floats(1e-5, 10.0)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from(KEYS), SECONDS),
        st.tuples(st.just("call"), st.just(KEYS[0]), SECONDS),
        st.tuples(st.just("poll")),
        st.tuples(st.just("poll")),
        st.tuples(st.sampled_from(("end", "evict")), st.sampled_from(KEYS)),
        st.tuples(st.just("reset_all")),
    ),
    max_size=60,
)


@given(EVENTS, st.booleans())
def test_no_call_is_counted_twice_and_only_what_was_lost_is_missing(
    events: list[tuple[object, ...]], dated: bool
) -> None:
    server = Server(dated=dated)
    for key in KEYS:
        server.call(key, 0.001)
    previous = server.poll()
    assert advance(None, previous).deltas == {}
    server.called = dict.fromkeys(KEYS, 0)
    counted = dict.fromkeys(KEYS, 0)
    for name, *arguments in [*events, ("poll",)]:
        result = getattr(server, str(name))(*arguments)
        if name != "poll":
            continue
        step = advance(previous, result)
        for key, delta in step.deltas.items():
            assert delta.calls > 0
            assert min(delta.seconds, delta.squared_deviation, delta.rows, delta.blocks_hit) >= 0
            counted[key] += delta.calls
            if dated:
                assert (delta.rows, delta.blocks_hit) == (2 * delta.calls, 3 * delta.calls)
        previous = result
    for key in KEYS:
        reachable = server.called[key] - server.lost[key]
        assert 0 <= counted[key] <= reachable
        if dated:
            assert counted[key] == reachable


@given(st.lists(SECONDS, min_size=1, max_size=60), st.lists(SECONDS, max_size=60), st.booleans())
def test_moments_of_new_calls_are_those_of_the_calls(
    before: list[float], new: list[float], unborn: bool
) -> None:
    life = Life(START)
    for seconds in before:
        life.call(seconds)
    reading = None if unborn else life.reading(dated=True)
    if unborn:
        life = Life(START)
    for seconds in new:
        life.call(seconds)
    delta = difference(reading, life.reading(dated=True)) if life.calls else None
    if not new:
        assert delta is None
        return
    assert delta is not None
    assert delta.calls == len(new)
    assert delta.seconds == pytest.approx(math.fsum(new), rel=1e-9)
    exact = statistics.pvariance(new) * len(new)
    # Doubles carry 16 digits of the sum over the whole life, and no more of the part.
    scale = math.fsum(x * x for x in (new if unborn else before + new))
    assert delta.squared_deviation == pytest.approx(exact, rel=1e-6, abs=1e-12 * scale)


def test_moments_are_exact_to_a_millionth_on_an_ordinary_day() -> None:
    source = random.Random(8)
    life = Life(START)
    before = 0
    reading: Reading | None = None
    for _ in range(40):
        for _ in range(source.randint(2, 500)):
            life.call(source.lognormvariate(math.log(0.004), 1.2))
        after = life.reading(dated=True)
        delta = difference(reading, after)
        new = life.calls[before:]
        assert delta is not None
        assert delta.calls == len(new)
        assert delta.seconds / delta.calls == pytest.approx(statistics.fmean(new), rel=1e-6)
        assert delta.squared_deviation / delta.calls == pytest.approx(
            statistics.pvariance(new), rel=1e-6
        )
        reading, before = after, len(life.calls)


def test_single_call_has_no_spread() -> None:
    life = Life(START)
    for seconds in (0.1, 0.3, 0.2):
        before = life.reading(dated=True) if life.calls else None
        life.call(seconds)
        delta = difference(before, life.reading(dated=True))
        assert delta is not None
        assert (delta.calls, delta.squared_deviation) == (1, 0.0)
        assert delta.seconds == pytest.approx(seconds)


@given(st.lists(st.lists(SECONDS, min_size=1, max_size=20), max_size=6))
def test_deltas_combine_as_if_they_were_one(parts: list[list[float]]) -> None:
    deltas = []
    for part in parts:
        life = Life(START)
        for seconds in part:
            life.call(seconds)
        delta = difference(None, life.reading(dated=True))
        assert delta is not None
        deltas.append(delta)
    combined = combine(deltas)
    calls = [seconds for part in parts for seconds in part]
    assert combined.calls == len(calls)
    assert combined.seconds == pytest.approx(math.fsum(calls))
    assert combined.rows == 2 * len(calls)
    exact = statistics.pvariance(calls) * len(calls) if calls else 0.0
    scale = math.fsum(x * x for x in calls)
    assert combined.squared_deviation == pytest.approx(exact, rel=1e-6, abs=1e-12 * scale)


def _step(server: Server, previous: Poll) -> tuple[Advance, Poll]:
    poll = server.poll()
    return advance(previous, poll), poll


def _told(step: Advance) -> tuple[set[Key], set[Key], int, int]:
    return set(step.fresh), set(step.ended), step.resets, step.evictions


@pytest.mark.parametrize("dated", [True, False])
def test_what_began_and_what_ended_is_told(dated: bool) -> None:
    one, two, three = KEYS
    server = Server(dated=dated)
    for key in (one, two):
        for _ in range(3):
            server.call(key, 0.5)
    first = server.poll()
    assert advance(None, first).fresh == {one, two}

    server.call(three, 0.1)
    step, second = _step(server, first)
    assert _told(step) == ({three}, set(), 0, 0)

    server.end(one)  # reset by itself, and not called since
    server.end(two)
    server.call(two, 0.1)
    step, third = _step(server, second)
    assert _told(step) == ({two}, {one, two}, 2, 0)
    assert {key: delta.calls for key, delta in step.deltas.items()} == {two: 1}

    server.evict(three)
    step, fourth = _step(server, third)
    assert _told(step) == (set(), {three}, 0, 1)

    server.evict(two)
    server.reset_all()
    server.evict(one)
    server.call(two, 0.1)
    step, _ = _step(server, fourth)
    assert _told(step) == ({two}, {two}, 1, 1)
    assert step.deltas[two].calls == 1


def test_old_extension_betrays_a_new_life_by_its_extremes() -> None:
    # Three slow calls, lost; then ten fast ones: no sum fell, but the longest call got shorter.
    server = Server(dated=False)
    for _ in range(3):
        server.call(KEYS[0], 0.001)
    first = server.poll()
    server.evict(KEYS[0])
    for _ in range(40):
        server.call(KEYS[0], 0.0009)
    step, _ = _step(server, first)
    assert step.deltas[KEYS[0]].calls == 40
    assert step.ended == {KEYS[0]}


def test_extremes_mean_nothing_where_the_beginning_is_known() -> None:
    # pg_stat_statements_reset(minmax_only => true) leaves the sums alone.
    before = Reading(3, 0.3, 0.0, 3, 0, 0, START, 0.1, 0.1)
    after = Reading(4, 0.35, 0.02, 4, 0, 0, START, 0.05, 0.05)
    first = Poll(START, START, {KEYS[0]: before})
    step = advance(first, Poll(START, START, {KEYS[0]: after}))
    assert step.deltas[KEYS[0]].calls == 1
    assert not step.ended


@pytest.mark.parametrize("dated", [True, False])
def test_reset_in_the_middle_of_a_poll_counts_nothing_twice(dated: bool) -> None:
    server = Server(dated=dated)
    for _ in range(100):
        server.call(KEYS[0], 0.5)
    first = server.poll()
    # The second poll reads when the statistics were reset, then they are, then it reads them.
    started_at, stats_reset = server.tick(), server.stats_reset
    server.reset_all()
    for _ in range(3):
        server.call(KEYS[0], 0.5)
    late = server.poll()
    second = Poll(started_at, server.tick(), late.readings, stats_reset, 0)
    step = advance(first, second)
    assert step.deltas[KEYS[0]].calls == 3
    server.call(KEYS[0], 0.5)
    step, _ = _step(server, second)
    assert step.deltas[KEYS[0]].calls == 1


def test_entries_that_become_visible_are_not_new_calls() -> None:
    server = Server(dated=True)
    server.call(KEYS[0], 0.5)
    shown = server.poll()
    blind = Poll(shown.started_at, shown.ended_at, {}, shown.stats_reset, 0, hidden=1)
    server.call(KEYS[0], 0.5)
    step, second = _step(server, blind)
    assert step.deltas == {}
    server.call(KEYS[0], 0.5)
    step, _ = _step(server, second)
    assert step.deltas[KEYS[0]].calls == 1


def _restored(server: Server) -> Server:
    """Return a server that goes on from a cold copy of another one."""
    return copy.deepcopy(server)


def test_older_copy_that_is_restored_counts_nothing_twice() -> None:
    server = Server(dated=True)
    for _ in range(30):
        server.call(KEYS[0], 0.5)
    server.call(KEYS[1], 0.5)
    cold = _restored(server)
    first = server.poll()
    server.evict(KEYS[1])
    for _ in range(10):
        server.call(KEYS[0], 0.5)
    step, second = _step(server, first)
    assert step.deltas[KEYS[0]].calls == 10
    cold.now = server.now
    step, third = _step(cold, second)
    assert step.deltas == {}, "neither the entry that fell, nor the one that had been evicted"
    assert step.fresh == {KEYS[0], KEYS[1]}, "their texts may be others"
    cold.call(KEYS[0], 0.5)
    step, _ = _step(cold, third)
    assert step.deltas[KEYS[0]].calls == 1


def test_older_copy_of_entries_without_a_beginning_is_betrayed_by_its_evictions() -> None:
    server = Server(dated=False)
    for _ in range(30):
        server.call(KEYS[0], 0.5)
    cold = _restored(server)
    server.evict(KEYS[1])
    for _ in range(10):
        server.call(KEYS[0], 0.5)
    step, _ = _step(cold, server.poll())
    assert step.deltas == {}


def test_first_poll_seeds() -> None:
    reading = Reading(3, 0.3, 0.1, 3, 1, 1)
    seeded = Poll(START, START, {KEYS[0]: reading})
    began = frozenset({KEYS[0]})
    assert advance(None, seeded) == Advance({}, began, began, frozenset(), 0, 0)
    assert advance(seeded, seeded) == Advance({}, frozenset(), frozenset(), frozenset(), 0, 0)


def test_extension_without_info_counts_no_evictions() -> None:
    first = Poll(START, START, {})
    later = Poll(START, START, {KEYS[0]: Reading(1, 0.1, 0.0, 0, 0, 0)})
    step = advance(first, later)
    assert (step.evictions, step.resets) == (0, 0)
    assert step.deltas[KEYS[0]] == Delta(1, 0.1, 0.0, 0, 0, 0)
