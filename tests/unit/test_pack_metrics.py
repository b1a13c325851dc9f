"""What deployment.yaml says is served as info metrics, for rules and dashboards to join with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.catalog import load_catalog
from exporter.settings import packaged_queries
from exporter.verdict.metrics import pack_samples
from tests.support.alert_rules import RECORDING
from tests.support.commands import run
from tests.support.queries import DEPLOYMENT, QUERY, make_folder

if TYPE_CHECKING:
    from pathlib import Path

PACK = """\
history: {kind: rails}
classes:
  orders: {relations: [public.orders]}
  others: {relations: [public.others]}
criteria:
  rows_kept:
    title: No rows lost
    alert: {severity: page, runbook: "https://wiki/rows"}
    conditions:
      - {metric: loom_things, at_least: 1}
  speed:
    title: As fast as before
    conditions:
      - {class: orders, phase: one, not_slower_than: baseline}
"""


def test_pack_is_served_as_info_metrics(tmp_path: Path) -> None:
    files = {"things.sql": QUERY, "deployment.yaml": DEPLOYMENT + PACK}
    pack = load_catalog(make_folder(tmp_path / "pack", files)).deployment
    assert pack_samples(pack) == {
        "loom_class_info": {("orders", "one"): 1, ("others", "all"): 1, ("other", "all"): 1},
        "loom_phase_info": {("one", "The only phase", "low", "Roll back."): 1},
        "loom_criterion_info": {
            ("rows_kept", "all", "No rows lost", "page", "https://wiki/rows"): 1,
            ("speed", "all", "As fast as before", "ticket", ""): 1,
        },
    }


def test_classes_of_the_shipped_pack_have_the_phases_of_the_shipped_rules() -> None:
    recorded = {
        (rule.labels["class"], rule.labels["phase"])
        for rule in RECORDING
        if rule.name == "loom:class:phase"
    }
    shipped = load_catalog(packaged_queries()).deployment
    assert pack_samples(shipped)["loom_class_info"].keys() == recorded


@pytest.mark.parametrize("alert", ["{severity: wake}", "{for: 5m}", "page"])
def test_alert_that_is_none_is_refused(alert: str, tmp_path: Path) -> None:
    text = DEPLOYMENT + PACK.replace('{severity: page, runbook: "https://wiki/rows"}', alert)
    folder = make_folder(tmp_path / "pack", {"things.sql": QUERY, "deployment.yaml": text})
    done = run("check", "--queries", str(folder))
    assert done.exit_code == 2
    assert "criteria.rows_kept.alert" in done.stderr
