"""The dashboard for whoever decides: do we keep it, what is wrong, and whose phase is it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.before_after import before_and_after
from grafana.blame import blame
from grafana.board import Board, Row
from grafana.looks import (
    GREEN,
    ORANGE,
    PLAIN,
    RED,
    STATUS,
    STATUS_STEPS,
    Step,
    Word,
    bad_below,
    bad_from,
)
from grafana.panels import Query, lines, number
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table, timeseries

UID = "loom-deployment"


def deployment_board() -> Board:
    """Return the dashboard about the deployment as a whole."""
    return Board(
        UID,
        "Loom / Deployment",
        "May we keep it? What fails, which phase is to blame, what to do.",
        [
            Row(None, [_verdict(), _age(), _warmup(), _reached(), _freshness()]),
            *blame(),
            before_and_after(),
            Row("Plan", [_plan(), _rollbacks()]),
        ],
        since="now-24h",
    )


def _verdict() -> stat.Panel:
    return number(
        "Verdict",
        """Whether the deployment may begin, whether it can stay, or that it is rolled back.
        NO-GO: a criterion fails, see below which and whose phase. Inconclusive: nothing fails, but
        something is not known or not signed yet (loom-exporter verify says what).""",
        Query(
            """max(loom_deployment_stage{@, stage="inconclusive"})
            + 2 * max(loom_deployment_stage{@, stage="no_go"})
            + 3 * max(loom_deployment_stage{@, stage="collecting"})
            + 4 * max(loom_deployment_stage{@, stage="ready"})
            + 5 * max(loom_deployment_stage{@, stage="not_ready"})
            + 6 * max(loom_deployment_stage{@, stage="rolled_back"})""",
            "verdict",
        ),
        unit="none",
        width=6,
        steps=STATUS_STEPS,
        words={
            "0": Word("GO", GREEN),
            "1": Word("INCONCLUSIVE", ORANGE),
            "2": Word("NO-GO", RED),
            "3": Word("NOT DEPLOYED YET", PLAIN),
            "4": Word("READY", GREEN),
            "5": Word("NOT READY", RED),
            "6": Word("ROLLED BACK", ORANGE),
        },
    )


def _age() -> stat.Panel:
    return number(
        "Since the deployment",
        """Time since the last phase was applied; no data until then. The first hour and the first
        week are those to watch.""",
        Query("time() - max(loom_deployment_timestamp_seconds{@})", "since the last phase"),
        unit="s",
        width=5,
    )


def _warmup() -> stat.Panel:
    return number(
        "Warm-up",
        """While caches fill and plans settle, speed is not judged. What is slow after it is
        slow.""",
        Query("max(loom_deployment_warmup_active{@})", "warm-up"),
        unit="none",
        width=4,
        words={"0": Word("over"), "1": Word("still on", ORANGE)},
        steps=(Step(None, PLAIN), Step(1, ORANGE)),
    )


def _reached() -> stat.Panel:
    return number(
        "Watched",
        """Whether Prometheus reaches the exporter, and the exporter the database. If one of them
        does not, nothing else here is current: begin there.""",
        Query("min(up{@process})", "exporter"),
        Query("min(loom_database_up{@})", "database"),
        unit="none",
        width=5,
        steps=bad_below(1),
        words={"0": Word("down", RED), "1": Word("up", GREEN)},
    )


def _freshness() -> stat.Panel:
    return number(
        "Oldest answer",
        """Age of the oldest answer, in intervals of its query. Below 2 is good. From 3 on values
        are dropped and panels empty themselves; the Exporter dashboard names the query.""",
        Query(
            """max(
              (time() - max by (query) (loom_exporter_query_last_success_timestamp_seconds{@}))
              / on (query) max by (query) (loom_exporter_query_interval_seconds{@})
              unless on (query) max by (query) (loom_exporter_query_state{@, state="absent"}) == 1
            )""",
            "intervals",
        ),
        unit="none",
        width=4,
        steps=bad_from(3, orange=2),
    )


def _plan() -> table.Panel:
    return rows(
        "Day by day",
        """The plan's checks after the deployment. Each is answered once, when it is due, and
        the answer stays. What a person must answer stays pending until signed
        (loom-exporter sign-off).""",
        [Label("day", "Day", width=60), Label("title", "Check")],
        [
            Value(
                "Status",
                """max by (day, title) (
                (max by (day, check) (loom_daily_check_status{@, status="inconclusive"})
                + 2 * max by (day, check) (loom_daily_check_status{@, status="fail"})
                - max by (day, check) (loom_daily_check_status{@, status="pending"}))
                * on (check) group_left (title)
                max by (check, title) (loom_daily_check_info{@}))""",
                steps=(Step(None, PLAIN), Step(0, GREEN), Step(1, ORANGE), Step(2, RED)),
                words={"-1": Word("pending"), **STATUS},
            )
        ],
        width=12,
        height=9,
    )


def _rollbacks() -> timeseries.Panel:
    return lines(
        "Transactions rolled back",
        """The share of transactions that end in a rollback: the database's part of the
        application's error rate. It should be as before the deployment's mark; if not, read the
        application's log from that moment on.""",
        Query(
            """sum(rate(loom_database_transactions_total{@, outcome="rollback"}[$__rate_interval]))
            / sum(rate(loom_database_transactions_total{@}[$__rate_interval]))""",
            "rolled back",
        ),
        unit="percentunit",
        width=12,
        height=9,
    )
