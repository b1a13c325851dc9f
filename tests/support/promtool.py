"""Tests of the rules that are too long to be written by hand: series made here, for promtool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from tests.support.alert_rules import RULE_FILES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path


class Claim(NamedTuple):
    """What an expression gives at the end: values by labels, exactly."""

    expression: str
    expected: Mapping[str, float]


def write_test(
    folder: Path,
    series: Mapping[str, Sequence[float | None]],
    claims: Iterable[Claim],
    *,
    rule_files: Iterable[Path] = RULE_FILES,
    step_minutes: int,
    at_minutes: int,
    evaluate_minutes: int | None = None,
    edges: Collection[int] = (),
) -> Path:
    """Write a test of rules in a folder, and return the file.

    Args:
        folder: where to.
        series: values of each, one every `step_minutes`; None is a scrape that failed.
        claims: what must be so `at_minutes` from the start.
        rule_files: the rules.
        step_minutes: time between two values.
        at_minutes: the time of the claims.
        evaluate_minutes: time between two evaluations of the rules; as between two values, if None.
        edges: numbers of values that are scraped a second time, 10 s later. Prometheus 3 leaves out
            the scrape at the left edge of a window, which Prometheus 2 counts.
    """
    # promtool expands each series to all scrapes: they are 10 s apart only where edges need that.
    between = step_minutes * 6 - 2
    texts = {
        name: " ".join(
            f"{shown} {shown if number in edges else '_'} _x{between}" if edges else shown
            for number, value in enumerate(values)
            for shown in ["_" if value is None else repr(value)]
        )
        for name, values in series.items()
    }
    test = {
        "interval": "10s" if edges else f"{step_minutes}m",
        "input_series": [{"series": name, "values": text} for name, text in texts.items()],
        "promql_expr_test": [
            {
                "expr": claim.expression,
                "eval_time": f"{at_minutes}m",
                "exp_samples": [
                    {"labels": labels, "value": value} for labels, value in claim.expected.items()
                ],
            }
            for claim in claims
        ],
    }
    path = folder / "test.yaml"
    document = {
        "rule_files": [str(each) for each in rule_files],
        "evaluation_interval": f"{evaluate_minutes or step_minutes}m",
        "tests": [test],
    }
    # JSON is YAML, and written much faster.
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
