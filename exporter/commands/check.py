"""`check`: whether settings and queries are right, by themselves and before who answers them."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from exporter.app.once import TRIAL, ask_probes, ask_sources
from exporter.catalog import Catalog, CatalogError, load_catalog
from exporter.commands.common import Config, Format, Queries, note, print_json
from exporter.database.conninfo import conninfo_reader
from exporter.databases import each_database
from exporter.errors import ExitCode
from exporter.redaction import redact
from exporter.run_state import RunError, State
from exporter.settings import Settings, load_settings
from exporter.sources.inspection import inspect

app = typer.Typer()

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


@app.command(epilog="Example: loom-exporter check --queries ./queries --database --sources")
def check(
    config: Config = None,
    queries: Queries = None,
    database: Annotated[
        bool,
        typer.Option("--database", help="Also have the server parse each query; nothing is run."),
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
    databases = each_database(load_settings(config, {"queries": queries}))
    try:
        catalogs = {each.queries: _known(each.queries) for each in databases}
    except CatalogError as error:
        if output == "json":
            print_json({"problems": error.problems})
            raise typer.Exit(error.exit_code) from None
        raise
    if not (database or sources or probes):
        _print_counts(catalogs, output)
        return
    findings: list[tuple[str, Finding]] = []

    def found(finding: Finding) -> None:
        findings.append((settings.database_name, finding))
        if output == "text":
            print(*finding.as_text(), sep="\n", flush=True)

    asked = 0
    for settings in databases:
        known = catalogs[settings.queries]
        if len(databases) > 1 and output == "text":
            print(f"== {settings.database_name} ==", flush=True)
        if database:
            for name, state, detail in inspect(conninfo_reader(settings)(), known.queries):
                code = _EXIT_OF_DATABASE.get(state, ExitCode.USAGE)
                found(Finding(name, state, redact(detail), code))
        if sources:
            asyncio.run(_ask_sources(settings, known, found))
        if probes:
            asyncio.run(_ask_probes(settings, known, found))
        asked += len(known.queries) if database else 0
        asked += len(known.http_queries) if sources else 0
        asked += len(known.probes) if probes else 0
    if output == "json":
        told = [
            {**({"database": name} if len(databases) > 1 else {}), **each.as_json()}
            for name, each in findings
        ]
        print_json({"queries": asked, "findings": told})
    raise typer.Exit(max((each.exit_code for _, each in findings), default=ExitCode.OK))


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
        raise CatalogError([*known.unseen])
    return known


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
