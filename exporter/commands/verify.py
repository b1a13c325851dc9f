"""`verify`, `ready` and `report`: whether the deployment may stay, or begin."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from exporter.app.daemon_client import ask_daemon
from exporter.app.once import Opinion, judge_once
from exporter.baseline.codec import Refusal
from exporter.commands.common import Config, Queries, load_settings_and_catalog, note
from exporter.deployment.records import Outcome
from exporter.errors import ExitCode
from exporter.logs import configure_logging
from exporter.redaction import redact
from exporter.render.answers import ANSWERS
from exporter.render.report import REPORTS
from exporter.settings import load_settings
from exporter.verdict.assess import Verdict

app = typer.Typer()

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Ask the daemon at this address, such as https://exporter:10187, instead of the "
        "database; user and password, or a token: LOOM_EXPORTER_DAEMON_*.",
        metavar="URL",
    ),
]
InconclusiveAs = Annotated[
    Literal["3", "0", "1"],
    typer.Option("--inconclusive-as", help="Exit code when it cannot be told yet."),
]
_EXIT_CODES: Mapping[str, ExitCode] = {
    Verdict.GO: ExitCode.OK,
    Verdict.NO_GO: ExitCode.FAILED,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Outcome.PASS: ExitCode.OK,
    Outcome.FAIL: ExitCode.FAILED,
}
"""By verdict or readiness."""


@app.command(epilog="Example: loom-exporter verify --format junit > verdict.xml")
def verify(
    config: Config = None,
    queries: Queries = None,
    output: Annotated[
        Literal["text", "json", "junit"],
        typer.Option("--format", help="For a person, a machine, or a pipeline."),
    ] = "text",
    inconclusive_as: InconclusiveAs = "3",
    url: Url = None,
) -> None:
    """Say whether the deployment may stay: exit 0 go, 1 no-go, 3 not to be told yet.

    Exit 4 if the database cannot be reached, or is not the one that the baseline is of. Rests on
    what the daemon has counted, and on each query, which is run once. Once a phase is rolled back,
    3 if all is as it should be then, 1 if not.
    """
    if url is not None:
        answer = ask_daemon(load_settings(config), url, "/api/v1/verdict", output)
        text, verdict = answer.text, answer.verdict
    else:
        assessment = _opinion(config, queries).assessment
        text, verdict = ANSWERS[output](assessment), assessment.verdict.value
    _end(text, verdict, inconclusive_as)


@app.command(epilog="Example: loom-exporter ready && supabase db push")
def ready(
    config: Config = None,
    queries: Queries = None,
    output: Annotated[
        Literal["text", "json"], typer.Option("--format", help="For a person or for a machine.")
    ] = "text",
    inconclusive_as: InconclusiveAs = "3",
    url: Url = None,
) -> None:
    """Say whether the deployment may begin: exit 0 yes, 1 no, 3 not to be told yet.

    By the criteria under `ready` in deployment.yaml. Exit 4 as for verify.
    """
    form = "ready" if output == "text" else output
    if url is not None:
        answer = ask_daemon(load_settings(config), url, "/api/v1/verdict", form)
        text, readiness = answer.text, answer.readiness
    else:
        assessment = _opinion(config, queries).assessment
        text, readiness = ANSWERS[form](assessment), assessment.readiness.value
    _end(text, readiness, inconclusive_as)


@app.command(epilog="Example: loom-exporter report --format html > report.html")
def report(
    config: Config = None,
    queries: Queries = None,
    output: Annotated[
        Literal["markdown", "html", "notification"],
        typer.Option("--format", help="Form of the report; notification is what to tell the team."),
    ] = "markdown",
    url: Url = None,
) -> None:
    """Fill in the checklist: before and after, each criterion, the plan, sign-offs."""
    if url is not None:
        text = ask_daemon(load_settings(config), url, "/report", output).text
    else:
        text = REPORTS[output](_opinion(config, queries).assessment)
    print(redact(text), end="")


def _end(text: str, result: str, inconclusive_as: str) -> None:
    """Print what was found, and exit with the code of the verdict or of the readiness."""
    print(redact(text), end="")
    if result == Outcome.INCONCLUSIVE:
        raise typer.Exit(int(inconclusive_as))
    raise typer.Exit(_EXIT_CODES[result])


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
