"""Reasons that come from counting alone: rows, calls, and how often single statements are called.

A reason returns a sentence, without a full stop, if it applies, and None if not.
"""

from collections.abc import Callable, Sequence

from exporter.comparison.class_evidence import Evidence
from exporter.comparison.class_hours import Span
from exporter.comparison.rule import (
    ENOUGH_COUNTED,
    MISSING_NOW_RATIO,
    MISSING_ROWS_RATIO,
    USUAL_RATIO,
)
from exporter.wording import times

Reason = Callable[[Evidence], str | None]


def rows_missing(evidence: Evidence) -> str | None:
    """Return whether hardly any row is returned where the baseline has some."""
    for when, span in evidence.spans:
        ratio = span.calls.rows_ratio
        if ratio is not None and ratio < MISSING_ROWS_RATIO:
            calls = span.calls.sums.calls
            return f"{when}results are missing: {rows_per_call(span)}, over {calls:,} calls"
    return None


def _hardly_called_lately(evidence: Evidence) -> str | None:
    """Return whether the class is hardly called now: a week is too long to see it in the total.

    The last hours are those in which 30 calls are usual.
    """
    hours, calls, usual = 0.0, 0, 0.0
    for hour in reversed(evidence.hours):
        hours += hour.calls.watched_hours
        calls += hour.calls.calls
        usual += hour.calls.usual_calls
        if usual >= ENOUGH_COUNTED:
            break
    if usual < ENOUGH_COUNTED or calls >= MISSING_NOW_RATIO * usual:
        return None
    return (
        f"called {calls:,} times in the last {max(hours, 0.1):.1f} h, where {usual:,.0f} calls are"
        " usual in these hours"
    )


def _unusual_calls(evidence: Evidence) -> str | None:
    for when, span in evidence.spans:
        ratio = span.calls.calls_ratio
        least, most = evidence.usual_ratio
        if ratio is None or least <= ratio <= most:
            continue
        why = "calls that fail are not counted" if ratio < 1 else "one call may have become many"
        return f"{when}called {times(ratio)} as often as in these hours of the baseline: {why}"
    return None


def _unusual_rows(evidence: Evidence) -> str | None:
    for when, span in evidence.spans:
        ratio = span.calls.rows_ratio
        if ratio is not None and not USUAL_RATIO[0] <= ratio <= USUAL_RATIO[1]:
            return f"{when}{rows_per_call(span)}"
    return None


def statement_finding_nothing(evidence: Evidence) -> str | None:
    """Return a statement that hardly returns rows where the baseline has some."""
    for each in evidence.finding_nothing:
        calls = each.sums.calls
        return (
            f"results are missing of {each.name}: {each.rows / calls:.2f} rows a call,"
            f" {each.expected_rows / calls:.2f} in the baseline, over {calls:,} calls"
        )
    return None


def _missed_statement(evidence: Evidence) -> str | None:
    for each in evidence.missed:
        return (
            f"{each.name} was called {each.calls:,} times, where {each.expected_calls:,.0f} calls"
            " are usual beside the rest of its class: calls that fail are not counted"
        )
    return None


def _replacement_called_more(evidence: Evidence) -> str | None:
    for each in evidence.called_more:
        ratio = times(each.ratio)
        return f"{each.name} is called {ratio} as often as the statement that it replaces was"
    return None


def rows_per_call(span: Span) -> str:
    """Return how many rows a call returned, and in the baseline."""
    calls = span.calls.sums.calls
    return (
        f"{span.calls.rows / calls:.2f} rows a call, {span.calls.expected_rows / calls:.2f} in the"
        " baseline"
    )


COUNTED: Sequence[Reason] = (
    _hardly_called_lately,
    _unusual_calls,
    _unusual_rows,
    statement_finding_nothing,
    _replacement_called_more,
    _missed_statement,
)
