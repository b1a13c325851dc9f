"""The alert rules over what a real exporter says, scraped at other times than evaluated."""

from __future__ import annotations

import json
import math
import random
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.database.roles import ROLE
from exporter.run_state import State
from tests.support.alert_rules import RULE_FILES
from tests.support.daemon import Daemon
from tests.support.observers import eventually
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

MINUTES = 20
SCRAPE_SECONDS = (5, 15, 30, 60)
LAST_SUCCESS = "loom_exporter_query_last_success_timestamp_seconds"
STATE = "loom_exporter_query_state"
INTERVAL = "loom_exporter_query_interval_seconds"


class Scrapes(NamedTuple):
    """When Prometheus scrapes; it evaluates the rules at each full minute."""

    seconds: int
    """Between two scrapes."""

    phase: int
    """Seconds from a full minute to the first."""

    def values(self, series: Mapping[int, float]) -> str:
        """Return the values at the scrapes, one a second as promtool reads them, `_` for none."""
        return " ".join(f"{series[at]!r} _x{self.seconds - 1}" for at in self.times())

    def times(self) -> range:
        """Return the scrapes, in seconds from the start."""
        return range(self.phase, MINUTES * 60, self.seconds)


CASES = [
    Scrapes(seconds, phase)
    for seconds in SCRAPE_SECONDS
    # Just after an evaluation, so that it sees the oldest scrape; in between; just before one.
    for phase in sorted({1, seconds // 2, seconds - 1})
]


@pytest.fixture(params=["", "5s"], ids=["shipped intervals", "MAX_INTERVAL 5s"])
def page(request: pytest.FixtureRequest, monitored: LoomDatabase) -> Mapping[str, float]:
    """Return what a healthy exporter says of itself: values by series."""

    def healthy() -> str:
        # One whose query was held up has no answer for minutes, so another exporter is asked.
        with Daemon(
            monitored.dsn(ROLE), env={"LOOM_EXPORTER_MAX_INTERVAL": request.param}
        ) as daemon:
            daemon.wait_until_ready()
            page = daemon.page()
        return "" if any(State(each).is_failure for each in page.states.values()) else page.text

    text = eventually("an exporter has got all its answers", healthy)
    rules = "\n".join(path.read_text(encoding="utf-8") for path in RULE_FILES)
    return {
        f"{sample.name}{json.dumps(sample.labels)}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(("loom_exporter_", "loom_database_up"))
        # promtool takes seconds for a thousand series: only what rules read, and of states the one
        # that is true.
        and sample.name in rules
        and not (sample.name == STATE and sample.value == 0)
    }


def _by_query(page: Mapping[str, float], metric: str) -> dict[str, float]:
    """Return the values of a metric by query."""
    return {
        json.loads(name.removeprefix(metric))["query"]: value
        for name, value in page.items()
        if name.startswith(f"{metric}{{")
    }


def _series(
    page: Mapping[str, float], scrapes: Scrapes, stopped: str | None = None
) -> Iterator[Mapping[str, str]]:
    """Yield what is scraped; each query but one has its last success at its own rhythm."""
    noise = random.Random(scrapes.seconds * 100 + scrapes.phase)
    intervals = _by_query(page, INTERVAL)
    for name, value in page.items():
        metric, labels = name.split("{", 1)[0], json.loads(name[name.index("{") :])
        values = dict.fromkeys(scrapes.times(), value)
        if metric == LAST_SUCCESS:
            interval = intervals[labels["query"]]
            first = noise.uniform(-interval, 0)
            values = {
                at: first
                if labels["query"] == stopped
                else first + math.floor((at - first) / interval) * interval
                for at in scrapes.times()
            }
        told = ", ".join(f"{k}={json.dumps(v)}" for k, v in labels.items() | {("job", "loom")})
        leading = f"_x{scrapes.phase} "
        yield {"series": f"{metric}{{{told}}}", "values": leading + scrapes.values(values)}


def _assert_firing(
    folder: Path, tests: Mapping[Scrapes, list[Mapping[str, str]]], firing: set[tuple[str, ...]]
) -> None:
    """Assert that only these alerts fire, as name and query, besides the heartbeat."""
    expression = 'count by (alertname, query) (ALERTS{alertstate="firing", severity!="none"})'
    document = {
        "rule_files": [str(path) for path in RULE_FILES],
        "evaluation_interval": "1m",
        "tests": [
            {
                "name": f"scraped every {scrapes.seconds} s, {scrapes.phase} s after an evaluation",
                "interval": "1s",
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": expression,
                        "eval_time": f"{minute}m",
                        "exp_samples": [
                            {"labels": f'{{alertname="{alert}", query="{query}"}}', "value": 1}
                            for alert, query in firing
                            if minute == MINUTES - 1
                        ],
                    }
                    for minute in ((MINUTES - 1,) if firing else range(MINUTES))
                ],
            }
            for scrapes, series in tests.items()
        ],
    }
    (path := folder / "test.yaml").write_text(json.dumps(document), encoding="utf-8")
    promtool = require_tool("promtool", "LOOM_TEST_PROMTOOL")
    done = subprocess.run(
        [promtool, "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_fires_on_a_healthy_exporter_at_any_rhythm_of_scrapes(
    page: Mapping[str, float], tmp_path: Path
) -> None:
    assert len(_by_query(page, LAST_SUCCESS)) > 10
    _assert_firing(tmp_path, {each: list(_series(page, each)) for each in CASES}, set())


def test_query_that_stands_still_is_reported_at_any_rhythm_of_scrapes(
    page: Mapping[str, float], tmp_path: Path
) -> None:
    intervals = _by_query(page, INTERVAL)
    stopped = min(_by_query(page, LAST_SUCCESS), key=lambda query: intervals[query])
    tests = {each: list(_series(page, each, stopped)) for each in CASES}
    _assert_firing(tmp_path, tests, {("LoomQueryStale", stopped)})
