"""The exporter as a process: its memory, its state, its restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.board import Row
from grafana.looks import GREEN, RED, Word, bad_below, bad_from
from grafana.panels import Query, lines, number
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.builders import stat, table, timeseries

MEMORY_BYTES = 120 * 2**20
"""What the exporter promises to stay below."""

SCRAPE_SECONDS = 1
"""/metrics asks no database: it answers at once, or its machine is in trouble."""


def process() -> Sequence[Row]:
    """Return the rows about the process."""
    return [
        Row("The process", [_version(), _persistent(), _dropped(), _restarts()]),
        Row(None, [_memory(), _processor(), _scrape()]),
    ]


def _version() -> table.Panel:
    return rows(
        "Version",
        """Which exporter this is. Two rows are two exporters on one database, or a restart in the
        time shown: one of them should go.""",
        [
            Label("instance", "Instance"),
            Label("version", "Version"),
            Label("python_version", "Python"),
        ],
        [
            Value(
                "Started",
                """max by (instance, version, python_version) (loom_exporter_build_info{@process}
                * on (job, instance) group_left () process_start_time_seconds{@process}) * 1000""",
                unit="dateTimeFromNow",
            )
        ],
        width=10,
        height=5,
    )


def _persistent() -> stat.Panel:
    return number(
        "State",
        """Whether what the exporter knows outlives its restart: the baseline, sign-offs, times of
        changes. If it is not kept, mend LOOM_EXPORTER_STATE_DIR before anything restarts.""",
        Query("min(loom_exporter_state_persistent{@process})", "state"),
        unit="none",
        width=4,
        height=5,
        steps=bad_below(1),
        words={"0": Word("in memory only", RED), "1": Word("kept", GREEN)},
    )


def _dropped() -> stat.Panel:
    return number(
        "Series dropped",
        """Series beyond a query's series_limit in the time shown. 0 is good; otherwise what you see
        is not all: raise the limit, or aggregate in the query.""",
        Query("sum(increase(loom_exporter_query_series_dropped_total{@}[$__range]))", "dropped"),
        unit="none",
        width=5,
        height=5,
        steps=bad_from(1),
    )


def _restarts() -> stat.Panel:
    return number(
        "Restarts",
        """Restarts in the time shown. Those that nobody asked for: look at the memory below, and at
        the last lines of the log before.""",
        Query("sum(changes(process_start_time_seconds{@process}[$__range]))", "restarts"),
        unit="none",
        width=5,
        height=5,
        steps=bad_from(3, orange=1),
    )


def _memory() -> timeseries.Panel:
    return lines(
        "Memory",
        f"""Resident memory. It stays below {MEMORY_BYTES // 2**20} MiB and does not grow from
        day to day; more is worth a bug report.""",
        Query("process_resident_memory_bytes{@process}", "{{instance}}"),
        unit="bytes",
        width=8,
        steps=bad_from(MEMORY_BYTES),
    )


def _processor() -> timeseries.Panel:
    return lines(
        "Processor",
        """Share of one processor. A few percent are ordinary; near 100 % queries start late and are
        counted as misfires.""",
        Query("rate(process_cpu_seconds_total{@process}[$__rate_interval])", "{{instance}}"),
        unit="percentunit",
        width=8,
    )


def _scrape() -> timeseries.Panel:
    return lines(
        "Time of a scrape",
        f"""How long Prometheus waits for /metrics, which asks no database. Hundredths of a second
        are good; above {SCRAPE_SECONDS} s the exporter has too little processor time.""",
        Query("scrape_duration_seconds{@process}", "{{instance}}"),
        unit="s",
        width=8,
        steps=bad_from(SCRAPE_SECONDS),
    )
