"""`verify`, `report`, `sign-off` and `deploy`: whether the deployment may stay."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from exporter.app.once import Opinion, judge_once
from exporter.baseline.codec import Refusal
from exporter.commands.common import (
    Config,
    Queries,
    load_settings_and_catalog,
    note,
    open_state,
    parse_moment,
)
from exporter.deployment.acknowledgements import acknowledgement, append
from exporter.deployment.history import write_mark
from exporter.deployment.sign_offs import SIGN_OFFS, sign
from exporter.errors import ExitCode, ExporterError, UsageError
from exporter.logs import configure_logging
from exporter.redaction import redact
from exporter.render.junit import verify_junit
from exporter.render.report import REPORTS
from exporter.render.text import verify_text
from exporter.render.verdict_json import verify_json
from exporter.verdict.assess import Verdict

app = typer.Typer()
_deploy = typer.Typer(
    help="What the database cannot show of a deployment.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(_deploy, name="deploy")

_EXIT_OF_VERDICT = {
    Verdict.GO: ExitCode.OK,
    Verdict.NO_GO: ExitCode.FAILED,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}
_VERIFY = {"text": verify_text, "json": verify_json, "junit": verify_junit}


@app.command(epilog="Example: loom-exporter verify --format junit > verdict.xml")
def verify(
    config: Config = None,
    queries: Queries = None,
    output: Annotated[
        Literal["text", "json", "junit"],
        typer.Option("--format", help="For a person, a machine, or a pipeline."),
    ] = "text",
    inconclusive_as: Annotated[
        Literal["3", "0", "1"],
        typer.Option("--inconclusive-as", help="Exit code when it cannot be told yet."),
    ] = "3",
) -> None:
    """Say whether the deployment may stay: exit 0 go, 1 no-go, 3 not to be told yet.

    Exit 4 if the database cannot be reached, or is not the one that the baseline is of. Rests on
    what the daemon has counted, and on each query, which is run once.
    """
    opinion = _opinion(config, queries)
    verdict = opinion.assessment.verdict
    print(redact(_VERIFY[output](opinion.assessment)), end="")
    if verdict is Verdict.INCONCLUSIVE:
        raise typer.Exit(int(inconclusive_as))
    raise typer.Exit(_EXIT_OF_VERDICT[verdict])


@app.command(epilog="Example: loom-exporter report --format html > report.html")
def report(
    config: Config = None,
    queries: Queries = None,
    output: Annotated[
        Literal["markdown", "html"], typer.Option("--format", help="Form of the report.")
    ] = "markdown",
) -> None:
    """Fill in the checklist: before and after, each criterion, the first week, sign-offs."""
    opinion = _opinion(config, queries)
    print(redact(REPORTS[output](opinion.assessment)), end="")


@app.command("sign-off", epilog="Example: loom-exporter sign-off no_critical_bugs --by Ada")
def sign_off(
    criterion: Annotated[
        str, typer.Argument(help="Of a criterion, check or sign-off that is for people to judge.")
    ],
    by: Annotated[str, typer.Option("--by", help="Who says so.")],
    remark: Annotated[str, typer.Option("--note", help="What it rests on.")] = "",
    reject: Annotated[
        bool, typer.Option("--reject", help="Say no: the verdict is no-go then.")
    ] = False,
    config: Config = None,
    queries: Queries = None,
) -> None:
    """Say of something that only people can judge that it is well; the newest word counts."""
    settings, known = load_settings_and_catalog(config, queries)
    configure_logging(settings.log_format, "error")
    given = sign(
        known.deployment, criterion, by=by, at=time.time(), note=remark, approved=not reject
    )
    people = open_state(settings).scope(settings.database_name, known.deployment.name)
    if not SIGN_OFFS.save(people, {given.name: given}):
        raise ExporterError(f"state: {people.store.problem}")
    print(f"{criterion}: {'rejected' if reject else 'approved'} by {given.by}")


@_deploy.command(epilog="Example: loom-exporter deploy mark --at 2026-11-24T09:30Z")
def mark(
    at: Annotated[
        str, typer.Option("--at", help="When it was done; `now`, or as ISO 8601 with a time zone.")
    ] = "now",
    phase: Annotated[
        str | None, typer.Option("--phase", help="Of a phase that no history shows, by its name.")
    ] = None,
    config: Config = None,
    queries: Queries = None,
) -> None:
    """Tell when the application was rolled out: warm-up and first week are counted from then.

    Unless the last migration came later. Where the migrations leave no trace in the database, this
    also is how the deployment is known to have begun.
    """
    settings, known = load_settings_and_catalog(config, queries)
    configure_logging(settings.log_format, "error")
    if phase is not None and phase not in known.deployment.phases:
        phases = ", ".join(known.deployment.phases)
        raise UsageError(f"no phase {phase} in deployment.yaml; known are {phases}")
    moment = parse_moment(at)
    people = open_state(settings).scope(settings.database_name, known.deployment.name)
    if not write_mark(people, moment.timestamp(), phase):
        raise ExporterError(f"state: {people.store.problem}")
    what = known.deployment.name if phase is None else f"phase {phase}"
    print(f"{what}: marked as rolled out at {moment:%Y-%m-%d %H:%M:%S} UTC")


@_deploy.command(epilog="Example: loom-exporter deploy acknowledge --by Ada --reason 'new index'")
def acknowledge(
    by: Annotated[str, typer.Option("--by", help="Who accepts the schema as it is.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it was changed.")],
    config: Config = None,
    queries: Queries = None,
) -> None:
    """Accept the schema as it is: only later changes count as drift."""
    settings, known = load_settings_and_catalog(config, queries)
    configure_logging(settings.log_format, "error")
    given = acknowledgement(by=by, reason=reason, at=time.time())
    people = open_state(settings).scope(settings.database_name, known.deployment.name)
    if not append(people, given):
        raise ExporterError(f"state: {people.store.problem}")
    print(f"{known.deployment.name}: schema accepted by {given.by}: {given.reason}")


def _opinion(config: Path | None, queries: Path | None) -> Opinion:
    """Judge; end if the database is not the one that the baseline is of."""
    settings, known = load_settings_and_catalog(config, queries)
    configure_logging(settings.log_format, "error")
    opinion = asyncio.run(judge_once(settings, known))
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
    return opinion
