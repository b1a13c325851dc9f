"""`check`: whether settings and queries are right, by themselves and before who answers them."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from exporter.app.once import TRIAL, ask_probes, ask_sources
from exporter.app.tenants import find_databases
from exporter.catalog import Catalog, CatalogError, load_catalog
from exporter.commands.common import Config, Format, Queries, note, print_json, worst
from exporter.database.conninfo import conninfo_reader
from exporter.databases import each_database
from exporter.deployment.resolution import Resolved, resolve
from exporter.errors import ExitCode, ExporterError
from exporter.redaction import redact
from exporter.run_state import RunError, State
from exporter.settings import Settings, load_settings
from exporter.sources.inspection import inspect

app = typer.Typer()

EVERY_QUERY = "*"
"""In the place of a query: what is found is so for all of a database."""

TENANTS = "databases_from"
"""In the place of a query: what is found is so of the query for tenants."""

_MOST_ROWS = 10

_EXIT_OF_DATABASE = {State.OK: ExitCode.OK, State.ABSENT: ExitCode.OK}
_EXIT_OF_SOURCE = {
    State.OK: ExitCode.OK,
    State.EMPTY: ExitCode.OK,
    State.ABSENT: ExitCode.OK,
    State.UNCONFIGURED: ExitCode.OK,
    State.LIMITED: ExitCode.INCONCLUSIVE,
    State.TIMEOUT: ExitCode.UNREACHABLE,
    State.UNREACHABLE: ExitCode.UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one query, what to know about it, and the rows if a source gave any."""

    query: str
    state: State
    detail: str
    exit_code: ExitCode
    rows: tuple[dict[str, Any], ...] | None = None

    def as_text(self) -> Iterator[str]:
        """Yield the lines for a person."""
        yield f"{self.state:<12} {self.query:<32} {self.detail}".rstrip()
        for row in (self.rows or ())[:_MOST_ROWS]:
            yield "             " + " ".join(f"{key}={value}" for key, value in row.items())

    def as_json(self) -> dict[str, Any]:
        """Return it for a machine."""
        told = {"query": self.query, "state": self.state, "detail": self.detail}
        return told if self.rows is None else {**told, "rows": self.rows}


@dataclass(slots=True)
class _Report:
    """What is found about one database, and told to a person at once."""

    settings: Settings
    known: Catalog
    is_text: bool
    findings: list[Finding] = field(default_factory=list)
    names: list[Resolved] | None = None
    """Of the pack, as the database has them; None if it was not asked."""

    def found(self, finding: Finding) -> None:
        """Add a finding."""
        self.findings.append(finding)
        if self.is_text:
            print(*finding.as_text(), sep="\n", flush=True)

    def ask_database(self) -> None:
        """Look up the names of the pack, and have the server parse each query."""
        conninfo = conninfo_reader(self.settings)()
        has_login = self.settings.probe_database_url or self.settings.probe_database_url_file
        test_users = self.settings.probe_subjects.keys() if has_login else None
        self.names = [
            each._replace(detail=redact(each.detail))
            for each in resolve(conninfo, self.known, test_users)
        ]
        if self.is_text:
            lines = (f"{each.state:<12} {each.place:<32} {each.detail}" for each in self.names)
            print(*lines, sep="\n", flush=True)
        # To a pack of another database the queries say nothing more.
        fits = any(each.state is State.OK for each in self.names)
        for name, state, detail in inspect(conninfo, self.known.queries if fits else ()):
            code = _EXIT_OF_DATABASE.get(state, ExitCode.USAGE)
            self.found(Finding(name, state, redact(detail), code))

    @property
    def exit_codes(self) -> list[int]:
        """The exit codes of all that was found."""
        names = [_EXIT_OF_DATABASE.get(each.state, ExitCode.USAGE) for each in self.names or ()]
        return [*names, *(each.exit_code for each in self.findings)]


