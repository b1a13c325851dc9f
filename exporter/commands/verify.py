"""`verify`, `ready` and `report`: whether the deployment may stay, or begin."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import typer

from exporter.commands.common import Config, DatabaseName, Queries, worst
from exporter.commands.judging import Document, Judged, Target, judge_all, judge_one
from exporter.deployment.records import Outcome
from exporter.errors import ExitCode, UsageError
from exporter.redaction import redact
from exporter.render.answers import ANSWERS
from exporter.render.combined import COMBINED_FORMS, combined
from exporter.render.report import REPORTS
from exporter.verdict.assess import Verdict

app = typer.Typer()

All = Annotated[
    bool, typer.Option("--all", help="Of each database of the settings; the worst exit code.")
]
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
    database: DatabaseName = None,
    all_: All = False,
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
    target = Target(config, queries, database, all_, url)
    wanted = Document("/api/v1/verdict", output, ANSWERS[output])
    _answer(target, wanted, lambda judged: _exit_code(judged.verdict, inconclusive_as))


@app.command(epilog="Example: loom-exporter ready && supabase db push")
def ready(
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
    all_: All = False,
    output: Annotated[
        Literal["text", "json"], typer.Option("--format", help="For a person or for a machine.")
    ] = "text",
    inconclusive_as: InconclusiveAs = "3",
    url: Url = None,
) -> None:
    """Say whether the deployment may begin: exit 0 yes, 1 no, 3 not to be told yet.

    By the criteria under `ready` in deployment.yaml. Exit 4 as for verify.
    """
    target = Target(config, queries, database, all_, url)
    form = "ready" if output == "text" else output
    wanted = Document("/api/v1/verdict", form, ANSWERS[form])
    _answer(target, wanted, lambda judged: _exit_code(judged.readiness, inconclusive_as))


@app.command(epilog="Example: loom-exporter report --format html > report.html")
def report(
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
    all_: All = False,
    output: Annotated[
        Literal["markdown", "html", "notification"],
        typer.Option("--format", help="Form of the report; notification is what to tell the team."),
    ] = "markdown",
    url: Url = None,
) -> None:
    """Fill in the checklist: before and after, each criterion, the plan, sign-offs."""
    target = Target(config, queries, database, all_, url)
    _answer(target, Document("/report", output, REPORTS[output]), lambda _: ExitCode.OK)


def _answer(target: Target, wanted: Document, code_of: Callable[[Judged], int]) -> None:
    """Print what was found of one database or of all, and exit with the code, or the worst."""
    if not target.all:
        judged = judge_one(target, wanted)
        print(redact(judged.text), end="")
        raise typer.Exit(code_of(judged))
    if wanted.form not in COMBINED_FORMS:
        raise UsageError(
            f"command line: --all: a document of the form {wanted.form} is about one database",
            "give --database NAME, or another --format",
        )
    found = judge_all(target, wanted)
    answers = {name: each for name, each in found.items() if isinstance(each, Judged)}
    errors = {name: each for name, each in found.items() if not isinstance(each, Judged)}
    texts = {name: each.text for name, each in answers.items()}
    problems = {name: each.line for name, each in errors.items()}
    print(redact(combined(wanted.form, texts, problems)), end="")
    codes = [code_of(each) for each in answers.values()]
    raise typer.Exit(worst([*codes, *(each.exit_code for each in errors.values())]))


def _exit_code(result: str, inconclusive_as: str) -> int:
    """Return the exit code of a verdict or of a readiness."""
    return int(inconclusive_as) if result == Outcome.INCONCLUSIVE else _EXIT_CODES[result]
