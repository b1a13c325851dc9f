"""`record`: what a suite of tests has found, for the verdict to rest on."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from exporter.catalog.deployment import Suite
from exporter.commands.common import (
    Config,
    DatabaseName,
    Queries,
    load_settings_and_catalog,
    open_daemon_state,
    parse_moment,
)
from exporter.deployment.suite_results import SuiteResult, save_result, suite_result
from exporter.errors import ExitCode, ExporterError, UsageError
from exporter.logs import configure_logging
from exporter.sources.suite_files import parse_suite_file, read_suite_file
from exporter.wording import listed
from exporter.yaml_source import plain_reason

app = typer.Typer()


@app.command(epilog="Example: loom-exporter record rls rls.tap --environment staging")
def record(
    suite: Annotated[str, typer.Argument(help="Name of a suite in deployment.yaml.")],
    file: Annotated[Path, typer.Argument(help="TAP, JUnit XML, or the output of a script.")],
    notices: Annotated[
        str | None,
        typer.Option(
            help="For a script that raises notices: the regular expression of a line that reports "
            "a test, with the group outcome (pass, fail, skip) and perhaps name.",
            metavar="REGEX",
        ),
    ] = None,
    commit: Annotated[str, typer.Option(help="What was tested, such as a commit.")] = "",
    environment: Annotated[str, typer.Option(help="Where it ran, such as staging.")] = "",
    at: Annotated[
        str | None,
        typer.Option(
            help="When it ran: `now`, or as ISO 8601 with a time zone; by default when the file "
            "was written, or earlier if the file says so."
        ),
    ] = None,
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
) -> None:
    """Record the result of a suite; exit 1 if it is recorded and is no pass.

    Results are only ever added. The newest one of each environment counts, if it is from after
    the last migration.
    """
    settings, known = load_settings_and_catalog(config, queries, database)
    configure_logging(settings.log_format, "error")
    planned = _suite(known.deployment.suites, suite, notices)
    content = read_suite_file(file)
    counts = parse_suite_file(file, content, planned.notices)
    ran_at = min(file.stat().st_mtime, time.time()) if at is None else parse_moment(at).timestamp()
    try:
        result = suite_result(
            suite, content, counts, ran_at, commit=commit, environment=environment
        )
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        raise UsageError(
            f"command line: --{first['loc'][0]}: {plain_reason(first['type'], first['msg'])}"
        ) from None
    people = open_daemon_state(settings).scope(settings.database_name, known.deployment.name)
    if not save_result(people, result):
        raise ExporterError(f"state: {people.store.problem}")
    is_pass = not result.failed and not result.problem and result.passed >= planned.planned
    print(f"{suite}: {_told(result)}, {planned.planned} planned")
    if not is_pass:
        raise typer.Exit(ExitCode.FAILED)


def _suite(suites: Mapping[str, Suite], name: str, notices: str | None) -> Suite:
    """Return a suite of deployment.yaml, with the notices of the command line if there are any."""
    if name not in suites:
        known = ", ".join(suites) or "none"
        raise UsageError(f"no suite {name} in deployment.yaml (`suites`); known are {known}")
    if notices is None:
        return suites[name]
    try:
        return Suite.model_validate({**suites[name].model_dump(), "notices": notices})
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        reason = plain_reason(first["type"], first["msg"])
        raise UsageError(f"command line: --notices: {reason}") from None


def _told(result: SuiteResult) -> str:
    told = f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped"
    if result.failed_names:
        told += f" ({listed(result.failed_names)})"
    return f"{told}; {result.problem}" if result.problem else told
