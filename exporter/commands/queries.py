"""`run` and `grants`: the queries, without the daemon."""

import asyncio
import sys
from typing import Annotated

import typer

from exporter.app.once import TRIAL, run_once
from exporter.catalog import HttpQuery, Query
from exporter.commands.common import (
    Config,
    DatabaseName,
    Format,
    Queries,
    load_settings_and_catalog,
    note,
    print_json,
)
from exporter.database.grants import grants_sql
from exporter.database.probe_grants import probe_grants_sql
from exporter.errors import ExitCode, UsageError
from exporter.logs import configure_logging
from exporter.redaction import redact
from exporter.run_state import State
from exporter.sources.sql import as_script

app = typer.Typer()


@app.command(epilog="Example: loom-exporter run database_size")
def run(
    query: Annotated[str, typer.Argument(help="Name of a query: its file without its suffix.")],
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
    output: Format = "text",
    as_sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL with its settings, for psql; run nothing.")
    ] = False,
) -> None:
    """Run one query once, as the daemon would, and print its samples."""
    settings, known = load_settings_and_catalog(config, queries, database)
    configure_logging(settings.log_format, "error")
    wanted = known.query(query)
    if wanted is None:
        raise UsageError(
            f"no query {query}; known are {', '.join(each.name for each in known.all_queries)}"
        )
    if as_sql:
        if not isinstance(wanted, Query):
            raise UsageError(f"{query} is not answered by SQL alone; leave --sql away")
        print(as_script(wanted), end="")
        return
    if isinstance(wanted, HttpQuery) and wanted.is_about_deployment:
        note(TRIAL)
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
    State.UNCONFIGURED: ExitCode.INCONCLUSIVE,
    State.LOCKED: ExitCode.INCONCLUSIVE,
    State.LIMITED: ExitCode.INCONCLUSIVE,
    State.TIMEOUT: ExitCode.INCONCLUSIVE,
    State.UNREACHABLE: ExitCode.UNREACHABLE,
}


@app.command(
    epilog="Example: loom-exporter grants > grants.sql; psql -v ON_ERROR_STOP=1 -f grants.sql"
)
def grants(
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
    probes: Annotated[
        bool,
        typer.Option("--probes", help="Of the role of the probes instead: loom_probe."),
    ] = False,
) -> None:
    """Print the SQL that installs the monitoring role, for a DBA to read and run."""
    _, known = load_settings_and_catalog(config, queries, database)
    print(probe_grants_sql(known) if probes else grants_sql(known), end="")
