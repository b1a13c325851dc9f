"""What is now, compared with the baseline: sums that only grow, and those since the deployment."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.baseline.artefact import Baseline
from exporter.catalog import Deployment
from exporter.clock import Clock
from exporter.comparison.expectations import Expectations
from exporter.comparison.rule import Change, Noise, Sums, change, contribution, pooled
from exporter.state import Table, Topic
from exporter.statements.tally import PollWindow

ClassRole = tuple[str, str]
"""Class and role."""


@dataclass(slots=True)
class Since:
    """What was called since a Unix time, the end of the warm-up; `watched_seconds` of it."""

    at: float | None = None
    watched_seconds: float = 0.0
    matched: Table[ClassRole, Sums] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """Of all calls of a class, whether a baseline is known for them or not."""


@dataclass(slots=True)
class ComparisonSums:
    """Everything that a comparison has added up, as it is written down. Times are Unix times."""

    baseline: str
    """A digest of the baseline."""
    counted_at: float | None = None
    """Up to when calls are counted, by the server's clock."""
    taken_at: float = 0.0
    """When a window was last taken in, by our own clock: the server's may be another."""
    matched: Table[ClassRole, Sums] = field(default_factory=dict)
    """Grows only, so that any stretch of it can be judged."""
    since: Since = field(default_factory=Since)


COMPARISON: Topic[ComparisonSums] = Topic("comparison", ComparisonSums)


class ClassResult(NamedTuple):
    """A class since the deployment; `change` is None without a call to compare.

    `coverage` is the time of statements with a baseline over that of all, None without any.
    """

    change: Change | None
    coverage: float | None


class Comparison:
    """Adds up what was called, against one baseline."""

    def __init__(
        self,
        baseline: Baseline,
        digest: str,
        deployment: Deployment,
        clock: Clock,
        before: ComparisonSums | None = None,
    ) -> None:
        """Begin at zero, or go on with the sums of `before`.

        These go on even if the baseline was another one; the time since the deployment is of one
        baseline. `digest` tells this baseline from any other.
        """
        self._clock = clock
        self._expectations = Expectations(baseline, deployment.replacements)
        self.sums = before or ComparisonSums(digest)
        if self.sums.baseline != digest:
            self.sums.baseline, self.sums.since = digest, Since()
        for place in self._expectations.noise:
            self.sums.matched.setdefault(place, Sums())

    def take(self, window: PollWindow, settled_at: float | None) -> None:
        """Add a window, unless it is counted: the process may have ended before its poll was kept.

        Args:
            window: what was called between two polls.
            settled_at: the Unix time of the end of the warm-up, from which on the deployment is
                judged; None while there is none. When it moves, that begins again.
        """
        sums = self.sums
        sums.taken_at = self._clock.now()
        if settled_at != sums.since.at:
            sums.since = Since(settled_at)
        started_at = window.started_at.timestamp()
        if sums.counted_at is not None and started_at < sums.counted_at:
            return
        sums.counted_at = window.ended_at.timestamp()
        is_judged = settled_at is not None and started_at >= settled_at
        if is_judged:
            sums.since.watched_seconds += window.seconds
        for known, delta in window.counted:
            if is_judged:
                before = sums.since.seconds.get(known.class_name, 0.0)
                sums.since.seconds[known.class_name] = before + delta.seconds
            if known.identity is None:
                continue
            expected = self._expectations.expected(known.identity, known.role, started_at)
            if expected is None:
                continue
            place = (known.class_name, known.role)
            new = contribution(delta, *expected)
            sums.matched[place] = sums.matched.get(place, Sums()).plus(new)
            if is_judged:
                sums.since.matched[place] = sums.since.matched.get(place, Sums()).plus(new)

    def changes(self, classes: Iterable[str]) -> dict[str, ClassResult]:
        """Return how each class compares since the deployment, all its roles together."""
        hours = self.sums.since.watched_seconds / self._clock.hour_seconds
        return {name: self._change(name, hours) for name in classes}

    def _change(self, name: str, hours: float) -> ClassResult:
        noise = self._expectations.noise
        sums, uncertainty = pooled(
            (sums, noise.get(place, Noise()))
            for place, sums in self.sums.since.matched.items()
            if place[0] == name
        )
        seconds = self.sums.since.seconds.get(name)
        return ClassResult(
            change(sums, uncertainty, hours), sums.seconds / seconds if seconds else None
        )
