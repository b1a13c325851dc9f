"""The parts of the exporter, put together around one database and one state."""

from dataclasses import dataclass

from exporter.catalog import Catalog
from exporter.collect.runner import Runner
from exporter.collect.schedule import interval_seconds, max_age_seconds
from exporter.collect.source import Job, MetricSource
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database
from exporter.deployment.suite_folder import SuiteFolder
from exporter.learning.lifecycle import BaselineLifecycle
from exporter.settings import Settings
from exporter.sources.http import HttpSources
from exporter.state import StateStore
from exporter.statements.poller import MAX_AGE_SECONDS, Poller
from exporter.verdict.job import VerdictJob


@dataclass(frozen=True, slots=True)
class Components:
    """What runs: queries, the poll of statements, and the judging of what they say."""

    catalog: Catalog
    database: Database
    store: StateStore
    board: SnapshotStore
    telemetry: Telemetry
    runner: Runner
    poller: Poller
    poll: Job
    suites: Job
    verdict: Job
    keeper: BaselineLifecycle
    judge: VerdictJob
    interval_seconds: dict[str, float]
    """By the name of what runs."""


def assemble(
    settings: Settings,
    catalog: Catalog,
    database: Database,
    store: StateStore,
    http: HttpSources | None = None,
) -> Components:
    """Put the parts together; nothing runs, and nothing connects.

    `http` outlives a change of the catalog, because it knows how long its sources want no request.
    """
    longest = settings.max_interval
    keeper = BaselineLifecycle(store, database.name, catalog, settings.hour)
    judge = VerdictJob(database, store, catalog, keeper, settings.hour)
    poller = Poller(
        database,
        store,
        catalog.deployment,
        show_texts=settings.statement_text,
        follower=keeper,
    )
    poll = poller.job(longest)
    board_ages = {query.name: max_age_seconds(query) for query in catalog.all_queries}
    folder = SuiteFolder(settings.suites, store, database.name, catalog.deployment)
    suites = folder.job(longest)
    board_ages |= dict.fromkeys((poll.name, suites.name, judge.name), MAX_AGE_SECONDS)
    board = SnapshotStore([*catalog.all_queries, poll, suites, judge], board_ages)
    verdict = judge.job(board, longest)
    intervals = {query.name: interval_seconds(query, longest) for query in catalog.all_queries}
    intervals |= {job.name: job.interval_seconds for job in (poll, suites, verdict)}
    feeds: list[MetricSource] = [*catalog.all_queries, poll, suites, verdict]
    telemetry = Telemetry(database.name, feeds)
    http = http or HttpSources(settings.sources)
    runner = Runner(database, board, store, telemetry, intervals, http, judge.deployment_start)
    return Components(
        catalog,
        database,
        store,
        board,
        telemetry,
        runner,
        poller,
        poll,
        suites,
        verdict,
        keeper,
        judge,
        intervals,
    )
