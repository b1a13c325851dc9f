"""Builds a baseline from the hours that were collected before the deployment."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from exporter import __version__
from exporter.baseline import artefact
from exporter.catalog.deployment import Deployment
from exporter.clock import HOURS_OF_A_WEEK, Clock
from exporter.comparison.backtest import replay
from exporter.comparison.profile import (
    StatementProfile,
    mean_error,
    moved,
    statement_profile,
    usual_calls,
)
from exporter.comparison.rule import MOVED_WARNING
from exporter.comparison.sums import Sums
from exporter.comparison.window_noise import BaselineNoise, pooled_noise, window_noise
from exporter.learning.hours import RecordedHour
from exporter.learning.survey import (
    ClassRole,
    Excluder,
    Hours,
    StatementRole,
    Survey,
    hours_of,
    nothing_excluded,
    survey_of,
    utc,
)

MOST_BY_HOUR = 100
"""Only the first 100 statements get expectations for each hour of the week and of the day: in
memory and in the document, these take a hundred times the space of the rest of a statement."""

_AT_ONCE = 80
"""Statements that are worked on at once; all of their hours are in memory."""

Source = Literal["automatic", "captured", "since_reset"]


@dataclass(slots=True)
class _Known:
    """A class and role: the profiles of its statements, and the sums of each hour."""

    profiles: list[StatementProfile] = field(default_factory=list)
    calls: int = 0
    """In all hours."""
    expected_seconds: float = 0.0
    """Of these calls."""
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
    excluded: Excluder = nothing_excluded,
) -> artefact.Baseline:
    """Return the baseline; it is empty if no hour counts.

    Args:
        buckets: yields the hours in their order, each with the Unix time at which it began; called
            once, and again for every 80 statements.
        deployment: the one that the baseline is made for.
        bucket_seconds: length of each of these hours.
        clock: with the length of an hour.
        identity: the provenance of the baseline.
        source: how the hours were collected.
        texts: of statements, by identity, as far as they may be shown.
        gauges: their values before the deployment.
        excluded: returns why the time between two Unix times is left out, None if it is not.
    """
    survey = survey_of(buckets(), bucket_seconds, excluded)
    names = list(survey.classes)
    statements: list[artefact.BaselineStatement] = []
    places: defaultdict[ClassRole, _Known] = defaultdict(_Known)
    for first in range(0, len(names), _AT_ONCE):
        for name, hours in hours_of(buckets(), survey, names[first : first + _AT_ONCE]).items():
            profile = _profile(hours, survey, Clock(bucket_seconds))
            if len(statements) >= MOST_BY_HOUR:
                profile = replace(profile, hours_of_week={}, hours_of_day={})
            class_name = survey.classes[name]
            statements.append(_statement(name, class_name, profile, texts))
            _add(places[class_name, name.role], profile, hours, Clock(bucket_seconds))
    noises = {
        place: window_noise(
            known.hours,
            mean_error(known.profiles),
            bucket_seconds=bucket_seconds,
            hour_seconds=clock.hour_seconds,
        )
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
        classes=tuple(
            _class(
                place,
                places[place],
                noises[place],
                _usual_calls(survey, place, bucket_seconds, clock),
            )
            for place in sorted(places)
        ),
        gauges=tuple(gauges),
        left_out=survey.left_out,
        backtest=_backtest(places, noises, bucket_seconds),
    )


def _profile(hours: Hours, survey: Survey, clock: Clock) -> StatementProfile:
    return statement_profile(list(hours), max(survey.watched) + clock.hour_seconds, clock)


def _window(survey: Survey, bucket_seconds: float, now: datetime) -> artefact.BaselinePeriod:
    starts = list(survey.watched)
    return artefact.BaselinePeriod(
        start=utc(starts[0]) if starts else now,
        end=utc(starts[-1] + bucket_seconds) if starts else now,
        bucket_seconds=bucket_seconds,
        buckets=len(starts),
        excluded=tuple(survey.excluded),
        evictions=survey.evictions,
    )


def _statement(
    name: StatementRole, class_name: str, profile: StatementProfile, texts: Mapping[str, str]
) -> artefact.BaselineStatement:
    return artefact.BaselineStatement(
        id=name.identity,
        role=name.role,
        class_name=class_name,
        text=texts.get(name.identity),
        calls=profile.calls,
        seconds=profile.calls * profile.mean_seconds,
        variance=profile.variance,
        rows=round(profile.calls * profile.rows),
        blocks=round(profile.calls * profile.blocks),
        plan_seconds=profile.calls * profile.plan_seconds,
        hours_left_out=len(profile.left_out),
        moved=profile.moved,
        hours_of_week=dict(profile.hours_of_week),
        hours_of_day=dict(profile.hours_of_day),
    )


def _add(known: _Known, profile: StatementProfile, hours: Hours, clock: Clock) -> None:
    """Add a statement to its class: its calls, and what the others of its hours expect of them."""
    known.profiles.append(profile)
    for hour in hours:
        known.calls += hour.delta.calls
        known.expected_seconds += hour.delta.calls * profile.mean_seconds
        new = profile.against_others(hour, clock)
        known.hours[hour.start] = known.hours.get(hour.start, Sums()).plus(new)


def _usual_calls(
    survey: Survey, place: ClassRole, bucket_seconds: float, clock: Clock
) -> Sequence[float]:
    """Return the usual calls in each hour of the week; from less than hours, those of any hour."""
    usual = usual_calls(survey.calls[place], survey.watched, Clock(bucket_seconds))
    if bucket_seconds == clock.hour_seconds:
        return usual
    calls, seconds = sum(survey.calls[place].values()), sum(survey.watched.values())
    return [calls * clock.hour_seconds / seconds if seconds else 0.0] * HOURS_OF_A_WEEK


def _class(
    place: ClassRole, known: _Known, noise: BaselineNoise, usual: Sequence[float]
) -> artefact.BaselineClass:
    return artefact.BaselineClass(
        class_name=place[0],
        role=place[1],
        calls=known.calls,
        seconds=known.expected_seconds,
        relative_error=noise.relative_error,
        hour_log_stddev=noise.hour,
        six_hours_log_stddev=noise.six_hours,
        day_log_stddev=noise.day,
        usual_calls=tuple(usual),
        moved=moved(known.profiles),
    )


def _backtest(
    places: Mapping[ClassRole, _Known],
    noises: Mapping[ClassRole, BaselineNoise],
    bucket_seconds: float,
) -> artefact.Backtest:
    """Try the rule on the hours of each class, all roles together."""
    windows = pages = tickets = 0
    for name in sorted({name for name, _ in places}):
        roles = [place for place in places if place[0] == name]
        hours: dict[float, Sums] = {}
        for place in roles:
            for start, sums in places[place].hours.items():
                hours[start] = hours.get(start, Sums()).plus(sums)
        noise = pooled_noise((places[each].expected_seconds, noises[each]) for each in roles)
        tried = replay(hours, noise, bucket_seconds)
        windows += tried.windows
        pages += tried.pages
        tickets += tried.tickets
    return artefact.Backtest(windows=windows, pages=pages, tickets=tickets)


def moved_far(baseline: artefact.Baseline) -> list[str]:
    """Return a line for each class whose expectations the hours of incidents would have moved far.

    Somebody should look at what happened in these hours: they are left out, so what was usual in
    them would look like a slow-down now.
    """
    return [
        f"hours that were taken for incidents, and are left out, would have raised the time of "
        f"class {each.class_name} as role {each.role} by {each.moved - 1:.0%}"
        for each in baseline.classes
        if each.moved > MOVED_WARNING
    ]
