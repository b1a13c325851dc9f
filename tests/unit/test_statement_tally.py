"""What is counted as what, what is shown of it, and what of it outlives a restart."""

from __future__ import annotations

import json
import random
import time
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from exporter.database.identity import DatabaseIdentity
from exporter.statements.counters import Delta, Key, Poll, Reading, advance
from exporter.statements.metrics import statement_samples
from exporter.statements.persistence import TOPIC, load_tally, rules_of, save_tally
from exporter.statements.reading import StatementText
from exporter.statements.slowest import IN_RANKS, OUT_RANKS, WINDOW_SECONDS, Slowest
from exporter.statements.tally import Counted, Known, Tally, recognise, slow
from exporter.statements.text_reader import BATCH, BATCHES, FEW, PAUSE_SECONDS, TextReader
from tests.support.components import assemble
from tests.support.queries import make_catalog
from tests.support.state import opened, save, scope
from tests.support.statement_model import START

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exporter.state import Scope

DEPLOYMENT = make_catalog().deployment.model_copy(update={"statement_roles": ("anon",)})
OWNER = DatabaseIdentity("loom", 5, "7000")
RULES = rules_of(DEPLOYMENT, show=True)
A, B = Key(10, 5, 1), Key(11, 5, -2)
PAGE_OF_A = "readings 1"
FAST = Known("a" * 64, "fast", "anon", "select ?")
SLOW = Known("b" * 64, "slow", "other")


def _poll(number: int, calls: Mapping[Key, int], since: datetime = START) -> Poll:
    at = START + timedelta(seconds=30 * number)
    readings = {key: Reading(n, n / 8, 0.0, 2 * n, n, 0, since) for key, n in calls.items()}
    return Poll(at, at, readings, START, 0)


def _step(
    tally: Tally,
    poll: Poll,
    read: Mapping[Key, Known] | None = None,
    asked: tuple[Key, ...] | None = None,
) -> list[Counted]:
    read = read or {}
    return tally.take(poll, advance(tally.poll, poll), read, read if asked is None else asked)


def _delta(calls: int, seconds: float) -> Delta:
    return Delta(calls, seconds, 0.0, 0, 0, 0)


def _calls(tally: Tally) -> dict[tuple[str, str], int]:
    return {place: totals.calls for place, totals in tally.totals.items()}


def test_calls_of_an_entry_wait_until_its_text_is_known() -> None:
    tally = Tally()
    _step(tally, _poll(0, {}))
    assert _step(tally, _poll(1, {A: 3})) == []
    assert _step(tally, _poll(2, {A: 5})) == []
    assert tally.totals == {}
    (counted,) = _step(tally, _poll(3, {A: 6}), {A: FAST})
    assert (counted.known, counted.delta.calls) == (FAST, 6)
    assert _calls(tally) == {("fast", "anon"): 6}


def test_calls_of_an_entry_that_went_before_its_text_was_read_are_other() -> None:
    tally = Tally()
    _step(tally, _poll(0, {B: 1}), {B: SLOW})
    _step(tally, _poll(1, {A: 3, B: 1}))
    _step(tally, _poll(2, {B: 1}))
    assert _calls(tally) == {("other", "other"): 3}
    _step(tally, _poll(3, {A: 2, B: 1}), {}, (A,))
    assert _calls(tally) == {("other", "other"): 5}, "asked for, and not there any more"
    assert tally.pending == {}


def test_entry_that_began_anew_is_asked_for_again() -> None:
    tally = Tally()
    _step(tally, _poll(0, {A: 9}), {A: FAST})
    again = _poll(1, {A: 2}, since=START + timedelta(seconds=1))
    step = advance(tally.poll, again)
    assert tally.unread(again, step) == [A]
    tally.take(again, step, {A: SLOW}, [A])
    assert _calls(tally) == {("slow", "other"): 2}
    assert tally.resets == 1


def test_those_that_were_called_are_asked_for_first() -> None:
    tally = Tally()
    _step(tally, _poll(0, {A: 1, B: 1}))
    poll = _poll(1, {A: 1, B: 2})
    assert tally.unread(poll, advance(tally.poll, poll)) == [B, A]


def test_slow_is_a_statement_whose_mean_is_over_the_threshold() -> None:
    as_another = SLOW._replace(role="anon")
    counted = [
        Counted(SLOW, _delta(1, 0.3)),
        Counted(as_another, _delta(1, 0.3)),
        Counted(FAST, _delta(10, 1.0)),  # as long as the threshold is not over it
    ]
    assert slow(counted, ("fast", "slow", "other"), 0.1) == {"fast": 0, "slow": 1, "other": 0}


