"""Makes a baseline of the hours that were collected before the deployment."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from exporter import __version__
from exporter.baseline import document
from exporter.baseline.backtest import backtest
from exporter.baseline.buckets import Bucket, Statement
from exporter.baseline.estimate import Profile, noise, profile
from exporter.baseline.expectations import Expectations
from exporter.baseline.rhythm import hour_of_day, hour_of_week
from exporter.baseline.rule import EXCESS_FLOOR_SECONDS, Noise, Sums, contribution, pooled
from exporter.catalog.deployment import OTHER, Deployment
from exporter.statements.counters import Delta, combine

MOST_STATEMENTS = 1_000
"""Beyond these, the ones of classes first and then those that took most time, none is kept."""

ENOUGH_HOURS = 3
ENOUGH_CALLS = 30
"""An hour of the week or day has expectations of its own from so many hours with so many calls."""

Source = Literal["automatic", "captured", "since_reset"]


@dataclass(slots=True)
class _Hours:
    """The hours of one statement, as numbers in a row: there may be many."""

    numbers: "array[float]" = field(default_factory=lambda: array("d"))

    def append(self, start: float, delta: Delta) -> None:
        self.numbers.extend((start, delta.calls, delta.seconds, delta.squared_deviation))

    def __iter__(self) -> Iterator[tuple[float, Delta]]:
        numbers = iter(self.numbers)
        for start, calls, seconds, squared in zip(numbers, numbers, numbers, numbers, strict=True):
            yield start, Delta(int(calls), seconds, squared, 0, 0, 0)


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
        buckets: yields the hours in their order, and is called twice.
        deployment: the one that the baseline is made for.
        bucket_seconds: how long an hour is.
        identity: of the database.
        source: how the hours came about.
        texts: of statements, by identity, as far as they may be shown.
        gauges: as they were.
    """
    window, kept, left_out = _survey(buckets(), bucket_seconds)
    hours: dict[Statement, _Hours] = {statement: _Hours() for statement in kept}
    for bucket in buckets():
        if not bucket.excluded:
            for statement in hours.keys() & bucket.statements.keys():
                hours[statement].append(bucket.start, bucket.statements[statement])
    profiles = {
        statement: profile([delta for _, delta in each]) for statement, each in hours.items()
    }
    statements = tuple(
        _statement(statement, profiles[statement], hours[statement], bucket_seconds, texts)
        for statement in hours
    )
    bare = document.Baseline(
        tool_version=__version__,
        created_at=datetime.now(UTC),
        source=source,
        deployment=deployment.name,
        identity=identity,
        window=window,
        statements=statements,
        classes=(),
        gauges=tuple(gauges),
        left_out=left_out,
        backtest=document.Backtest(windows=0, pages=0),
    )
    return bare.model_copy(update=_noise(bare, profiles, hours))


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
    statement: Statement,
    whole: Profile,
    hours: _Hours,
    bucket_seconds: float,
    texts: Mapping[str, str],
) -> document.Statement:
    by_week: defaultdict[int, list[Delta]] = defaultdict(list)
    by_day: defaultdict[int, list[Delta]] = defaultdict(list)
    for start, delta in hours:
        week = hour_of_week(start, bucket_seconds)
        by_week[week].append(delta)
        by_day[hour_of_day(week)].append(delta)
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
        hours_of_week=_cells(by_week),
        hours_of_day=_cells(by_day),
    )


def _cells(hours: Mapping[int, Sequence[Delta]]) -> dict[int, document.Cell]:
    cells = {}
    for hour, deltas in sorted(hours.items()):
        if sum(delta.calls >= ENOUGH_CALLS for delta in deltas) >= ENOUGH_HOURS:
            known = profile(deltas)
            seconds = sum(delta.seconds for delta in deltas)
            cells[hour] = document.Cell(known.calls, seconds, known.variance)
    return cells


def _noise(
    bare: document.Baseline,
    profiles: Mapping[Statement, Profile],
    hours: Mapping[Statement, _Hours],
) -> dict[str, object]:
    """Return `classes` and `backtest`: how far the hours differ from what was to be expected."""
    expectations = Expectations(bare, ())
    sums: defaultdict[tuple[str, str], dict[float, Sums]] = defaultdict(dict)
    of_place: defaultdict[tuple[str, str], list[Profile]] = defaultdict(list)
    for statement, each in hours.items():
        place = (statement.class_name, statement.role)
        of_place[place].append(profiles[statement])
        for start, delta in each:
            expected = expectations.expected(statement.identity, statement.role, start)
            if expected:
                so_far = sums[place].get(start, Sums())
                sums[place][start] = so_far.plus(contribution(delta, *expected))
    noises = {place: noise(of_place[place], each.values()) for place, each in sums.items()}
    classes = tuple(_class(place, of_place[place], noises[place]) for place in sorted(noises))
    windows = {
        name: _windows([(sums[place], noises[place]) for place in noises if place[0] == name])
        for name in sorted({place[0] for place in noises})
    }
    floor = EXCESS_FLOOR_SECONDS * bare.window.bucket_seconds / 3600
    tried = backtest(windows, floor)
    return {
        "classes": classes,
        "backtest": document.Backtest(windows=tried.windows, pages=tried.pages),
    }


def _class(
    place: tuple[str, str], profiles: Iterable[Profile], noise: Noise
) -> document.StatementClass:
    known = list(profiles)
    return document.StatementClass(
        class_name=place[0],
        role=place[1],
        calls=sum(each.calls for each in known),
        seconds=sum(each.calls * each.mean_seconds for each in known),
        relative_error=noise.relative_error,
        hour_log_stddev=noise.hour_log_stddev,
    )


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
