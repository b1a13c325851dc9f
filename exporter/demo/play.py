"""The demo: a database under load goes through its deployment, and the exporter watches."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import psycopg

from exporter.catalog import load_catalog
from exporter.database.grants import grants_sql
from exporter.database.probe_grants import PROBE_ROLE, probe_grants_sql
from exporter.database.roles import ROLE
from exporter.demo.database import FILES, OWNER, DemoDatabase, migrations
from exporter.demo.postgres import PostgresServer
from exporter.demo.process import ExporterProcess
from exporter.demo.processes import free_port
from exporter.demo.programs import ServerError, embedded_bin_dir
from exporter.demo.sources import Calls, DemoSources, suite_results
from exporter.demo.story import RUNS, StoryTotals, is_open, read_story, runs, table, totals
from exporter.demo.workload import Workload
from exporter.errors import ExporterError
from exporter.settings import packaged_queries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Scenario = Literal["healthy", "published", "regression", "rollback", "errors"]

_MAX_INTERVAL_SECONDS = 2.0
_SETTLE_SECONDS = 180.0
"""The longest that it may take until every query has seen what was changed."""

_SERVER_SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "track_commit_timestamp": "on",
    "max_connections": "40",
}


class DemoError(ExporterError):
    """The demo cannot go on; `str()` says why."""


class Pace(NamedTuple):
    """How fast time goes by: the exporter's hour, and the demo's halves.

    A dozen hours before the deployment make a baseline that knows its own noise; the warm-up after
    it takes half an hour.
    """

    hour_seconds: float
    before_seconds: float
    after_seconds: float


CALM = Pace(hour_seconds=5.0, before_seconds=60.0, after_seconds=60.0)
FAST = Pace(hour_seconds=3.0, before_seconds=30.0, after_seconds=30.0)
"""From the start to the verdict in less than two minutes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the demo goes. `hold_seconds` None means until Ctrl-C; `port` 0 takes a free one.

    With `sources`, all that lies beyond the database is there: HTTP sources, results of suites, and
    a login for probes.
    """

    scenario: Scenario = "healthy"
    port: int = 10187
    pace: Pace = CALM
    hold_seconds: float | None = None
    sources: bool = False


def play(plan: Plan) -> None:
    """Play the demo, and leave nothing behind.

    Raises:
        DemoError: PostgreSQL or the exporter did not start.
    """
    with contextlib.suppress(KeyboardInterrupt), _sigterm_is_ctrl_c():
        try:
            asyncio.run(_Stage(plan).play())
        except ServerError as error:
            raise DemoError(str(error)) from None
        except psycopg.Error as error:
            raise DemoError(f"the database of the demo: {error}") from None
    _say("Everything is stopped and removed.")


class _Stage:
    """The running parts of one demo."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._started = time.monotonic()
        self._story = read_story(FILES / "story.yaml")
        self._looks: dict[str, Sequence[StoryTotals]] = {}

    async def play(self) -> None:
        with tempfile.TemporaryDirectory(prefix="loom-demo-", dir=_short_folder()) as name:
            folder = Path(name)
            # The account that runs the server for root must get through to its own folder.
            folder.chmod(0o711)  # noqa: ASYNC240
            self._tell("starting PostgreSQL")
            with (
                PostgresServer(
                    embedded_bin_dir(), folder / "postgres", settings=_SERVER_SETTINGS
                ) as server,
                contextlib.ExitStack() as others,
            ):
                self._tell(f"PostgreSQL {server.version} is up; making the database")
                database = DemoDatabase.create(server)
                catalog = load_catalog(packaged_queries())
                database.install_grants(grants_sql(catalog))
                users = await asyncio.to_thread(_users, database)
                workload = Workload(database.dsn("authenticator"), FILES / "workload", users)
                config = None
                if self._plan.sources:
                    self._tell("starting what lies beyond the database")
                    database.install_grants(probe_grants_sql(catalog))
                    sources = others.enter_context(DemoSources(lambda: _calls_of(workload)))
                    dsn = database.dsn(PROBE_ROLE)
                    config = sources.write_settings(folder, packaged_queries(), dsn)
                self._tell(f"starting the exporter as the role {ROLE}")
                port = self._plan.port or free_port()
                with ExporterProcess(
                    database.dsn(ROLE),
                    folder,
                    port,
                    max_interval_seconds=_MAX_INTERVAL_SECONDS,
                    hour_seconds=self._plan.pace.hour_seconds,
                    config=config,
                ) as exporter:
                    await self._act(database, exporter, workload, folder)

    async def _act(
        self, database: DemoDatabase, exporter: ExporterProcess, workload: Workload, folder: Path
    ) -> None:
        traffic = asyncio.create_task(workload.run())
        try:
            _say(f"\n  Open {exporter.url}/\n  For Prometheus: {exporter.url}/metrics\n")
            hour, before, after = self._plan.pace
            self._tell(f"an hour of the exporter's baseline and warm-up lasts {hour:g} s here")
            self._tell(f"under load, before the deployment, for {before:g} s")
            await asyncio.sleep(before)
            await self._look("before", exporter)
            await self._deploy(database)
            if self._plan.sources:
                await asyncio.to_thread(self._record_suites, exporter, folder)
            await self._look("deployed", exporter)
            turn = self._story.turns.get(self._plan.scenario)
            if turn:
                self._tell(turn.text)
                workload.error_share = turn.error_share
                if turn.file:
                    await asyncio.to_thread(database.run_file, FILES / turn.file)
            self._tell(f"under load, after it, for {after:g} s")
            await asyncio.sleep(after)
            await self._look(turn.look if turn else "later", exporter)
            _say("\n" + table(self._story.watched, self._looks) + "\n")
            if workload.failures:
                failed = ", ".join(f"{count} × {code}" for code, count in workload.failures.items())
                _say(
                    f"  The application had {workload.calls} calls that went well, and {failed}.\n"
                )
            await self._tell_verdict(exporter)
            await self._hold(exporter)
        finally:
            traffic.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await traffic

    async def _deploy(self, database: DemoDatabase) -> None:
        edition = "published" if self._plan.scenario == "published" else "healthy"
        for path in migrations(edition):
            self._tell(f"applying {path.stem}")
            await asyncio.to_thread(database.run_file, path)
            await asyncio.sleep(1.0)

    def _record_suites(self, exporter: ExporterProcess, folder: Path) -> None:
        for suite, result in suite_results(folder):
            told = exporter.command("record", suite, str(result), "--environment", "staging")
            self._tell(f"suite recorded: {(told.stdout or told.stderr).strip()}")

    async def _look(self, name: str, exporter: ExporterProcess) -> None:
        """Keep the numbers that are printed, as they are once every query has run again."""
        before = runs(await asyncio.to_thread(exporter.metrics, *RUNS))
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            now = runs(await asyncio.to_thread(exporter.metrics, *RUNS))
            # The first run that ends may have begun before.
            if all(now[query] >= count + 2 for query, count in before.items()):
                break
            if time.monotonic() > deadline:
                raise DemoError(
                    f"the exporter did not run all queries within {_SETTLE_SECONDS:g} s"
                )
            await asyncio.sleep(_MAX_INTERVAL_SECONDS / 4)
        page = await asyncio.to_thread(exporter.metrics)
        self._looks[name] = totals(page, self._story.watched)

    async def _tell_verdict(self, exporter: ExporterProcess) -> None:
        """Tell what whoever decides is told, and what a pipeline is, which reads the exit code.

        On a busy machine it takes more calls until something can be said of their speed: it gets
        the time after the deployment once more.
        """
        deadline = time.monotonic() + self._plan.pace.after_seconds
        while time.monotonic() < deadline:
            if not is_open(await asyncio.to_thread(exporter.verdict)):
                break
            await asyncio.sleep(_MAX_INTERVAL_SECONDS)
        self._tell("the verdict, by loom-exporter verify")
        verdict = await asyncio.to_thread(exporter.command, "verify")
        _say(f"\n{(verdict.stdout or verdict.stderr).rstrip()}\n\nExit code {verdict.returncode}\n")

    async def _hold(self, exporter: ExporterProcess) -> None:
        if self._plan.hold_seconds is None:
            self._tell(f"still running at {exporter.url}/; end it with Ctrl-C")
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self._plan.hold_seconds)

    def _tell(self, text: str) -> None:
        _say(f"[{time.monotonic() - self._started:5.1f} s] {text}")


def _users(database: DemoDatabase) -> list[str]:
    with database.connect(OWNER) as connection:
        return [
            str(user) for (user,) in connection.execute("SELECT id FROM auth.users ORDER BY id")
        ]


def _calls_of(workload: Workload) -> Calls:
    return Calls(workload.calls, workload.failures.total())


@contextlib.contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    # By way of SIGINT, which asyncio turns into a cancellation. An exception raised here would come
    # up in any task that is running. A shell's `demo &` ignores SIGINT, and asyncio leaves it so.
    handlers = {
        signal.SIGTERM: lambda *_: signal.raise_signal(signal.SIGINT),
        signal.SIGINT: signal.default_int_handler,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _short_folder() -> str | None:
    """Return /tmp where there is one: the account of the server must be able to get there."""
    return "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108


def _say(text: str) -> None:
    print(text, flush=True)
