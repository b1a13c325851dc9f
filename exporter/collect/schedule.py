"""When each query runs: at its interval or by its cron expression."""

import asyncio
import math
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import structlog
from apscheduler.events import (
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobExecutionEvent,
    JobSubmissionEvent,
)
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from exporter.catalog import AnyQuery, Catalog, HttpQuery, Probe
from exporter.collect.runner import Runner
from exporter.collect.source import Job, MetricSource
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database

BEAT_SECONDS = 5.0
_CRON_GRACE_SECONDS = 3600.0
_CRON_RUNS = 50
_QUIET_SECONDS = 10.0
_CROWDED_QUIET_SECONDS = 30.0
"""A ping would take a place from other databases; the verdict asks the server more often."""

_CLOCK_STEP_SECONDS = 2.0

_log = structlog.get_logger(__name__)


def interval_seconds(query: AnyQuery, longest: float | None) -> float:
    """Return the time between two runs; for a cron schedule, the longest that lies ahead.

    Args:
        query: the query.
        longest: the operator's `max_interval`. It does not apply to a cron schedule, nor to an
            HTTP source, which may limit or bill the requests.
    """
    if query.header.interval is not None:
        if isinstance(query, HttpQuery):
            return query.header.interval
        # No shorter than the timeout: a run must be over when the next one is due.
        return max(min(query.header.interval, longest or math.inf), query.header.timeout)
    trigger = CronTrigger.from_crontab(query.header.schedule, timezone=UTC)
    gaps = (later - earlier for earlier, later in pairwise(_next_runs(trigger)))
    # A schedule that fires only once counts as a yearly one.
    return max((gap.total_seconds() for gap in gaps), default=366 * 86400.0)


def max_age_seconds(query: AnyQuery) -> float:
    """Return the age at which values of `query` are dropped: by default three of its intervals.

    By the header's interval, even if the operator makes it run more often: while a migration holds
    a lock, the values from before are all there is.
    """
    return query.header.max_age or 3 * interval_seconds(query, None)


def _next_runs(trigger: CronTrigger) -> Iterator[datetime]:
    """Yield as many of the next runs as show the longest gap, such as a weekend."""
    after = datetime.now(UTC)
    for _ in range(_CRON_RUNS):
        run = trigger.get_next_fire_time(None, after)
        if run is None:
            return
        yield run
        after = run + timedelta(seconds=1)


