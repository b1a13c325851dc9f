"""The parts of the exporter, put together around one database and one state."""

from dataclasses import dataclass

from exporter.baseline.keeper import Keeper
from exporter.catalog import Catalog
from exporter.collect.board import Board
from exporter.collect.feed import Feed, Job
from exporter.collect.runner import Runner
from exporter.collect.schedule import interval_seconds, max_age_seconds
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database
from exporter.settings import Settings
from exporter.state import StateStore
from exporter.statements.poller import MAX_AGE_SECONDS, Poller
from exporter.verdict.judge import Judge


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs: queries, the poll of statements, and the judging of what they say."""

    catalog: Catalog
    database: Database
    store: StateStore
    board: Board
    telemetry: Telemetry
    runner: Runner
    poll: Job
    verdict: Job
    keeper: Keeper
    judge: Judge
    interval_seconds: dict[str, float]
    """By the name of what runs."""


def assemble(settings: Settings, catalog: Catalog, database: Database, store: StateStore) -> Parts:
    """Put the parts together; nothing runs, and nothing connects."""
    longest = settings.max_interval
    keeper = Keeper(store, database.name, catalog, settings.hour)
    judge = Judge(database, store, catalog, keeper, settings.hour)
    poll = Poller(
        database,
        store,
        catalog.deployment,
        show_texts=settings.statement_text,
        follower=keeper,
    ).job(longest)
    board_ages = {query.name: max_age_seconds(query) for query in catalog.queries}
    board_ages |= {poll.name: MAX_AGE_SECONDS, judge.name: MAX_AGE_SECONDS}
    board = Board([*catalog.queries, poll, judge], board_ages)
    verdict = judge.job(board, longest)
    intervals = {query.name: interval_seconds(query, longest) for query in catalog.queries}
    intervals |= {job.name: job.interval_seconds for job in (poll, verdict)}
    feeds: list[Feed] = [*catalog.queries, poll, verdict]
    telemetry = Telemetry(database.name, feeds)
    runner = Runner(database, board, store, telemetry, intervals)
    return Parts(
        catalog,
        database,
        store,
        board,
        telemetry,
        runner,
        poll,
        verdict,
        keeper,
        judge,
        intervals,
    )
