"""The alert rules take limits and windows from the decision rule, and lengths from one hour."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import promql_parser
import pytest
import yaml

from exporter.comparison import rule
from exporter.durations import parse_duration
from exporter.render.alert_rules import LEAST_HOUR_SECONDS, SHORTEST, render_alert_rules
from tests.support.alert_rules import ALERTS
from tests.support.alerting import HOUR_SECONDS, fast_routes

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = render_alert_rules()
REHEARSED = render_alert_rules(HOUR_SECONDS)
_LENGTHS = re.compile(r"(?<=\[)[\dsmhd]+(?=:?\])|(?<=offset )[\dsmhd]+|\b\d+(\.\d+)?\b(?![mhd]\b)")


class _Parts(NamedTuple):
    """An expression's ranges and offsets, its numbers, and the text without them."""

    durations: list[timedelta]
    numbers: list[float]
    text: str


def _rules(text: str) -> list[dict[str, Any]]:
    return [each for group in yaml.safe_load(text)["groups"] for each in group["rules"]]


def _pairs() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for name, text in SHIPPED.items():
        yield from zip(_rules(text), _rules(REHEARSED[name]), strict=True)


def _nodes(expression: str) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    return found


def _parts(expression: str) -> _Parts:
    durations, numbers = [], []
    for node in _nodes(expression):
        if isinstance(node, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
            assert node.range
            durations.append(node.range)
        elif isinstance(node, promql_parser.VectorSelector) and node.offset:
            durations.append(node.offset)
        elif isinstance(node, promql_parser.NumberLiteral):
            numbers.append(node.val)
    return _Parts(durations, numbers, _LENGTHS.sub("~", expression))


def _scaled(duration: timedelta) -> timedelta:
    return max(duration * HOUR_SECONDS / 3600, SHORTEST)


def test_shorter_hour_scales_every_duration_and_changes_nothing_else() -> None:
    durations = 0
    for before, after in _pairs():
        shipped, rehearsed = _parts(before.pop("expr")), _parts(after.pop("expr"))
        if "slice" not in before.get("labels", ()):
            assert rehearsed.durations == [_scaled(each) for each in shipped.durations]
        assert rehearsed.text == shipped.text
        durations += len(shipped.durations)
        for name in {"for", "keep_firing_for"} & before.keys():
            waits = timedelta(seconds=parse_duration(before.pop(name)))
            assert timedelta(seconds=parse_duration(after.pop(name))) == _scaled(waits)
        assert before == after
    assert durations > 100


def test_window_is_five_slices_one_after_the_other() -> None:
    for files, hour_seconds in ((SHIPPED, 3600.0), (REHEARSED, HOUR_SECONDS)):
        parts = {
            (each["labels"]["window"], int(each["labels"]["slice"])): _parts(each["expr"]).durations
            for each in _rules(files["statements.yaml"])
            if each["record"] == "loom:slice_slower:bool"
        }
        assert len(parts) == rule.SLICES * len(rule.ALERT_WINDOWS)
        for window in rule.ALERT_WINDOWS:
            length = max(timedelta(seconds=window.slice_hours * hour_seconds), SHORTEST)
            for number in range(rule.SLICES):
                before = [number * length] if number else []
                assert parts[window.label, number] == [length, *before] * 2


def test_shorter_hour_scales_seconds_of_an_hour_and_no_other_number() -> None:
    scaled = set()
    for before, after in _pairs():
        numbers = zip(_parts(before["expr"]).numbers, _parts(after["expr"]).numbers, strict=True)
        scaled |= {pair for pair in numbers if pair[0] != pair[1]}
    # An hour, and what a slow-down must cost in an hour and in a day.
    assert {before for before, _ in scaled} == {3600.0, 1.0, 24.0}
    for shipped, rehearsed in scaled:
        assert rehearsed == pytest.approx(shipped / 120)


def test_groups_are_evaluated_once_a_minute_and_in_a_rehearsal_once_a_second() -> None:
    for files, interval in ((SHIPPED, "1m"), (REHEARSED, "1s")):
        groups = [group for text in files.values() for group in yaml.safe_load(text)["groups"]]
        assert {group["interval"] for group in groups} == {interval}


def test_window_is_summed_up_over_its_length() -> None:
    for files, hour_seconds in ((SHIPPED, 3600.0), (REHEARSED, HOUR_SECONDS)):
        lengths = {
            (each["labels"]["window"], *_parts(each["expr"]).durations)
            for each in _rules(files["statements.yaml"])
            if each["record"] == "loom:matched_calls:increase"
        }
        assert lengths == {
            (window.label, timedelta(seconds=window.hours * hour_seconds))
            for window in rule.ALERT_WINDOWS
        }


def test_rules_ask_only_for_windows_that_are_recorded() -> None:
    known = {window.label for window in rule.ALERT_WINDOWS}
    asked = {
        matcher.value
        for text in SHIPPED.values()
        for each in _rules(text)
        for node in _nodes(each["expr"])
        if isinstance(node, promql_parser.VectorSelector) and str(node.name).startswith("loom:")
        for matcher in node.matchers.matchers
        if matcher.name == "window"
    }
    assert asked == known


def test_limits_are_those_of_the_decision_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "PAGE", rule.Limits(1.31, 3.7, 1.9))
    monkeypatch.setattr(rule, "FAST_PAGE", rule.Limits(4.1, 6.1, 2.9))
    monkeypatch.setattr(rule, "LEAST_CALLS", 11)
    monkeypatch.setattr(rule, "LEAST_COVERAGE", 0.77)
    monkeypatch.setattr(rule, "EXCESS_FLOOR_SECONDS", 13.0)
    monkeypatch.setattr(rule, "EXCESS_FLOOR_SECONDS_A_CALL", 0.07)
    monkeypatch.setattr(rule, "LEAST_SLOW_SLICES", 4)
    changed = {
        each["labels"]["window"] if "labels" in each else "": each["expr"]
        for each in _rules(render_alert_rules()["statements.yaml"])
        if each["record"] == "loom:slower:bool"
    }
    # The 0 is that of the warm-up, which is 0 or 1, and the 1 the most that two floors count.
    assert set(_parts(changed[""]).numbers) == {1.31, 3.7, 1.9, 11, 0.77, 13, 0.07, 4, 1, 0}
    fast = changed[rule.FAST_WINDOW.label]
    assert set(_parts(fast).numbers) == {4.1, 6.1, 2.9, 11, 0.77, 13, 0.07, 4, 1}


