"""Rollbacks of phases: said by a person, or seen because all objects of the phase are gone.

The history of migrations does not tell: a rollback leaves it as it was. A rollout that follows is
told by objects that are there again, by a version that comes back to the history, or by
`deploy mark`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import structlog

from exporter.catalog import Deployment
from exporter.collect.store import SnapshotStore
from exporter.deployment.people import ReportedRollback
from exporter.deployment.progress import DeploymentProgress, PhaseProgress, RolledBack
from exporter.state import Scope, Topic

OBJECTS = "loom_deployment_object_present"
"""The metric of the query that looks for what a phase leaves behind; it has a label `phase`."""

_log = structlog.get_logger(__name__)


class Presence(NamedTuple):
    """Since when all objects of a phase are there, and since when none is. Unix times."""

    present_at: float | None = None
    gone_at: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the objects were there, and none is now."""
        return self.gone_at is not None and self.gone_at > (self.present_at or 0.0)

    def seen(self, values: set[float], at: float) -> "Presence":
        """Return the presence with the objects as they are at a time: 1 is there, 0 is not."""
        is_new = self.present_at is None or self.is_gone
        if values == {1.0} and is_new:
            return self._replace(present_at=at)
        # Only what was all there can be gone: what never came was not rolled back.
        if values == {0.0} and not is_new:
            return self._replace(gone_at=at)
        return self


_PRESENCE: Topic[Presence] = Topic("objects", Presence)


class Traces(NamedTuple):
    """What tells of rollbacks, and of rollouts after them. Times are Unix times."""

    said: Iterable[ReportedRollback]
    presence: Mapping[str, Presence]
    """By phase."""
    returned: Mapping[str, float]
    """When a version came back to the history, by version."""
    marked_at: float | None


def record_presence(scope: Scope, snapshots: SnapshotStore, ticks: float) -> dict[str, Presence]:
    """Return the presence of the objects of each phase, and remember what has changed.

    Args:
        scope: of one database.
        snapshots: what the queries said last.
        ticks: `time.monotonic()`; what is too old by then says nothing.
    """
    known = _PRESENCE.load(scope)
    values: defaultdict[str, set[float]] = defaultdict(set)
    at = []
    for snapshot in snapshots.of_metric(OBJECTS):
        is_fresh = ticks <= snapshot.expires and snapshot.last_success_at is not None
        if not (is_fresh and snapshot.state and snapshot.state.is_success):
            return known
        at.append(snapshot.last_success_at or 0.0)
        names = snapshots.metrics[OBJECTS].labels
        for labels, value in snapshot.samples.get(OBJECTS, {}).items():
            values[dict(zip(names, labels, strict=True))["phase"]].add(value)
    now = {
        phase: known.get(phase, Presence()).seen(found, min(at)) for phase, found in values.items()
    }
    changed = {phase: each for phase, each in now.items() if each != known.get(phase, Presence())}
    for phase, each in changed.items():
        if each.is_gone:
            _log.warning("all objects of a phase are gone: it is rolled back", phase=phase)
    if changed:
        _PRESENCE.save(scope, changed)
    return {**known, **now}


def follow_rollbacks(
    progress: DeploymentProgress,
    deployment: Deployment,
    traces: Traces,
    warmup_seconds: float,
) -> DeploymentProgress:
    """Return the progress with phases that were rolled back, and perhaps rolled out again.

    Args:
        progress: by the history of migrations.
        deployment: its phases.
        traces: what tells of rollbacks.
        warmup_seconds: the time that follows each of these events, in which speed is not judged.
    """
    followed = {
        name: _followed(name, seen, deployment, traces) for name, seen in progress.phases.items()
    }
    phases = {name: phase for name, (phase, _) in followed.items()}
    if phases == progress.phases:
        return progress
    times = [each.at for each in phases.values() if each.at is not None]
    events = [*times, *(each.rolled_back.at for each in phases.values() if each.rolled_back)]
    last = max([*events, progress.ended_at or 0.0])
    is_over = all(each.is_applied for each in phases.values())
    return replace(
        progress,
        phases=phases,
        ended_at=last if is_over else None,
        settled_at=max(last + warmup_seconds, progress.settled_at or 0.0),
        follows_rollback_at=max(at for _, at in followed.values()) or None,
    )


def _followed(
    name: str, seen: PhaseProgress, deployment: Deployment, traces: Traces
) -> tuple[PhaseProgress, float]:
    """Return the phase, and the Unix time of the rollback that it was rolled out after, or 0."""
    if not seen.is_applied:
        return seen, 0.0
    presence = traces.presence.get(name, Presence())
    said = max(
        (each for each in traces.said if each.phase == name),
        key=lambda each: each.at,
        default=None,
    )
    at = max(said.at if said else 0.0, presence.gone_at or 0.0)
    if not at:
        return seen, 0.0
    versions = {each.version for each in deployment.phases[name].migrations}
    again = [presence.present_at, traces.marked_at, seen.at]
    again += [traces.returned.get(version) for version in versions]
    rolled_out_at = max((each for each in again if each is not None), default=0.0)
    if rolled_out_at > at and not presence.is_gone:
        return seen._replace(at=rolled_out_at), at
    if said and said.at >= (presence.present_at or 0.0):
        return PhaseProgress(False, None, RolledBack(at, said.by, said.reason)), 0.0
    return PhaseProgress(False, None, RolledBack(at)), 0.0