class Schedule:
    """Drives the runner: every query once at the start, then each at its own interval.

    The runs are spread over the interval, so that dozens of queries do not start together. HTTP
    sources are asked first after the database and the jobs: then it is known whether the deployment
    has begun, and a source that hangs delays nothing.
    """

    def __init__(
        self,
        catalog: Catalog,
        runner: Runner,
        database: Database,
        telemetry: Telemetry,
        max_interval_seconds: float | None = None,
        jobs: Sequence[Job] = (),
    ) -> None:
        """Prepare; the last of the jobs first runs after all others, because it rests on them."""
        self._catalog = catalog
        self._jobs = jobs
        self._sources: dict[str, MetricSource] = {
            source.name: source for source in (*catalog.all_queries, *jobs)
        }
        self._runner = runner
        self._database = database
        self._telemetry = telemetry
        self._longest = max_interval_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._last_beat = time.monotonic()
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._late, EVENT_JOB_MISSED)
        self._scheduler.add_listener(self._overrun, EVENT_JOB_MAX_INSTANCES)

    @property
    def is_alive(self) -> bool:
        """Whether the event loop and the scheduler still run."""
        return time.monotonic() - self._last_beat < 6 * BEAT_SECONDS

    def start(self) -> None:
        """Start the schedule; the first run of every query begins at once, in the background."""
        self._last_beat = time.monotonic()
        now = datetime.now(UTC)
        queries = self._catalog.all_queries
        for number, query in enumerate(queries):
            interval = interval_seconds(query, self._longest)
            if query.header.schedule:
                trigger = CronTrigger.from_crontab(query.header.schedule, timezone=UTC)
                grace = _CRON_GRACE_SECONDS
            else:
                # Offsets rather than APScheduler's jitter, which makes each interval longer. Probes
                # come together: they share a session, which takes the place of another one. So
                # does all of a crowded server, where each burst has to connect.
                together = self._database.is_crowded or isinstance(query, Probe)
                share = 1.0 if together else (number + 1) / len(queries)
                offset = interval * share
                trigger = IntervalTrigger(
                    seconds=interval, start_date=now + timedelta(seconds=offset), timezone=UTC
                )
                grace = interval
            self._scheduler.add_job(
                self._runner.run,
                trigger,
                args=[query],
                id=query.name,
                misfire_grace_time=max(1, round(grace)),
            )
        for job in self._jobs:
            self._scheduler.add_job(
                self._runner.run_job,
                IntervalTrigger(seconds=job.interval_seconds, timezone=UTC),
                args=[job],
                id=job.name,
                misfire_grace_time=max(1, round(job.interval_seconds)),
            )
        for act in (self._beat, self._ping):
            trigger = IntervalTrigger(seconds=BEAT_SECONDS, timezone=UTC)
            self._scheduler.add_job(act, trigger, id=act.__name__)
        self._scheduler.start()
        self._tasks = [
            asyncio.create_task(self._run_all(), name="first cycle"),
            asyncio.create_task(self._watch_clock(), name="clock"),
            asyncio.create_task(self._run_http(), name="first cycle of HTTP sources"),
        ]

    async def wait_for_first_cycle(self) -> None:
        """Wait until every query of the database and every job has been tried."""
        await asyncio.wait(self._tasks[:1])

    async def finish(self) -> None:
        """Start no further run, and wait for those of the database; `is_alive` stays true."""
        for job in self._scheduler.get_jobs():
            if job.id in self._sources:
                job.remove()
        await self.wait_for_first_cycle()
        await asyncio.sleep(0)  # a run that is due just now begins
        await self._runner.finish()
        for task in self._tasks:
            task.cancel()
        self._scheduler.shutdown(wait=False)

    async def stop(self, timeout_seconds: float) -> None:
        """Start no further run, and end the current ones within `timeout_seconds`."""
        self._scheduler.pause()
        for task in self._tasks:
            task.cancel()
        await self._runner.drain(timeout_seconds)
        # shutdown() cancels what still runs on the next turn of the loop, even with `wait`.
        self._scheduler.shutdown(wait=False)
        await asyncio.sleep(0)

    async def _run_all(self) -> None:
        # The jobs first: statements are classified on a thread while the queries run.
        async with asyncio.TaskGroup() as group:
            for job in self._jobs[:-1]:
                group.create_task(self._runner.run_job(job))
            for query in self._catalog.database_queries:
                group.create_task(self._runner.run(query))
        for job in self._jobs[-1:]:
            await self._runner.run_job(job)

    async def _run_http(self) -> None:
        await self.wait_for_first_cycle()
        async with asyncio.TaskGroup() as group:
            for query in self._catalog.http_queries:
                group.create_task(self._runner.run(query))

    async def _beat(self) -> None:
        self._last_beat = time.monotonic()

    async def _ping(self) -> None:
        quiet = _CROWDED_QUIET_SECONDS if self._database.is_crowded else _QUIET_SECONDS
        if time.monotonic() - self._database.answered_at > quiet:
            await self._database.ping()

    async def _watch_clock(self) -> None:
        """Reschedule all runs when the clock is set: APScheduler waits for times of that clock."""
        offset = time.time() - time.monotonic()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            step = time.time() - time.monotonic() - offset
            if abs(step) < _CLOCK_STEP_SECONDS:
                continue
            offset += step
            _log.warning("the clock was set; all runs are rescheduled", seconds=round(step))
            now = datetime.now(UTC)
            for job in self._scheduler.get_jobs():
                if isinstance(job.trigger, IntervalTrigger):
                    wait = random.uniform(0, job.trigger.interval_length)
                    job.modify(next_run_time=now + timedelta(seconds=wait))
                else:
                    job.modify(next_run_time=job.trigger.get_next_fire_time(None, now))

    def _late(self, event: JobExecutionEvent) -> None:
        if query := self._sources.get(event.job_id):
            self._telemetry.skipped(query, "misfire")
            _log.warning("a run came too late and was skipped", query=query.name)

    def _overrun(self, event: JobSubmissionEvent) -> None:
        if query := self._sources.get(event.job_id):
            self._telemetry.skipped(query, "running")
