"""`report` on the healthy deployment of the demo: the checklist, filled in."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from tests.support.shipped_queries import DEPLOYMENT
from tests.support.truth import truth_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.demo.play import Scenario
    from tests.support.demo_process import Told
    from tests.support.loom_database import LoomDatabase
    from tests.support.plays import Answers, Play


@pytest.fixture
def healthy(plays: Mapping[Scenario, Play]) -> Answers:
    return plays["healthy"].answers


def test_report_has_before_and_after_in_numbers(
    healthy: Answers, plays: Mapping[Scenario, Play], loom: LoomDatabase
) -> None:
    rows = _section(healthy["markdown"], "Before and after")
    before, after = plays["healthy"].pages[0], plays["healthy"].pages[-1]
    truth = truth_of(loom)  # made of the same seed, and not deployed yet
    assert rows["Users with MFA"] == (
        f"{before.value('loom_mfa_enabled_users', source='flag'):.0f}",
        f"{after.value('loom_mfa_enabled_users', source='flag'):.0f}",
    )
    assert int(rows["Users with MFA"][0]) == sum(map(bool, truth.users.values()))
    for title, metric in (
        ("Resource collections", "loom_resource_collections"),
        ("Collection items", "loom_resource_collection_items"),
    ):
        number = f"{before.value(metric):.0f}"
        assert rows[title] == (number, number)
    assert rows["MFA discrepancies"] == ("14", "0")
    assert rows["Vulnerable functions"] == ("20", "0")


def test_report_compares_times_as_the_metrics_do(
    healthy: Answers, plays: Mapping[Scenario, Play]
) -> None:
    rows = _section(healthy["markdown"], "Before and after")
    for title, class_name in (
        ("Average MFA query time", "mfa_status"),
        ("Average RLS query time", "resource_library"),
    ):
        before, after = (float(cell.removesuffix(" ms")) for cell in rows[title])
        shown = [
            ratio
            for page in plays["healthy"].pages[-20:]
            if (ratio := page.value("loom_statement_change_ratio", **{"class": class_name}))
        ]
        # A mean of all calls is not the mean of the statements' ratios, but close to it.
        assert 0.75 * min(shown) < after / before < 1.25 * max(shown)


def test_report_has_every_criterion_the_first_day_and_who_signed(healthy: Answers) -> None:
    text = healthy["markdown"].stdout
    assert text.startswith(f"# {DEPLOYMENT.title}: GO\n")
    for each in DEPLOYMENT.criteria.values():
        assert f"| ✓ | {each.title} |" in text
    first_day = DEPLOYMENT.plan[1]
    (answer,) = [line for line in text.splitlines() if f"| Day 1: {first_day.title}" in line]
    assert answer.startswith("| ✓ |")
    assert "0 users in the view of discrepancies (expected 0)" in answer
    assert re.search(r"\| ○ \| Day 7: .*due \d{4}-", text)
    assert re.search(r"✓ \| Database administrator .*approved by Ada.*seen by Ada", text)
    assert "loom-exporter sign-off security_team --by NAME" in text


def test_report_in_html_says_what_the_one_in_markdown_does(healthy: Answers) -> None:
    page = _Text()
    page.feed(healthy["html"].stdout)
    text = " ".join(" ".join(page.pieces).split())
    assert text.startswith(f"{DEPLOYMENT.title}: GO ")
    for title in (
        *(each.title for each in DEPLOYMENT.criteria.values()),
        *(each.title for each in DEPLOYMENT.tracked),
        *(each.title for each in DEPLOYMENT.plan),
        *(each.title for each in DEPLOYMENT.sign_offs.values()),
    ):
        assert title in text
    assert "MFA discrepancies 14 0" in text
    assert "Vulnerable functions 20 0" in text
    assert "approved by Ada" in text


def _section(told: Told, heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of a table of the report, by their first cell."""
    text = told.stdout.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {first: tuple(cells) for first, *cells in rows}


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def handle_data(self, data: str) -> None:
        self.pieces.append(data.strip())
