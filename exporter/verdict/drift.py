"""Drift: what changed in the schema with the deployment and since, by tokens that were kept then.

A token may be an object of JSON, with a hash for each object of the schema; then each object that
was added, changed or dropped is named.
"""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from exporter.catalog import Deployment
from exporter.catalog.condition import BASELINE, Condition
from exporter.collect.store import SnapshotStore
from exporter.deployment.people import Acknowledgement
from exporter.deployment.progress import DeploymentProgress
from exporter.deployment.records import Outcome
from exporter.state import Scope, Table, Topic
from exporter.verdict.evidence import (
    SETTLE_SECONDS,
    Evidence,
    KeptTokens,
    Labels,
    matching,
    trusted_tokens,
)
from exporter.wording import listed, moment


class _Written(NamedTuple):
    """The tokens of each metric, and the Unix time from which on they were read."""

    at: float
    tokens: dict[str, Table[Labels, str]]
    accepted: str


_KEPT: Topic[_Written] = Topic("schema", _Written)
_KEY = "deployed"
_KEY_BEFORE = "before"


class Drift(NamedTuple):
    """What a condition found."""

    outcome: Outcome
    text: str
    objects: tuple[str, ...] = ()
    """The objects that changed."""


class _Change(NamedTuple):
    name: str
    text: str


def keep_tokens(
    scope: Scope,
    deployment: Deployment,
    progress: DeploymentProgress,
    acknowledged: Acknowledgement | None,
    snapshots: SnapshotStore,
) -> KeptTokens | None:
    """Return the tokens that later ones are compared with; None before they are written.

    They are taken at the first look after the last listed migration, rollback or acknowledgement.
    What is not written does not count: compared with itself, a schema never changes.
    """
    if not progress.has_begun:
        return None
    metrics = _compared(deployment)
    events = [each.at for each in progress.phases.values()]
    events += [each.at for each in progress.rolled_back.values()]
    since = max((at for at in events if at is not None), default=0.0)
    accepted = ""
    if acknowledged and acknowledged.at > since:
        since = acknowledged.at
        accepted = f"accepted by {acknowledged.by}: {acknowledged.reason}"
    kept = _KEPT.read(scope, _KEY)
    # A metric that a pack compares from now on is not in there, and what has changed meanwhile must
    # not be taken for the schema of the deployment.
    if kept is None or kept.at < since:
        taken = _taken(metrics, since, snapshots)
        kept = taken and taken._replace(accepted=accepted)
        if kept is None or not _KEPT.save(scope, {_KEY: kept}):
            return None
    before = _KEPT.read(scope, _KEY_BEFORE)
    return KeptTokens(
        kept.at,
        kept.tokens,
        kept.accepted,
        KeptTokens(before.at, before.tokens)
        if before and metrics <= before.tokens.keys()
        else None,
    )


def keep_tokens_before(
    scope: Scope,
    deployment: Deployment,
    pending: KeptTokens | None,
    not_begun_at: float,
    snapshots: SnapshotStore,
) -> KeptTokens | None:
    """Write the tokens from before the first migration, and return those that still have to wait.

    What is read now may already be of the deployment, which nobody has seen yet. So it waits until
    the history of migrations was read later, and still had none.

    Args:
        scope: of one database.
        deployment: whose conditions compare tokens.
        pending: what the last call returned.
        not_begun_at: Unix time at which the history was read, in which there was no migration.
        snapshots: what the queries said last.
    """
    if pending and not_begun_at < pending.at + SETTLE_SECONDS:
        return pending
    if pending:
        written = _KEPT.read(scope, _KEY_BEFORE)
        if written is None or written.tokens != pending.tokens:
            _KEPT.save(
                scope,
                {
                    _KEY_BEFORE: _Written(
                        pending.at, {k: {**each} for k, each in pending.tokens.items()}, ""
                    )
                },
            )
    taken = _taken(_compared(deployment), 0.0, snapshots)
    return KeptTokens(taken.at, taken.tokens) if taken else None


def _compared(deployment: Deployment) -> set[str]:
    """Return the metrics whose tokens are compared."""
    return {
        condition.metric
        for _, condition in deployment.conditions()
        if condition.unchanged_since and condition.metric
    }


