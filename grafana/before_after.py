"""The tracked numbers before the deployment and now, and how much slower it became."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.comparison.rule import IMPROVED, SLOWER
from grafana.board import Row, link_to
from grafana.looks import bad_from
from grafana.panels import Link
from grafana.query_performance import UID as QUERY_PERFORMANCE
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table

TO_STATEMENTS = Link(
    "The statements of this class", link_to(QUERY_PERFORMANCE, "var-class=${__data.fields.Class}")
)


def _increase(metric: str) -> str:
    return f"sum by (class) (increase({metric}{{@}}[$__range]))"


_CALLS = _increase("loom_statement_matched_calls_total")


def before_and_after() -> Row:
    """Return the row of the numbers that are tracked."""
    return Row("Before and after", [_tracked(), _classes()])


def _tracked() -> table.Panel:
    return rows(
        "Numbers before and now",
        """What deployment.yaml tracks. The time of a class is the mean of a call, in seconds, and
        before the deployment what the same calls took.""",
        [Label("title", "Number")],
        [
            Value("Before", "max by (title) (loom_tracked_baseline{@})"),
            Value("Now", "max by (title) (loom_tracked{@})"),
        ],
        width=10,
        height=9,
    )


def _classes() -> table.Panel:
    return rows(
        "Speed by class",
        f"""Time since the deployment over the time that the same calls took before it, at the same
        hours of the week; the interval is what noise leaves open. Above {SLOWER} with an interval
        above 1 is a regression, at most {IMPROVED} an improvement. Click a class to see its
        statements.""",
        [Label("class", "Class", link=TO_STATEMENTS)],
        [
            Value(
                "Times the baseline",
                "max by (class) (loom_statement_change_ratio{@})",
                steps=bad_from(SLOWER),
                decimals=2,
            ),
            Value("at least", "max by (class) (loom_statement_change_ratio_lower{@})", decimals=2),
            Value("at most", "max by (class) (loom_statement_change_ratio_upper{@})", decimals=2),
            Value(
                "A call before",
                f"{_increase('loom_statement_expected_exec_seconds_total')} / ({_CALLS} > 0)",
                unit="s",
            ),
            Value(
                "A call now",
                f"{_increase('loom_statement_matched_exec_seconds_total')} / ({_CALLS} > 0)",
                unit="s",
            ),
        ],
        width=14,
        height=9,
        worst_first="Times the baseline",
    )
