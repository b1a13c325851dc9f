"""The store has the last samples of each query, as long as they are worth showing."""

from __future__ import annotations

import time

import pytest

from exporter.collect.snapshot import NO_SAMPLES, Samples, Snapshot
from exporter.collect.store import SnapshotStore
from exporter.run_state import RunError, State
from tests.support.queries import make_query

METRICS = {"loom_things": {"labels": ["kind"], "value": "things"}}
A = make_query("a", METRICS)
B = make_query("b", METRICS)
SAMPLES: Samples = {"loom_things": {("round",): 1.0}}
OTHERS: Samples = {"loom_things": {("square",): 2.0}}


def _snapshots(max_age: float = 60.0) -> SnapshotStore:
    return SnapshotStore([A, B], {"a": max_age, "b": max_age})


def _shown(snapshots: SnapshotStore, query: str = "a") -> object:
    return snapshots[query].fresh_samples(time.monotonic())


def test_nothing_is_known_before_the_first_run() -> None:
    snapshots = _snapshots()
    assert [snapshot.state for snapshot in snapshots.latest()] == [None, None]
    assert _shown(snapshots) == {}
    assert not snapshots.is_complete
    assert snapshots["a"].last_success_at is None


def test_board_is_complete_when_every_query_was_tried() -> None:
    snapshots = _snapshots()
    snapshots.publish("a", State.OK, SAMPLES)
    assert not snapshots.is_complete
    snapshots.fail("b", State.UNREACHABLE, "down")
    assert snapshots.is_complete


def test_success_replaces_what_was_known() -> None:
    snapshots = _snapshots()
    snapshots.publish("a", State.OK, SAMPLES)
    assert _shown(snapshots) == SAMPLES
    snapshots.publish("a", State.OK, OTHERS)
    assert _shown(snapshots) == OTHERS
    snapshots.publish("a", State.EMPTY, {})
    assert _shown(snapshots) == {}
    assert snapshots["a"].state is State.EMPTY


def test_samples_that_would_not_be_served_are_refused() -> None:
    snapshots = _snapshots()
    with pytest.raises(ValueError, match=r"^not declared: loom_thing$"):
        snapshots.publish("a", State.OK, {**SAMPLES, "loom_thing": {(): 1.0}})
    assert _shown(snapshots) == {}


@pytest.mark.parametrize("state", [state for state in State if not state.is_success])
def test_failure_keeps_or_drops_what_was_known(state: State) -> None:
    snapshots = _snapshots()
    snapshots.publish("a", State.OK, SAMPLES)
    before = snapshots["a"]
    snapshots.fail("a", state, "why")
    kept = state in (State.LOCKED, State.LIMITED, State.TIMEOUT, State.UNREACHABLE)
    assert _shown(snapshots) == (SAMPLES if kept else {})
    after = snapshots["a"]
    assert (after.state, after.detail) == (state, "why")
    assert after.last_success_at == before.last_success_at
    assert after.taken == before.taken, "a failure does not make values younger"


def test_success_is_dated_also_when_there_is_nothing() -> None:
    snapshots = _snapshots()
    before = time.time()
    snapshots.publish("a", State.EMPTY, {})
    at = snapshots["a"].last_success_at
    assert at is not None
    assert before <= at <= time.time()


def test_values_are_dropped_at_max_age_whatever_the_state() -> None:
    for state in (State.OK, State.LOCKED):
        snapshot = Snapshot("a", 60.0, state, "", SAMPLES, taken=1000.0)
        assert snapshot.expires == 1060.0
        assert snapshot.fresh_samples(1060.0) == SAMPLES
        assert snapshot.fresh_samples(1060.1) is NO_SAMPLES


def test_two_queries_may_feed_a_metric_with_different_labels() -> None:
    snapshots = _snapshots()
    snapshots.publish("a", State.OK, SAMPLES)
    snapshots.publish("b", State.OK, OTHERS)
    assert [snapshot.query for snapshot in snapshots.of_metric("loom_things")] == ["a", "b"]
    assert snapshots.of_metric("loom_unknown") == ()


def test_sample_of_another_query_cannot_be_shown_twice() -> None:
    snapshots = _snapshots()
    snapshots.publish("a", State.OK, SAMPLES)
    generation = snapshots.generation
    with pytest.raises(RunError, match="loom_things: query a has a sample with the same labels"):
        snapshots.publish(
            "b", State.OK, {"loom_things": {**OTHERS["loom_things"], ("round",): 1.0}}
        )
    assert _shown(snapshots, "b") == {}
    assert snapshots.generation == generation


def test_sample_of_another_query_that_is_too_old_to_be_shown_is_in_nobodys_way() -> None:
    snapshots = SnapshotStore([A, B], {"a": 0.0, "b": 60.0})
    snapshots.publish("a", State.OK, SAMPLES)
    time.sleep(0.001)
    snapshots.publish("b", State.OK, SAMPLES)
    assert _shown(snapshots, "b") == SAMPLES


def test_every_change_makes_a_new_generation() -> None:
    snapshots = _snapshots()
    seen = [snapshots.generation]
    snapshots.publish("a", State.OK, SAMPLES)
    seen.append(snapshots.generation)
    snapshots.publish("a", State.OK, SAMPLES)
    seen.append(snapshots.generation)
    snapshots.fail("b", State.ERROR, "why")
    seen.append(snapshots.generation)
    assert seen == sorted(set(seen))


def test_snapshot_that_somebody_reads_does_not_change() -> None:
    snapshots = _snapshots()
    snapshots.publish("a", State.OK, SAMPLES)
    held = snapshots["a"]
    snapshots.publish("a", State.OK, OTHERS)
    assert held.samples == SAMPLES
    with pytest.raises(AttributeError):
        held.state = State.ERROR  # type: ignore[misc]
