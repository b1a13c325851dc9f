"""`sign-off` and `deploy`: what people say of the deployment, for the daemon to keep."""

import time
from pathlib import Path
from typing import Annotated

import typer

from exporter.commands.common import (
    Config,
    DatabaseName,
    Queries,
    load_settings_and_catalog,
    open_daemon_state,
    parse_moment,
)
from exporter.deployment.history import write_mark
from exporter.deployment.people import (
    ACKNOWLEDGEMENTS,
    MARKS,
    NOTES,
    ROLLBACKS,
    Acknowledgement,
    Mark,
    Note,
    ReportedRollback,
    append,
    word,
)
from exporter.deployment.sign_offs import SIGN_OFFS, sign
from exporter.errors import ExporterError, UsageError
from exporter.logs import configure_logging
from exporter.state import Scope

app = typer.Typer()
_deploy = typer.Typer(
    help="What the database cannot show of a deployment.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(_deploy, name="deploy")

At = Annotated[
    str, typer.Option("--at", help="When it was done; `now`, or as ISO 8601 with a time zone.")
]


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
    database: DatabaseName = None,
) -> None:
    """Say of something that only people can judge that it is well.

    No word hides another: of each person the newest counts, and what one of them rejects is
    rejected.
    """
    settings, known = load_settings_and_catalog(config, queries, database)
    configure_logging(settings.log_format, "error")
    given = sign(
        known.deployment, criterion, by=by, at=time.time(), note=remark, approved=not reject
    )
    people = open_daemon_state(settings).scope(settings.database_name, known.deployment.name)
    _check(append(SIGN_OFFS, people, given, given.name), people)
    print(f"{criterion}: {'rejected' if reject else 'approved'} by {given.by}")


@_deploy.command(epilog="Example: loom-exporter deploy mark --at 2026-11-24T09:30Z")
def mark(
    at: At = "now",
    phase: Annotated[
        str | None, typer.Option("--phase", help="Of a phase that no history shows, by its name.")
    ] = None,
    deployed_by: Annotated[
        str | None, typer.Option("--deployed-by", help="Who deployed, for the report.")
    ] = None,
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
) -> None:
    """Tell when the application was rolled out: warm-up and plan are counted from then.

    Unless the last migration came later. Where the migrations leave no trace in the database, this
    also is how the deployment is known to have begun.
    """
    moment = parse_moment(at)
    people = _people(config, queries, database, phase)
    if deployed_by is not None:
        given = word(Mark, "deploy mark", by=deployed_by, at=moment.timestamp())
        _check(append(MARKS, people, given), people)
    _check(write_mark(people, moment.timestamp(), phase), people)
    what = people.deployment if phase is None else f"phase {phase}"
    print(f"{what}: marked as rolled out at {moment:%Y-%m-%d %H:%M:%S} UTC")


@_deploy.command(epilog="Example: loom-exporter deploy acknowledge --by Ada --reason 'new index'")
def acknowledge(
    by: Annotated[str, typer.Option("--by", help="Who accepts the schema as it is.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it was changed.")],
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
) -> None:
    """Accept the schema as it is: only later changes count as drift."""
    given = word(Acknowledgement, "acknowledge", by=by, reason=reason, at=time.time())
    people = _people(config, queries, database)
    _check(append(ACKNOWLEDGEMENTS, people, given), people)
    print(f"{people.deployment}: schema accepted by {given.by}: {given.reason}")


@_deploy.command(
    "rolled-back",
    epilog="Example: loom-exporter deploy rolled-back PHASE --by Ada --reason 'it was slow'",
)
def rolled_back(
    phase: Annotated[str, typer.Argument(help="Of the phase, as deployment.yaml names it.")],
    by: Annotated[str, typer.Option("--by", help="Who says so.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it was rolled back.")],
    at: At = "now",
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
) -> None:
    """Tell that a phase was rolled back, and why; then it is judged as that.

    Where all objects of a phase are gone this is seen, and only the reason is missing.
    """
    people = _people(config, queries, database, phase)
    moment = parse_moment(at)
    given = word(
        ReportedRollback, "rolled-back", phase=phase, by=by, reason=reason, at=moment.timestamp()
    )
    _check(append(ROLLBACKS, people, given, phase), people)
    print(f"{people.deployment}: phase {phase} rolled back, says {given.by}: {given.reason}")


@_deploy.command("note", epilog="Example: loom-exporter deploy note 'cache was cold' --by Ada")
def note_(
    text: Annotated[str, typer.Argument(help="What happened, or was done otherwise than planned.")],
    by: Annotated[str, typer.Option("--by", help="Who says so.")],
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
) -> None:
    """Write down something about the deployment; it stands in the report."""
    given = word(Note, "note", by=by, text=text, at=time.time())
    people = _people(config, queries, database)
    _check(append(NOTES, people, given), people)
    print(f"{people.deployment}: noted by {given.by}")


def _people(
    config: Path | None, queries: Path | None, database: str | None, phase: str | None = None
) -> Scope:
    """Return where the daemon keeps what people say, perhaps of a phase.

    Raises:
        UsageError: there is no such phase.
    """
    settings, known = load_settings_and_catalog(config, queries, database)
    configure_logging(settings.log_format, "error")
    if phase is not None and phase not in known.deployment.phases:
        phases = ", ".join(known.deployment.phases)
        raise UsageError(f"no phase {phase} in deployment.yaml; known are {phases}")
    return open_daemon_state(settings).scope(settings.database_name, known.deployment.name)


def _check(is_written: bool, people: Scope) -> None:
    if not is_written:
        raise ExporterError(f"state: {people.store.problem}")
