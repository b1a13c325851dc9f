"""Runs queries: asks their source, publishes the samples, and keeps the state of each query."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from exporter.catalog import AnyQuery, HttpQuery, Probe, Query
from exporter.catalog.probe import PROBE_OK
from exporter.collect.rows import NO_ROWS, Result, read_rows
from exporter.collect.source import Job, MetricSource, RunResult
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database
from exporter.run_state import RunError, State
from exporter.sources import Rows
from exporter.sources.http import HttpSources
from exporter.sources.impersonation import Probes
from exporter.sources.sql import fetch
from exporter.state import StateStore

LONGEST_BACKOFF_SECONDS = 300.0

_log = structlog.get_logger(__name__)

_REMEDIES: Mapping[State, str] = {
    State.OUTDATED: "run `loom-exporter grants` and have its SQL run by the owner of the database",
    State.TIMEOUT: "if it stays so, raise its timeout or its interval",
    State.LIMITED: "if it stays so, ask the source less often",
    State.ERROR: "see `loom-exporter check --database --sources`",
}


def _remedy(query: MetricSource, state: State) -> str | None:
    """Return what to do about a failure; None where its detail says it."""
    if state is State.DENIED and isinstance(query, HttpQuery):
        return "check the token of its source"
    if state is State.DENIED and isinstance(query, Probe):
        return "have the owner of the database run what `loom-exporter grants --probes` prints"
    return _REMEDIES.get(state)


class Runner:
    """Runs queries and jobs, each at most once at a time; a failure becomes a state."""

    def __init__(
        self,
        database: Database,
        snapshots: SnapshotStore,
        store: StateStore,
        telemetry: Telemetry,
        interval_seconds: Mapping[str, float],
        http: HttpSources | None = None,
        deployment_start: Callable[[], float | None] = lambda: None,
        probes: Probes | None = None,
    ) -> None:
        """Begin without a run.

        Args:
            database: answers queries in SQL.
            snapshots: takes the answers.
            store: dates the tokens of change_timestamp metrics.
            telemetry: counts the runs.
            interval_seconds: time between two runs, by query.
            http: answers questions to HTTP sources; by default none is configured.
            deployment_start: returns the Unix time at which the deployment began, if it has.
            probes: answers probes; None where there is none to be asked.
        """
        self._database = database
        self._http = http or HttpSources({})
        self._deployment_start = deployment_start
        self._probes = probes
        self._snapshots = snapshots
        self._store = store
        self._telemetry = telemetry
        self._interval_seconds = interval_seconds
        self._running: dict[str, tuple[MetricSource, asyncio.Event]] = {}
        """The current runs by name, each with what is set when it has ended."""
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._is_stopping = False

    async def run(self, query: AnyQuery) -> None:
        """Run `query`, unless it runs already or backs off. Raises CancelledError only."""
        await self._run_alone(query, partial(self._ask, query))

    async def run_job(self, job: Job) -> None:
        """Run `job` as a query is run."""
        await self._run_alone(job, job.ask)

    async def finish(self) -> None:
        """Wait until the current runs have ended, but for those of HTTP sources.

        A source may hang; its run ends with its timeout, and disturbs nothing until then.
        """
        runs = [done for query, done in self._running.values() if not isinstance(query, HttpQuery)]
        await asyncio.gather(*(done.wait() for done in runs))

    async def drain(self, timeout_seconds: float) -> None:
        """Cancel the current runs, wait until they have ended, and start no further ones."""
        self._is_stopping = True
        self._http.cancel()
        if self._probes:
            self._probes.cancel()
        running = [done for _, done in self._running.values()]
        if not running:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._database.cancel_running()
                await asyncio.gather(*(done.wait() for done in running))

    async def _run_alone(
        self, query: MetricSource, ask: Callable[[], Awaitable[RunResult]]
    ) -> None:
        if query.name in self._running:
            self._telemetry.skipped(query, "running")
            return
        if time.monotonic() < self._not_before.get(query.name, 0.0):
            self._telemetry.skipped(query, "backoff")
            return
        done = asyncio.Event()
        self._running[query.name] = query, done
        try:
            await self._run(query, ask)
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
            # Of a run that is cut off in the end, the scheduler would tell by a traceback.
        finally:
            del self._running[query.name]
            done.set()

    async def _run(self, query: MetricSource, ask: Callable[[], Awaitable[RunResult]]) -> None:
        before = self._snapshots[query.name].state
        started = time.monotonic()
        dropped = 0
        detail = ""
        try:
            state, samples, dropped, tokens = await ask()
            self._snapshots.publish(query.name, state, samples, tokens)
        except RunError as error:
            state, detail = error.state, str(error)
        except Exception as error:
            # A fault of ours must neither end the schedule nor look like a success.
            _log.exception("a run failed unexpectedly", query=query.name)
            state, detail = State.ERROR, type(error).__name__
        if self._is_stopping:
            return  # we ended it, so that its result says nothing about the database
        if not state.is_success:
            self._snapshots.fail(query.name, state, detail)
        self._telemetry.ran(query, state, time.monotonic() - started, dropped)
        self._back_off(query, state)
        if state is not before:
            self._tell(query, before, state, detail)
        if dropped:
            _log.warning(
                "series were cut off; raise series_limit", query=query.name, dropped=dropped
            )

    async def _ask(self, query: AnyQuery) -> RunResult:
        if isinstance(query, Probe):
            return await self._ask_as_user(query)
        if isinstance(query, HttpQuery):
            rows = await self._http.fetch(query, self._deployment_start())
        else:
            rows = await self._ask_database(query)
        result = read_rows(query, rows)
        await self._date_tokens(result)
        tokens = {
            metric: {labels: seen.token for labels, seen in observed.items()}
            for metric, observed in result.tokens.items()
        }
        state = State.OK if rows.total else State.EMPTY
        return RunResult(state, result.samples, result.dropped, tokens)

    async def _ask_as_user(self, probe: Probe) -> RunResult:
        if self._probes is None:
            raise RunError(State.UNCONFIGURED, "no probes are asked here")
        found = await self._probes.ask(probe)
        is_ok = found.meets(probe.header.expect)
        if not is_ok:
            _log.warning(
                "probe fails", probe=probe.name, found=str(found), expected=str(probe.header.expect)
            )
        return RunResult(State.OK, {PROBE_OK: {(probe.name,): float(is_ok)}})

    async def _ask_database(self, query: Query) -> Rows:
        try:
            return await fetch(self._database, query)
        except RunError as error:
            if error.state is State.ABSENT:  # that no token is there is an observation too
                await self._date_tokens(read_rows(query, NO_ROWS))
            raise

    async def _date_tokens(self, result: Result) -> None:
        """Add the time at which each token changed to the samples, in Unix seconds."""
        for metric, tokens in result.tokens.items():
            times = await self._store.run(
                self._store.observe, self._database.name, metric, list(tokens.values())
            )
            result.samples[metric] = {
                labels: at for labels, at in zip(tokens, times, strict=True) if at is not None
            }

    def _back_off(self, query: MetricSource, state: State) -> None:
        """Run a query that keeps failing less and less often, but at least every five minutes.

        Not after a lock, which passes and costs a quarter of a second, nor while the server is
        down, because the pool backs off itself, nor while an HTTP source wants a pause, because
        then nothing is sent: such queries run at each interval.
        """
        if not state.is_failure or state in (State.LOCKED, State.LIMITED, State.UNREACHABLE):
            self._failures.pop(query.name, None)
            self._not_before.pop(query.name, None)
            return
        failures = self._failures[query.name] = self._failures.get(query.name, 0) + 1
        if failures > 1:
            interval = self._interval_seconds[query.name]
            pause = min(
                interval * 2.0 ** min(failures - 1, 10), max(LONGEST_BACKOFF_SECONDS, interval)
            )
            self._not_before[query.name] = time.monotonic() + pause * random.uniform(0.8, 1.0)

    def _tell(self, query: MetricSource, before: State | None, state: State, detail: str) -> None:
        """Log a change of state, once and not at every run."""
        if state.is_failure:
            _log.warning(
                "query fails",
                query=query.name,
                state=state,
                detail=detail,
                remedy=_remedy(query, state),
            )
        elif before is not None or state is State.ABSENT:
            _log.info(
                "query changed its state",
                query=query.name,
                state=state,
                before=before,
                detail=detail,
            )
