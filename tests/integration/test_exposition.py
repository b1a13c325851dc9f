"""/metrics of a real database: as Prometheus wants it, and as the contract says."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.catalog.own_metrics import own_metrics
from tests.support.contract import ALL
from tests.support.loom_database import make_database
from tests.support.observers import HANG_SECONDS
from tests.support.tools import require_tool
from tests.support.watching import MONITOR, deploy, install_grants, shipped, watching

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from exporter.demo.postgres import PostgresServer

SUFFIXES = {"counter": "_total", "info": "_info"}
RELOADS = (
    "loom_exporter_config_last_reload_successful",
    "loom_exporter_config_last_reload_success_timestamp_seconds",
)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def pages(server: PostgresServer) -> tuple[str, str]:
    """Return /metrics after a deployment that went well, as text and as OpenMetrics."""
    loom = make_database(server)
    install_grants(loom)

    async def run() -> tuple[str, str]:
        async with watching(loom.dsn(MONITOR)) as watch:
            await watch.look()  # what is there at the first look has no time of its change
            deploy(loom, "healthy")
            with loom.connect() as connection:
                connection.execute("SELECT pg_stat_reset()")  # which has a time, from now on
            await watch.look()
            await watch.poll()
            with loom.connect("postgres") as application:
                application.execute("SELECT count(*) FROM public.users")
            await watch.poll()
            await watch.judge()
            return await watch.page("text/plain"), await watch.page(OPENMETRICS)

    return asyncio.run(run())


def test_promtool_finds_nothing_to_say(pages: tuple[str, str]) -> None:
    promtool = require_tool("promtool", "LOOM_TEST_PROMTOOL")
    check = subprocess.run(
        [promtool, "check", "metrics"],
        input=pages[0],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


def test_openmetrics_passes_a_strict_parser_and_says_the_same(pages: tuple[str, str]) -> None:
    text, openmetrics = pages
    assert openmetrics.endswith("# EOF\n")
    assert _series(_openmetrics(openmetrics)) == _series(parse_text(text))


def test_what_is_served_is_what_is_promised(pages: tuple[str, str]) -> None:
    served = {
        family.name + SUFFIXES.get(family.type, ""): family for family in _openmetrics(pages[1])
    }
    assert {name: family.type for name, family in served.items()} == {
        name: promise.type for name, promise in ALL.items()
    }
    # There is no pg_cron, no source but the database, no login for probes, nothing was collected
    # before, nobody has said anything, and nothing has gone wrong.
    remembered = {name for name in ALL if name.endswith("_baseline")}
    with_a_baseline = own_metrics("baseline", "comparison", "rule_sums").keys() | remembered
    of_sources = {name for query in shipped().http_queries for name in query.metrics}
    # Our own queries may or may not have scanned a table since the reset.
    unknown = {"loom_table_sequential_scan_ratio"}
    assert {
        name for name, family in served.items() if not family.samples
    } - unknown == with_a_baseline | of_sources | {
        "loom_baseline_collected_seconds",
        "loom_probe_ok",
        "loom_suite_tests",
        "loom_suite_timestamp_seconds",
        "loom_mfa_refresh_job_failures",
        "loom_mfa_refresh_job_last_success_timestamp_seconds",
        "loom_deployment_history_rewritten_timestamp_seconds",
        "loom_deployment_rolled_back_timestamp_seconds",
        "loom_daily_check_answered_timestamp_seconds",
        "loom_sign_off_timestamp_seconds",
        "loom_exporter_state_set_aside_timestamp_seconds",
        *RELOADS,  # nothing here reads its files again
    }
    for name, family in served.items():
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == ALL[name].labels, sample.name
            assert sample.labels.get("database", "loom") == "loom"


def test_fixed_values_of_labels_are_those_that_are_served(pages: tuple[str, str]) -> None:
    served: dict[tuple[str, str], set[str]] = {}
    for family in parse_text(pages[0]):
        for sample in family.samples:
            for label, value in sample.labels.items():
                served.setdefault((sample.name, label), set()).add(value)
    for name, metric in own_metrics().items():
        for label, values in metric.values.items():
            assert served.get((name, label), set(values)) == set(values), name


def test_help_is_what_the_query_says(pages: tuple[str, str]) -> None:
    told = {family.name: family.documentation for family in parse_text(pages[0])}
    for name, metric in shipped().metrics().items():
        assert told[name.removesuffix("_total")] == metric.help


def test_no_series_is_told_twice(pages: tuple[str, str]) -> None:
    lines = [line.rpartition(" ")[0] for line in pages[0].splitlines() if line[0] != "#"]
    assert len(lines) > 500
    assert len(set(lines)) == len(lines)


def _openmetrics(page: str) -> list[Metric]:
    return list(openmetrics_parser.text_string_to_metric_families(page))  # type: ignore[no-untyped-call]


def _series(families: Iterable[Metric]) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {
        (sample.name, frozenset(sample.labels.items()))
        for family in families
        for sample in family.samples
    }
