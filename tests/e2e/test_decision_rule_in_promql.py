"""The alert rules decide as exporter/comparison/rule.py does, on the same counters."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

import pytest

from exporter.comparison.rule import ALERT_WINDOWS, SLICES, AlertWindow, Change
from exporter.comparison.sums import Sums, contribution
from exporter.comparison.window import compare, is_slow
from exporter.comparison.window_noise import BaselineNoise, pooled_noise
from exporter.statements.counters import Delta
from tests.e2e.test_alert_rules import run_tool
from tests.support.promtool import Claim, write_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

CLASS = "mfa_status"
MINUTES = 24 * 60
COUNTERS = (
    "loom_statement_matched_calls_total",
    "loom_statement_matched_exec_seconds_total",
    "loom_statement_expected_exec_seconds_total",
    "loom_statement_expected_exec_seconds_squared_total",
    "loom_statement_expected_variance_seconds_squared_total",
    "loom_statement_deviation_seconds_squared_total",
)
"""In the order of `Sums`."""

ROLES = {
    "authenticated": BaselineNoise(0.03, 0.08, 0.06, 0.05),
    "anon": BaselineNoise(0.1, 0.15, 0.12, 0.07),
}
SHARE_OF_ANON = 0.3
COVERAGE = 0.9


@dataclass(frozen=True)
class Statement:
    """One with a baseline: the mean and the standard deviation of a call, in seconds."""

    mean: float
    stddev: float


FAST, SLOW = Statement(0.002, 0.002), Statement(0.08, 0.06)


@dataclass
class Traffic:
    """Calls of a class, minute by minute, and what they add up to."""

    draw: random.Random
    calls_a_minute: float = 20.0
    slower: Callable[[int], float] = lambda _: 1.0
    """How many times as long as in the baseline a call takes, by minute."""
    share_of_slow: Callable[[int], float] = lambda _: 0.2
    """The share of calls that are of `SLOW`."""
    outlier_at: int | None = None
    restarts_at: int | None = None
    """When the exporter loses its state, and the counters begin at zero."""
    sums: dict[str, list[Sums]] = field(default_factory=dict)

    def go_on(self) -> None:
        """Let a day go by."""
        self.sums = {role: [Sums()] for role in ROLES}
        for minute in range(1, MINUTES + 1):
            for role, total in self.sums.items():
                new = total[-1]
                for statement, calls in self._calls(role, minute):
                    times = [self._time(statement, minute) for _ in range(calls)]
                    if minute == self.outlier_at and role == "authenticated":
                        times[0] = 30.0
                    new = new.plus(_contribution(times, statement))
                total.append(new)

    def shown(self, role: str) -> Iterator[Sums]:
        """Yield what the counters of the role show, minute by minute."""
        lost = Sums()
        for minute, sums in enumerate(self.sums[role]):
            if minute == self.restarts_at:
                lost = sums
            yield _grown(lost, sums)

    def grown(self, role: str, begin: int, end: int) -> Sums:
        """Return what was added between two minutes."""
        return _grown(self.sums[role][begin], self.sums[role][end])

    def noise(self, window: AlertWindow) -> BaselineNoise:
        """Return the noise of the roles together, in the last window."""
        begin = MINUTES - round(window.hours * 60)
        return pooled_noise(
            (self.grown(role, begin, MINUTES).expected_seconds, noise)
            for role, noise in ROLES.items()
        )

    def slices(self, window: AlertWindow) -> list[Sums]:
        """Return the five parts of the last window, the latest first."""
        minutes = round(window.hours * 60) // SLICES
        ends = [MINUTES - number * minutes for number in range(SLICES)]
        return [
            reduce(Sums.plus, (self.grown(role, end - minutes, end) for role in ROLES))
            for end in ends
        ]

    def change(self, window: AlertWindow) -> Change | None:
        """Return how Python compares the last window with the baseline."""
        begin = MINUTES - round(window.hours * 60)
        total = reduce(Sums.plus, (self.grown(role, begin, MINUTES) for role in ROLES))
        return compare(total, self.noise(window), window.hours)

    def is_slow(self, window: AlertWindow) -> bool:
        """Return whether Python takes the last window for slow."""
        return is_slow(window, self.slices(window), self.noise(window), COVERAGE)

    def _calls(self, role: str, minute: int) -> Iterator[tuple[Statement, int]]:
        share = SHARE_OF_ANON if role == "anon" else 1 - SHARE_OF_ANON
        slow = self.share_of_slow(minute)
        for statement, part in ((FAST, 1 - slow), (SLOW, slow)):
            expected = self.calls_a_minute * share * part
            calls = int(expected) + (self.draw.random() < expected % 1)
            if calls:
                yield statement, calls

    def _time(self, statement: Statement, minute: int) -> float:
        shape = (statement.mean / statement.stddev) ** 2
        return self.draw.gammavariate(shape, statement.mean / shape) * self.slower(minute)


def _grown(before: Sums, after: Sums) -> Sums:
    calls, *others = (b - a for a, b in zip(before, after, strict=True))
    return Sums(int(calls), *others)


def _contribution(times: Sequence[float], statement: Statement) -> Sums:
    mean = sum(times) / len(times)
    squares = sum((time - mean) ** 2 for time in times)
    delta = Delta(len(times), sum(times), squares, 0, 0, 0)
    return contribution(delta, statement.mean, statement.stddev**2)


def _scenarios() -> Mapping[str, Traffic]:
    draw = random.Random(20251021)
    last_hours = MINUTES - 150
    scenarios = {
        "no_change": Traffic(draw),
        "twice": Traffic(draw, slower=lambda minute: 2.0 if minute > last_hours else 1.0),
        "fivefold": Traffic(draw, slower=lambda minute: 5.0 if minute > last_hours else 1.0),
        "mix_shift": Traffic(
            draw, share_of_slow=lambda minute: 0.8 if minute > last_hours else 0.1
        ),
        "one_outlier": Traffic(draw, outlier_at=MINUTES - 10),
        "low_traffic": Traffic(
            draw, calls_a_minute=0.1, slower=lambda _: 4.0, share_of_slow=lambda _: 1.0
        ),
        "counter_reset": Traffic(draw, slower=lambda _: 2.0, restarts_at=MINUTES - 37),
        "stall": Traffic(
            draw, slower=lambda minute: 40.0 if MINUTES - 7 < minute < MINUTES - 4 else 1.0
        ),
    }
    for traffic in scenarios.values():
        traffic.go_on()
    return scenarios


@pytest.fixture(scope="module")
def scenarios() -> Mapping[str, Traffic]:
    """Return a day of each scenario; the scenario's name is that of the database."""
    return _scenarios()


