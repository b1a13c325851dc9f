"""Whether, and when, each phase of the deployment was seen to be applied.

The history of migrations has no time of application and can be rewritten without any SQL being
run. So each version is remembered from when it was first seen: one that vanishes and comes back is
a repaired history, not a new deployment.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import structlog

from exporter.catalog import Deployment
from exporter.catalog.deployment import Phase
from exporter.clock import Clock
from exporter.collect.store import SnapshotStore
from exporter.database.identity import DatabaseIdentity
from exporter.database.outcome import State
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.state import StateStore

APPLIED = "loom_migration_applied"
WRITTEN = "loom_migration_written_timestamp_seconds"
"""The metrics by which migrations are seen; each has a label `version`."""

TOPIC = "deployment"
MARK_TOPIC = "rollout"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Memory:
    """What was seen of the migrations of one database, as it is written down."""

    owner: DatabaseIdentity
    first_seen: Mapping[str, float | None] = field(default_factory=dict)
    """By version; None where it was there before anybody looked."""
    missing: tuple[str, ...] = ()
    """Versions that were there, and are gone from the history."""
    rewritten_at: float | None = None


class MigrationHistory:
    """Looks at the migrations again and again, and remembers when each first appeared."""

    def __init__(
        self, store: StateStore, database: str, deployment: Deployment, clock: Clock
    ) -> None:
        """Begin without any knowledge of the migrations."""
        self._store = store
        self._database = database
        self._deployment = deployment
        self._clock = clock
        self._warmup_seconds = clock.scaled(deployment.warmup)
        self._memory: _Memory | None = None
        self._kept: _Memory | None = None
        """What the store has of it, in the version of the topic that follows."""
        self._version: int | None = None

    def look(self, owner: DatabaseIdentity, snapshots: SnapshotStore) -> DeploymentProgress:
        """Return how far the deployment has come, as the snapshots show it."""
        memory = self._memory if self._memory and self._memory.owner.is_same(owner) else None
        version = self._store.version(self._database, TOPIC)
        if version is not None and (memory is None or version != self._version):
            self._version, self._kept = version, self._recall(owner)
            memory = self._kept or memory
        written = _migrations(snapshots)
        if written is not None:
            now = self._clock.now()
            memory = _note(memory or _Memory(owner), written, None if memory is None else now, now)
            # What cannot be read now may say more than what we know, and is not to be overwritten.
            if version is not None and memory != self._kept:
                self._write(memory)
        self._memory = memory
        return self._deployed(memory, is_known=written is not None)

    def _recall(self, owner: DatabaseIdentity) -> _Memory | None:
        """Return what was written down of this database, None if nobody has looked at it yet."""
        text = self._store.load(self._database, TOPIC).get(self._deployment.name)
        try:
            memory = _Memory(**json.loads(text)) if text else None
            if memory is None or not DatabaseIdentity(*memory.owner).is_same(owner):
                return None
            return replace(memory, owner=owner, missing=tuple(memory.missing))
        except (TypeError, ValueError) as error:
            _log.error("what was seen of the deployment cannot be read", reason=str(error))
            return None

    def _write(self, memory: _Memory) -> None:
        text = json.dumps(asdict(memory))
        if self._store.save(self._database, TOPIC, {self._deployment.name: text}):
            self._kept, self._version = memory, self._store.version(self._database, TOPIC)

    def _deployed(self, memory: _Memory | None, *, is_known: bool) -> DeploymentProgress:
        marked_at = read_mark(self._store, self._database, self._deployment)
        if memory is None and marked_at is None:
            return DeploymentProgress(dict.fromkeys(self._deployment.phases, PhaseProgress()))
        first_seen = memory.first_seen if memory else {}
        phases = {
            name: _phase(phase, first_seen, is_known=is_known, marked_at=marked_at)
            for name, phase in self._deployment.phases.items()
        }
        times = [at for at in first_seen.values() if at is not None]
        marks = [] if marked_at is None else [marked_at]
        has_begun = bool(first_seen or marks) or (False if is_known else None)
        last = max([*times, *marks], default=None)
        is_over = all(phase.is_applied for phase in phases.values())
        return DeploymentProgress(
            phases,
            has_begun,
            min([*times, *marks], default=None),
            last if is_over else None,
            None if last is None else last + self._warmup_seconds,
            memory.rewritten_at if memory else None,
        )


def read_mark(store: StateStore, database: str, deployment: Deployment) -> float | None:
    """Return the Unix time at which somebody said that the application was rolled out."""
    text = store.load(database, MARK_TOPIC).get(deployment.name)
    return None if text is None else float(text)


def write_mark(store: StateStore, database: str, deployment: Deployment, at: float) -> bool:
    """Remember that the application was rolled out `at` this Unix time; whether that worked."""
    return store.save(database, MARK_TOPIC, {deployment.name: repr(at)})


def last_look(snapshots: SnapshotStore) -> float:
    """Return the Unix time of the last look at the history that is known of.

    Without a history there is nothing that could be applied since.
    """
    looks = [
        time.time() - snapshot.max_age_seconds
        if snapshot.state is State.ABSENT
        else snapshot.last_success_at or 0.0
        for snapshot in snapshots.of_metric(APPLIED)
    ]
    return min(looks, default=time.time())


def _migrations(snapshots: SnapshotStore) -> Mapping[str, float | None] | None:
    """Return the versions in the history, and when each was written; None if it is not known."""
    now = time.monotonic()
    applied: dict[str, float | None] = {}
    for snapshot in snapshots.of_metric(APPLIED):
        if snapshot.state is State.ABSENT:  # no history: nothing was ever applied
            continue
        if snapshot.state is None or not snapshot.state.is_success or now > snapshot.expires:
            return None
        at = snapshots.metrics[APPLIED].labels.index("version")
        written = snapshot.samples.get(WRITTEN, {})
        for labels, value in snapshot.samples.get(APPLIED, {}).items():
            if value:
                applied[labels[at]] = written.get((labels[at],))
    return applied


def _note(
    memory: _Memory, written: Mapping[str, float | None], unwritten: float | None, now: float
) -> _Memory:
    """Return the memory with what is seen at `now`.

    A version that appears was applied when its row was written or, where the server does not keep
    that, at `unwritten`.
    """
    new = {
        version: unwritten if at is None else at
        for version, at in written.items()
        if version not in memory.first_seen
    }
    missing = tuple(version for version in memory.first_seen if version not in written)
    vanished = set(missing) - set(memory.missing)
    if new:
        _log.info("migrations were applied", versions=sorted(new))
    if vanished:
        _log.warning(
            "migrations are gone from the history; the clock of the deployment goes on",
            versions=sorted(vanished),
        )
    return replace(
        memory,
        first_seen={**memory.first_seen, **new},
        missing=missing,
        rewritten_at=now if vanished else memory.rewritten_at,
    )


def _phase(
    phase: Phase,
    first_seen: Mapping[str, float | None],
    *,
    is_known: bool,
    marked_at: float | None,
) -> PhaseProgress:
    versions = [migration.version for migration in phase.migrations]
    if not versions:  # nothing in the database shows it
        return PhaseProgress(marked_at is not None, marked_at)
    if not all(version in first_seen for version in versions):
        return PhaseProgress(False if is_known else None)
    times = [at for version in versions if (at := first_seen[version]) is not None]
    return PhaseProgress(True, max(times) if len(times) == len(versions) else None)
