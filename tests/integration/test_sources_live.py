"""The shipped questions to HTTP sources: to a real Prometheus, and on answers as documented."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from exporter.catalog import HttpQuery
from exporter.collect.runner import Runner
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.deployment.records import Outcome
from exporter.run_state import RunError, State
from exporter.source_settings import SourceSettings
from exporter.sources.http import HttpSources
from exporter.state import StateStore
from exporter.verdict.criteria import judge_criterion
from exporter.verdict.evidence import SETTLE_SECONDS, Before, Evidence
from tests.support.http_source import HttpSource, Reply, as_json
from tests.support.judging import quiet_hours
from tests.support.observers import HANG_SECONDS, eventually
from tests.support.prometheus import Prometheus
from tests.support.queries import make_http_query
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.watching import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exporter.collect.snapshot import Snapshot
    from exporter.verdict.criteria import CriterionResult
    from tests.support.http_source import Request

RATIO = "loom_application_error_ratio"
STARTED_AT = 1761055200.0


def _query(name: str) -> HttpQuery:
    query = shipped().query(name)
    assert isinstance(query, HttpQuery)
    return query


class Asked:
    """The shipped questions, a runner, and what was answered so far."""

    def __init__(self, folder: Path, sources: Mapping[str, dict[str, Any]]) -> None:
        queries = shipped().all_queries
        names = [query.name for query in queries]
        self.snapshots = SnapshotStore(queries, dict.fromkeys(names, 3600.0))
        self.runner = Runner(
            Database("loom", lambda: "host=127.0.0.1 port=1"),
            self.snapshots,
            StateStore(folder / "none" / "state.sqlite3", read_only=True),
            Telemetry(queries),
            dict.fromkeys(names, 0.0),
            HttpSources({name: SourceSettings(**each) for name, each in sources.items()}),
            lambda: STARTED_AT,
        )

    async def ask(self, name: str) -> Snapshot:
        await self.runner.run(_query(name))
        return self.snapshots[name]

    def judge(self, name: str, gauges: Mapping[str, Any] | None = None) -> CriterionResult:
        """Judge a shipped criterion of a deployment of a minute ago; the database saw no error."""
        at = time.time() - SETTLE_SECONDS - 60
        phases = {phase: PhaseProgress(True, at) for phase in DEPLOYMENT.phases}
        deployed = DeploymentProgress(
            phases, has_begun=True, began_at=at, ended_at=at, settled_at=at
        )
        evidence = Evidence(
            time.time(),
            time.monotonic(),
            self.snapshots,
            deployed,
            Before(gauges or {}, at - 86400, at),
            counted=quiet_hours(at),
        )
        return judge_criterion(name, DEPLOYMENT.criteria[name], evidence)


# ── Prometheus ───────────────────────────────────────────────────────────────────────────────────


@dataclass
class Application:
    """What an application with a gateway and a prober exposes, as Prometheus scrapes it."""

    requests: dict[str, float] = field(default_factory=dict)
    """By code."""
    label: str = "code"
    flows: dict[str, str] = field(default_factory=dict)

    def answer(self, _: Request) -> Reply:
        lines = [
            *(
                f'http_requests_total{{{self.label}="{code}",path="{path}"}} {count / 2}'
                for code, count in self.requests.items()
                for path in ("/a", "/b")
            ),
            *(f'probe_success{{flow="{flow}"}} {up}' for flow, up in self.flows.items()),
        ]
        return Reply("\n".join(lines) + "\n", headers={"Content-Type": "text/plain"})


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def prometheus(application: Application) -> Iterator[Prometheus]:
    with ExitStack() as stack:
        target = stack.enter_context(HttpSource(application.answer))
        yield stack.enter_context(
            Prometheus(
                {
                    "global": {"scrape_interval": "1s"},
                    "scrape_configs": [
                        {
                            "job_name": "application",
                            "static_configs": [{"targets": [f"127.0.0.1:{target.port}"]}],
                        }
                    ],
                }
            )
        )


@pytest.fixture
def asked(tmp_path: Path, prometheus: Prometheus) -> Asked:
    source = {
        "kind": "prometheus",
        "url": prometheus.url,
        "plain_http": True,
        "requests_per_minute": 6000,  # for as many as `_until` needs
    }
    return Asked(tmp_path, {"prometheus": source})


async def _until(asked: Asked, name: str, metric: str, least: float) -> Mapping[Any, float]:
    """Ask again and again until a series has this value; Prometheus needs two scrapes."""
    deadline = time.monotonic() + HANG_SECONDS
    while True:
        snapshot = await asked.ask(name)
        series = snapshot.samples.get(metric, {})
        if any(value >= least for value in series.values()):
            return series
        assert time.monotonic() < deadline, snapshot
        await asyncio.sleep(0.3)


async def _traffic(application: Application, prometheus: Prometheus, **codes: float) -> None:
    """Let requests be made, and Prometheus see the counters before and after them."""
    for code in codes:
        application.requests.setdefault(code.strip("_"), 0.0)
    for step in (0.0, 1.0):
        for code, count in codes.items():
            application.requests[code.strip("_")] += step * count
        for code, count in application.requests.items():
            wanted = f'sum(http_requests_total{{code="{code}"}}) == {count}'
            await asyncio.to_thread(_until_seen, prometheus, wanted)


def _until_seen(prometheus: Prometheus, expression: str) -> None:
    eventually(expression, lambda: prometheus.query(expression))


async def test_error_rate_that_rises_is_a_fail_and_one_that_does_not_is_none(
    application: Application, prometheus: Prometheus, asked: Asked
) -> None:
    await _traffic(application, prometheus, _200=10_000, _404=500, _500=100)
    series = await _until(asked, "application_errors", RATIO, 1e-9)
    ratio = series[("prometheus",)]
    assert ratio == pytest.approx(100 / 10_600, rel=0.05)
    requests = asked.snapshots["application_errors"].samples["loom_application_requests"]
    assert requests[("prometheus",)] > 5_000
    for name in ("application_errors_supabase", "log_errors"):
        assert (await asked.ask(name)).state is State.UNCONFIGURED
    gauges = {RATIO: dict(series)}
    assert asked.judge("error_rates", gauges).outcome is Outcome.PASS
    await _traffic(application, prometheus, _200=10_000, _502=2_000)
    await _until(asked, "application_errors", RATIO, 5 * ratio)
    found = asked.judge("error_rates", gauges)
    assert (found.outcome, found.is_manual) == (Outcome.FAIL, False)
    failing = found.worst_first()[0]
    assert failing.evidence.startswith("prometheus: 0."), failing.evidence
    assert failing.selector == RATIO


async def test_without_requests_or_without_their_status_there_is_no_rate_of_errors(
    application: Application, prometheus: Prometheus, asked: Asked
) -> None:
    assert (await asked.ask("application_errors")).state is State.EMPTY
    application.label = "status"  # as another framework calls it
    application.requests = {"200": 10.0, "500": 10.0}
    await asyncio.to_thread(_until_seen, prometheus, "http_requests_total")
    application.requests = {"200": 1000.0, "500": 1000.0}
    rise = "increase(http_requests_total[1h]) > 100"
    await asyncio.to_thread(_until_seen, prometheus, rise)
    snapshot = await asked.ask("application_errors")
    assert (snapshot.state, snapshot.samples.get(RATIO, {})) == (State.EMPTY, {})
    found = asked.judge("error_rates")
    assert found.outcome is Outcome.INCONCLUSIVE


async def test_without_an_error_the_rate_is_zero(
    application: Application, prometheus: Prometheus, asked: Asked
) -> None:
    await _traffic(application, prometheus, _200=1_000)
    series = await _until(asked, "application_errors", "loom_application_requests", 1.0)
    assert series
    assert asked.snapshots["application_errors"].samples[RATIO] == {("prometheus",): 0.0}


async def test_flows_that_are_probed(
    application: Application, prometheus: Prometheus, asked: Asked
) -> None:
    assert (await asked.ask("user_flows")).state is State.EMPTY
    application.flows = {"login": "1", "upload": "0", "broken": "NaN"}
    series = await _until(asked, "user_flows", "loom_user_flow_up", 1.0)
    assert series == {("login",): 1.0, ("upload",): 0.0}
    await asyncio.to_thread(_until_seen, prometheus, "probe_success")


async def test_expression_that_prometheus_refuses_is_an_error(prometheus: Prometheus) -> None:
    source = SourceSettings(kind="prometheus", url=prometheus.url, plain_http=True)
    query = make_http_query(path=None, expression="sum(")
    with pytest.raises(RunError, match=r"400 Bad Request: .*parse error") as raised:
        await HttpSources({"things": source}).fetch(query, None)
    assert raised.value.state is State.ERROR


# ── answers as they are documented ───────────────────────────────────────────────────────────────


async def _ask(folder: Path, name: str, answer: Any) -> tuple[Snapshot, Request, Asked]:
    with HttpSource(lambda _: as_json(answer)) as source:
        settings = source.settings(url=f"{source.url}/v1/projects/ref")
        asked = Asked(folder, {_query(name).header.source: settings})
        snapshot = await asked.ask(name)
    (request,) = source.requests
    return snapshot, request, asked


async def test_errors_in_the_log_of_the_gateway(tmp_path: Path) -> None:
    answer = {"result": [{"errors": "5", "requests": "1000"}], "error": None}
    snapshot, request, _ = await _ask(tmp_path, "application_errors_supabase", answer)
    assert snapshot.state is State.OK, snapshot.detail
    assert snapshot.samples[RATIO] == {("supabase",): 0.005}
    assert request.path == "/v1/projects/ref/analytics/endpoints/logs"
    assert set(request.parameters) == {"sql", "iso_timestamp_start", "iso_timestamp_end"}
    assert "count(*)" not in request.parameters["sql"]
    assert "source = 'edge_logs'" in request.parameters["sql"]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"result": [], "error": None}, State.EMPTY),
        ({"result": [{"errors": 0, "requests": 0}]}, State.EMPTY),
        ({"result": [], "error": {"message": "quota", "code": 1}}, State.ERROR),
        ({"error": "Backend error"}, State.ERROR),
        ({"result": [{"f": 1}]}, State.EMPTY),
    ],
)
async def test_log_that_is_silent_or_fails_is_not_without_errors(
    tmp_path: Path, answer: Any, state: State
) -> None:
    snapshot, _, asked = await _ask(tmp_path, "application_errors_supabase", answer)
    assert (snapshot.state, snapshot.samples.get(RATIO, {})) == (state, {}), snapshot.detail
    assert asked.judge("error_rates").outcome is Outcome.INCONCLUSIVE


async def test_log_errors_by_source(tmp_path: Path) -> None:
    rows = [
        {"source": "auth_logs", "lines": "120", "errors": "3"},
        {"source": "storage_logs", "lines": "0", "errors": "0"},
    ]
    snapshot, _, _ = await _ask(tmp_path, "log_errors", {"result": rows})
    assert snapshot.samples == {
        "loom_log_errors": {("auth_logs",): 3.0},
        "loom_log_lines": {("auth_logs",): 120.0},
    }


DAILY = [
    {"status": "COMPLETED", "inserted_at": "2025-10-20T03:00:00.000Z"},
    {"status": "COMPLETED", "inserted_at": "2025-10-21T03:00:00.000Z"},
    {"status": "FAILED", "inserted_at": "2025-10-22T03:00:00.000Z"},
]


@pytest.mark.parametrize(
    ("backups", "physical", "newest", "status"),
    [
        (DAILY, {}, 1761015600.0, "FAILED"),
        (DAILY[:1], {"latest_physical_backup_date_unix": 1761000000}, 1761000000.0, "COMPLETED"),
        ([], {"latest_physical_backup_date_unix": 1761000000}, 1761000000.0, "NONE"),
    ],
)
async def test_age_and_status_of_backups(
    tmp_path: Path, backups: Any, physical: Any, newest: float, status: str
) -> None:
    answer = {"region": "x", "backups": backups, "physical_backup_data": physical}
    snapshot, _, _ = await _ask(tmp_path, "backups", answer)
    assert snapshot.samples == {
        "loom_backup_timestamp_seconds": {(): newest},
        "loom_backup_info": {(status,): 1.0},
    }


@pytest.mark.parametrize("backups", [[], DAILY[2:]])
async def test_without_a_completed_backup_the_answer_is_empty(tmp_path: Path, backups: Any) -> None:
    answer = {"backups": backups, "physical_backup_data": {}}
    snapshot, _, asked = await _ask(tmp_path, "backups", answer)
    assert (snapshot.state, snapshot.samples) == (State.EMPTY, {})
    assert asked.judge("backup_restorable").outcome is Outcome.INCONCLUSIVE


async def test_bugs_since_the_deployment(tmp_path: Path) -> None:
    answer = {"total_count": 2, "incomplete_results": False, "items": [{}]}
    snapshot, request, asked = await _ask(tmp_path, "critical_bugs", answer)
    assert snapshot.samples == {"loom_critical_bugs_open": {("github",): 2.0}}
    assert request.parameters["q"].endswith("is:open created:>=2025-10-21T14:00:00Z")
    assert asked.judge("no_critical_bugs").outcome is Outcome.FAIL
    none = {**answer, "total_count": 0}
    _, _, asked = await _ask(tmp_path, "critical_bugs", none)
    assert asked.judge("no_critical_bugs").outcome is Outcome.PASS


@pytest.mark.parametrize(
    "answer",
    [
        {"total_count": 0, "incomplete_results": True, "items": []},
        {"message": "Validation Failed"},
        {"total_count": 0},
    ],
)
async def test_search_that_was_cut_short_finds_no_zero(tmp_path: Path, answer: Any) -> None:
    for name in ("bugs", "critical_bugs"):
        snapshot, _, asked = await _ask(tmp_path, name, answer)
        assert (snapshot.state, snapshot.samples) == (State.ERROR, {})
    assert asked.judge("no_critical_bugs").outcome is Outcome.INCONCLUSIVE
