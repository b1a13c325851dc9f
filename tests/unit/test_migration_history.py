"""Each migration is remembered from when it first appeared, whatever becomes of the history."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from exporter.catalog import Deployment
from exporter.catalog.history import APPLIED
from exporter.clock import Clock
from exporter.collect.store import SnapshotStore
from exporter.database.identity import DatabaseIdentity
from exporter.deployment.history import (
    SEEN,
    WRITTEN,
    MigrationHistory,
    applied_migrations,
    write_mark,
)
from exporter.run_state import State
from exporter.state import StateStore
from tests.support.queries import make_query
from tests.support.state import save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.collect.snapshot import Samples
    from exporter.deployment.progress import DeploymentProgress

OWNER = DatabaseIdentity("loom", 5, "7000")
CLOCK = Clock()
WARMUP_SECONDS = 1800.0
ROLLBACK = {"risk": "low", "advice": "Roll back."}
DEPLOYMENT = Deployment.model_validate(
    {
        "name": "test",
        "title": "Test",
        "warmup": "30m",
        "phases": {
            "one": {
                "title": "One",
                "migrations": [{"version": "1", "name": "a"}, {"version": "2", "name": "b"}],
                "rollback": ROLLBACK,
            },
            "two": {
                "title": "Two",
                "migrations": [{"version": "3", "name": "c"}],
                "rollback": ROLLBACK,
            },
        },
    }
)
HISTORY = make_query(
    "history",
    {
        APPLIED: {"labels": ["version", "name"], "value": "applied"},
        WRITTEN: {"type": "change_timestamp", "labels": ["version"], "value": "token"},
    },
)


class History:
    """A database whose migrations a test applies, and what is remembered of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.snapshots = SnapshotStore([HISTORY], {HISTORY.name: 45.0})
        self.restart()

    def restart(self) -> None:
        """Begin anew with what is written down."""
        self.store = StateStore(self._path)
        self.people = self.store.scope("loom", DEPLOYMENT.name)
        self.history = MigrationHistory(self.people, DEPLOYMENT, CLOCK)

    def look(
        self, *versions: str, identity: DatabaseIdentity = OWNER, **written: float
    ) -> DeploymentProgress:
        """Look while these versions are in the history; `written` are exact times, as `v1=...`."""
        samples: Samples = {
            APPLIED: {(version, "name"): float(version in versions) for version in "123"},
            WRITTEN: {(name.removeprefix("v"),): at for name, at in written.items()},
        }
        self.snapshots.publish(HISTORY.name, State.OK, samples)
        return self.record(identity)

    def record(self, identity: DatabaseIdentity = OWNER) -> DeploymentProgress:
        """Remember what the query has said last."""
        return self.history.record(identity, applied_migrations(self.snapshots, CLOCK))


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "state.sqlite3")
    yield made
    made.store.close()


def test_nothing_is_known_before_anybody_looked(history: History) -> None:
    seen = history.record()
    assert seen.has_begun is None
    assert {phase.is_applied for phase in seen.phases.values()} == {None}
    assert seen.samples(time.time())["loom_deployment_warmup_active"] == {}


def test_phase_is_applied_when_its_last_migration_is(history: History) -> None:
    assert history.look().has_begun is False
    before = time.time()
    seen = history.look("1")
    assert seen.has_begun
    assert seen.began_at is not None
    assert before <= seen.began_at <= time.time()
    assert seen.phases["one"].is_applied is False
    seen = history.look("1", "2")
    assert seen.phases["one"].is_applied
    assert seen.phases["two"].is_applied is False
    assert (seen.is_complete, seen.ended_at) == (False, None)
    seen = history.look("1", "2", "3")
    assert seen.is_complete
    assert seen.ended_at == seen.phases["two"].at


def test_versions_may_be_applied_out_of_order(history: History) -> None:
    history.look()
    seen = history.look("3")
    assert seen.has_begun
    assert seen.phases["two"].is_applied
    assert not seen.phases["one"].is_applied


def test_time_is_exact_where_the_server_keeps_it(history: History) -> None:
    history.look()
    seen = history.look("1", "2", "3", v1=1000.0, v2=1010.0, v3=1020.5)
    assert (seen.began_at, seen.ended_at) == (1000.0, 1020.5)
    assert seen.phases["one"].at == 1010.0
    assert seen.settled_at == 1020.5 + WARMUP_SECONDS


def test_what_was_there_at_the_first_look_was_applied_at_some_time(history: History) -> None:
    seen = history.look("1", "2", "3")
    assert seen.is_complete
    assert (seen.began_at, seen.ended_at, seen.settled_at) == (None, None, None)
    shown = seen.samples(time.time())
    assert shown["loom_deployment_timestamp_seconds"] == {}
    assert shown["loom_deployment_warmup_active"] == {(): 0.0}


def test_exact_time_is_taken_at_the_first_look_too(history: History) -> None:
    assert history.look("1", v1=1000.0).began_at == 1000.0


def test_repaired_history_is_no_new_deployment(history: History) -> None:
    history.look()
    first = history.look("1", "2", "3", v1=1000.0, v2=1010.0, v3=1020.0)
    assert first.rewritten_at is None
    gone = history.look("1", "2", v1=1000.0, v2=1010.0)
    assert gone.is_complete, "what was applied was applied"
    assert gone.rewritten_at is not None
    again = history.look("1", "2", "3", v1=1000.0, v2=1010.0, v3=99_000.0)
    assert again.phases == first.phases
    assert again.settled_at == first.settled_at
    assert again.rewritten_at == gone.rewritten_at


