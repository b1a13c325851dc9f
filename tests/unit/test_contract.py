"""What is served is what is promised: every name, type and label, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter import catalog
from exporter.database.outcome import State
from exporter.settings import packaged_queries
from tests.support.components import Parts, assemble
from tests.support.contract import ALL, OF_A_DATABASE, Promise

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client.core import Metric


SUFFIXES = {"counter": "_total", "info": "_info"}
OF_A_HISTOGRAM = {"le"}


def _whole(folder: Path) -> Parts:
    return assemble(folder, [], catalog=catalog.load_catalog(packaged_queries()))


@pytest.fixture(scope="module")
def nothing_running(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return _whole(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def everything_known(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Return the parts with a sample of each metric of each query, labelled as its header says."""
    parts = _whole(tmp_path_factory.mktemp("state"))
    board = parts.snapshots
    fed = {
        snapshot.query: [name for name in board.metrics if snapshot in board.of_metric(name)]
        for snapshot in board.latest()
    }
    for feed, names in fed.items():
        samples = {name: {(feed,) * len(board.metrics[name].labels): 1.0} for name in names}
        board.publish(feed, State.OK, samples)
    parts.store._file.set_aside_at = 1.0
    return parts


def _families(parts: Parts) -> dict[str, Metric]:
    return {
        metric.name + SUFFIXES.get(metric.type, ""): metric
        for metric in parts.telemetry.registry.collect()
    }


@pytest.fixture(scope="module")
def families(everything_known: Parts) -> dict[str, Metric]:
    return _families(everything_known)


def test_every_promised_metric_is_there_and_no_other(nothing_running: Parts) -> None:
    assert set(_families(nothing_running)) == set(ALL)


def test_names_stand_once(nothing_running: Parts) -> None:
    names = [metric.name for metric in nothing_running.telemetry.registry.collect()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ALL)
def test_metric_is_as_promised(families: dict[str, Metric], name: str) -> None:
    metric = families[name]
    assert metric.type == ALL[name].type
    assert metric.documentation
    assert metric.samples, "no sample to see the labels of"
    for sample in metric.samples:
        labels = set(sample.labels)
        if metric.type == "histogram":
            labels -= OF_A_HISTOGRAM
        assert labels == ALL[name].labels


def test_headers_of_the_queries_say_what_is_promised() -> None:
    types = {"change_timestamp": "gauge"}
    for name, metric in catalog.load_catalog(packaged_queries()).metrics().items():
        promise = Promise(
            types.get(metric.type, metric.type), frozenset((*metric.labels, "database"))
        )
        assert OF_A_DATABASE[name] == promise, name


def test_whatever_is_of_a_database_says_of_which(families: dict[str, Metric]) -> None:
    for name, metric in families.items():
        shown = {sample.labels.get("database") for sample in metric.samples}
        assert shown == ({"loom"} if name in OF_A_DATABASE else {None}), name


def test_what_is_served_stands_in_openmetrics_too(everything_known: Parts) -> None:
    body = generate_openmetrics(everything_known.telemetry.registry).decode()  # type: ignore[no-untyped-call]
    families = list(text_string_to_metric_families(body))  # type: ignore[no-untyped-call]
    names = {family.name + SUFFIXES.get(family.type, "") for family in families}
    assert names == set(ALL)


def test_text_format_types_are_those_that_prometheus_knows(everything_known: Parts) -> None:
    body = generate_latest(everything_known.telemetry.registry).decode()
    types = dict(line.split()[2:4] for line in body.splitlines() if line.startswith("# TYPE "))
    for name, promise in ALL.items():
        assert types[name] == ("gauge" if promise.type == "info" else promise.type)