@app.command(epilog="Example: loom-exporter check --queries ./queries --database --sources")
def check(
    config: Config = None,
    queries: Queries = None,
    database: Annotated[
        bool,
        typer.Option(
            "--database",
            help="Also look up the names of the pack in the database, and have the server plan "
            "each query; none is run.",
        ),
    ] = False,
    sources: Annotated[
        bool,
        typer.Option("--sources", help="Also ask the HTTP sources each of their questions once."),
    ] = False,
    probes: Annotated[
        bool, typer.Option("--probes", help="Also ask each probe once, as a user of the API.")
    ] = False,
    output: Format = "text",
) -> None:
    """Validate settings and queries; exit 2 if anything is wrong, 4 if a server is away.

    Exit 1 if a probe finds what it should not, or does not find what it should.
    """
    loaded = load_settings(config, {"queries": queries})
    asks = database or sources or probes
    databases, away = _databases(loaded) if asks else (each_database(loaded), None)
    try:
        catalogs = {folder: _known(folder) for folder in _folders(loaded, databases)}
    except CatalogError as error:
        every = CatalogError([*error.problems, *error.unseen])
        if output == "json":
            print_json({"problems": every.problems})
            raise typer.Exit(every.exit_code) from None
        raise every from None
    if not asks:
        _print_counts(catalogs, output)
        return
    reports = [
        _Report(settings, catalogs[settings.queries], is_text=output == "text")
        for settings in databases
    ]
    for report in reports:
        if len(reports) > 1 and output == "text":
            print(f"== {report.settings.database_name} ==", flush=True)
        try:
            if sources:
                asyncio.run(_ask_sources(report.settings, report.known, report.found))
            if database:
                report.ask_database()
            if probes:
                asyncio.run(_ask_probes(report.settings, report.known, report.found))
        except ExporterError as error:
            if len(reports) == 1 and not away:
                raise
            report.found(_failure(EVERY_QUERY, error))
    if away:
        reports[0].found(_failure(TENANTS, away))
    if output == "json":
        print_json(_as_json(reports))
    raise typer.Exit(worst([code for each in reports for code in each.exit_codes]))


def _databases(settings: Settings) -> tuple[Sequence[Settings], RunError | None]:
    """Return all databases; where tenants cannot be found, the others, and why."""
    try:
        return asyncio.run(find_databases(settings)), None
    except RunError as error:
        return each_database(settings), error


def _folders(settings: Settings, databases: Sequence[Settings]) -> Iterator[Path]:
    """Yield each folder of queries, that of tenants too, of which there may be none yet."""
    folders = [each.queries for each in databases]
    if settings.databases_from:
        folders.append(settings.databases_from.pack or settings.queries)
    yield from dict.fromkeys(folders)


def _failure(what: str, error: ExporterError) -> Finding:
    state = error.state if isinstance(error, RunError) else State.ERROR
    code = _EXIT_OF_SOURCE.get(state, ExitCode.USAGE)
    return Finding(what, state, redact(str(error)), code)


async def _ask_sources(
    settings: Settings, known: Catalog, found: Callable[[Finding], None]
) -> None:
    if any(query.is_about_deployment for query in known.http_queries):
        note(TRIAL)
    async for query, state, answer in ask_sources(settings, known):
        code = _EXIT_OF_SOURCE.get(state, ExitCode.USAGE)
        if isinstance(answer, str):
            found(Finding(query.name, state, redact(answer), code))
        else:
            rows = tuple(dict(zip(answer.columns, row, strict=True)) for row in answer.rows)
            counted = "1 row" if answer.total == 1 else f"{answer.total} rows"
            found(Finding(query.name, state, counted, code, rows))


async def _ask_probes(settings: Settings, known: Catalog, found: Callable[[Finding], None]) -> None:
    async for probe, seen in ask_probes(settings, known):
        if isinstance(seen, RunError):
            code = _EXIT_OF_SOURCE.get(seen.state, ExitCode.USAGE)
            found(Finding(probe.name, seen.state, redact(str(seen)), code))
            continue
        expected = probe.header.expect
        is_ok = seen.meets(expected)
        told = redact(f"{seen}, {'as expected' if is_ok else f'expected {expected}'}")
        code = ExitCode.OK if is_ok else ExitCode.FAILED
        found(Finding(probe.name, State.OK, told, code))


def _known(folder: Path) -> Catalog:
    known = load_catalog(folder)
    if known.unseen:
        raise CatalogError((), known.unseen)
    return known


def _as_json(reports: Sequence[_Report]) -> dict[str, Any]:
    """Return it for a machine; of several databases each finding names its own."""

    def of(report: _Report, told: dict[str, Any]) -> dict[str, Any]:
        return {"database": report.settings.database_name, **told} if len(reports) > 1 else told

    findings = [of(report, each.as_json()) for report in reports for each in report.findings]
    names = [of(report, each._asdict()) for report in reports for each in report.names or ()]
    has_names = any(report.names is not None for report in reports)
    return {
        "queries": len(findings),
        **({"names": names} if has_names else {}),
        "findings": findings,
    }


def _print_counts(catalogs: Mapping[Path, Catalog], output: str) -> None:
    """Print how much there is in each folder of queries."""
    counted = {
        folder: {
            "queries": len(known.all_queries),
            "metrics": len(known.metrics()),
            "phases": len(known.deployment.phases),
        }
        for folder, known in catalogs.items()
    }
    if output == "json":
        folders = {str(folder): counts for folder, counts in counted.items()}
        (only,) = counted.values() if len(counted) == 1 else ({"folders": folders},)
        print_json({**only, "problems": []})
        return
    for folder, counts in counted.items():
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"{folder}: {told}: no problem found")
