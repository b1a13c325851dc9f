"""What deployment.yaml says is served as info metrics, for rules and dashboards to join with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.catalog import load_catalog
from exporter.verdict.metrics import pack_samples
from tests.support.commands import run
from tests.support.queries import DEPLOYMENT, QUERY, make_folder

if TYPE_CHECKING:
    from pathlib import Path

ALERT = '{severity: critical, for: 1h, runbook: "https://wiki/rows"}'
PACK = """\
history: {kind: rails}
classes:
  orders: {relations: [public.orders]}
  others: {relations: [public.others], severity: warning}
criteria:
  rows_kept:
    title: No rows lost
    alert: {severity: critical, for: 1h, runbook: "https://wiki/rows"}
    conditions:
      - {metric: loom_things, at_least: 1}
  speed:
    title: As fast as before
    conditions:
      - {class: orders, phase: one, not_slower_than: baseline}
plan:
  - after: 1d
    title: The day after
    checks:
      orders_day_1: {title: Orders come in, manual: true}
"""


def test_pack_is_served_as_info_metrics(tmp_path: Path) -> None:
    files = {"things.sql": QUERY, "deployment.yaml": DEPLOYMENT + PACK}
    pack = load_catalog(make_folder(tmp_path / "pack", files)).deployment
    assert pack_samples(pack) == {
        "loom_class_info": {
            ("orders", "one", "critical"): 1,
            ("others", "all", "warning"): 1,
            ("other", "all", "warning"): 1,
        },
        "loom_phase_info": {("one", "The only phase", "low", "Roll back."): 1},
        "loom_criterion_info": {
            ("rows_kept", "all", "No rows lost", "critical", "1h", "https://wiki/rows"): 1,
            ("speed", "all", "As fast as before", "warning", "5m", ""): 1,
        },
        "loom_daily_check_info": {("orders_day_1", "Orders come in"): 1},
    }


@pytest.mark.parametrize("alert", ["{severity: page}", "{for: 2d}", "critical"])
def test_alert_that_is_none_is_refused(alert: str, tmp_path: Path) -> None:
    text = DEPLOYMENT + PACK.replace(ALERT, alert)
    folder = make_folder(tmp_path / "pack", {"things.sql": QUERY, "deployment.yaml": text})
    done = run("check", "--queries", str(folder))
    assert done.exit_code == 2
    assert "criteria.rows_kept.alert" in done.stderr
