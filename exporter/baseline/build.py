"""Makes a baseline of the hours that were collected before the deployment."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from exporter import __version__
from exporter.baseline import document
from exporter.baseline.backtest import backtest
from exporter.baseline.buckets import Bucket, Statement
from exporter.baseline.estimate import Profile, noise, profile
from exporter.baseline.expectations import by_hour
from exporter.baseline.hours import Hours, collect
from exporter.baseline.rhythm import hour_of_day, hour_of_week
from exporter.baseline.rule import EXCESS_FLOOR_SECONDS, Noise, Sums, contribution, pooled
from exporter.catalog.deployment import OTHER, Deployment
from exporter.statements.counters import Delta, combine

MOST_STATEMENTS = 1_000
"""Beyond these, the ones of classes first and then those that took most time, none is kept."""

MOST_BY_HOUR = 100
"""So many of them, the first, have expectations of their own for hours of the week and the day: in
memory and in the document, these are a hundred times as much as all else of a statement."""

ENOUGH_HOURS = 3
ENOUGH_CALLS = 30
"""An hour of the week or day has expectations of its own from so many hours with so many calls."""

_AT_ONCE = 250
"""So many statements are worked on at once; all of their hours are in memory."""

Source = Literal["automatic", "captured", "since_reset"]


@dataclass(slots=True)
class _Place:
    """What a class is as one role: the profiles of its statements, and the sums of each hour."""

    profiles: list[Profile] = field(default_factory=list)
    hours: dict[float, Sums] = field(default_factory=dict)


def build(
    buckets: Callable[[], Iterable[Bucket]],
    deployment: Deployment,
    *,
    bucket_seconds: float,
    identity: document.Identity,
    source: Source,
    texts: Mapping[str, str],
    gauges: Sequence[document.Gauge],
) -> document.Baseline:
    """Return the baseline; it may know nothing, if there are no hours that count.

    Args:
        buckets: yields the hours in their order; called once, and again for each few statements.
        deployment: the one that the baseline is made for.
        bucket_seconds: how long an hour is.
        identity: of the database.
        source: how the hours came about.
        texts: of statements, by identity, as far as they may be shown.
        gauges: as they were.
    """
    window, kept, left_out = _survey(buckets(), bucket_seconds)
    statements: list[document.Statement] = []
    places: defaultdict[tuple[str, str], _Place] = defaultdict(_Place)
    for first in range(0, len(kept), _AT_ONCE):
        group = kept[first : first + _AT_ONCE]
        for statement, hours in collect(buckets(), group, window.buckets).items():
            whole = profile([delta for _, delta in hours])
            known = _statement(statement, whole, hours, texts)
            if len(statements) < MOST_BY_HOUR:
                known = known.model_copy(update=_cells_by_hour(hours, bucket_seconds))
            statements.append(known)
            place = places[statement.class_name, statement.role]
            place.profiles.append(whole)
            _add(place.hours, known, hours, bucket_seconds)
    noises = {place: noise(each.profiles, each.hours.values()) for place, each in places.items()}
    return document.Baseline(
        tool_version=__version__,
        created_at=datetime.now(UTC),
        source=source,
        deployment=deployment.name,
        identity=identity,
        window=window,
        statements=tuple(statements),
        classes=tuple(_class(place, places[place], noises[place]) for place in sorted(places)),
        gauges=tuple(gauges),
        left_out=left_out,
        backtest=_backtest(places, noises, bucket_seconds),
    )


def _survey(
    buckets: Iterable[Bucket], bucket_seconds: float
) -> tuple[document.Window, list[Statement], int]:
    """Return which time is covered, the statements that are kept, and how many are not."""
    seconds: defaultdict[Statement, float] = defaultdict(float)
    times: list[float] = []
    excluded: list[document.Excluded] = []
    evictions = 0
    for bucket in buckets:
        evictions += bucket.evictions
        if bucket.excluded:
            start, end = (_moment(bucket.start), _moment(bucket.start + bucket_seconds))
            excluded.append(document.Excluded(start=start, end=end, reason=bucket.excluded))
            continue
        times.append(bucket.start)
        for statement, delta in bucket.statements.items():
            seconds[statement] += delta.seconds
    first, last = (times[0], times[-1] + bucket_seconds) if times else (0.0, 0.0)
    window = document.Window(
        start=_moment(first),
        end=_moment(last),
        bucket_seconds=bucket_seconds,
        buckets=len(times),
        excluded=tuple(excluded),
        evictions=evictions,
    )
    ranked = sorted(seconds, key=lambda each: (each.class_name == OTHER, -seconds[each], each))
    return window, ranked[:MOST_STATEMENTS], len(ranked[MOST_STATEMENTS:])


def _statement(
    statement: Statement, whole: Profile, hours: Hours, texts: Mapping[str, str]
) -> document.Statement:
    total = combine(delta for _, delta in hours)
    return document.Statement(
        id=statement.identity,
        role=statement.role,
        class_name=statement.class_name,
        text=texts.get(statement.identity),
        calls=total.calls,
        seconds=total.seconds,
        squared_deviation=total.squared_deviation,
        variance=whole.variance,
    )


def _cells_by_hour(hours: Hours, bucket_seconds: float) -> dict[str, dict[int, document.Cell]]:
    by_week: defaultdict[int, list[Delta]] = defaultdict(list)
    by_day: defaultdict[int, list[Delta]] = defaultdict(list)
    for start, delta in hours:
        week = hour_of_week(start, bucket_seconds)
        by_week[week].append(delta)
        by_day[hour_of_day(week)].append(delta)
    return {"hours_of_week": _cells(by_week), "hours_of_day": _cells(by_day)}


def _cells(hours: Mapping[int, Sequence[Delta]]) -> dict[int, document.Cell]:
    cells = {}
    for hour, deltas in sorted(hours.items()):
        if sum(delta.calls >= ENOUGH_CALLS for delta in deltas) >= ENOUGH_HOURS:
            known = profile(deltas)
            seconds = sum(delta.seconds for delta in deltas)
            cells[hour] = document.Cell(known.calls, seconds, known.variance)
    return cells


def _add(
    sums: dict[float, Sums], known: document.Statement, hours: Hours, bucket_seconds: float
) -> None:
    """Add to the sums of each hour how far a statement was from what was to be expected of it."""
    expected = by_hour(known)
    for start, delta in hours:
        new = contribution(delta, *expected[hour_of_week(start, bucket_seconds)])
        sums[start] = sums.get(start, Sums()).plus(new)


def _class(place: tuple[str, str], known: _Place, noise: Noise) -> document.StatementClass:
    return document.StatementClass(
        class_name=place[0],
        role=place[1],
        calls=sum(each.calls for each in known.profiles),
        seconds=sum(each.calls * each.mean_seconds for each in known.profiles),
        relative_error=noise.relative_error,
        hour_log_stddev=noise.hour_log_stddev,
    )


def _backtest(
    places: Mapping[tuple[str, str], _Place],
    noises: Mapping[tuple[str, str], Noise],
    bucket_seconds: float,
) -> document.Backtest:
    windows = {
        name: _windows(
            [(places[place].hours, noises[place]) for place in places if place[0] == name]
        )
        for name in sorted({name for name, _ in places})
    }
    tried = backtest(windows, EXCESS_FLOOR_SECONDS * bucket_seconds / 3600)
    return document.Backtest(windows=tried.windows, pages=tried.pages)


def _windows(
    roles: Sequence[tuple[Mapping[float, Sums], Noise]],
) -> list[tuple[Sums, Noise, float]]:
    """Return the hours of a class, all roles together; every statement in them has a baseline."""
    starts = sorted({start for hours, _ in roles for start in hours})
    return [
        (*pooled((hours.get(start, Sums()), noise) for hours, noise in roles), 1.0)
        for start in starts
    ]


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