@pytest.mark.parametrize("hour_seconds", [LEAST_HOUR_SECONDS - 0.1, 3600.1])
def test_hour_in_which_the_windows_would_be_wrong_is_refused(hour_seconds: float) -> None:
    with pytest.raises(ValueError, match="lasts between 24s and 1h"):
        render_alert_rules(hour_seconds)


def test_file_says_what_it_is_made_from_and_whether_it_is_for_a_rehearsal() -> None:
    for name, text in SHIPPED.items():
        (template,) = re.findall(r"^# Generated by `make alerts` from ([^:]+): edit", text)
        assert template == f"rule-templates/{name}.j2"
        assert (ALERTS / template).is_file()
        warning = "# Only for a rehearsal, in which an hour lasts 30s.\n"
        assert warning not in text
        assert warning in REHEARSED[name]


def test_rehearsed_routes_and_inhibition_are_the_shipped_ones() -> None:
    shipped = yaml.safe_load((ALERTS / "alertmanager.yaml").read_text(encoding="utf-8"))
    rehearsed = fast_routes(shipped, "http://127.0.0.1:1")
    assert rehearsed["inhibit_rules"] == shipped["inhibit_rules"]
    routes = [(route["matchers"], route["receiver"]) for route in shipped["route"]["routes"]]
    assert routes == [
        (route["matchers"], route["receiver"]) for route in rehearsed["route"]["routes"]
    ]
    assert {each["name"] for each in rehearsed["receivers"]} == {
        each["name"] for each in shipped["receivers"]
    }
