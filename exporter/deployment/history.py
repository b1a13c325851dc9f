"""Whether, and when, each phase of the deployment was applied, by the history of migrations.

The history has no time of application and can be rewritten without any SQL being run. So each
version is remembered from when it was first seen: one that vanishes and comes back is a repaired
history, not a new deployment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from exporter.catalog import Deployment
from exporter.catalog.deployment import Phase
from exporter.catalog.history import APPLIED
from exporter.clock import Clock
from exporter.collect.snapshot import Snapshot
from exporter.collect.store import SnapshotStore
from exporter.database.identity import DatabaseIdentity
from exporter.deployment.people import UnixTime
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.run_state import State
from exporter.state import Scope, Topic

WRITTEN = "loom_migration_written_timestamp_seconds"
"""The metric of the query that reads the history, with a label `version`."""

_MARK: Topic[float] = Topic("rollout", UnixTime)
_MARK_KEY = "marked_at"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AppliedMigrations:
    """What the history says; `written` is the Unix time of each version's row, None if not kept.

    `written` itself is None while the history cannot be read. `read_at` is the Unix time of the
    last time that it could be.
    """

    written: Mapping[str, float | None] | None
    read_at: float


@dataclass(frozen=True, slots=True)
class SeenMigrations:
    """What was seen of the migrations of one database so far. Times are Unix times."""

    first_seen: Mapping[str, float | None] = field(default_factory=dict)
    """By version; None where it was there at the first look."""
    missing: tuple[str, ...] = ()
    """Versions that were there, and are gone from the history."""
    rewritten_at: float | None = None
    returned: Mapping[str, float] = field(default_factory=dict)
    """When a version that had vanished came back to the history, by version."""


SEEN: Topic[SeenMigrations] = Topic("migrations", SeenMigrations)
_SEEN_KEY = "seen"


class MigrationHistory:
    """Remembers when each migration first appeared in the history."""

    def __init__(self, people: Scope, deployment: Deployment, clock: Clock) -> None:
        """Begin without any knowledge; `people` is the scope of what people say."""
        self._people = people
        self._deployment = deployment
        self._clock = clock
        self._scope = people
        self._seen: SeenMigrations | None = None
        self._kept: SeenMigrations | None = None
        """What the state has of it, in the version of the topic that follows."""
        self._version: int | None = None

    def record(
        self, identity: DatabaseIdentity, migrations: AppliedMigrations
    ) -> DeploymentProgress:
        """Remember what the history of a database says now, and return how far it has come."""
        if self._scope.identity is None or not self._scope.identity.is_same(identity):
            self._scope = self._people.of(identity)
            self._seen = self._kept = self._version = None
        version = SEEN.version(self._scope)
        if version is not None and version != self._version:
            self._version, self._kept = version, SEEN.read(self._scope, _SEEN_KEY)
            self._seen = self._kept or self._seen
        written = migrations.written
        if written is not None and not self._tells_nothing(written):
            now = self._clock.now()
            unwritten = None if self._seen is None else now
            self._seen = _noted(self._seen or SeenMigrations(), written, unwritten, now)
            # What cannot be read now may say more than we know, and must not be overwritten.
            if version is not None and self._seen != self._kept:
                self._write(self._seen)
        return self._progress(self._seen, is_known=written is not None)

    @property
    def returned(self) -> Mapping[str, float]:
        """When a version that had vanished came back to the history, by version."""
        return self._seen.returned if self._seen else {}

    def _tells_nothing(self, written: Mapping[str, float | None]) -> bool:
        """Return whether the history is on a version of Alembic that is not of this deployment.

        Alembic keeps the current version alone, and that one may be a later one. What was seen
        before is then not missing.
        """
        history = self._deployment.history
        return bool(history and history.kind == "alembic" and self._seen and not written)

    def _write(self, seen: SeenMigrations) -> None:
        if SEEN.save(self._scope, {_SEEN_KEY: seen}):
            self._kept, self._version = seen, SEEN.version(self._scope)

    def _progress(self, seen: SeenMigrations | None, *, is_known: bool) -> DeploymentProgress:
        marks = _MARK.load(self._people)
        if seen is None and not marks:
            return DeploymentProgress(dict.fromkeys(self._deployment.phases, PhaseProgress()))
        first_seen = seen.first_seen if seen else {}
        phases = {
            name: _phase(
                phase,
                first_seen,
                is_known=is_known,
                marked_at=marks.get(_mark_key(name), marks.get(_MARK_KEY)),
            )
            for name, phase in self._deployment.phases.items()
        }
        times = [at for at in first_seen.values() if at is not None]
        has_begun = bool(first_seen or marks) or (False if is_known else None)
        last = max([*times, *marks.values()], default=None)
        is_over = all(phase.is_applied for phase in phases.values())
        return DeploymentProgress(
            phases,
            has_begun,
            min([*times, *marks.values()], default=None),
            last if is_over else None,
            None if last is None else last + self._clock.scaled(self._deployment.warmup),
            seen.rewritten_at if seen else None,
        )


def read_mark(people: Scope) -> float | None:
    """Return the Unix time at which somebody said that the application was rolled out."""
    return _MARK.read(people, _MARK_KEY)


def write_mark(people: Scope, at: float, phase: str | None = None) -> bool:
    """Remember that the application was rolled out at a Unix time; return whether that worked.

    With `phase`, that this phase was applied, where no history shows it.
    """
    return _MARK.save(people, {_MARK_KEY if phase is None else _mark_key(phase): at})


def _mark_key(phase: str) -> str:
    return f"{_MARK_KEY}:{phase}"


def applied_migrations(snapshots: SnapshotStore, clock: Clock) -> AppliedMigrations:
    """Return what the queries that feed `APPLIED` said last.

    Where they are absent there is no history: nothing is applied, and nothing can be.
    """
    written: dict[str, float | None] | None = {}
    read_at = clock.now()
    for snapshot in snapshots.of_metric(APPLIED):
        if snapshot.state is State.ABSENT:
            read_at = min(read_at, clock.now() - snapshot.max_age_seconds)
            continue
        read_at = min(read_at, snapshot.last_success_at or 0.0)
        is_fresh = clock.monotonic() <= snapshot.expires
        if written is None or not (snapshot.state and snapshot.state.is_success and is_fresh):
            written = None
            continue
        at = _by_version(snapshots, snapshot, WRITTEN)
        for version, is_applied in _by_version(snapshots, snapshot, APPLIED).items():
            if is_applied:
                written[version] = at.get(version)
    return AppliedMigrations(written, read_at)


def _by_version(snapshots: SnapshotStore, snapshot: Snapshot, metric: str) -> dict[str, float]:
    """Return the values of a metric by its label `version`."""
    series = snapshot.samples.get(metric, {})
    names = snapshots.metrics[metric].labels if series else ()
    return {
        dict(zip(names, labels, strict=True))["version"]: value for labels, value in series.items()
    }


def _noted(
    seen: SeenMigrations, written: Mapping[str, float | None], unwritten: float | None, now: float
) -> SeenMigrations:
    """Return what was seen so far with what is in the history at `now`.

    A version that appears was applied when its row was written or, where the server does not keep
    that time, at `unwritten`.
    """
    new = {
        version: unwritten if at is None else at
        for version, at in written.items()
        if version not in seen.first_seen
    }
    missing = tuple(version for version in seen.first_seen if version not in written)
    vanished = set(missing) - set(seen.missing)
    returned = dict.fromkeys(set(seen.missing) - set(missing), now)
    if new:
        _log.info("migrations were applied", versions=sorted(new))
    if vanished:
        _log.warning(
            "migrations are gone from the history; the clock of the deployment goes on",
            versions=sorted(vanished),
        )
    return replace(
        seen,
        first_seen={**seen.first_seen, **new},
        missing=missing,
        rewritten_at=now if vanished else seen.rewritten_at,
        returned={**seen.returned, **returned},
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
