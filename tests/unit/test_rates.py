"""A rate fails when events have become more frequent than in the same hours before."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.catalog.condition import Condition
from exporter.clock import Clock
from exporter.comparison.proportions import Trials, excess
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.deployment.records import Outcome
from exporter.learning.counted import CountedHour
from exporter.verdict.conditions import judge_condition
from tests.support.judging import make_board, make_evidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.verdict.condition_result import ConditionResult
    from exporter.verdict.evidence import Evidence

    Counts = Callable[[int], tuple[float, float]]
    """Odd and even things in the hour of that number, counted from the deployment."""

HOUR = 3600.0
NOW = time.time() // HOUR * HOUR
BEGAN_AT = NOW - 48 * HOUR
CONDITION = Condition.model_validate(
    {
        "title": "odd things",
        "rate": {
            "of": {"metric": "loom_things", "labels": {"kind": "odd"}},
            "over": {"metric": "loom_things"},
            "not_above": "baseline",
        },
    }
)


def _hour(start: float, odd: float, even: float) -> CountedHour:
    return CountedHour(start, {"loom_things": {("odd",): odd, ("even",): even}})


def _evidence(*hours: CountedHour) -> Evidence:
    deployed = DeploymentProgress(
        {"one": PhaseProgress(True, BEGAN_AT), "two": PhaseProgress(True, BEGAN_AT)},
        has_begun=True,
        began_at=BEGAN_AT,
        ended_at=BEGAN_AT,
        settled_at=BEGAN_AT + HOUR,
    )
    return replace(
        make_evidence(make_board(), deployed=deployed), now=NOW, counted=hours, clock=Clock()
    )


def _judge(before: Counts, after: Counts) -> ConditionResult:
    hours = [_hour(BEGAN_AT - n * HOUR, *before(n)) for n in range(168, 1, -1)]
    hours += [_hour(BEGAN_AT + n * HOUR, *after(n)) for n in range(1, 48)]
    return judge_condition(CONDITION, "all", _evidence(*hours))


def test_rate_that_was_zero_and_is_a_seventh_fails_in_numbers() -> None:
    found = _judge(lambda _: (0, 54), lambda n: (1039, 6330) if n == 40 else (0, 0))
    assert found.outcome is Outcome.FAIL
    assert found.evidence == ("1039 odd things in 7369, 14.1 % (0 % in the same hours before)")
    assert found.selector == 'loom_things{kind="odd"}'


def test_rate_as_before_passes_and_shows_its_bound() -> None:
    found = _judge(lambda _: (10, 990), lambda _: (10, 990))
    assert found.outcome is Outcome.PASS
    assert "470 odd things in 47000, 1 % (1 % in the same hours before" in found.evidence


def test_fewer_than_ten_events_are_chance() -> None:
    found = _judge(lambda _: (0, 1000), lambda n: (9, 991) if n == 40 else (0, 1000))
    assert found.outcome is Outcome.PASS


def test_rate_is_held_against_the_same_hours_and_not_against_the_mean() -> None:
    clock = Clock()

    def by_night(offset: int) -> tuple[float, float]:
        hour = clock.hour_of_week(BEGAN_AT + offset * HOUR) % 24
        return (200, 800) if hour < 3 else (10, 990)

    same = _judge(lambda n: by_night(-n), by_night)
    assert same.outcome is Outcome.PASS


@pytest.mark.parametrize("hours", [24, 1])
def test_last_day_and_last_hour_fail_by_themselves(hours: int) -> None:
    found = _judge(lambda _: (10, 9990), lambda n: (60, 9940) if n >= 48 - hours else (10, 9990))
    assert found.outcome is Outcome.FAIL


def test_without_hours_before_or_since_nothing_is_told() -> None:
    before = [_hour(BEGAN_AT - 2 * HOUR, 1, 99)]
    after = [_hour(BEGAN_AT + 2 * HOUR, 1, 99)]
    for hours in ([], before, after):
        found = judge_condition(CONDITION, "all", _evidence(*hours))
        assert found.outcome is Outcome.INCONCLUSIVE
    assert judge_condition(CONDITION, "all", _evidence(*before, *after)).outcome is Outcome.PASS


def test_noisy_hours_of_an_unchanged_rate_hardly_ever_fail() -> None:
    """The share of each hour is itself uncertain by a third, as in bursts."""
    dice = random.Random(1)

    def burst(_: int) -> tuple[float, float]:
        share = 0.02 * dice.lognormvariate(0, 0.33)
        odd = sum(dice.random() < share for _ in range(300))
        return odd, 300 - odd

    failed = sum(_judge(burst, burst).outcome is Outcome.FAIL for _ in range(20))
    assert failed <= 1


def test_shares_are_compared_as_two_proportions() -> None:
    found = excess({0: [Trials(10, 1000)]}, {0: [Trials(30, 1000)]})
    assert found.expected_share == 0.01
    # (0.03 - 0.01) / sqrt(0.02 × 0.98 × (1/1000 + 1/1000))
    assert found.z == pytest.approx(3.194, abs=0.001)
