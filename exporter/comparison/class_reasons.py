"""Why a class passes, fails, or is inconclusive: each reason asks one question of the evidence.

A reason returns a sentence, without a full stop, if it applies, and None if not.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from exporter.clock import HOURS_OF_A_DAY
from exporter.comparison.class_evidence import (
    Evidence,
    costs_enough,
    has_enough_calls,
    is_slower,
    last_day_bound,
    last_day_margin,
    pass_bound,
)
from exporter.comparison.class_hours import Span
from exporter.comparison.counted_reasons import (
    COUNTED,
    Reason,
    rows_missing,
    rows_per_call,
    statement_finding_nothing,
)
from exporter.comparison.rule import (
    FAIL_Z,
    GREATEST_BASELINE_ERROR,
    IMPROVED,
    LEAST_CALLS,
    LEAST_COVERAGE,
    Change,
)
from exporter.wording import times

_EXCLUDED = (1.5, 2.0, 3.0, 5.0, 10.0)
"""What a slow-down that can already be excluded is rounded up to."""

_INCIDENT_SHARE = 0.5
"""The share of the excess that one hour must hold to be named as the cause."""


def _no_calls(evidence: Evidence) -> str | None:
    if evidence.whole.change is not None:
        return None
    usual = evidence.whole.calls.calls_ratio
    if usual is None:
        return "no calls of statements with a baseline"
    return (
        "no calls of statements with a baseline, where"
        f" {evidence.whole.calls.usual_calls:,.0f} calls of the class are usual in this time"
    )


def _few_calls(evidence: Evidence) -> str | None:
    calls = evidence.whole.calls.sums.calls
    return f"only {calls} calls, {LEAST_CALLS} at least" if calls < LEAST_CALLS else None


def _unknown_statements(evidence: Evidence) -> str | None:
    coverage = evidence.whole.calls.coverage
    if coverage is not None and coverage > LEAST_COVERAGE:
        return None
    return (
        f"a baseline is known for {coverage or 0.0:.0%} of the time of these statements,"
        f" more than {LEAST_COVERAGE:.0%} is needed"
    )


def _uncertain_baseline(evidence: Evidence) -> str | None:
    error = _change(evidence).baseline_error
    if error <= GREATEST_BASELINE_ERROR:
        return None
    return f"the baseline is uncertain by {error:.0%}, {GREATEST_BASELINE_ERROR:.0%} at most"


def _regression(evidence: Evidence) -> str | None:
    for when, span in evidence.spans:
        if is_slower(span, evidence.margin) and costs_enough(span, evidence.hour_seconds):
            single = f"; single statements: {_single(evidence)}" if evidence.slower else ""
            return when + _measured(span) + single
    return None


def _single(evidence: Evidence) -> str:
    """Return the statements that are surely slower, each with its ratio."""
    return ", ".join(f"{name} ({times(change.ratio)})" for name, change in evidence.slower)


def _slower_statement(evidence: Evidence) -> str | None:
    if not evidence.slower:
        return None
    return (
        f"{times(_change(evidence).ratio)} the baseline in all, but surely more than 2 times in"
        f" single statements: {_single(evidence)}"
    )


def _wide_spread(evidence: Evidence) -> str | None:
    for when, span in evidence.spans:
        if span.spread.is_wide:
            return (
                f"{when}calls deviate {times(span.spread.to_baseline)} as far from the mean as in"
                " the baseline: a few of them take far longer"
            )
    return None


def _too_cheap(evidence: Evidence) -> str | None:
    span = evidence.whole
    if not is_slower(span, evidence.margin):
        return None
    sums, hours = span.calls.sums, span.calls.watched_hours * evidence.hour_seconds / 3600
    return (
        f"{_measured(span)}, but only by {1000 * sums.excess_seconds / sums.calls:.2g} ms a call"
        f" and {sums.excess_seconds / hours:.2g} s an hour, too little to fail"
    )


def _one_incident(evidence: Evidence) -> str | None:
    whole, total = evidence.whole, _change(evidence).ratio
    if not whole.median_ratio or not whole.median_ratio <= evidence.margin < total:
        return None
    worst = max(evidence.hours, key=lambda hour: hour.calls.sums.excess_seconds)
    share = worst.calls.sums.excess_seconds / whole.calls.sums.excess_seconds
    if share < _INCIDENT_SHARE:
        return None
    return (
        f"{times(whole.median_ratio)} the baseline in the median hour, but {times(total)} in"
        f" total: {min(share, 1.0):.0%} of the excess is in the hour from {_utc(worst.start)}"
    )


def _too_early(evidence: Evidence) -> str | None:
    bound = pass_bound(evidence.whole)
    if bound <= evidence.margin:
        return None
    change = _change(evidence)
    if not has_enough_calls(change):
        return f"too early to tell: {change.calls} calls so far, too few for how they spread"
    rate = change.calls / evidence.whole.calls.watched_hours
    excluded = next((each for each in _EXCLUDED if each > max(bound, evidence.margin)), None)
    known = f"{excluded:g} times can be excluded" if excluded else "little can be excluded"
    return (
        f"too early to tell: {times(change.ratio)} the baseline so far; at {rate:.3g} calls an"
        f" hour {known}, {evidence.margin:g} not yet"
    )


def _slower_last_day(evidence: Evidence) -> str | None:
    change = evidence.last_day.change
    return _last_day(evidence) if change and change.ratio > evidence.margin else None


def _last_day(evidence: Evidence) -> str | None:
    change, margin = evidence.last_day.change, last_day_margin(evidence)
    if change is None or last_day_bound(evidence) <= margin:
        return None
    return (
        f"{times(_change(evidence).ratio)} the baseline over the whole time, but"
        f" {times(change.ratio)} in the last 24 h, for which {margin:.3g} cannot be excluded"
    )


def _more_time_in_all(evidence: Evidence) -> str | None:
    ratio = evidence.whole.calls.all_seconds_ratio
    if ratio is None or ratio <= evidence.margin:
        return None
    calls = evidence.whole.calls
    if calls.plan_seconds - calls.expected_plan_seconds > calls.uncovered_seconds:
        what = "with the time of planning"
    else:
        what = "together with statements that have no baseline"
    return f"{times(ratio)} the time of the baseline {what}, {evidence.margin:g} at most"


def passed(evidence: Evidence) -> str:
    """Return the sentence of a pass."""
    upper = pass_bound(evidence.whole)
    faster = f", so at least {1 - IMPROVED:.0%} faster" if upper <= IMPROVED else ""
    return f"{times(_change(evidence).ratio)} the baseline, surely below {upper:.2f}{faster}"


def nothing_worse(evidence: Evidence) -> str:
    """Return the sentence about statements of which nothing is surely worse."""
    change = evidence.whole.change
    if change is None:
        return "no calls of statements with a baseline"
    coverage = evidence.whole.calls.coverage or 0.0
    rest = f"; no baseline for {1 - coverage:.0%} of the time" if coverage < LEAST_COVERAGE else ""
    return f"{times(change.ratio)} the baseline; no statement is surely slower{rest}"


def too_little(evidence: Evidence) -> str | None:
    """Return why times cannot be compared, or what else is unusual if they cannot."""
    for reason in (_no_calls, _few_calls):
        if text := reason(evidence):
            return text
    for reason in (_unknown_statements, _uncertain_baseline):
        if text := reason(evidence):
            return next((found for each in COUNTED if (found := each(evidence))), text)
    return None


REGRESSIONS: Sequence[Reason] = (_regression,)
SURELY_WORSE: Sequence[Reason] = (
    rows_missing,
    statement_finding_nothing,
    _slower_statement,
    _regression,
)
DOUBTS: Sequence[Reason] = (
    *COUNTED,
    _slower_statement,
    _wide_spread,
    _too_cheap,
    _one_incident,
    _slower_last_day,
    _too_early,
    _last_day,
    _more_time_in_all,
)
"""The most telling cause first: where calls fail, that is why there are too few to be sure."""


def facts(evidence: Evidence) -> str:
    """Return what else was seen: calls, rows per call, the last day."""
    calls, change = evidence.whole.calls, evidence.last_day.change
    seen = [f"{calls.calls:,} calls"]
    if calls.calls_ratio is not None:
        seen[0] += f", {times(calls.calls_ratio)} as many as usual"
    if calls.rows_ratio is not None:
        seen.append(rows_per_call(evidence.whole))
    if change is not None and evidence.whole.calls.watched_hours > HOURS_OF_A_DAY:
        seen.append(f"{times(change.ratio)} the baseline in the last 24 h")
    return "; ".join(seen)


def _change(evidence: Evidence) -> Change:
    """Return the change over the whole time; `_no_calls` has made sure that there is one."""
    assert evidence.whole.change is not None  # noqa: S101
    return evidence.whole.change


def _measured(span: Span) -> str:
    """Return how slow the calls of a span are that are surely slower."""
    change, calls = span.change, span.calls
    assert change is not None and span.median_ratio is not None  # noqa: S101, PT018
    text = (
        f"{times(change.ratio)} the baseline, surely above {change.bound(-FAIL_Z):.2f};"
        f" {times(span.median_ratio)} in the median hour"
    )
    if calls.expected_blocks > 0 and calls.blocks > 0:
        text += f"; blocks per call {times(calls.blocks / calls.expected_blocks)} the baseline's"
    return text


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
