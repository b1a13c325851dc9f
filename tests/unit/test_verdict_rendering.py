"""The verdict as text, as JSON and as JUnit XML, and the report as Markdown and as HTML.

Whatever stands in notes, titles and labels, it stays text.
"""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from exporter.deployment.sign_offs import sign
from exporter.render.junit import verify_junit
from exporter.render.report import report_html, report_markdown
from exporter.render.text import verify_text
from exporter.render.verdict_json import VERDICT_SCHEMA, verify_json
from exporter.verdict.assess import Assessment, assess
from tests.support.judging import (
    NOT_BEGUN,
    before,
    make_board,
    make_class,
    make_deployment,
    make_evidence,
)

NASTY = "<script>alert(1)</script> | `x` [y](http://z) *b* _i_ \"q\" 'p' & ]]> \\"
DEPLOYMENT = make_deployment(
    """
criteria:
  things: {title: Things are few, phase: one, conditions: [{metric: loom_things, at_most: 2}]}
  speed:
    title: Nothing is slower
    conditions: [{class: quick, phase: two, not_slower_than: baseline}]
  people: {title: People are happy, manual: true, note: Ask them.}
plan:
  - {after: 20m, title: First, checks: {things_day_1: {title: Things, criteria: [things]}}}
  - {after: 2d, title: Second, checks: {people_day_2: {title: People, manual: true, note: Listen.}}}
tracked:
  - {title: Number, metric: loom_number}
  - {title: Mean time, class: quick}
""",
    title=f"Test {NASTY}",
    sign_offs={"boss": {"title": f"The boss {NASTY}"}},
)


SIGNED_AT = time.time()


def _assessment(things: float, *, signed: bool = False, **changes: Any) -> Assessment:
    sign_offs = {
        name: [sign(DEPLOYMENT, name, by="Ada", note=NASTY, at=SIGNED_AT)]
        for name in ("people", "boss")
    }
    board = make_board(
        things={"loom_things": {(NASTY,): things, ("odd\n\x1b[2J",): things}},
        more_things={},
        number={"loom_number": {(): 7.0}},
    )
    evidence = make_evidence(
        board,
        **{
            "classes": {"quick": make_class(0.5)},
            "sign_offs": sign_offs if signed else {},
            "before": before(loom_number={(): 5.0}),
            **changes,
        },
    )
    return assess("loom", DEPLOYMENT, {}, evidence)


GO = _assessment(1, signed=True)
OPEN = _assessment(1)
NO_GO = _assessment(3, signed=True)
EARLY = _assessment(3, deployed=NOT_BEGUN, before=None, classes={})
EACH = pytest.mark.parametrize(
    "assessment", [GO, OPEN, NO_GO, EARLY], ids=["go", "open", "no_go", "early"]
)


# ── Text ─────────────────────────────────────────────────────────────────────────────────────────


def test_first_lines_say_verdict_why_phase_and_what_a_rollback_means() -> None:
    first, why, evidence, blamed, blank, *_ = verify_text(NO_GO).splitlines()
    assert first.startswith("NO-GO: Test ")
    assert why == "1 criterion is not met: Things are few."
    assert evidence.startswith("  ✗ loom_things{kind=")
    assert 'loom_things{kind="odd ?[2J"} is 3 (expected at most 2' in evidence
    assert blamed == "Phase one (The first): rollback risk high. Do not roll back."
    assert blank == ""


def test_what_is_open_is_named() -> None:
    assert verify_text(GO).startswith("GO: ")
    assert "\nEvery criterion is met.\n" in verify_text(GO)
    assert verify_text(OPEN).startswith("INCONCLUSIVE: ")
    assert "\n1 criterion is still open: People are happy.\n" in verify_text(OPEN)
    assert "loom-exporter sign-off people --by" in verify_text(OPEN)


@EACH
def test_every_criterion_is_told_with_its_evidence(assessment: Assessment) -> None:
    text = verify_text(assessment)
    for each in assessment.criteria:
        assert each.title in text
        for finding in each.findings:
            assert finding.evidence in text
    assert all(char.isprintable() or char == "\n" for char in text)


# ── JSON and JUnit ───────────────────────────────────────────────────────────────────────────────