def _series(scenarios: Mapping[str, Traffic]) -> dict[str, list[float | None]]:
    series: dict[str, list[float | None]] = {}
    for database, traffic in scenarios.items():
        about = f'{{database="{database}", class="{CLASS}", phase="mfa", severity="critical"}}'
        series["loom_class_info" + about] = [1.0] * len(list(traffic.shown(next(iter(ROLES)))))
        for role, noise in ROLES.items():
            labels = f'{{database="{database}", class="{CLASS}", role="{role}"}}'
            shown = list(traffic.shown(role))
            for number, name in enumerate(COUNTERS):
                series[name + labels] = [float(sums[number]) for sums in shown]
            series["loom_statement_exec_seconds_total" + labels] = [
                sums.seconds / COVERAGE for sums in shown
            ]
            count = len(shown)
            series["loom_baseline_relative_error" + labels] = [noise.relative_error] * count
            for label, value in (("1h", noise.hour), ("6h", noise.six_hours), ("24h", noise.day)):
                of_window = labels.replace("}", f', window="{label}"}}')
                series["loom_baseline_window_log_stddev" + of_window] = [value] * count
    return series


def _agreements(database: str, traffic: Traffic) -> Iterator[Claim]:
    for window in ALERT_WINDOWS:
        found = traffic.change(window)
        assert found is not None
        labels = f'{{database="{database}", class="{CLASS}", window="{window.label}"}}'
        for name, value in (("ratio", found.ratio), ("z", found.z), ("z_raw", found.z_raw)):
            # Two per cent, and of numbers below 1 two per cent of 1.
            allowed = 0.02 * max(abs(value), 1.0)
            yield Claim(
                f"abs(loom:latency:{name}{labels} - {value!r}) <= bool {allowed!r}", {labels: 1.0}
            )
        yield Claim(
            f"max without (phase, severity) (loom:slower:bool{labels})",
            {labels: float(traffic.is_slow(window))},
        )


def test_promql_and_python_agree(scenarios: Mapping[str, Traffic], tmp_path: Path) -> None:
    claims = [claim for name, traffic in scenarios.items() for claim in _agreements(name, traffic)]
    assert len(claims) == len(scenarios) * len(ALERT_WINDOWS) * 4
    path = write_test(
        tmp_path,
        _series(scenarios),
        claims,
        step_minutes=1,
        at_minutes=MINUTES,
        evaluate_minutes=60,
        edges={
            MINUTES - number * round(window.hours * 60) // SLICES
            for window in ALERT_WINDOWS
            for number in range(1, SLICES + 1)
        },
    )
    run_tool("promtool", "test", "rules", path)


def test_scenarios_are_what_they_are_called(scenarios: Mapping[str, Traffic]) -> None:
    """So that the two do not agree on nothing: each decision is taken both ways."""
    paged = {
        (name, window.label)
        for name, traffic in scenarios.items()
        for window in ALERT_WINDOWS
        if traffic.is_slow(window)
    }
    assert {("twice", "1h"), ("fivefold", "15m"), ("low_traffic", "6h")} <= paged
    assert not {name for name, _ in paged} & {"no_change", "mix_shift", "one_outlier", "stall"}