# ── the slowest ──────────────────────────────────────────────────────────────────────────────────


def _statement(number: int) -> Known:
    return Known(f"{number:016x}", "other", "anon", f"select {number}")


def _add(slowest: Slowest, means: Mapping[int, float], now: float) -> list[str]:
    counted = [Counted(_statement(number), _delta(2, 2 * mean)) for number, mean in means.items()]
    return [each.text or "" for each in slowest.add(counted, now)]


def test_ten_slowest_are_listed_slowest_first_with_their_mean() -> None:
    slowest = Slowest()
    shown = _add(slowest, {number: float(number) for number in range(1, 31)}, 0.0)
    assert shown == [f"select {number}" for number in range(30, 30 - IN_RANKS, -1)]
    assert slowest.add([], 1.0)[0].mean_seconds == 30.0


def test_member_stays_until_it_is_out_of_the_first_twenty() -> None:
    slowest = Slowest()
    _add(slowest, dict.fromkeys(range(1, 11), 1.0), 0.0)
    shown = _add(slowest, dict.fromkeys(range(11, 21), 2.0), 1.0)
    assert len(shown) == OUT_RANKS, "the new ten are in, and none of the old ones is out yet"
    shown = _add(slowest, dict.fromkeys(range(21, 26), 3.0), 2.0)
    assert len(shown) == OUT_RANKS
    assert "select 21" in shown
    assert "select 20" in shown


def test_member_goes_when_it_was_not_called_in_the_window() -> None:
    slowest = Slowest()
    _add(slowest, {1: 5.0}, 0.0)
    assert _add(slowest, {2: 1.0}, WINDOW_SECONDS - 1) == ["select 1", "select 2"]
    assert _add(slowest, {}, WINDOW_SECONDS + 1) == ["select 2"]
    assert _add(slowest, {}, 2 * WINDOW_SECONDS + 1) == []


def test_statement_has_one_text_however_it_is_written() -> None:
    # Tables join the text by statement and class, and a second one would break them.
    slowest = Slowest()
    for now, (role, text) in enumerate([("anon", "select a"), ("other", "select a as b")] * 2):
        known = _statement(1)._replace(role=role, shown=text)
        listed = slowest.add([Counted(known, _delta(1, 1.0))], float(now))
        assert {each.text for each in listed} == {"select a"}
    assert len(listed) == 2


def test_noise_about_the_tenth_place_does_not_flicker() -> None:
    source = random.Random(1)
    slowest = Slowest()
    seen = []
    for poll in range(200):
        means = {number: (20 - number) * source.uniform(0.9, 1.1) for number in range(15)}
        seen.append(set(_add(slowest, means, 30.0 * poll)))
    changes = sum(one != next_one for one, next_one in pairwise(seen[10:]))
    assert changes <= 3


# ── memory ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def observed(path: Path) -> Iterator[Scope]:
    with opened(path) as store:
        yield scope(store, identity=OWNER)


def _save(observed: Scope, tally: Tally) -> None:
    assert tally.poll
    assert save_tally(observed, tally, RULES, replace=True)


@pytest.fixture
def tally() -> Tally:
    tally = Tally()
    _step(tally, _poll(0, {A: 1}), {A: FAST})
    _step(tally, _poll(1, {A: 4, B: 7}))
    assert tally.pending
    return tally


def test_tally_comes_back_as_it_was(tally: Tally, observed: Scope) -> None:
    _save(observed, tally)
    assert load_tally(observed, OWNER, RULES) == (tally, True)


def test_what_changed_is_all_that_is_written(tally: Tally, observed: Scope) -> None:
    _save(observed, tally)
    poll = _poll(2, {B: 8})
    step = advance(tally.poll, poll)
    assert (set(step.changed), set(step.ended)) == ({B}, {A})
    tally.take(poll, step, {B: SLOW}, {B})
    changed, recognised = step.changed | step.ended, {A, B}
    assert save_tally(observed, tally, RULES, changed=changed, recognised=recognised)
    assert load_tally(observed, OWNER, RULES) == (tally, True)


