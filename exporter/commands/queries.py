"""`check`, `run` and `grants`: the queries, without the daemon."""

import asyncio
import sys
from typing import Annotated

import typer

from exporter.app.once import run_once
from exporter.catalog import Catalog, CatalogError, load_catalog
from exporter.commands.common import (
    Config,
    Format,
    Queries,
    load_settings_and_catalog,
    print_json,
)
from exporter.database.conninfo import conninfo_reader
from exporter.database.grants import grants_sql
from exporter.database.outcome import State
from exporter.errors import ExitCode, UsageError
from exporter.logs import configure_logging
from exporter.redaction import redact
from exporter.settings import Settings, load_settings
from exporter.sources.inspection import inspect

app = typer.Typer()


@app.command(epilog="Example: loom-exporter check --queries ./queries --database")
def check(
    config: Config = None,
    queries: Queries = None,
    database: Annotated[
        bool,
        typer.Option("--database", help="Also have the server parse each query; nothing is run."),
    ] = False,
    output: Format = "text",
) -> None:
    """Validate settings and queries; exit 2 if anything is wrong, 4 if the database is away."""
    settings = load_settings(config, {"queries": queries})
    try:
        known = load_catalog(settings.queries)
    except CatalogError as error:
        if output == "json":
            print_json({"problems": error.problems})
            raise typer.Exit(error.exit_code) from None
        raise
    if not database:
        _print_counts(settings, known, output)
        return
    conninfo = conninfo_reader(settings)()
    findings = []
    for query, state, detail in inspect(conninfo, known.queries):
        findings.append({"query": query, "state": state, "detail": redact(detail)})
        if output == "text":
            print(f"{state:<8} {query:<32} {redact(detail)}".rstrip())
    if output == "json":
        print_json({"queries": len(known.queries), "findings": findings})
    if any(finding["state"] not in (State.OK, State.ABSENT) for finding in findings):
        raise typer.Exit(ExitCode.USAGE)


@app.command(epilog="Example: loom-exporter run database_size")
def run(
    query: Annotated[str, typer.Argument(help="Name of a query: its file without .sql.")],
    config: Config = None,
    queries: Queries = None,
    output: Format = "text",
) -> None:
    """Run one query once, as the daemon would, and print its samples."""
    settings, known = load_settings_and_catalog(config, queries)
    configure_logging(settings.log_format, "error")
    wanted = known.query(query)
    if wanted is None:
        raise UsageError(
            f"no query {query}; known are {', '.join(each.name for each in known.queries)}"
        )
    answer = asyncio.run(run_once(settings, known, wanted))
    state, detail = answer.snapshot.state, redact(answer.snapshot.detail)
    if output == "json":
        samples = [
            {
                "metric": metric,
                "labels": dict(zip(wanted.metrics[metric].labels, labels, strict=True)),
                "value": value,
            }
            for metric, series in answer.snapshot.samples.items()
            for labels, value in series.items()
        ]
        print_json({"query": query, "state": state, "detail": detail, "samples": samples})
    else:
        print(answer.text, end="")
        print(f"{query}: {state}" + (f": {detail}" if detail else ""), file=sys.stderr)
    raise typer.Exit(_EXIT_OF_RUN.get(state, ExitCode.FAILED) if state else ExitCode.FAILED)


_EXIT_OF_RUN = {
    State.OK: ExitCode.OK,
    State.EMPTY: ExitCode.OK,
    State.ABSENT: ExitCode.INCONCLUSIVE,
    State.LOCKED: ExitCode.INCONCLUSIVE,
    State.TIMEOUT: ExitCode.INCONCLUSIVE,
    State.UNREACHABLE: ExitCode.UNREACHABLE,
}


@app.command(
    epilog="Example: loom-exporter grants > grants.sql; psql -v ON_ERROR_STOP=1 -f grants.sql"
)
def grants(config: Config = None, queries: Queries = None) -> None:
    """Print the SQL that installs the monitoring role, for a DBA to read and run."""
    _, known = load_settings_and_catalog(config, queries)
    print(grants_sql(known.queries), end="")


def _print_counts(settings: Settings, known: Catalog, output: str) -> None:
    counts = {
        "queries": len(known.queries),
        "metrics": len(known.metrics()),
        "phases": len(known.deployment.phases),
    }
    if output == "json":
        print_json({**counts, "problems": []})
    else:
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"{settings.queries}: {told}: no problem found")
