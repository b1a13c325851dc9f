"""The dashboard about the exporter: do its queries answer, and what does it cost the database?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.run_state import State
from grafana.board import Board, Row
from grafana.exporter_process import process
from grafana.looks import GREEN, ORANGE, PLAIN, RED, Step, Word, bad_from
from grafana.panels import Query, lines, states
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import statetimeline, table, timeseries

UID = "loom-exporter"

MOST_CONNECTIONS = 2

_COLOURS = {
    State.OK: GREEN,
    State.EMPTY: GREEN,
    State.ABSENT: PLAIN,
    State.UNCONFIGURED: PLAIN,
    State.LOCKED: ORANGE,
    State.LIMITED: ORANGE,
    State.TIMEOUT: ORANGE,
    State.OUTDATED: ORANGE,
    State.DENIED: RED,
    State.UNREACHABLE: RED,
    State.ERROR: RED,
}
"""From well to worst; a state's number is its place here."""


def exporter_board() -> Board:
    """Return the dashboard about the exporter itself."""
    return Board(
        UID,
        "Loom / Exporter",
        "Whether the exporter sees what it should, how fresh it is, and what it costs.",
        [
            Row(None, [_states()]),
            Row("Answers", [_queries(), _troubles()]),
            Row("What it costs the database", [_load(), _durations(), _connections()]),
            *process(),
        ],
    )


def _states() -> statetimeline.Panel:
    numbered = list(enumerate(_COLOURS))
    state_is = 'max by (query, state) (loom_exporter_query_state{{@, state="{}"}})'
    return states(
        "State of each query",
        """ok and empty are good; absent means that its object is not there, as before the
        deployment; unconfigured, that its HTTP source is in no settings. locked, limited and
        timeout keep the last values: wait. outdated: run loom-exporter grants again. denied: grant
        what the log names. unreachable: the database or the HTTP source. error: the log says which
        error.""",
        Query(
            "sum by (query) ("
            + " or ".join(f"{number} * {state_is.format(state)}" for number, state in numbered)
            + ")",
            "{{query}}",
        ),
        width=24,
        height=18,
        steps=[Step(number or None, colour) for number, colour in enumerate(_COLOURS.values())],
        words={str(number): Word(state, _COLOURS[state]) for number, state in numbered},
    )


def _queries() -> table.Panel:
    return rows(
        "Queries",
        """How old the last answer of each query is, in its own intervals; how long a run takes on
        average in the time shown; and the series that it gives. From 3 intervals on its values are
        dropped. A slow one: its timeout is in its file.""",
        [Label("query", "Query")],
        [
            Value(
                "Age",
                """(time() - max by (query) (loom_exporter_query_last_success_timestamp_seconds{@}))
                / max by (query) (loom_exporter_query_interval_seconds{@})
                unless on (query) max by (query) (loom_exporter_query_state{@, state="absent"}) == 1
                """,
                steps=bad_from(3, orange=2),
                decimals=1,
            ),
            Value("Interval", "max by (query) (loom_exporter_query_interval_seconds{@})", unit="s"),
            Value(
                "A run",
                """sum by (query) (increase(loom_exporter_query_duration_seconds_sum{@}[$__range]))
                / (sum by (query)
                (increase(loom_exporter_query_duration_seconds_count{@}[$__range])) > 0)""",
                unit="s",
            ),
            Value("Series", "max by (query) (loom_exporter_query_series{@})"),
        ],
        width=14,
        height=12,
        worst_first="Age",
    )


def _troubles() -> timeseries.Panel:
    return lines(
        "Runs that failed or were left out",
        """Runs a second that ended badly, by state, or did not begin, by reason. Now and then one
        is no harm. running: a query takes longer than its interval. backoff: it failed before.
        misfire: the exporter had no processor time.""",
        Query(
            "sum by (state) (rate(loom_exporter_query_failures_total{@}[$__rate_interval]))",
            "{{state}}",
        ),
        Query(
            "sum by (reason) (rate(loom_exporter_query_skipped_total{@}[$__rate_interval]))",
            "left out: {{reason}}",
        ),
        unit="ops",
        width=10,
        height=12,
    )


def _load() -> timeseries.Panel:
    return lines(
        "Time in our queries",
        f"""Seconds that our queries run in each second: 1 is one connection that is always busy.
        It is a few hundredths; towards {MOST_CONNECTIONS} the exporter has no connection left, and
        the busiest query should run more rarely.""",
        Query(
            """sum by (query)
            (rate(loom_exporter_query_duration_seconds_sum{@}[$__rate_interval]))""",
            "{{query}}",
        ),
        unit="none",
        width=8,
        height=10,
        steps=bad_from(MOST_CONNECTIONS),
        stacked=True,
    )


def _durations() -> timeseries.Panel:
    return lines(
        "Slowest runs",
        """The time within which 95 of 100 runs of all queries end, and half of them. A rise at the
        deployment: a query of ours meets a table that lost an index, or a lock.""",
        Query(
            """histogram_quantile(0.95, sum by (le)
            (rate(loom_exporter_query_duration_seconds_bucket{@}[$__rate_interval])))""",
            "95 %",
        ),
        Query(
            """histogram_quantile(0.5, sum by (le)
            (rate(loom_exporter_query_duration_seconds_bucket{@}[$__rate_interval])))""",
            "50 %",
        ),
        unit="s",
        width=8,
        height=10,
    )


def _connections() -> timeseries.Panel:
    return lines(
        "Connections of the exporter",
        f"""Never more than {MOST_CONNECTIONS} together. If both are always busy, queries wait for
        each other; none at all while the database is up means that it refuses us: see the log.""",
        Query("sum by (state) (loom_exporter_pool_connections{@})", "{{state}}"),
        unit="none",
        width=8,
        height=10,
        steps=bad_from(MOST_CONNECTIONS + 1),
        stacked=True,
    )
