"""What was measured in simulated worlds, and the tables that show it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from bench.worlds import World

SLOWER = (1.2, 1.5, 2.0)
"""By what factor calls are slower in the histories that the verdict is tried on."""
PAGED = (1.5, 2.0, 5.0)
"""The same for alerts."""

WEEKS_A_YEAR = 365.25 / 7


@dataclass
class Measured:
    """What was seen in each history of a world, by the name of what is measured."""

    world: World
    seen: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float | np.bool_) -> None:
        """Add what was seen in one more history."""
        self.seen.setdefault(name, []).append(float(value))

    def mean(self, name: str) -> float:
        """Return a share of histories, or how often something happens in a week."""
        return fmean(self.seen[name])

    def a_year(self, name: str) -> float:
        """Return how often something happens in a year."""
        return WEEKS_A_YEAR * self.mean(name)

    def hours(self, name: str) -> str:
        """Return the median of a time in hours, or – if it is over after most weeks."""
        found = median(self.seen[name])
        return "–" if math.isinf(found) else f"{found:.1f} h"


def tables(cells: Sequence[Measured], others: Mapping[str, Measured]) -> Iterator[str]:
    """Yield the lines of the tables, in Markdown."""
    yield "Nothing slower: alerts for each class and year, and the verdict in the week."
    yield ""
    heads = ("pages", "tickets", "ever fail", "pass within 24 h", "within 7 days", "on day 7")
    yield from _head("calls/h", "σ", *heads)
    for cell in cells:
        yield _row(*_name(cell), *_quiet(cell))
    yield ""
    yield "The same in other worlds, σ 1."
    yield ""
    yield from _head("world", *heads)
    for name, cell in others.items():
        yield _row(name, *_quiet(cell))
    yield ""
    yield (
        "Slower since the deployment: a false pass on day 7 (at any look), a fail in the week, and"
        " when the first page comes: its median (share of weeks with one)."
    )
    yield ""
    yield from _head(
        "calls/h",
        "σ",
        *(f"pass at {factor:g}×" for factor in SLOWER),
        *(f"fail at {factor:g}×" for factor in SLOWER[1:]),
        *(f"page at {factor:g}×" for factor in PAGED),
    )
    for cell in cells:
        yield _row(
            *_name(cell),
            *(_false_pass(cell, f"{factor:g}") for factor in SLOWER),
            *(_share(cell.mean(f"fail {factor:g}")) for factor in SLOWER[1:]),
            *(_paged(cell, factor) for factor in PAGED),
        )
    yield ""
    yield (
        "60 calls of 20 s in the baseline, 6 ms a call: a pass where nothing is slower, a false"
        " pass on day 7 (at any look), fails. The same incident in the week: ever fail. A slow-down"
        " that begins on day 5: pass one day later."
    )
    yield ""
    yield from _head(
        "calls/h",
        "σ",
        "pass at 1×",
        *(f"pass at {factor:g}×" for factor in SLOWER),
        "fail at 2×",
        "incident in the week: fail",
        *(f"day 5, {factor:g}×: pass" for factor in SLOWER[1:]),
    )
    for cell in cells:
        yield _row(
            *_name(cell),
            _share(cell.mean("pass incident 1")),
            *(_false_pass(cell, f"incident {factor:g}") for factor in SLOWER),
            _share(cell.mean("fail incident 2")),
            _share(cell.mean("incident fail")),
            *(_share(cell.mean(f"late {factor:g}")) for factor in SLOWER[1:]),
        )


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("--:" for _ in names))


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _name(cell: Measured) -> tuple[str, str]:
    return f"{cell.world.calls:g}", f"{cell.world.log_stddev:g}"


def _quiet(cell: Measured) -> list[str]:
    verdict = ("fail", "pass 24 h", "pass", "pass end")
    yearly = [f"{cell.a_year(name):.1f}" for name in ("pages", "tickets")]
    return yearly + [_share(cell.mean(name)) for name in verdict]


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"


def _false_pass(cell: Measured, name: str) -> str:
    return f"{_share(cell.mean(f'pass end {name}'))} ({_share(cell.mean(f'pass {name}'))})"


def _paged(cell: Measured, factor: float) -> str:
    name = f"page {factor:g}"
    share = fmean(not math.isinf(hours) for hours in cell.seen[name])
    return f"{cell.hours(name)} ({_share(share)})"