@EACH
def test_json_says_all_of_it(assessment: Assessment) -> None:
    said = json.loads(verify_json(assessment))
    assert (said["schema"], said["verdict"]) == (VERDICT_SCHEMA, assessment.verdict)
    assert said.keys() == {
        *("schema", "database", "deployment", "at", "verdict", "phases_to_blame", "phases"),
        *("baseline", "criteria", "sign_offs", "first_week", "tracked"),
        *("stage", "readiness", "ready", "rolled_back", "plan", "deployed_by", "notes"),
    }
    assert {each["name"]: each["status"] for each in said["criteria"]} == {
        each.name: each.outcome for each in assessment.criteria
    }
    assert said["at"].endswith("+00:00")
    assert re.search(r"NaN|Infinity", json.dumps(said)) is None


def test_json_tells_the_table_and_the_week() -> None:
    said = json.loads(verify_json(NO_GO))
    assert said["tracked"] == [
        {"title": "Number", "unit": "", "before": 5.0, "after": 7.0},
        {"title": "Mean time", "unit": "seconds", "before": 0.01, "after": 0.005},
    ]
    assert [(each["day"], each["status"]) for each in said["first_week"]] == [
        (1, "fail"),
        (2, "pending"),
    ]
    assert said["phases_to_blame"][0]["phase"] == "one"


@EACH
def test_junit_has_a_case_for_each_criterion(assessment: Assessment) -> None:
    (suite,) = ET.fromstring(verify_junit(assessment))
    tags = {"pass": "system-out", "fail": "failure", "inconclusive": "skipped"}
    assert [[child.tag for child in case] for case in suite] == [
        [tags[each.outcome]] for each in assessment.criteria
    ]
    counted = [each.outcome.value for each in assessment.criteria]
    assert suite.attrib["tests"] == str(len(counted))
    assert suite.attrib["failures"] == str(counted.count("fail"))
    assert suite.attrib["skipped"] == str(counted.count("inconclusive"))
    for case in suite:
        if case[0].tag != "system-out":
            assert case[0].attrib["message"]


# ── The report ───────────────────────────────────────────────────────────────────────────────────


class _Page(HTMLParser):
    """The tags of a page in order, and whether each that was opened was closed."""

    VOID = frozenset({"meta"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@EACH
def test_html_is_whole_and_needs_nothing_else(assessment: Assessment) -> None:
    page = _Page(report_html(assessment))
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "a"} & set(page.tags)
    assert not {name for name, _ in page.attributes} & {"src", "href", "style", "onload"}
    assert "url(" not in report_html(assessment)


@EACH
def test_report_says_the_same_in_html_as_in_markdown(assessment: Assessment) -> None:
    html = " ".join("".join(_Page(report_html(assessment)).text).split())
    markdown = report_markdown(assessment)
    for text in ("Before and after", "Success criteria", "Plan", "Sign-off", "Database"):
        assert text in html
        assert text in markdown
    for each in assessment.criteria:
        assert each.title in html
        assert each.title in markdown
        for finding in each.findings:
            assert " ".join(finding.evidence.split()) in html
    for check in assessment.plan:
        for page in (html, markdown):
            assert f"{check.when}: {check.step_title}" in page
            assert check.title in page
            assert check.note in page


def test_report_tells_before_and_after() -> None:
    markdown = report_markdown(NO_GO)
    assert "| Number | 5 | 7 |\n" in markdown
    assert "| Mean time | 10 ms | 5 ms |\n" in markdown
    assert "| Number | 7 | — |\n" in report_markdown(EARLY), "as it is now"
    html = " ".join(" ".join(_Page(report_html(NO_GO)).text).split())
    assert "Number 5 7 +2 Mean time 10 ms 5 ms −50 %" in html


@EACH
def test_rows_of_a_markdown_table_have_as_many_cells_as_its_head(assessment: Assessment) -> None:
    columns = None
    for line in report_markdown(assessment).splitlines():
        if not line.startswith("|"):
            columns = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        columns = columns or cells
        assert cells == columns, line


@EACH
def test_nothing_in_markdown_becomes_markup(assessment: Assessment) -> None:
    markdown = report_markdown(assessment)
    assert "<script" not in markdown
    assert set(re.findall(r"<[^>]*>", markdown)) <= {"<br>"}
    assert not re.search(r"(?<!\\)`", markdown)
    assert not re.search(r"(?<!\\)\]\(", markdown)
    assert "loom_things" in markdown, "names of metrics stay readable"
