"""What is now, held against the baseline: sums that only grow, and those since the deployment."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exporter.baseline.artefact import Baseline
from exporter.catalog import Deployment
from exporter.clock import Clock
from exporter.comparison.expectations import Expectations
from exporter.comparison.rule import Change, Noise, Sums, change, contribution, pooled
from exporter.statements.window import PollWindow

ClassRole = tuple[str, str]
"""Class and role."""


@dataclass(slots=True)
class Since:
    """What was called since a Unix time, the end of the warm-up; `watched_seconds` of it."""

    at: float | None = None
    watched_seconds: float = 0.0
    matched: dict[ClassRole, Sums] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """Of all calls of a class, whether a baseline is known for them or not."""


class ClassResult(NamedTuple):
    """A class since the deployment; `change` is None without a call to compare.

    `coverage` is the time of statements with a baseline over that of all, None without any.
    """

    change: Change | None
    coverage: float | None


class Comparison:
    """The sums of one baseline. Not to be used by two threads at once."""

    def __init__(
        self, baseline: Baseline, digest: str, deployment: Deployment, clock: Clock
    ) -> None:
        """Begin at zero; `digest` tells this baseline from any other."""
        self._digest = digest
        self._clock = clock
        self._expectations = Expectations(baseline, deployment.replacements)
        self.matched: dict[ClassRole, Sums] = dict.fromkeys(self._expectations.noise, Sums())
        """By class and role. Grows only, so that any stretch of it can be judged."""
        self.since = Since()
        self.taken_at = 0.0
        """When a window was last taken in, by our own clock: the server's may be another."""
        self.counted_at: float | None = None
        """The Unix time up to which calls are counted."""

    def restore(self, text: str) -> None:
        """Go on with what `dumps` has written.

        The sums go on whatever the baseline was; the time since the deployment is of one baseline.

        Raises:
            ValueError: that is not what was written.
        """
        try:
            written = json.loads(text)
            self.matched.update(_sums(written["matched"]))
            self.counted_at = written["counted_at"]
            self.taken_at = written["taken_at"]
            if written["baseline"] == self._digest:
                self.since = Since(
                    written["since"],
                    written["watched_seconds"],
                    _sums(written["since_matched"]),
                    written["seconds"],
                )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None

    def dumps(self) -> str:
        """Return what `restore` needs."""
        return json.dumps(
            {
                "baseline": self._digest,
                "counted_at": self.counted_at,
                "taken_at": self.taken_at,
                "matched": _rows(self.matched),
                "since": self.since.at,
                "watched_seconds": self.since.watched_seconds,
                "since_matched": _rows(self.since.matched),
                "seconds": self.since.seconds,
            }
        )

    def take(self, window: PollWindow, settled_at: float | None) -> None:
        """Add a window, unless it is counted: the process may have ended before its poll was kept.

        Args:
            window: what was called between two polls.
            settled_at: the Unix time of the end of the warm-up, from which on the deployment is
                judged; None while there is none. When it moves, that begins anew.
        """
        if settled_at != self.since.at:
            self.since = Since(settled_at)
        started_at = window.started_at.timestamp()
        if self.counted_at is not None and started_at < self.counted_at:
            return
        self.counted_at = window.ended_at.timestamp()
        is_judged = settled_at is not None and started_at >= settled_at
        if is_judged:
            self.since.watched_seconds += window.seconds
        for known, delta in window.counted:
            if is_judged:
                before = self.since.seconds.get(known.class_name, 0.0)
                self.since.seconds[known.class_name] = before + delta.seconds
            if known.identity is None:
                continue
            expected = self._expectations.expected(known.identity, known.role, started_at)
            if expected is None:
                continue
            place = (known.class_name, known.role)
            new = contribution(delta, *expected)
            self.matched[place] = self.matched.get(place, Sums()).plus(new)
            if is_judged:
                self.since.matched[place] = self.since.matched.get(place, Sums()).plus(new)

    def changes(self, classes: Iterable[str]) -> dict[str, ClassResult]:
        """Return how each class compares since the deployment, all its roles together."""
        hours = self.since.watched_seconds / self._clock.hour_seconds
        return {name: self._change(name, hours) for name in classes}

    def _change(self, name: str, hours: float) -> ClassResult:
        noise = self._expectations.noise
        sums, uncertainty = pooled(
            (sums, noise.get(place, Noise()))
            for place, sums in self.since.matched.items()
            if place[0] == name
        )
        seconds = self.since.seconds.get(name)
        return ClassResult(
            change(sums, uncertainty, hours), sums.seconds / seconds if seconds else None
        )


def _rows(sums: Mapping[ClassRole, Sums]) -> list[list[Any]]:
    return [[*place, *values] for place, values in sums.items()]


def _sums(rows: Iterable[list[Any]]) -> dict[ClassRole, Sums]:
    return {(name, role): Sums(*values) for name, role, *values in rows}