def test_all_that_was_seen_outlives_a_restart(history: History) -> None:
    history.look()
    first = history.look("1")
    history.restart()
    assert history.look("1") == first
    history.restart()
    gone = history.look()
    assert gone.has_begun
    assert gone.rewritten_at is not None


def test_migration_applied_while_nobody_looked_is_dated_to_the_next_look(history: History) -> None:
    history.look()
    history.restart()
    before = time.time()
    began_at = history.look("1").began_at
    assert began_at is not None
    assert began_at >= before


def test_another_database_has_a_history_of_its_own(history: History) -> None:
    history.look()
    history.look("1")
    other = history.look(identity=DatabaseIdentity("loom", 6, "7000"))
    assert other.has_begun is False
    assert other.rewritten_at is None
    again = history.look("1")
    assert (again.has_begun, again.rewritten_at) == (True, None), "going back finds the first"


def test_mark_of_the_rollout_moves_the_warmup(history: History) -> None:
    history.look()
    seen = history.look("1", "2", "3", v1=1000.0, v2=1010.0, v3=1020.0)
    assert write_mark(history.people, 5000.0)
    marked = history.look("1", "2", "3", v1=1000.0, v2=1010.0, v3=1020.0)
    assert (marked.began_at, marked.ended_at) == (1000.0, 5000.0)
    assert marked.settled_at == 5000.0 + WARMUP_SECONDS
    assert marked.phases == seen.phases


def test_mark_alone_says_that_the_deployment_has_begun(history: History) -> None:
    history.look()
    write_mark(history.people, 5000.0)
    seen = history.look()
    assert (seen.has_begun, seen.began_at) == (True, 5000.0)
    assert not seen.is_complete


@pytest.mark.parametrize("state", [State.DENIED, State.ERROR, State.TIMEOUT, State.UNREACHABLE])
def test_failed_look_changes_nothing_and_never_says_not_begun(
    history: History, state: State
) -> None:
    history.snapshots.fail(HISTORY.name, state, "")
    assert history.record().has_begun is None
    history.look()
    history.snapshots.fail(HISTORY.name, state, "")
    assert history.record().has_begun is None
    history.look("1")
    history.snapshots.fail(HISTORY.name, state, "")
    seen = history.record()
    assert seen.has_begun
    assert seen.rewritten_at is None


def test_database_without_a_history_has_nothing_applied(history: History) -> None:
    history.snapshots.fail(HISTORY.name, State.ABSENT, "")
    assert history.record().has_begun is False
    assert applied_migrations(history.snapshots, CLOCK).read_at <= time.time() - 45.0
    assert history.look("1").began_at is not None


def test_warmup_is_shorter_where_an_hour_is(tmp_path: Path) -> None:
    history = History(tmp_path / "state.sqlite3")
    history.history = MigrationHistory(history.people, DEPLOYMENT, Clock(36.0))
    seen = history.look("1", v1=1000.0)
    assert seen.settled_at == 1018.0
    assert seen.is_warming_up(1017.0)
    assert not seen.is_warming_up(1018.0)
    assert seen.samples(1017.0)["loom_deployment_warmup_active"] == {(): 1.0}


def test_memory_that_cannot_be_read_is_begun_anew(history: History) -> None:
    history.look()
    save(history.people.of(OWNER), SEEN.name, {"seen": '{"first_seen": 3}'})
    history.restart()
    assert history.look().has_begun is False


def test_state_that_is_lost_is_written_again(history: History, tmp_path: Path) -> None:
    history.look()
    first = history.look("1", v1=1000.0)
    for file in tmp_path.glob("state.sqlite3*"):
        file.unlink()
    for _ in range(2):  # the first save finds out that something is amiss
        history.look("1", v1=1000.0)
    history.restart()
    assert history.look("1") == first


def test_state_that_cannot_be_read_at_first_says_more_than_what_is_seen_meanwhile(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.state.connection.RETRY_SECONDS", 0.0)
    history.look()
    first = history.look("1", v1=1000.0)
    history.store.close()
    file, away = tmp_path / "state.sqlite3", tmp_path / "away"
    file.rename(away)
    file.mkdir()
    history.restart()
    assert history.look("1").began_at is None, "it was there before this process"
    file.rmdir()
    away.rename(file)
    assert history.look("1") == first
    history.restart()
    assert history.look("1") == first


def test_history_is_read_by_the_name_of_the_label_whatever_its_place() -> None:
    query = make_query(
        "history",
        {
            APPLIED: {"labels": ["name", "version"], "value": "applied"},
            WRITTEN: {"type": "change_timestamp", "labels": ["schema", "version"], "value": "at"},
        },
    )
    snapshots = SnapshotStore([query], {query.name: 45.0})
    applied: dict[tuple[str, ...], float] = {("a", "1"): 1.0, ("b", "2"): 1.0, ("c", "3"): 0.0}
    samples: Samples = {APPLIED: applied, WRITTEN: {("public", "2"): 1000.0}}
    snapshots.publish(query.name, State.OK, samples)
    assert applied_migrations(snapshots, CLOCK).written == {"1": None, "2": 1000.0}
