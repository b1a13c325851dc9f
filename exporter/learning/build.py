"""Builds a baseline from the hours that were collected before the deployment."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Literal

from exporter import __version__
from exporter.baseline import artefact
from exporter.catalog.deployment import Deployment
from exporter.clock import Clock, hour_of_day
from exporter.comparison.backtest import backtest
from exporter.comparison.expectations import by_hour
from exporter.comparison.noise import Profile, noise, profile
from exporter.comparison.rule import EXCESS_FLOOR_SECONDS, Noise, Sums, contribution, pooled
from exporter.learning.hours import RecordedHour
from exporter.learning.survey import Hours, StatementRole, Survey, hours_of, survey_of, utc
from exporter.statements.counters import Delta, combine

MOST_BY_HOUR = 100
"""Only the first 100 statements get expectations for each hour of the week and of the day: in
memory and in the document, these take a hundred times the space of the rest of a statement."""

ENOUGH_HOURS = 3
ENOUGH_CALLS = 30
"""An hour of the week or day has expectations of its own if the baseline has at least 3 such hours
with at least 30 calls each."""

_AT_ONCE = 125
"""Statements that are worked on at once; all of their hours are in memory."""

Source = Literal["automatic", "captured", "since_reset"]
ClassRole = tuple[str, str]
"""Class and role."""


@dataclass(slots=True)
class _Known:
    """A class and role: the profiles of its statements, and the sums of each hour."""

    profiles: list[Profile] = field(default_factory=list)
    hours: dict[float, Sums] = field(default_factory=dict)


def build(
    buckets: Callable[[], Iterable[tuple[float, RecordedHour]]],
    deployment: Deployment,
    *,
    bucket_seconds: float,
    clock: Clock,
    identity: artefact.Provenance,
    source: Source,
    texts: Mapping[str, str],
    gauges: Sequence[artefact.Gauge],
) -> artefact.Baseline:
    """Return the baseline; it is empty if no hour counts.

    Args:
        buckets: yields the hours in their order, each with the Unix time at which it began; called
            once, and again for every 125 statements.
        deployment: the one that the baseline is made for.
        bucket_seconds: length of each of these hours.
        clock: with the length of an hour.
        identity: the provenance of the baseline.
        source: how the hours were collected.
        texts: of statements, by identity, as far as they may be shown.
        gauges: their values before the deployment.
    """
    survey = survey_of(buckets(), bucket_seconds)
    names = list(survey.classes)
    statements: list[artefact.BaselineStatement] = []
    places: defaultdict[ClassRole, _Known] = defaultdict(_Known)
    for first in range(0, len(names), _AT_ONCE):
        for name, hours in hours_of(buckets(), names[first : first + _AT_ONCE]).items():
            whole = profile([delta for _, delta in hours])
            statement = _statement(name, survey.classes[name], whole, hours, texts)
            if len(statements) < MOST_BY_HOUR:
                statement = statement.model_copy(update=_cells_by_hour(hours, bucket_seconds))
            statements.append(statement)
            known = places[statement.class_name, statement.role]
            known.profiles.append(whole)
            _compare(known.hours, statement, hours, bucket_seconds)
    hours_each = bucket_seconds / clock.hour_seconds
    noises = {
        place: noise(known.profiles, known.hours.values(), hours_each)
        for place, known in places.items()
    }
    now = utc(clock.now())
    return artefact.Baseline(
        tool_version=__version__,
        created_at=now,
        source=source,
        deployment=deployment.name,
        identity=identity,
        window=_window(survey, bucket_seconds, now),
        statements=tuple(statements),
        classes=tuple(_class(place, places[place], noises[place]) for place in sorted(places)),
        gauges=tuple(gauges),
        left_out=survey.left_out,
        backtest=_backtest(places, noises, bucket_seconds),
    )


def _window(survey: Survey, bucket_seconds: float, now: datetime) -> artefact.BaselinePeriod:
    starts = survey.starts
    return artefact.BaselinePeriod(
        start=utc(starts[0]) if starts else now,
        end=utc(starts[-1] + bucket_seconds) if starts else now,
        bucket_seconds=bucket_seconds,
        buckets=len(starts),
        excluded=tuple(survey.excluded),
        evictions=survey.evictions,
    )


def _statement(
    name: StatementRole, class_name: str, whole: Profile, hours: Hours, texts: Mapping[str, str]
) -> artefact.BaselineStatement:
    total = combine(delta for _, delta in hours)
    return artefact.BaselineStatement(
        id=name.identity,
        role=name.role,
        class_name=class_name,
        text=texts.get(name.identity),
        calls=total.calls,
        seconds=total.seconds,
        squared_deviation=total.squared_deviation,
        variance=whole.variance,
    )


def _cells_by_hour(hours: Hours, bucket_seconds: float) -> dict[str, dict[int, artefact.Cell]]:
    by_week: defaultdict[int, list[Delta]] = defaultdict(list)
    by_day: defaultdict[int, list[Delta]] = defaultdict(list)
    for start, delta in hours:
        week = Clock(bucket_seconds).hour_of_week(start)
        by_week[week].append(delta)
        by_day[hour_of_day(week)].append(delta)
    return {"hours_of_week": _cells(by_week), "hours_of_day": _cells(by_day)}


def _cells(hours: Mapping[int, Sequence[Delta]]) -> dict[int, artefact.Cell]:
    cells = {}
    for hour, deltas in sorted(hours.items()):
        if sum(delta.calls >= ENOUGH_CALLS for delta in deltas) >= ENOUGH_HOURS:
            known = profile(deltas)
            seconds = sum(delta.seconds for delta in deltas)
            cells[hour] = artefact.Cell(known.calls, seconds, known.variance)
    return cells


def _compare(
    sums: dict[float, Sums],
    statement: artefact.BaselineStatement,
    hours: Hours,
    bucket_seconds: float,
) -> None:
    """Add the calls of a statement, and what was expected of them, to the sums of each hour."""
    expected = by_hour(statement)
    for start, delta in hours:
        new = contribution(delta, *expected[Clock(bucket_seconds).hour_of_week(start)])
        sums[start] = sums.get(start, Sums()).plus(new)


def _class(place: ClassRole, known: _Known, noise: Noise) -> artefact.BaselineClass:
    return artefact.BaselineClass(
        class_name=place[0],
        role=place[1],
        calls=sum(each.calls for each in known.profiles),
        seconds=sum(each.calls * each.mean_seconds for each in known.profiles),
        relative_error=noise.relative_error,
        hour_log_stddev=noise.hour_log_stddev,
    )


def _backtest(
    places: Mapping[ClassRole, _Known], noises: Mapping[ClassRole, Noise], bucket_seconds: float
) -> artefact.Backtest:
    windows = {
        name: _windows(
            [(places[place].hours, noises[place]) for place in places if place[0] == name],
            bucket_seconds,
        )
        for name in sorted({name for name, _ in places})
    }
    tried = backtest(windows, EXCESS_FLOOR_SECONDS * bucket_seconds / 3600)
    return artefact.Backtest(windows=tried.windows, pages=tried.pages)


def _windows(
    roles: Sequence[tuple[Mapping[float, Sums], Noise]], bucket_seconds: float
) -> list[tuple[Sums, Noise, float]]:
    """Return the hours of a class, all roles together; every statement in them has a baseline.

    A gap of one or more hours becomes one empty window.
    """
    starts = sorted({start for hours, _ in roles for start in hours})
    windows: list[tuple[Sums, Noise, float]] = []
    for before, start in pairwise([starts[0], *starts]):
        if start - before > 1.5 * bucket_seconds:
            windows.append((Sums(), Noise(), 1.0))
        sums, noise = pooled((hours.get(start, Sums()), noise) for hours, noise in roles)
        windows.append((sums, noise, 1.0))
    return windows
