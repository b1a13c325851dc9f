"""When each query runs."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

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

from exporter.catalog import Catalog, Query
from exporter.collect.runner import Runner
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database

BEAT_SECONDS = 5.0
_CRON_GRACE_SECONDS = 3600.0
_QUIET_SECONDS = 10.0

_log = structlog.get_logger(__name__)


def interval_seconds(query: Query, longest: float | None) -> float:
    """Return the time between two runs; for a cron schedule, between the next two.

    Args:
        query: the query.
        longest: the operator's `max_interval`, which a cron schedule is not subject to.
    """
    if query.header.interval is not None:
        return min(query.header.interval, longest or query.header.interval)
    trigger = CronTrigger.from_crontab(query.header.schedule, timezone=UTC)
    first = trigger.get_next_fire_time(None, datetime.now(UTC))
    second = trigger.get_next_fire_time(first, first + timedelta(seconds=1)) if first else None
    # A schedule that fires once and never again is as good as yearly.
    return (second - first).total_seconds() if first and second else 366 * 86400.0


def max_age_seconds(query: Query, interval: float) -> float:
    """Return the age at which values of `query` are dropped."""
    return query.header.max_age or 3 * interval


class Schedule:
    """Drives the runner: every query once at the start, then each in its own rhythm.

    The runs are spread over the interval, so that two dozen queries do not fire together.
    """

    def __init__(
        self,
        catalog: Catalog,
        runner: Runner,
        database: Database,
        telemetry: Telemetry,
        max_interval_seconds: float | None = None,
    ) -> None:
        self._queries = {query.name: query for query in catalog.queries}
        self._runner = runner
        self._database = database
        self._telemetry = telemetry
        self._longest = max_interval_seconds
        self._first_cycle: asyncio.Task[None] | None = None
        self._last_beat = time.monotonic()
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._late, EVENT_JOB_MISSED)
        self._scheduler.add_listener(self._overrun, EVENT_JOB_MAX_INSTANCES)

    @property
    def is_alive(self) -> bool:
        """Whether the loop and the scheduler still beat."""
        return time.monotonic() - self._last_beat < 6 * BEAT_SECONDS

    def start(self) -> None:
        """Start the schedule; the first run of every query begins at once, in the background."""
        now = datetime.now(UTC)
        for number, query in enumerate(self._queries.values()):
            interval = interval_seconds(query, self._longest)
            if query.header.schedule:
                trigger = CronTrigger.from_crontab(query.header.schedule, timezone=UTC)
                grace = _CRON_GRACE_SECONDS
            else:
                # Offsets rather than APScheduler's jitter, which makes each interval longer.
                offset = interval * (number + 1) / len(self._queries)
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
        self._scheduler.add_job(
            self._beat, IntervalTrigger(seconds=BEAT_SECONDS, timezone=UTC), id="-beat"
        )
        self._scheduler.start()
        self._first_cycle = asyncio.create_task(self._run_all(), name="first cycle")

    async def stop(self, timeout_seconds: float) -> None:
        """Start no further run, and end those that are going within `timeout_seconds`."""
        self._scheduler.pause()
        if self._first_cycle:
            self._first_cycle.cancel()
        await self._runner.drain(timeout_seconds)
        # shutdown() cancels what still runs, on the next turn of the loop and whatever `wait` says.
        self._scheduler.shutdown(wait=False)
        await asyncio.sleep(0)

    async def _run_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for query in self._queries.values():
                group.create_task(self._runner.run(query))

    async def _beat(self) -> None:
        self._last_beat = time.monotonic()
        if time.monotonic() - self._database.answered_at > _QUIET_SECONDS:
            await self._database.ping()

    def _late(self, event: JobExecutionEvent) -> None:
        if query := self._queries.get(event.job_id):
            self._telemetry.skipped(query, "misfire")
            _log.warning("a run came too late and was left out", query=query.name)

    def _overrun(self, event: JobSubmissionEvent) -> None:
        if query := self._queries.get(event.job_id):
            self._telemetry.skipped(query, "running")
