"""The command `loom-exporter`: parses, calls, prints, and sets the exit code."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import psycopg
import typer

from exporter import __version__, catalog, daemon
from exporter.catalog import Catalog, CatalogError
from exporter.database.conninfo import conninfo_reader
from exporter.database.grants import grants_sql
from exporter.database.inspection import inspect
from exporter.database.outcome import State, describe
from exporter.healthcheck import ask_health
from exporter.logs import configure_logging
from exporter.once import run_once
from exporter.redaction import redact
from exporter.settings import Settings, SettingsError, load_settings


class Exit(IntEnum):
    """Exit codes of every command (3 and 4 as `verify` uses them)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    UNREACHABLE = 4


Config = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file of settings.", show_default=False, metavar="FILE"),
]
Queries = Annotated[
    Path | None,
    typer.Option(
        "--queries", help="Folder of the queries; default: the ones shipped.", metavar="FOLDER"
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        "--web.listen-address",
        help="Address and port of the web server.",
        metavar="HOST:PORT",
    ),
]
Format = Annotated[
    Literal["text", "json"], typer.Option("--format", help="For a person or for a machine.")
]

app = typer.Typer(
    name="loom-exporter",
    help="Watches a database deployment on PostgreSQL and tells Prometheus whether it went well.",
    epilog="Settings are LOOM_EXPORTER_* variables or a --config file; "
    "only LOOM_EXPORTER_DATABASE_URL is required.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"loom-exporter {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: LOOM_EXPORTER_DATABASE_URL_FILE=/run/secrets/url loom-exporter serve")
def serve(
    config: Config = None,
    queries: Queries = None,
    listen: Listen = None,
    log_format: Annotated[
        Literal["console", "json"] | None, typer.Option(help="Form of the log lines.")
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Least level that is logged."),
    ] = None,
) -> None:
    """Run the queries on their schedule and serve /metrics until SIGTERM."""
    with _told_in_one_line():
        settings = load_settings(
            config,
            {
                "queries": queries,
                "listen": listen,
                "log_format": log_format,
                "log_level": log_level,
            },
        )
        configure_logging(settings.log_format, settings.log_level)
        daemon.serve(settings, catalog.load(settings.queries))


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
    with _told_in_one_line(output):
        settings, known = _load(config, queries)
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
            _print_json({"queries": len(known.queries), "findings": findings})
        if any(finding["state"] not in (State.OK, State.ABSENT) for finding in findings):
            raise typer.Exit(Exit.USAGE)


@app.command(epilog="Example: loom-exporter run database_size")
def run(
    query: Annotated[str, typer.Argument(help="Name of a query: its file without .sql.")],
    config: Config = None,
    queries: Queries = None,
    output: Format = "text",
) -> None:
    """Run one query once, as the daemon would, and print its samples."""
    with _told_in_one_line(output):
        settings, known = _load(config, queries)
        configure_logging(settings.log_format, "error")
        wanted = known.query(query)
        if wanted is None:
            raise SettingsError(
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
            _print_json({"query": query, "state": state, "detail": detail, "samples": samples})
        else:
            print(answer.text, end="")
            print(f"{query}: {state}" + (f": {detail}" if detail else ""), file=sys.stderr)
        raise typer.Exit(_EXIT_OF_RUN.get(state, Exit.FAILED) if state else Exit.FAILED)


_EXIT_OF_RUN = {
    State.OK: Exit.OK,
    State.EMPTY: Exit.OK,
    State.ABSENT: Exit.INCONCLUSIVE,
    State.LOCKED: Exit.INCONCLUSIVE,
    State.TIMEOUT: Exit.INCONCLUSIVE,
    State.UNREACHABLE: Exit.UNREACHABLE,
}


@app.command(
    epilog="Example: loom-exporter grants > grants.sql; psql -v ON_ERROR_STOP=1 -f grants.sql"
)
def grants(config: Config = None, queries: Queries = None) -> None:
    """Print the SQL that installs the monitoring role, for a DBA to read and run."""
    with _told_in_one_line():
        _, known = _load(config, queries)
        print(grants_sql(known.queries), end="")


@app.command(epilog='Example: HEALTHCHECK CMD ["loom-exporter", "healthcheck"]')
def healthcheck(config: Config = None, listen: Listen = None) -> None:
    """Ask the daemon on this machine whether it is alive; exit 0 if so, else 1."""
    with _told_in_one_line():
        settings = load_settings(config, {"listen": listen})
        reason = ask_health(settings.listen)
        if reason:
            _fail(f"healthcheck: {settings.listen}: {reason}", Exit.FAILED)


@app.command(epilog="Example: loom-exporter demo --scenario regression --fast")
def demo(
    scenario: Annotated[
        Literal["healthy", "published", "regression", "rollback"],
        typer.Option(
            help="healthy: as it should go; published: with the defects of the originals; "
            "regression: an index is lost afterwards; rollback: the last phase is rolled back."
        ),
    ] = "healthy",
    port: Annotated[
        int, typer.Option(help="Port of /metrics on 127.0.0.1; 0 takes a free one.")
    ] = 10187,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Tell the story in two minutes rather than in three: 30 s under load before the "
            "deployment and after it, not 60, and hours of 3 s, not 5, for baseline and warm-up.",
        ),
    ] = False,
    before: Annotated[
        float | None, typer.Option(help="Seconds under load before the deployment.", min=1)
    ] = None,
    after: Annotated[
        float | None, typer.Option(help="Seconds under load after it, before the verdict.", min=1)
    ] = None,
    hold: Annotated[
        float | None,
        typer.Option(help="End by itself, this many seconds after the story is told.", min=0),
    ] = None,
) -> None:
    """Take a Loom database on a PostgreSQL of its own through its deployment, and watch it."""
    with _told_in_one_line():
        try:
            from exporter.demo import CALM, FAST, DemoError, Plan, play
        except ModuleNotFoundError as missing:
            _fail(f"the demo needs {missing.name}: pip install 'loom-exporter[demo]'", Exit.USAGE)
        pace = FAST if fast else CALM
        pace = pace._replace(
            before_seconds=before or pace.before_seconds, after_seconds=after or pace.after_seconds
        )
        try:
            play(Plan(scenario, port, pace, hold))
        except DemoError as error:
            _fail(str(error), Exit.FAILED)


def main() -> None:
    """Entry point of the console script."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has had enough, as in `| head`; let the interpreter not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.OK)


def _load(config: Path | None, queries: Path | None) -> tuple[Settings, Catalog]:
    settings = load_settings(config, {"queries": queries})
    return settings, catalog.load(settings.queries)


@contextmanager
def _told_in_one_line(output: str = "text") -> Iterator[None]:
    """End with one line on standard error, or with JSON, for every foreseen failure."""
    try:
        yield
    except SettingsError as error:
        _fail(str(error), Exit.USAGE)
    except CatalogError as error:
        if output == "json":
            _print_json({"problems": error.problems})
            raise typer.Exit(Exit.USAGE) from None
        _fail(str(error), Exit.USAGE)
    except psycopg.OperationalError as error:
        _fail(f"database: {describe(error)}", Exit.UNREACHABLE)


def _print_counts(settings: Settings, known: Catalog, output: str) -> None:
    counts = {
        "queries": len(known.queries),
        "metrics": len(known.metrics()),
        "phases": len(known.deployment.phases),
    }
    if output == "json":
        _print_json({**counts, "problems": []})
    else:
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"{settings.queries}: {told}: no problem found")


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def _fail(message: str, code: Exit) -> NoReturn:
    for line in redact(message).splitlines():
        print(f"loom-exporter: {line}", file=sys.stderr)
    raise typer.Exit(code)
