"""The dashboard for whoever looks for the slow statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.catalog import Deployment
from exporter.comparison.rule import IMPROVED, SLOWER
from exporter.durations import format_duration
from grafana.board import Board, Row
from grafana.footing import footing
from grafana.looks import bad_below, bad_from
from grafana.panels import Query, lines, number
from grafana.server import server
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table, timeseries

UID = "loom-query-performance"

SLOW_STATEMENT: float = Deployment.model_fields["slow_statement"].default
_SLOW = format_duration(SLOW_STATEMENT)


def query_performance_board() -> Board:
    """Return the dashboard about the speed of statements."""
    return Board(
        UID,
        "Loom / Query performance",
        "Which class is slower than before the deployment, and which of its statements.",
        [
            Row(None, [_ratio(), _since_deployment()]),
            Row("Statements", [_slowest(), _slow()]),
            Row("What a call costs", [_call(), _rows(), _blocks()]),
            Row("How much is asked", [_calls(), _time(), _reads()]),
            Row("Scans and indexes", [_sequential(), _indexes()]),
            footing(),
            server(),
        ],
        variables=("class", "role"),
    )


def _per_class(metric: str) -> str:
    return f"sum by (class) (rate({metric}{{@chosen}}[$__rate_interval]))"


def _per_call(metric: str) -> str:
    return f"{_per_class(metric)} / ({_per_class('loom_statement_calls_total')} > 0)"


def _ratio() -> timeseries.Panel:
    return lines(
        "Actual over expected time",
        f"""What calls take now over what the same calls took before the deployment, at the same
        hour of the week; another mix of statements does not change it. 1 is as before. Above
        {SLOWER} for two hours on end is a regression; choose the class above, and find the
        statement below.""",
        Query(
            f"""{_per_class("loom_statement_matched_exec_seconds_total")}
            / ({_per_class("loom_statement_expected_exec_seconds_total")} > 0)""",
            "{{class}}",
        ),
        unit="none",
        width=12,
        steps=bad_from(SLOWER),
    )


def _since_deployment() -> timeseries.Panel:
    return lines(
        "Since the deployment, and how sure",
        f"""The same ratio over all calls since the deployment and its warm-up, with its bounds of
        95 % on either side: they narrow with every hour. The upper one below {SLOWER} is what a
        pass needs besides as many rows and calls, at most {IMPROVED} is an improvement.""",
        Query('max by (class) (loom_statement_change_ratio{@, class=~"$class"})', "{{class}}"),
        Query(
            'max by (class) (loom_statement_change_ratio_lower{@, class=~"$class"})',
            "{{class}} at least",
        ),
        Query(
            'max by (class) (loom_statement_change_ratio_upper{@, class=~"$class"})',
            "{{class}} at most",
        ),
        unit="none",
        width=12,
        steps=bad_from(SLOWER),
        dashed="/ at (least|most)$/",
    )


def _slowest() -> table.Panel:
    return rows(
        "Slowest statements",
        f"""The slowest statements of the last quarter of an hour, with their text without
        literals. Slow is a mean above slow_statement of deployment.yaml, {_SLOW} unless it says
        another; in a class that became slower, the first one is the suspect whatever its mean.
        EXPLAIN (ANALYZE, BUFFERS) it, and look for a lost index below.""",
        [
            Label("text", "Statement"),
            Label("class", "Class", width=150),
            Label("role", "Role", width=130),
            Label("statement", "Id", width=150),
        ],
        [
            Value(
                "Mean",
                """max by (statement, class, role) (loom_statement_mean_exec_seconds{@chosen})
                * on (statement, class) group_left (text)
                max by (statement, class, text) (loom_statement_info{@, class=~"$class"})
                or on (statement, class, role)
                max by (statement, class, role) (loom_statement_mean_exec_seconds{@chosen})""",
                unit="s",
                steps=bad_from(SLOW_STATEMENT),
            )
        ],
        width=19,
        height=11,
        worst_first="Mean",
    )


def _slow() -> stat.Panel:
    return number(
        "Slow statements",
        """How many statements of each class took more than slow_statement of deployment.yaml on
        average between the last two looks. 0 is good; the table beside names them.""",
        Query('max by (class) (loom_statements_slow{@, class=~"$class"})', "{{class}}"),
        unit="none",
        width=5,
        height=11,
        steps=bad_from(1),
    )


def _call() -> timeseries.Panel:
    return lines(
        "Time of a call, beside the baseline",
        """Mean time of a call of statements that have a baseline, and, dashed, what the same calls
        took before at this hour of the week. The two lines of a class should stay together, or the
        dashed one above.""",
        Query(
            f"""{_per_class("loom_statement_matched_exec_seconds_total")}
            / ({_per_class("loom_statement_matched_calls_total")} > 0)""",
            "{{class}}",
        ),
        Query(
            f"""{_per_class("loom_statement_expected_exec_seconds_total")}
            / ({_per_class("loom_statement_matched_calls_total")} > 0)""",
            "{{class}} before",
        ),
        unit="s",
        width=12,
        dashed="/ before$/",
    )


def _rows() -> timeseries.Panel:
    return lines(
        "Rows of a call",
        """Rows that a call returns or changes. A step at the deployment means that the question
        changed, or that policies let more or fewer rows through.""",
        Query(_per_call("loom_statement_rows_total"), "{{class}}"),
        unit="none",
        width=6,
    )


def _blocks() -> timeseries.Panel:
    return lines(
        "Blocks of a call",
        """Blocks of 8 kB that a call looks at, in the cache or not. It does not depend on how busy
        the server is: a step up at the deployment is a worse plan, such as a scan of a table that
        had an index.""",
        Query(
            f"""({_per_class("loom_statement_shared_blocks_hit_total")}
            + {_per_class("loom_statement_shared_blocks_read_total")})
            / ({_per_class("loom_statement_calls_total")} > 0)""",
            "{{class}}",
        ),
        unit="none",
        width=6,
    )


def _calls() -> timeseries.Panel:
    return lines(
        "Calls",
        """Calls that succeeded. What fails is not counted by the server: a class that falls silent
        after the deployment is broken, not fast.""",
        Query(_per_class("loom_statement_calls_total"), "{{class}}"),
        unit="ops",
        width=8,
    )


def _time() -> timeseries.Panel:
    return lines(
        "Time spent in execution",
        """Seconds of execution in each second: 1 is one connection that is always busy. It says
        what a slow class costs the server; a slow class that costs nothing can wait.""",
        Query(_per_class("loom_statement_exec_seconds_total"), "{{class}}"),
        unit="none",
        width=8,
        stacked=True,
    )


def _reads() -> timeseries.Panel:
    return lines(
        "Blocks not found in the cache",
        """Blocks that had to be read from outside PostgreSQL's own cache. Many just after the
        deployment are the warm-up; many for hours are tables that no longer fit.""",
        Query(_per_class("loom_statement_shared_blocks_read_total"), "{{class}}"),
        unit="ops",
        width=8,
    )


def _sequential() -> timeseries.Panel:
    scans = "rate(loom_table_{}_scans_total{{@}}[$__rate_interval])"
    sequential = f"sum by (table) ({scans.format('sequential')})"
    by_index = f"sum by (table) ({scans.format('index')})"
    return lines(
        "Share of sequential scans",
        """Scans of the whole table among all its scans. Right for a table of a few hundred rows;
        a large one whose share rises at the deployment lost an index, or its policy hides one from
        the planner.""",
        Query(f"{sequential} / ({sequential} + {by_index} > 0)", "{{table}}"),
        unit="percentunit",
        width=10,
        height=11,
    )


def _indexes() -> table.Panel:
    return rows(
        "Indexes",
        """Scans of each index in the time shown, and whether queries can use it. An index that is
        not valid was left over by a CREATE INDEX CONCURRENTLY that failed: drop it and create it
        again. One that is missing here does not exist.""",
        [Label("table", "Table"), Label("index", "Index")],
        [
            Value(
                "Scans",
                "sum by (table, index) (increase(loom_index_scans_total{@}[$__range]))",
                decimals=0,
            ),
            Value(
                "Valid",
                "min by (table, index) (loom_index_valid{@})",
                unit="bool_yes_no",
                steps=bad_below(1),
            ),
        ],
        width=14,
        height=11,
        worst_first="Scans",
    )
