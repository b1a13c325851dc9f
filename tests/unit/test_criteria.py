"""What deployment.yaml is judged by: what is wrong with it is told in one line that leads there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exporter.catalog import CatalogError, load_catalog
from tests.support.queries import DEPLOYMENT, make_folder, query_text

if TYPE_CHECKING:
    from pathlib import Path

METRICS: dict[str, dict[str, Any]] = {
    "loom_things": {"labels": ["kind"], "value": "things", "baseline": True},
    "loom_number": {"value": "things"},
    "loom_calls_total": {"type": "counter", "value": "things"},
    "loom_fresh_timestamp_seconds": {"type": "change_timestamp", "value": "token"},
}
RIGHT = f"""\
{DEPLOYMENT}\
classes:
  quick: {{relations: [public.quick]}}
suites:
  nightly: {{title: Every night, planned: 3}}
criteria:
  things:
    title: There are things
    phase: one
    conditions:
      - {{metric: loom_things, labels: {{kind: [round, square]}}, not_below: baseline, by: 2.5%}}
  people:
    title: People are happy
    manual: true
plan:
  - after: 1d
    title: The first day
    checks:
      again: {{title: Things again, criteria: [things]}}
sign_offs:
  boss: {{title: The boss agrees}}
tracked:
  - {{title: Things, metric: loom_things, labels: {{kind: round}}}}
  - {{title: Mean time, class: quick}}
