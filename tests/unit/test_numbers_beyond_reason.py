"""Numbers that are no numbers stop no verdict, and no JSON has them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import NoReturn

import pytest

from exporter.collect.rows import read_rows
from exporter.deployment.progress import PhaseProgress
from exporter.render.verdict_json import verify_json
from exporter.verdict.assess import assess
from tests.support.judging import DONE, before, make_board, make_deployment, make_evidence
from tests.support.queries import make_query, rows

DEPLOYMENT = make_deployment("tracked:\n  - {title: Number, metric: loom_number}\n")
NUMBERS = make_query("number", {"loom_number": {"labels": ["kind"], "value": "value"}})


def _strict(text: str) -> dict[str, object]:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    decoded: dict[str, object] = json.loads(text, parse_constant=refuse)
    return decoded


@pytest.mark.parametrize(
    "values",
    [(1e308, 1e308), (math.inf, -math.inf), (math.nan, 1e301), (-1e308, -1e308)],
)
def test_numbers_whose_sum_is_not_finite_are_not_known(values: tuple[float, ...]) -> None:
    read = read_rows(NUMBERS, rows(NUMBERS, *zip("ab", values, strict=True)))
    assert read.samples == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_null_where_a_number_is_not_finite(value: float) -> None:
    evidence = make_evidence(
        make_board(number={"loom_number": {(): value}}), before=before(loom_number={(): value})
    )
    said = _strict(verify_json(assess("loom", DEPLOYMENT, {}, evidence)))
    assert said["tracked"] == [{"title": "Number", "unit": "", "before": None, "after": None}]


@pytest.mark.parametrize(("at", "told"), [(253_402_300_000.0, True), (9.2e12, False)])
def test_time_beyond_the_calendar_is_null(at: float, told: bool) -> None:
    deployed = replace(DONE, phases={"one": PhaseProgress(True, at), "two": PhaseProgress(False)})
    evidence = make_evidence(make_board(), deployed=deployed)
    said = _strict(verify_json(assess("loom", DEPLOYMENT, {}, evidence)))
    assert isinstance(said["phases"], dict)
    assert said["phases"]["one"]["applied"] is True
    assert (said["phases"]["one"]["at"] is not None) is told
