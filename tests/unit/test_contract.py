"""What is served is what is promised: every name, type and label, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import ValidationError

from exporter import catalog
from exporter.baseline.codec import Refusal
from exporter.catalog.header import Header
from exporter.catalog.metrics_page import metrics_page
from exporter.catalog.own_metrics import fixed_values, one_hot, own_metrics, own_sections
from exporter.deployment.records import Outcome
from exporter.learning.metrics import BaselineState
from exporter.run_state import State
from exporter.settings import packaged_queries
from exporter.verdict.assess import Stage, Verdict
from exporter.verdict.metrics import PENDING
from tests.support.components import Parts, assemble
from tests.support.contract import ALL, Promise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric


SHIPPED = catalog.load_catalog(packaged_queries())
SUFFIXES = {"counter": "_total", "info": "_info"}
OF_A_HISTOGRAM = {"le"}


@pytest.fixture(scope="module")
def nothing_running(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return assemble(tmp_path_factory.mktemp("state"), [], catalog=SHIPPED)


@pytest.fixture(scope="module")
def everything_known(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Return the parts with a sample of each metric of each source, labelled as it declares."""
    parts = assemble(tmp_path_factory.mktemp("state"), [], catalog=SHIPPED)
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
        metric.name + SUFFIXES.get(metric.type, ""): metric for metric in parts.served.collect()
    }


def _promise(metric: Metric) -> Promise:
    labels = {frozenset(sample.labels) - OF_A_HISTOGRAM for sample in metric.samples}
    (alike,) = labels
    return Promise(metric.type, alike)


def test_names_types_and_labels_are_those_of_the_contract(everything_known: Parts) -> None:
    served = {name: _promise(metric) for name, metric in _families(everything_known).items()}
    assert served == ALL


def test_every_metric_is_described_before_it_has_a_sample(nothing_running: Parts) -> None:
    families = _families(nothing_running)
    assert set(families) == set(ALL)
    assert all(family.documentation for family in families.values())


def test_names_stand_once(nothing_running: Parts) -> None:
    names = [metric.name for metric in nothing_running.served.collect()]
    assert len(names) == len(set(names))


def test_what_is_of_a_database_says_of_which(everything_known: Parts) -> None:
    for name, metric in _families(everything_known).items():
        shown = {sample.labels.get("database") for sample in metric.samples}
        assert shown == ({"loom"} if "database" in ALL[name].labels else {None}), name


def test_what_is_served_stands_in_openmetrics_too(everything_known: Parts) -> None:
    body = generate_openmetrics(everything_known.served).decode()  # type: ignore[no-untyped-call]
    families = list(text_string_to_metric_families(body))  # type: ignore[no-untyped-call]
    names = {family.name + SUFFIXES.get(family.type, "") for family in families}
    assert names == set(ALL)


def test_text_format_types_are_those_that_prometheus_knows(everything_known: Parts) -> None:
    body = generate_latest(everything_known.served).decode()
    types = dict(line.split()[2:4] for line in body.splitlines() if line.startswith("# TYPE "))
    for name, promise in ALL.items():
        assert types[name] == ("gauge" if promise.type == "info" else promise.type)


# ── the registry ─────────────────────────────────────────────────────────────────────────────────


def test_registry_describes_what_is_served(everything_known: Parts) -> None:
    families = _families(everything_known)
    for section in own_sections().values():
        for name, metric in section.metrics.items():
            database = {"database"} if section.has_database else set()
            assert ALL[name] == Promise(metric.type, frozenset({*metric.labels, *database})), name
            assert families[name].documentation == metric.help


@pytest.mark.parametrize("name", own_metrics())
def test_name_of_an_own_metric_is_not_for_a_query(name: str) -> None:
    metric = own_metrics()[name]
    kind = "gauge" if metric.type == "histogram" else metric.type
    described = {"type": kind, "help": "A number.", "labels": ["kind"]}
    with pytest.raises(ValidationError, match="is the exporter's own"):
        Header.model_validate(
            {
                "description": "A query.",
                "phase": "all",
                "interval": "1m",
                "metrics": {name: described | ({} if kind == "info" else {"value": "number"})},
            }
        )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("loom_baseline_refused", Refusal),
        ("loom_baseline_state", BaselineState),
        ("loom_criterion_status", Outcome),
        ("loom_daily_check_status", [*Outcome, PENDING]),
        ("loom_deployment_stage", Stage),
        ("loom_deployment_verdict", Verdict),
        ("loom_exporter_query_failures_total", [state for state in State if state.is_failure]),
        ("loom_exporter_query_state", State),
    ],
)
def test_fixed_values_are_all_that_there_are(name: str, values: Iterable[str]) -> None:
    assert list(fixed_values(name)) == list(values)


def test_one_hot_says_of_each_value_whether_it_is_the_one() -> None:
    go = {("go",): 1.0, ("no_go",): 0.0, ("inconclusive",): 0.0}
    assert one_hot("loom_deployment_verdict", "go") == go
    assert set(one_hot("loom_deployment_verdict", None).values()) == {0.0}
    status = one_hot("loom_criterion_status", "fail", "a", "b")
    assert [labels for labels, value in status.items() if value] == [("a", "b", "fail")]


def test_page_of_the_metrics_is_current_and_names_every_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == metrics_page(SHIPPED), "run `make docs`"
    named = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    remembered = {name for name in ALL if name.endswith("_baseline")} - {*own_metrics()}
    of_the_client = {name for name in ALL if name.startswith(("process_", "python_"))}
    assert named == set(ALL) - remembered - of_the_client
