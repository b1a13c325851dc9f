"""Whether what deployment.yaml says of metrics, classes and phases fits what there is."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from exporter.catalog.criteria import (
    ALL,
    BASELINE,
    Condition,
    Series,
    Tracked,
)
from exporter.catalog.deployment import OTHER, Deployment
from exporter.catalog.header import QueryMetric
from exporter.catalog.partial import Partial
from exporter.yaml_source import KeyPath, YamlError


class _Fault(NamedTuple):
    path: KeyPath
    reason: str
    name: str | None = None
    """A name that is not among the `known` ones."""
    known: Collection[str] = ()


def broken_references(
    part: Partial, metrics: Mapping[str, QueryMetric], unread: Collection[str] = ()
) -> Iterator[YamlError]:
    """Yield an error for each thing that is named and is not there, or is not of the right kind.

    Args:
        part: what deployment.yaml says, without the entries that have faults.
        metrics: what the queries feed.
        unread: texts of the queries that have faults; a metric may be one of theirs.
    """
    if part.deployment is None:
        return
    for fault in _faults(part.deployment, metrics):
        may_be_unread = any(_may_feed(text, fault.name or "") for text in unread)
        if part.may_mean(fault.name) or (fault.known is metrics and may_be_unread):
            continue
        yield part.document.error(part.place(fault.path), fault.reason)


def _may_feed(text: str, metric: str) -> bool:
    """Return whether a query whose file has faults may feed a metric."""
    return metric in text or "metrics:" not in text


def _faults(deployment: Deployment, metrics: Mapping[str, QueryMetric]) -> Iterator[_Fault]:
    phases = [*deployment.phases, ALL]
    for section, criteria in (
        ("ready", deployment.ready),
        ("criteria", deployment.criteria),
        ("rolled_back", deployment.rolled_back),
    ):
        for name, criterion in criteria.items():
            yield from _unknown((section, name, "phase"), criterion.phase, phases)
    for path, condition in deployment.conditions():
        if condition.phase:
            yield from _unknown((*path, "phase"), condition.phase, phases)
        if condition.rate:
            for key, series in (("of", condition.rate.of), ("over", condition.rate.over)):
                yield from _of_rate((*path, "rate", key), series, metrics)
            continue
        yield from _of_source(path, condition, deployment, metrics)
        if condition.metric in metrics:
            yield from _of_comparison(path, condition, metrics)
    for number, step in enumerate(deployment.plan):
        for name, check in step.checks.items():
            place = ("plan", number, "checks", name, "criteria")
            for index, each in enumerate(check.criteria):
                yield from _unknown((*place, index), each, deployment.criteria)
                if each in deployment.criteria and deployment.criteria[each].manual:
                    yield _Fault(
                        (*place, index), f"{each} is manual; make the check manual instead"
                    )
    for index, tracked in enumerate(deployment.tracked):
        yield from _of_source(("tracked", index), tracked, deployment, metrics)


def _of_source(
    path: KeyPath,
    source: Condition | Tracked,
    deployment: Deployment,
    metrics: Mapping[str, QueryMetric],
) -> Iterator[_Fault]:
    if isinstance(source, Condition) and source.has_verdict_of_its_own:
        if source.suite is not None:
            yield from _unknown((*path, "suite"), source.suite, deployment.suites)
        if source.sign_off is not None:
            yield from _unknown((*path, "sign_off"), source.sign_off, deployment.sign_offs)
        return
    if source.class_name is not None:
        yield from _unknown((*path, "class"), source.class_name, (*deployment.classes, OTHER))
        return
    name = source.metric or ""
    if name not in metrics:
        yield from _unknown((*path, "metric"), name, metrics)
        return
    if metrics[name].type not in ("gauge", "change_timestamp"):
        kind = metrics[name].type
        yield _Fault(
            (*path, "metric"), f"{name} is a {kind}; only what is now can be judged, a gauge"
        )
    for label in source.labels:
        yield from _unknown((*path, "labels", label), label, metrics[name].labels)


def _of_rate(path: KeyPath, series: Series, metrics: Mapping[str, QueryMetric]) -> Iterator[_Fault]:
    if series.metric not in metrics:
        yield from _unknown((*path, "metric"), series.metric, metrics)
        return
    metric = metrics[series.metric]
    if metric.type != "counter" and "window" not in series.labels:
        yield _Fault(
            (*path, "metric"),
            f"{series.metric} must be a counter, or a gauge of one `window` of an hour",
        )
    for label in series.labels:
        yield from _unknown((*path, "labels", label), label, metric.labels)


def _of_comparison(
    path: KeyPath, condition: Condition, metrics: Mapping[str, QueryMetric]
) -> Iterator[_Fault]:
    name = condition.metric or ""
    kind, against = condition.comparison
    place = (*path, kind)
    is_time = name.endswith("_timestamp_seconds")
    if kind == "unchanged_since":
        if metrics[name].type != "change_timestamp":
            yield _Fault(place, f"{name} must be a change_timestamp, for its tokens are compared")
        return
    if is_time != (kind == "newer_than"):
        yield _Fault(place, "a metric that is a time must be `newer_than` or `unchanged_since`")
    if kind not in ("not_below", "not_above", "present"):
        return
    if against == BASELINE:
        if not metrics[name].baseline:
            yield _Fault(place, f"{name} is not remembered; write `baseline: true` in its query")
        return
    yield from _unknown(place, str(against), metrics)
    if (other := metrics.get(str(against))) and (other.labels or other.type != "gauge"):
        yield _Fault(place, f"{against} must be a gauge without labels, to be one number")


def _unknown(path: KeyPath, name: str, known: Collection[str]) -> Iterator[_Fault]:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        yield _Fault(path, f"`{name}` is unknown; {hint}", name, known)