def judge_unchanged(condition: Condition, since: float, evidence: Evidence) -> Drift:
    """Compare each token with the one that was kept.

    Args:
        condition: with `unchanged_since`.
        since: Unix time at which its phase was applied; what was read before does not count.
        evidence: what is known.
    """
    metric, kept = condition.metric or "", evidence.kept
    if metric not in evidence.snapshots.metrics:
        return Drift(Outcome.INCONCLUSIVE, f"{metric}: no query feeds it")
    if kept is None:
        return Drift(Outcome.INCONCLUSIVE, f"{metric}: nothing is kept yet to compare with")
    if metric not in kept.tokens:
        told = f"{metric}: was not compared yet at {moment(kept.at)}; if all is as it should be: "
        told += "loom-exporter deploy acknowledge --by NAME --reason TEXT"
        return Drift(Outcome.INCONCLUSIVE, told)
    if condition.unchanged_since == BASELINE:
        return _changed_by_deployment(condition, kept, evidence)
    now, doubts = trusted_tokens(metric, condition.labels, since, evidence)
    if doubts:
        return Drift(Outcome.INCONCLUSIVE, listed(doubts))
    changes = _unexpected(condition, kept.tokens[metric], now, evidence)
    accepted = f", {kept.accepted}" if kept.accepted else ""
    if changes:
        names = tuple(change.name for change in changes)
        text = listed([change.text for change in changes])
        return Drift(Outcome.FAIL, f"{text}; since {moment(kept.at)}{accepted}", names)
    objects = sum(len(_objects(token)) for token in now.values())
    title = condition.title or "objects"
    return Drift(Outcome.PASS, f"{objects} {title} as at {moment(kept.at)}{accepted}")


def _changed_by_deployment(condition: Condition, kept: KeptTokens, evidence: Evidence) -> Drift:
    """Compare the tokens after the deployment with those before it, unless somebody accepted them.

    What changed later is not meant here: it is drift since the deployment.
    """
    metric, before = condition.metric or "", kept.before
    title = condition.title or "objects"
    if kept.accepted:
        return Drift(Outcome.PASS, f"{title} at {moment(kept.at)} {kept.accepted}")
    if before is None:
        told = "nobody looked before the deployment; if all is as it should be: "
        told += "loom-exporter deploy acknowledge --by NAME --reason TEXT"
        return Drift(Outcome.INCONCLUSIVE, f"{metric}: {told}")
    span = f"between {moment(before.at)} and {moment(kept.at)}"
    changes = _unexpected(condition, before.tokens[metric], kept.tokens[metric], evidence)
    if changes:
        names = tuple(change.name for change in changes)
        text = listed([change.text for change in changes])
        return Drift(Outcome.FAIL, f"{text}; with the deployment, {span}", names)
    return Drift(Outcome.PASS, f"{title} changed as expected {span}")


def _unexpected(
    condition: Condition,
    then: Mapping[Labels, str],
    now: Mapping[Labels, str],
    evidence: Evidence,
) -> list[_Change]:
    """Return the changes between two sets of tokens, without those that the condition ignores."""
    names = evidence.snapshots.metrics[condition.metric or ""].labels
    tokens = matching(names, {**then, **now}, condition.labels)
    return [
        change
        for labels in sorted(tokens)
        for change in _changes(labels, then.get(labels, ""), now.get(labels, ""))
        if not any(fnmatchcase(change.name, pattern) for pattern in condition.ignore)
    ]


def _taken(metrics: set[str], since: float, snapshots: SnapshotStore) -> _Written | None:
    """Return the latest tokens of these metrics; None unless all were read late enough."""
    tokens: dict[str, dict[Labels, str]] = {}
    at = []
    for metric in metrics:
        for snapshot in snapshots.of_metric(metric):
            read_at = snapshot.last_success_at
            if not (snapshot.state and snapshot.state.is_success and read_at):
                return None
            if read_at < since + SETTLE_SECONDS:
                return None
            at.append(read_at)
            tokens.setdefault(metric, {}).update(snapshot.tokens.get(metric, {}))
    return _Written(min(at), tokens, "") if at else None


def _changes(labels: Labels, then: str, now: str) -> Iterator[_Change]:
    before, after = _objects(then), _objects(now)
    kind = " ".join(labels)
    for name in sorted({*before, *after}):
        if before.get(name) == after.get(name):
            continue
        if name not in after:
            how = "was dropped"
        else:
            how = "was changed" if name in before else "was added"
        yield _Change(name, f"{kind} {name} {how}".strip().replace("  ", " "))


def _objects(token: str) -> Mapping[str, Any]:
    """Return the hash of each object in a token; a token of another kind is one object."""
    try:
        objects = json.loads(token) if token else {}
    except ValueError:
        objects = None
    return objects if isinstance(objects, dict) else {"": token}