def test_other_rules_keep_the_counters_and_ask_for_every_text_again(
    tally: Tally, observed: Scope
) -> None:
    others = rules_of(DEPLOYMENT, show=False)
    assert others != RULES
    _save(observed, tally)
    found = load_tally(observed, OWNER, others)
    assert found
    restored, is_current = found
    assert (restored.totals, restored.poll, is_current) == (tally.totals, tally.poll, False)
    assert restored.known == {}
    poll = _poll(2, {A: 4, B: 7})
    assert set(restored.unread(poll, advance(restored.poll, poll))) == {A, B}


def test_tally_that_an_earlier_version_wrote_comes_back_and_is_written_as_now(
    tally: Tally, observed: Scope
) -> None:
    _save(observed, tally)
    assert tally.poll
    earlier = {
        f"entry {key.user} {key.query}": json.dumps(
            [reading, tally.known.get(key)], default=datetime.isoformat
        )
        for key, reading in tally.poll.readings.items()
    }
    save(
        observed,
        TOPIC,
        {**earlier, **dict.fromkeys(("readings 1", "readings 1022", "statements 1"))},
    )
    found = load_tally(observed, OWNER, RULES)
    assert found == (tally, False), "all of it is written next"
    _save(observed, found[0])
    assert load_tally(observed, OWNER, RULES) == (tally, True)


@pytest.mark.parametrize("head", ["", "{}", "[]", '{"rules": 1}', "null"])
def test_what_cannot_be_read_is_nothing(tally: Tally, observed: Scope, head: str) -> None:
    _save(observed, tally)
    save(observed, TOPIC, {"tally": head})
    assert load_tally(observed, OWNER, RULES) is None


@pytest.mark.parametrize("damage", ["{", None])
def test_calls_of_an_entry_that_is_damaged_are_not_counted_twice(
    tally: Tally, observed: Scope, damage: str | None
) -> None:
    _save(observed, tally)
    save(observed, TOPIC, {PAGE_OF_A: damage})
    found = load_tally(observed, OWNER, RULES)
    assert found
    restored, is_whole = found
    assert not is_whole, "all of it is written next"
    _step(restored, _poll(2, {A: 5, B: 7}), {A: FAST})
    assert _calls(restored) == _calls(tally), "nobody knows how many of the five are new"
    _step(restored, _poll(3, {A: 7, B: 7}))
    assert _calls(restored)["fast", "anon"] == _calls(tally)["fast", "anon"] + 2


def test_nothing_written_is_nothing_restored(observed: Scope) -> None:
    assert load_tally(observed, OWNER, RULES) is None


# ── samples and texts ────────────────────────────────────────────────────────────────────────────


def test_only_classes_and_roles_of_the_deployment_are_shown(tally: Tally) -> None:
    samples = statement_samples(tally, DEPLOYMENT, None, ())
    assert samples["loom_statement_calls_total"] == {}, "no 0 while a text is not read"
    tally.pending.clear()
    samples = statement_samples(tally, DEPLOYMENT, None, ())
    assert set(samples["loom_statement_calls_total"]) == {("other", "anon"), ("other", "other")}


def test_text_is_recognised_again_for_every_role() -> None:
    text = "select * from things where id = $1"
    first = recognise({A: StatementText(text, "anon")}, DEPLOYMENT, [], show=True)
    known = first[A]._replace(class_name="as it was found")
    later = recognise(
        {A: StatementText(text, "anon"), B: StatementText(text, "postgres")},
        DEPLOYMENT,
        [known],
        show=True,
    )
    assert later == {A: known, B: known._replace(role="other")}
    other = recognise({A: StatementText(f"{text} limit 1", "anon")}, DEPLOYMENT, [known], show=True)
    assert other[A].class_name == "other"


@pytest.mark.parametrize(
    "text", ["create role r password 'secret'", "select $$secret$$, $1", "select $a$secret$a$"]
)
def test_nothing_is_kept_of_a_text_that_may_hold_a_secret(text: str) -> None:
    (found,) = recognise({A: StatementText(text, "anon")}, DEPLOYMENT, [], show=True).values()
    assert found.identity
    assert found.text_hash is None
    assert "secret" not in str(found)


async def test_many_texts_are_read_once_a_minute_and_few_at_once(tmp_path: Path) -> None:
    parts = assemble(tmp_path, [])
    reader = TextReader(parts.database, DEPLOYMENT, show=True, pause_seconds=PAUSE_SECONDS)
    many = [Key(1, 5, number) for number in range(2 * BATCH * BATCHES)]
    assert reader.due(many) == many[: BATCH * BATCHES]
    reader._read_at = time.monotonic()
    assert reader.due(many) == ()
    assert reader.due(many[:FEW]) == many[:FEW]
