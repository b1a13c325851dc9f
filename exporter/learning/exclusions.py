"""Times that people leave out of a baseline: incidents, load tests, maintenance."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from exporter.baseline.artefact import Baseline
from exporter.catalog import Deployment
from exporter.clock import Clock
from exporter.errors import ExporterError
from exporter.learning.build import build
from exporter.learning.hours import LearnedHours
from exporter.state import Scope, Topic

NO_REASON = "excluded by hand"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A time that is no part of the baseline, in Unix times, and why."""

    start: float
    end: float
    reason: str = NO_REASON


EXCLUSIONS: Topic[Exclusion] = Topic("baseline exclusions", Exclusion)
"""By what `key_of` returns; in the scope of what people say."""


def key_of(exclusion: Exclusion) -> str:
    """Return the key of an exclusion: saying the same time again replaces the reason."""
    return f"{exclusion.start:.0f} {exclusion.end:.0f}"


def excluder(exclusions: Iterable[Exclusion]) -> Callable[[float, float], str | None]:
    """Return what tells why the time between two Unix times is left out; None if it is not."""
    known = tuple(exclusions)

    def reason(start: float, end: float) -> str | None:
        return next(
            (each.reason for each in known if each.start < end and start < each.end),
            None,
        )

    return reason


def rebuilt(
    scope: Scope,
    deployment: Deployment,
    clock: Clock,
    baseline: Baseline,
    exclusions: Iterable[Exclusion],
) -> Baseline:
    """Return the baseline made again from its hours, without the times that people exclude.

    Args:
        scope: of the database that the baseline is of; its store must not be in use by this thread.
        deployment: the one that the baseline is made for.
        clock: with the length of an hour.
        baseline: one that was collected hour by hour.
        exclusions: all of these times.

    Raises:
        ExporterError: it was made in another way, its hours are not kept, or none would be left.
    """
    if baseline.source != "automatic":
        raise ExporterError(
            "baseline: it was captured at once and has no hours to leave out; capture another one"
        )
    hours = LearnedHours(clock)
    scope.store.wait_for(hours.begin, scope)
    ends = [baseline.window.end, *(each.end for each in baseline.window.excluded)]
    found = build(
        hours.reader(max(ends).timestamp()),
        deployment,
        bucket_seconds=clock.hour_seconds,
        clock=clock,
        identity=baseline.identity,
        source="automatic",
        texts={each.id: each.text for each in baseline.statements if each.text},
        gauges=baseline.gauges,
        excluded=excluder(exclusions),
    )
    if not found.window.buckets:
        raise ExporterError("baseline: its hours are not kept, or none of them would be left")
    return found
