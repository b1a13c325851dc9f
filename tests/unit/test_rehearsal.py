"""A rehearsal plays what is shipped: only the durations differ."""

from __future__ import annotations

import doctest
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import rehearsal
from tests.support.alert_rules import ALERTS, RULE_FILES
from tests.support.rehearsal import routes_in_fast_motion, rules_in_fast_motion

if TYPE_CHECKING:
    from pathlib import Path

_DURATION = re.compile(r"\[[\dsmhdw]+\]|offset [\dsmhdw]+|\* (3600|30)\b|< (3600|30)\b")


def _rules(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(rehearsal) == (0, 1)


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_rehearsed_rules_differ_from_the_shipped_ones_by_durations_alone(path: Path) -> None:
    shipped = yaml.safe_load(path.read_text(encoding="utf-8"))
    rehearsed = rules_in_fast_motion(shipped)
    for before, after in zip(_rules(shipped), _rules(rehearsed), strict=True):
        assert _DURATION.sub("~", before.pop("expr")) == _DURATION.sub("~", after.pop("expr"))
        assert ("for" in before) == ("for" in after)
        before.pop("for", None)
        after.pop("for", None)
        assert before == after


def test_hour_is_half_a_minute_everywhere() -> None:
    path = ALERTS / "rules/statements.yaml"
    rules = _rules(rules_in_fast_motion(yaml.safe_load(path.read_text(encoding="utf-8"))))
    ranges = {
        (rule["labels"]["window"], re.findall(r"\[(\w+)\]", rule["expr"])[0])
        for rule in rules
        if "increase" in rule["expr"]
        and rule["record"].endswith(":increase")
        and "[" in rule["expr"]
    }
    assert ranges == {("15m", "7s500ms"), ("1h", "30s"), ("6h", "3m"), ("24h", "12m")}


def test_routes_and_inhibition_are_the_shipped_ones() -> None:
    path = ALERTS / "alertmanager.yaml"
    shipped = yaml.safe_load(path.read_text(encoding="utf-8"))
    rehearsed = routes_in_fast_motion(shipped, "http://127.0.0.1:1")
    assert rehearsed["inhibit_rules"] == shipped["inhibit_rules"]
    routes = [(route["matchers"], route["receiver"]) for route in shipped["route"]["routes"]]
    assert routes == [
        (route["matchers"], route["receiver"]) for route in rehearsed["route"]["routes"]
    ]
    assert {each["name"] for each in rehearsed["receivers"]} == {
        each["name"] for each in shipped["receivers"]
    }