"""
CONDITION = RIGHT[RIGHT.index("- {metric") : RIGHT.index("\n  people")]
AT = RIGHT.count("\n", 0, RIGHT.index(CONDITION)) + 1
PLACE = "criteria.things.conditions.0"


def _load(tmp_path: Path, deployment: str) -> list[str]:
    files = {"deployment.yaml": deployment, "things.sql": query_text(METRICS)}
    folder = make_folder(tmp_path / "queries", files)
    try:
        load_catalog(folder)
    except CatalogError as error:
        return [problem.removeprefix(f"{folder}/") for problem in error.problems]
    return []


def test_what_the_faults_are_made_from_is_right(tmp_path: Path) -> None:
    assert _load(tmp_path, RIGHT) == []


@pytest.mark.parametrize(
    ("condition", "key", "remedy"),
    [
        # The shape.
        ("{metric: loom_number, equal: 1}", "equal", "unknown key; check its spelling"),
        ("{equals: 1}", "", "give one of `metric`, `class`, `suite`, `rate`, `sign_off`"),
        (
            "{metric: loom_number, class: quick, equals: 1}",
            "",
            "give one of `metric`, `class`, `suite`, `rate`, `sign_off`",
        ),
        (
            "{suite: nightly, metric: loom_number}",
            "",
            "give one of `metric`, `class`, `suite`, `rate`, `sign_off`",
        ),
        ("{suite: nightly, at_least: 1}", "", "it can only have `planned` and `phase`"),
        ("{suite: nightly, labels: {kind: a}}", "", "it can only have `planned` and `phase`"),
        ("{suite: nightly, planned: 0}", "planned", "greater than or equal to 1"),
        ("{metric: loom_number, equals: 1, planned: 1}", "", "`planned` belongs to a `suite`"),
        ("{metric: loom_number}", "", "give one of equals, at_most, at_least"),
        ("{metric: loom_number, at_least: 1, at_most: 2}", "", "give one of equals, at_most"),
        ("{metric: loom_number, equals: many}", "equals", "must be a valid number"),
        ("{metric: loom_number, at_most: inf}", "at_most", "must be a finite number"),
        ("{class: quick, equals: 1}", "", "`class` and `not_slower_than` go together"),
        ("{metric: loom_number, not_slower_than: baseline}", "", "go together"),
        ("{class: quick, not_slower_than: yesterday}", "not_slower_than", "must be 'baseline'"),
        (
            "{class: quick, labels: {kind: a}, not_slower_than: baseline}",
            "",
            "`labels` and `sum` belong to a `metric`",
        ),
        (
            "{metric: loom_number, equals: 1, by: 1%}",
            "",
            "`by` belongs to not_below, not_above and present",
        ),
        ("{metric: loom_things, not_below: baseline, by: 0.01}", "by", "such as 1% or 2.5%"),
        ("{metric: loom_things, not_below: baseline, by: 101%}", "by", "of at most 100%"),
        ("{metric: loom_fresh_timestamp_seconds, newer_than: 26}", "newer_than", "and a unit"),
        (
            "{metric: loom_fresh_timestamp_seconds, sum: true, newer_than: 26h}",
            "",
            "times cannot be added up",
        ),
        ("{metric: loom_things, labels: {kind: []}, equals: 1}", "labels.kind", "not be empty"),
        # What it names.
        ("{metric: loom_thing, equals: 1}", "metric", "did you mean loom_things?"),
        ("{metric: loom_calls_total, equals: 1}", "metric", "is a counter; only what is now"),
        ("{metric: loom_exporter_query_state, equals: 1}", "metric", "is unknown; known are "),
        ("{metric: loom_things, labels: {kin: a}, equals: 1}", "labels.kin", "did you mean kind?"),
        ("{metric: loom_number, labels: {a: b}, equals: 1}", "labels.a", "is unknown"),
        ("{class: quik, not_slower_than: baseline}", "class", "did you mean quick?"),
        ("{suite: nightli}", "suite", "did you mean nightly?"),
        ("{metric: loom_number, phase: ones, equals: 1}", "phase", "did you mean one?"),
        ("{metric: loom_number, not_below: baseline}", "not_below", "write `baseline: true`"),
        ("{metric: loom_things, not_above: loom_nu}", "not_above", "did you mean loom_number?"),
        ("{metric: loom_number, not_above: loom_things}", "not_above", "gauge without labels"),
        ("{metric: loom_number, newer_than: 26h}", "newer_than", "a metric that is a time"),
        (
            "{metric: loom_fresh_timestamp_seconds, equals: 1}",
            "equals",
            "must be `newer_than`",
        ),
    ],
)
def test_fault_of_a_condition_is_told(
    condition: str, key: str, remedy: str, tmp_path: Path
) -> None:
    (problem,) = _load(tmp_path, RIGHT.replace(CONDITION, f"- {condition}"))
    expected = f"deployment.yaml:{AT}: {PLACE}" + (f".{key}" if key else "")
    assert problem.startswith(f"{expected}: ")
    assert remedy in problem.removeprefix(expected)


@pytest.mark.parametrize(
    ("old", "new", "where", "remedy"),
    [
        ("    phase: one\n", "    phase: two\n", "criteria.things.phase", "known are one, all"),
        ("    manual: true\n", "    manual: false\n", "criteria.people", "or `manual: true`"),
        (
            "    manual: true\n",
            "    manual: true\n    conditions: [{metric: loom_number, equals: 1}]\n",
            "criteria.people",
            "give either `conditions` or `manual: true`",
        ),
        (
            "    manual: true\n",
            "    manual: true\n    or_manual: true\n",
            "criteria.people",
            "`or_manual` belongs to `conditions`",
        ),
        ("planned: 3", "planned: 0", "suites.nightly.planned", "greater than or equal to 1"),
        ("planned: 3", "planned: 3, notices: '('", "suites.nightly.notices", "not a regular"),
        ("planned: 3", "planned: 3, notices: a", "suites.nightly.notices", "the group outcome"),
        ("criteria: [things]", "criteria: [thing]", "again.criteria.0", "did you mean things?"),
        ("criteria: [things]", "criteria: [people]", "again.criteria.0", "people is manual"),
        (", criteria: [things]", "", "plan.0.checks.again", "or `manual: true`"),
        ("after: 1d", "after: 0d", "plan.0.after", "greater than 0"),
        ("after: 1d", "after: day 1", "plan.0.after", "a duration is a number and a unit"),
        ("plan:\n  - after: 1d", "first_week:\n  - after: 1d", "first_week", "`plan` now"),
        ("      again: {", "      People: {", "checks.People", "must be in lower case"),
        ("  boss:", "  things:", "", "things stands twice among criteria, checks and sign_offs"),
        ("  boss:", "  again:", "", "again stands twice among criteria, checks and sign_offs"),
        ("metric: loom_things, labels: {kind: r", "metric: x, labels: {kind: r", "tracked.0", "x"),
        ("time, class: quick", "time, class: slow", "tracked.1.class", "`slow` is unknown"),
        ("time, class: quick", "time", "tracked.1", "give either `metric` or `class`"),
    ],
)
def test_fault_of_what_is_judged_is_told(
    old: str, new: str, where: str, remedy: str, tmp_path: Path
) -> None:
    assert RIGHT.count(old) == 1
    (problem,) = _load(tmp_path, RIGHT.replace(old, new))
    place, key, *_ = problem.split(": ")
    assert place.startswith("deployment.yaml:")
    assert where in key
    assert remedy in problem


def test_every_unknown_name_has_a_line_of_its_own(tmp_path: Path) -> None:
    wrong = RIGHT.replace("metric: loom_things", "metric: loom_nothing")
    problems = _load(tmp_path, wrong)
    assert [problem.split(": ")[1] for problem in problems] == [
        f"{PLACE}.metric",
        "tracked.0.metric",
    ]


def test_broken_query_does_not_make_its_metrics_unknown(tmp_path: Path) -> None:
    broken = "/*\nmetrics: {loom_things: 1}\n*/\nSELECT 1"
    files = {"deployment.yaml": RIGHT, "things.sql": broken}
    with pytest.raises(CatalogError) as raised:
        load_catalog(make_folder(tmp_path / "queries", files))
    assert raised.value.problems
    assert all("things.sql:" in problem for problem in raised.value.problems)
