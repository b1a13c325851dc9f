"""Makes a baseline of the hours that were collected before the deployment."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

from exporter import __version__
from exporter.baseline import document
from exporter.baseline.backtest import backtest
from exporter.baseline.buckets import Bucket
from exporter.baseline.estimate import Profile, noise, profile
from exporter.baseline.expectations import Expectations
from exporter.baseline.rhythm import hour_of_day, hour_of_week
from exporter.baseline.rule import EXCESS_FLOOR_SECONDS, Noise, Sums, contribution, pooled
from exporter.baseline.survey import Hours, Name, Survey, hours_of, moment, survey_of
from exporter.catalog.deployment import Deployment
from exporter.statements.counters import Delta, combine

ENOUGH_HOURS = 3
ENOUGH_CALLS = 30
"""An hour of the week or day has expectations of its own from so many hours with so many calls."""

Source = Literal["automatic", "captured", "since_reset"]


def build(
    buckets: Callable[[], Iterable[Bucket]],
    deployment: Deployment,
    *,
    bucket_seconds: float,
    hour_seconds: float,
    identity: document.Identity,
    source: Source,
    texts: Mapping[str, str],
    gauges: Sequence[document.Gauge],
) -> document.Baseline:
    """Return the baseline; it may know nothing, if there are no hours that count.

    Args:
        buckets: yields the hours in their order, and is called twice.
        deployment: the one that the baseline is made for.
        bucket_seconds: how long each of these is.
        hour_seconds: how long an hour is, 3600 but for a rehearsal.
        identity: of the database.
        source: how the hours came about.
        texts: of statements, by identity, as far as they may be shown.
        gauges: as they were.
    """
    survey = survey_of(buckets(), bucket_seconds)
    hours = hours_of(buckets(), survey)
    profiles = {name: profile([delta for _, delta in each]) for name, each in hours.items()}
    statements = tuple(
        _statement(name, survey.classes[name], profiles[name], each, bucket_seconds, texts)
        for name, each in hours.items()
    )
    now = datetime.now(UTC)
    bare = document.Baseline(
        tool_version=__version__,
        created_at=now,
        source=source,
        deployment=deployment.name,
        identity=identity,
        window=_window(survey, bucket_seconds, now),
        statements=statements,
        classes=(),
        gauges=tuple(gauges),
        left_out=survey.left_out,
        backtest=document.Backtest(windows=0, pages=0),
    )
    return bare.model_copy(update=_noise(bare, profiles, hours, bucket_seconds / hour_seconds))


def _window(survey: Survey, bucket_seconds: float, now: datetime) -> document.Window:
    starts = survey.starts
    return document.Window(
        start=moment(starts[0]) if starts else now,
        end=moment(starts[-1] + bucket_seconds) if starts else now,
        bucket_seconds=bucket_seconds,
        buckets=len(starts),
        excluded=tuple(survey.excluded),
        evictions=survey.evictions,
    )


def _statement(
    name: Name,
    class_name: str,
    whole: Profile,
    hours: Hours,
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
        id=name.identity,
        role=name.role,
        class_name=class_name,
        text=texts.get(name.identity),
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
    profiles: Mapping[Name, Profile],
    hours: Mapping[Name, Hours],
    hours_each: float,
) -> dict[str, object]:
    """Return `classes` and `backtest`: how far the hours differ from what was to be expected."""
    expectations = Expectations(bare, ())
    sums: defaultdict[tuple[str, str], dict[float, Sums]] = defaultdict(dict)
    of_place: defaultdict[tuple[str, str], list[Profile]] = defaultdict(list)
    for statement in bare.statements:
        name = Name(statement.id, statement.role)
        place = (statement.class_name, statement.role)
        of_place[place].append(profiles[name])
        for start, delta in hours[name]:
            expected = expectations.expected(*name, start)
            if expected:
                so_far = sums[place].get(start, Sums())
                sums[place][start] = so_far.plus(contribution(delta, *expected))
    noises = {
        place: noise(of_place[place], each.values(), hours_each) for place, each in sums.items()
    }
    classes = tuple(_class(place, of_place[place], noises[place]) for place in sorted(noises))
    windows = {
        name: _windows(
            [(sums[place], noises[place]) for place in noises if place[0] == name],
            bare.window.bucket_seconds,
        )
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
    roles: Sequence[tuple[Mapping[float, Sums], Noise]], bucket_seconds: float
) -> list[tuple[Sums, Noise, float]]:
    """Return the hours of a class, all roles together; every statement in them has a baseline.

    Where one or more are missing, there is an empty one.
    """
    starts = sorted({start for hours, _ in roles for start in hours})
    windows: list[tuple[Sums, Noise, float]] = []
    for before, start in pairwise([starts[0], *starts]):
        if start - before > 1.5 * bucket_seconds:
            windows.append((Sums(), Noise(), 1.0))
        sums, noise = pooled((hours.get(start, Sums()), noise) for hours, noise in roles)
        windows.append((sums, noise, 1.0))
    return windows
