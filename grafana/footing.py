"""What the comparison with the time before rests on: the baseline, and how much it covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.comparison.rule import GREATEST_BASELINE_ERROR, LEAST_COVERAGE
from grafana.board import Row
from grafana.looks import GREEN, RED, Step, Word, bad_below, bad_from
from grafana.panels import Query, lines, number
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table, timeseries


def footing() -> Row:
    """Return the row about the baseline."""
    return Row(
        "What the comparison rests on",
        [_state(), _window(), _backtest(), _lost(), _coverage(), _places()],
    )


def _state() -> stat.Panel:
    states = ("collecting", "frozen", "missing", "refused")
    return number(
        "Baseline",
        """Collecting before the deployment, frozen after it. Missing or refused: speed cannot be
        judged; loom-exporter baseline show says why.""",
        Query(
            " + ".join(
                f'{value} * max(loom_baseline_state{{@, state="{state}"}})'
                for value, state in enumerate(states)
                if value
            ),
            "baseline",
        ),
        unit="none",
        width=6,
        steps=(Step(None, GREEN), Step(2, RED)),
        words={str(value): Word(state) for value, state in enumerate(states)},
    )


def _window() -> stat.Panel:
    return number(
        "Time that the baseline rests on",
        """A week knows every hour of the week; a day is the least to trust. It should end just
        before the deployment.""",
        Query(
            "max(loom_baseline_window_seconds{@}) or max(loom_baseline_collected_seconds{@})",
            "time",
        ),
        unit="s",
        width=6,
    )


def _backtest() -> stat.Panel:
    return number(
        "False pages on the baseline itself",
        """How often the rule would have paged in hours of the baseline, where nothing had changed.
        0 is good; more means that this database is noisier than the rule expects, so read its
        pages with that in mind.""",
        Query("max(loom_baseline_backtest_pages{@})", "pages"),
        unit="none",
        width=6,
        steps=bad_from(1),
    )


def _lost() -> stat.Panel:
    return number(
        "Statements forgotten by the server",
        """Evictions and resets of pg_stat_statements in the time shown. Calls that went with them
        are missing everywhere here. Evictions: raise pg_stat_statements.max. Resets: somebody
        called pg_stat_statements_reset().""",
        Query("sum(increase(loom_statement_evictions_total{@}[$__range]))", "evictions"),
        Query("sum(increase(loom_statement_resets_total{@}[$__range]))", "resets"),
        unit="none",
        width=6,
        steps=bad_from(1),
    )


def _coverage() -> timeseries.Panel:
    return lines(
        "Time spent in statements with a baseline",
        f"""The share of a class's time of which the baseline knows the statements. At or below
        {LEAST_COVERAGE:.0%} nothing is decided about it: the application asks other questions than
        before. Name them as replacements in deployment.yaml.""",
        Query(
            """sum by (class)
            (rate(loom_statement_matched_exec_seconds_total{@chosen}[$__rate_interval]))
            / (sum by (class)
            (rate(loom_statement_exec_seconds_total{@chosen}[$__rate_interval])) > 0)""",
            "{{class}}",
        ),
        unit="percentunit",
        width=10,
        steps=bad_below(LEAST_COVERAGE),
    )


def _places() -> table.Panel:
    return rows(
        "Classes and roles in the baseline",
        f"""Calls and their mean time before the deployment; how uncertain what is expected is, and
        how much hours, six hours and days differ though nothing changes. With an error above
        {GREATEST_BASELINE_ERROR:.0%} nothing is judged: the baseline is too short.""",
        [Label("class", "Class"), Label("role", "Role")],
        [
            Value("Calls", "max by (class, role) (loom_baseline_calls{@chosen})", decimals=0),
            Value(
                "Mean", "max by (class, role) (loom_baseline_mean_exec_seconds{@chosen})", unit="s"
            ),
            Value(
                "Error",
                "max by (class, role) (loom_baseline_relative_error{@chosen})",
                unit="percentunit",
                steps=bad_from(GREATEST_BASELINE_ERROR),
            ),
            *(
                Value(
                    name,
                    "max by (class, role) "
                    f"(loom_baseline_window_log_stddev{{@chosen, window='{label}'}})",
                    unit="percentunit",
                )
                for name, label in (("1 h", "1h"), ("6 h", "6h"), ("24 h", "24h"))
            ),
        ],
        width=14,
        worst_first="Calls",
    )
