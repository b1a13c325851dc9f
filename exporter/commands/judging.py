"""Judges one database or all, by itself or by asking a daemon."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from exporter.app.daemon_client import ask_daemon, names_of_databases
from exporter.app.once import judge_once
from exporter.app.tenants import find_databases
from exporter.baseline.codec import Refusal
from exporter.catalog import load_catalog
from exporter.commands.common import database_settings, note
from exporter.errors import ExporterError, UsageError
from exporter.logs import configure_logging
from exporter.settings import Settings, load_settings
from exporter.verdict.assess import Assessment

_AT_ONCE = 4
"""Databases that are judged at the same time."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a command is about: the options that say so."""

    config: Path | None
    queries: Path | None
    database: str | None
    all: bool
    url: str | None

    def __post_init__(self) -> None:
        if self.all and self.database is not None:
            raise UsageError("command line: give either --database NAME or --all")


class Document(NamedTuple):
    """What the daemon serves: the path, the form, and how it is made of an assessment."""

    path: str
    form: str
    render: Callable[[Assessment], str]


class Judged(NamedTuple):
    """A document about one database, and what it says in one word each."""

    text: str
    verdict: str
    readiness: str


def judge_one(target: Target, wanted: Document) -> Judged:
    """Return the document about the database that is meant.

    Raises:
        ExporterError: there is none; the exit code says why.
    """
    settings = load_settings(target.config, {"queries": target.queries})
    if target.url is not None:
        return _from_daemon(settings, target.url, target.database, wanted)
    configure_logging(settings.log_format, "error")
    return asyncio.run(_judged(database_settings(settings, target.database), wanted))


def judge_all(target: Target, wanted: Document) -> dict[str, Judged | ExporterError]:
    """Return the document about each database by name, or why there is none.

    Raises:
        UsageError: the settings or the address cannot be used.
        DaemonError: the daemon does not answer.
    """
    settings = load_settings(target.config, {"queries": target.queries})
    if target.url is None:
        configure_logging(settings.log_format, "error")
        return asyncio.run(_all_judged(settings, wanted))
    found: dict[str, Judged | ExporterError] = {}
    for name in names_of_databases(settings, target.url):
        try:
            found[name] = _from_daemon(settings, target.url, name, wanted)
        except ExporterError as error:
            found[name] = error
    return found


def _from_daemon(settings: Settings, url: str, database: str | None, wanted: Document) -> Judged:
    return Judged(*ask_daemon(settings, url, wanted.path, wanted.form, database))


async def _all_judged(settings: Settings, wanted: Document) -> dict[str, Judged | ExporterError]:
    databases = await find_databases(settings)
    places = asyncio.Semaphore(_AT_ONCE)

    async def judged(settings: Settings) -> Judged | ExporterError:
        async with places:
            try:
                return await _judged(settings, wanted)
            except ExporterError as error:
                return error

    found = await asyncio.gather(*map(judged, databases))
    return dict(zip((each.database_name for each in databases), found, strict=True))


async def _judged(settings: Settings, wanted: Document) -> Judged:
    """Judge one database.

    Raises:
        RefusedError: it is not the one that the baseline is of.
        ExporterError: it cannot be judged.
    """
    opinion = await judge_once(settings, load_catalog(settings.queries))
    refusal = opinion.refusal
    if refusal and refusal.reason is Refusal.OTHER_DATABASE:
        raise refusal
    if refusal:
        note(f"{refusal} ({refusal.reason})")
    if opinion.missing_state:
        note(
            f"state: {opinion.missing_state} is not there, so neither is a baseline or a sign-off; "
            "see LOOM_EXPORTER_STATE_DIR"
        )
    assessment = opinion.assessment
    text = wanted.render(assessment)
    return Judged(text, assessment.verdict.value, assessment.readiness.value)
