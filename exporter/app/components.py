"""The components of one exporter, made from a catalog around one database and one state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.catalog import Catalog
from exporter.clock import Clock
from exporter.collect.runner import Runner
from exporter.collect.schedule import Schedule, interval_seconds, max_age_seconds
from exporter.collect.source import MetricSource
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.conninfo import probe_conninfo_reader
from exporter.database.database import Database
from exporter.database.facts import FactsReader
from exporter.deployment.suite_folder import SuiteFolder
from exporter.learning.lifecycle import BaselineLifecycle
from exporter.settings import Settings
from exporter.sources.http import HttpSources
from exporter.sources.impersonation import Probes
from exporter.state import StateStore
from exporter.statements.poller import MAX_AGE_SECONDS, Poller
from exporter.verdict.job import VerdictJob


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that is made from a catalog, and replaced together with it."""

    clock: Clock
    catalog: Catalog
    database: Database
    store: StateStore
    snapshots: SnapshotStore
    telemetry: Telemetry
    runner: Runner
    schedule: Schedule
    poller: Poller
    lifecycle: BaselineLifecycle
    verdict: VerdictJob
    interval_seconds: Mapping[str, float]
    """Time between two runs, by the name of the source."""


def assemble(
    settings: Settings,
    catalog: Catalog,
    database: Database,
    store: StateStore,
    http: HttpSources | None = None,
) -> Components:
    """Make the components; nothing runs, and nothing connects.

    `http` outlives a change of the catalog, because it knows how long its sources want no request.
    """
    clock = Clock(settings.hour)
    facts = FactsReader(database)
    people = store.scope(database.name, catalog.deployment.name)
    lifecycle = BaselineLifecycle(people, catalog, clock)
    verdict = VerdictJob(facts, people, catalog, lifecycle, clock)
    poller = Poller(
        database,
        facts,
        people,
        catalog.deployment,
        show_texts=settings.statement_text,
        follower=lifecycle,
    )
    longest = settings.max_interval
    poll = poller.job(longest)
    suites = SuiteFolder(settings.suites, people, catalog.deployment).job(longest)
    own: list[MetricSource] = [poll, suites, verdict]
    snapshots = _snapshots(catalog, own)
    jobs = [poll, suites, verdict.job(snapshots, longest)]
    intervals = {
        **{query.name: interval_seconds(query, longest) for query in catalog.all_queries},
        **{job.name: job.interval_seconds for job in jobs},
    }
    telemetry = Telemetry([*catalog.all_queries, *own])
    runner = Runner(
        database,
        snapshots,
        store,
        telemetry,
        intervals,
        http or HttpSources(settings.sources),
        verdict.deployment_start,
        probes_of(settings, catalog, database),
    )
    return Components(
        clock,
        catalog,
        database,
        store,
        snapshots,
        telemetry,
        runner,
        Schedule(catalog, runner, database, telemetry, longest, jobs),
        poller,
        lifecycle,
        verdict,
        intervals,
    )


def _snapshots(catalog: Catalog, own: Sequence[MetricSource]) -> SnapshotStore:
    """Return the store for the queries and for what the exporter measures by itself."""
    queries = catalog.all_queries
    max_age = {query.name: max_age_seconds(query) for query in queries}
    max_age |= dict.fromkeys((each.name for each in own), MAX_AGE_SECONDS)
    return SnapshotStore([*queries, *own], max_age)


def probes_of(settings: Settings, catalog: Catalog, database: Database) -> Probes:
    """Return what asks the probes of a catalog, as the settings say."""
    return Probes(catalog, database, probe_conninfo_reader(settings), settings.probe_subjects)
