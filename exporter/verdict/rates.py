"""Judges a rate: the share of events since the deployment, against the same hours before."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from exporter.catalog.condition import Rate, Series
from exporter.clock import HOURS_OF_A_DAY, Clock
from exporter.comparison.proportions import (
    LEAST_TRIALS,
    Z_ALL,
    Z_DAY,
    Z_HOUR,
    Excess,
    Trials,
    excess,
    total,
)
from exporter.deployment.records import Outcome
from exporter.learning.counted import CountedHour
from exporter.verdict.evidence import Evidence, Labels, matching
from exporter.wording import listed, number, share

WINDOW_SECONDS = 3600.0
"""The window of a gauge that a rate names."""

_ByHour = dict[int, list[Trials]]


def judge_rate(rate: Rate, title: str, evidence: Evidence) -> tuple[Outcome, str]:
    """Compare each series of `rate.of` with the same hours of the baseline.

    Inconclusive with fewer than 30 trials before or after.
    """
    if "window" in rate.of.labels and evidence.clock.hour_seconds != WINDOW_SECONDS:
        return Outcome.INCONCLUSIVE, f"{title}: a rehearsal's hour is not that of its window"
    before, after = _hours_before(evidence), _hours_after(rate, evidence)
    known = evidence.snapshots.metrics
    for series in (rate.of, rate.over):
        if series.metric not in known:
            return Outcome.INCONCLUSIVE, f"{series.metric}: no query feeds it"
    names = {series.metric: known[series.metric].labels for series in (rate.of, rate.over)}

    def count(series: Series, hour: CountedHour) -> dict[Labels, float]:
        counts = hour.counts.get(series.metric, {})
        return matching(names[series.metric], counts, series.labels)

    def trials(labels: Labels, hour: CountedHour) -> Trials:
        events = count(rate.of, hour).get(labels, 0.0)
        return Trials(events, max(sum(count(rate.over, hour).values()), events))

    failed: list[str] = []
    passed: list[str] = []
    for labels in sorted({labels for hour in after for labels in count(rate.of, hour)}):
        of = [
            label
            for name, label in zip(names[rate.of.metric], labels, strict=True)
            if len(rate.of.labels.get(name, ())) != 1
        ]
        told = f"{' '.join(of)}: {title}" if of else title
        outcome, text = _judged(before, after, partial(trials, labels), evidence)
        if outcome is Outcome.INCONCLUSIVE:
            return outcome, f"{told}: {text}"
        (failed if outcome is Outcome.FAIL else passed).append(text.format(told))
    if not (failed or passed):
        return Outcome.INCONCLUSIVE, f"{title}: nothing was counted since the deployment settled"
    return (Outcome.FAIL, listed(failed)) if failed else (Outcome.PASS, listed(passed))


def _judged(
    before: Sequence[CountedHour],
    after: Sequence[CountedHour],
    trials: Callable[[CountedHour], Trials],
    evidence: Evidence,
) -> tuple[Outcome, str]:
    clock = evidence.clock
    then = _by_hour(before, trials, clock)
    if total(then).trials < LEAST_TRIALS:
        return Outcome.INCONCLUSIVE, "too little was counted before the deployment"
    if total(_by_hour(after, trials, clock)).trials < LEAST_TRIALS:
        return Outcome.INCONCLUSIVE, "too little was counted since the deployment settled"
    windows = (
        ("", after, Z_ALL),
        ("last day: ", after[-HOURS_OF_A_DAY:], Z_DAY),
        ("last hour: ", after[-1:], Z_HOUR),
    )
    all_of_it = excess(then, _by_hour(after, trials, clock))
    for name, hours, least_z in windows:
        found = excess(then, _by_hour(hours, trials, clock))
        if found.is_large and found.z > least_z and found.seen.trials >= LEAST_TRIALS:
            return Outcome.FAIL, name + _words(found)
    return Outcome.PASS, _words(all_of_it)


def _words(found: Excess) -> str:
    seen = found.seen
    return (
        f"{number(round(seen.events))} {{}} in {number(round(seen.trials))}, {share(seen.share)} "
        f"({share(found.expected_share)} in the same hours before)"
    )


def _by_hour(
    hours: Sequence[CountedHour], trials: Callable[[CountedHour], Trials], clock: Clock
) -> _ByHour:
    found: defaultdict[int, list[Trials]] = defaultdict(list)
    for hour in hours:
        found[clock.hour_of_week(hour.start)].append(trials(hour))
    return found


def _hours_before(evidence: Evidence) -> list[CountedHour]:
    """Return the hours that ended before the deployment began."""
    began_at, length = evidence.deployed.began_at, evidence.clock.hour_seconds
    if began_at is None:
        return []
    return [hour for hour in evidence.counted if hour.start + length <= began_at]


def _hours_after(rate: Rate, evidence: Evidence) -> list[CountedHour]:
    """Return the hours since the warm-up; of what is counted over a window, full ones only."""
    settled_at, length = evidence.deployed.settled_at, evidence.clock.hour_seconds
    if settled_at is None:
        return []
    hours = [hour for hour in evidence.counted if hour.start >= settled_at]
    if "window" not in rate.of.labels:
        return hours
    return [
        hour
        for hour in hours
        if hour.start >= settled_at + length and hour.start + length <= evidence.now
    ]
