"""What the decision rule says, and how often it is wrong, in simulated traffic.

Every history has a baseline of its own, learnt as the exporter does, and a week after the
deployment. The verdict is looked at every hour, alerts every five minutes. `--write` puts the
tables into docs/decision-rule.md; `--quick` draws a tenth of the histories and claims nothing. The
seeds are fixed.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

from bench.measured import PAGED, SLOWER, WEEKS_A_YEAR, Measured, tables
from bench.simulation import fired, learn, slowed, verdicts
from bench.telling import claim, progress
from bench.worlds import World, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.simulation import Known
    from bench.worlds import History

CALLS = (5, 20, 50, 200, 500)
LOG_STDDEVS = (1.0, 1.5)
HISTORIES = 200
QUICK_HISTORIES = 20

LATE_HOUR = 4 * 24
"""A slow-down on day 5 begins at its first hour."""
INCIDENT_HOUR = 34
"""In the baseline, Tuesday at 10; in the week after the deployment, hour 30."""
INCIDENT_AFTER = 30
INCIDENT_SCALE = 0.1
"""60 calls of 20 s weigh most where a call takes 6 ms and not 60 ms."""

DOCUMENT = Path(__file__).parent.parent / "docs" / "decision-rule.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def quiet(found: Measured, known: Known, history: History) -> None:
    """Measure a week in which nothing changes."""
    alerts = fired(known, history.week)
    found.add("pages", alerts.pages)
    found.add("tickets", alerts.tickets)
    looks = verdicts(known, history.week, history.week_rows)
    found.add("fail", looks.failed.any())
    found.add("pass 24 h", looks.passed[:24].any())
    found.add("pass", looks.passed.any())
    found.add("pass end", looks.passed[-1])


def slower(found: Measured, known: Known, history: History) -> None:
    """Measure weeks with a slow-down: from the deployment, from day 5, after an incident."""
    for factor in SLOWER:
        _slow_down(found, f"{factor:g}", known, history, factor)
    for factor in PAGED:
        paged = fired(known, slowed(history.week, factor)).first_page_hours
        found.add(f"page {factor:g}", paged)
    for factor in SLOWER[1:]:
        late = verdicts(known, slowed(history.week, factor, LATE_HOUR), history.week_rows)
        found.add(f"late {factor:g}", late.passed[LATE_HOUR + 23])
        found.add(f"late fail {factor:g}", late.failed.any())
    rare = history.week.times(INCIDENT_SCALE)
    spoilt = history.baseline.times(INCIDENT_SCALE).with_incident(INCIDENT_HOUR)
    after = history._replace(week=rare)
    unlucky = learn(spoilt, history.baseline_rows)
    for factor in (1.0, *SLOWER):
        _slow_down(found, f"incident {factor:g}", unlucky, after, factor)
    usual = learn(history.baseline.times(INCIDENT_SCALE), history.baseline_rows)
    looks = verdicts(usual, rare.with_incident(INCIDENT_AFTER * 60), history.week_rows)
    found.add("incident fail", looks.failed.any())


def _slow_down(found: Measured, name: str, known: Known, history: History, factor: float) -> None:
    looks = verdicts(known, slowed(history.week, factor), history.week_rows)
    found.add(f"pass {name}", looks.passed.any())
    found.add(f"pass end {name}", looks.passed[-1])
    found.add(f"fail {name}", looks.failed.any())


def measure(
    world: World,
    histories: int,
    seed: int,
    *parts: Callable[[Measured, Known, History], None],
) -> Measured:
    """Draw histories of a world and measure each."""
    found = Measured(world)
    for number in range(histories):
        progress(f"{world.calls:g} calls/h, σ {world.log_stddev:g}: {number} of {histories}")
        history = draw(world, np.random.default_rng([seed, number]))
        known = learn(history.baseline, history.baseline_rows)
        for part in parts:
            part(found, known, history)
    progress("")
    return found


def main_cells(histories: int) -> list[Measured]:
    """Return the world with each traffic and spread of calls."""
    return [
        measure(
            World(calls, log_stddev), histories, round(1000 * log_stddev) + calls, quiet, slower
        )
        for log_stddev in LOG_STDDEVS
        for calls in CALLS
    ]


def other_worlds(histories: int) -> dict[str, Measured]:
    """Return the worlds with stalls, more noise, and growth."""
    stalled = World(200, stalls_a_day=1.0)
    harder = World(200, hour_log_stddev=0.2, correlation=0.9, day_log_stddev=0.1)
    grown = World(200, growth=0.01, baseline_days=28)
    worlds = {
        f"{name}, {calls} calls/h": replace(world, calls=calls)
        for name, world, rates in (
            ("a stall of 20 s a day, 60 ms a call", stalled, (20, 50, 200, 500)),
            ("a stall of 20 s a day, 6 ms a call", replace(stalled, scale=1.0), (20, 200, 500)),
            ("noise of hours 20 %, ρ 0.9, of days 10 %", harder, (20, 200)),
            ("growth of 1 % a day, baseline of 28 days", grown, (20, 200)),
        )
        for calls in rates
    }
    return {
        name: measure(world, histories, 3000 + number, quiet)
        for number, (name, world) in enumerate(worlds.items())
    }


def claims(cells: Sequence[Measured], others: Mapping[str, Measured]) -> Iterator[bool]:
    """Print whether what is claimed holds, on average over the cells that are meant."""
    by_place = {(cell.world.calls, cell.world.log_stddev): cell for cell in cells}
    busy = {place: cell for place, cell in by_place.items() if place[0] >= 200}
    busy_even = [cell for place, cell in busy.items() if place[1] == 1.0]
    stalled = [cell for name, cell in others.items() if "stall" in name]
    grown = [cell for name, cell in others.items() if "growth" in name]

    def most(text: str, among: Sequence[Measured], name: str, limit: float, scale: float) -> bool:
        means = [scale * cell.mean(name) for cell in among]
        found = f"{fmean(means):.3g}, {max(means):.3g} in the worst cell"
        return claim(f"{text}: at most {limit:g} ({found})", holds=fmean(means) <= limit)

    def least(text: str, among: Sequence[Measured], name: str, limit: float) -> bool:
        means = [100 * cell.mean(name) for cell in among]
        found = f"{fmean(means):.3g}, {min(means):.3g} in the worst cell"
        return claim(f"{text}: at least {limit:g} % ({found})", holds=fmean(means) >= limit)

    def soonest(factor: float, limit: float) -> bool:
        found = median(by_place[200, 1.0].seen[f"page {factor:g}"])
        text = f"{factor:g}× at 200 calls/h, σ 1, pages within {limit:g} h in the median"
        return claim(f"{text} ({found:.1f} h)", holds=found <= limit)

    yield most("pages for each class and year", cells, "pages", 1, WEEKS_A_YEAR)
    yield most("pages with stalls", stalled, "pages", 1, WEEKS_A_YEAR)
    yield most("tickets for each class and year", cells, "tickets", 6, WEEKS_A_YEAR)
    yield most("tickets with stalls", stalled, "tickets", 6, WEEKS_A_YEAR)
    yield most("ever fail, nothing slower, %", cells, "fail", 3, 100)
    yield most("ever fail, growth of 1 % a day, %", grown, "fail", 5, 100)
    yield least("pass within 7 days, from 200 calls/h, σ 1", busy_even, "pass", 80)
    yield least("pass within 7 days, from 200 calls/h, both σ", list(busy.values()), "pass", 68)
    yield least("pass within 7 days, 50 calls/h, σ 1", [by_place[50, 1.0]], "pass", 85)
    yield least("pass within 7 days, 20 calls/h, σ 1", [by_place[20, 1.0]], "pass", 60)
    yield least("pass within 24 h, from 200 calls/h, σ 1", busy_even, "pass 24 h", 60)
    for name in ("", "incident "):
        when = ", after an incident in the baseline" if name else ""
        yield most(f"pass on day 7 at 1.2×{when}, %", cells, f"pass end {name}1.2", 5, 100)
        yield most(f"pass on day 7 at 1.5×{when}, %", cells, f"pass end {name}1.5", 0, 100)
        yield most(f"pass at any look at 1.5×{when}, %", cells, f"pass {name}1.5", 2, 100)
        yield most(f"pass at any look at 2×{when}, %", cells, f"pass {name}2", 0, 100)
    yield most("one incident in the week: ever fail, %", cells, "incident fail", 3, 100)
    yield most("pass one day after a slow-down of 1.5× on day 5, %", cells, "late 1.5", 5, 100)
    yield most("pass one day after a slow-down of 2× on day 5, %", cells, "late 2", 0.5, 100)
    yield soonest(2.0, 14)
    yield soonest(5.0, 3)


def write(lines: Sequence[str]) -> None:
    """Put the tables between the marks of the document."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = "\n".join(lines)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Run the benchmark; return 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the histories, no claims")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {DOCUMENT}")
    parser.add_argument("--histories", type=int, default=HISTORIES, help="for each world")
    options = parser.parse_args()
    started = time.monotonic()
    histories = QUICK_HISTORIES if options.quick else options.histories
    cells, others = main_cells(histories), other_worlds(histories)
    lines = list(tables(cells, others))
    print("\n".join(lines), flush=True)
    if options.write:
        write(lines)
    hold = [] if options.quick else list(claims(cells, others))
    print(f"{histories} histories of each world, {time.monotonic() - started:.0f} s")
    return 0 if all(hold) else 1


if __name__ == "__main__":
    sys.exit(main())
