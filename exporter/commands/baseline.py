"""`baseline`: how the database was before its deployment, to make, look at, and carry about."""

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from exporter.baseline.artefact import Baseline
from exporter.baseline.codec import RefusedError, dumps, loads
from exporter.baseline.files import read_file, write_file
from exporter.baseline.fit import adopted, check_fits
from exporter.catalog import Catalog
from exporter.clock import Clock
from exporter.commands.common import (
    Config,
    DatabaseName,
    Format,
    Queries,
    load_settings_and_catalog,
    note,
    open_state,
    parse_moment,
    with_database,
)
from exporter.database.facts import read_facts
from exporter.durations import parse_duration
from exporter.errors import ExporterError, UsageError
from exporter.learning.build import moved_far
from exporter.learning.capture import SHORTEST_SECONDS, capture
from exporter.learning.document import KEY, TOPIC, class_rules_digest
from exporter.learning.exclusions import EXCLUSIONS, NO_REASON, Exclusion, key_of, rebuilt
from exporter.logs import configure_logging
from exporter.render.baseline_text import baseline_text
from exporter.run_state import RunError
from exporter.settings import Settings, interactive
from exporter.state import Scope

app = typer.Typer()
_group = typer.Typer(
    help="How the database was before its deployment.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(_group, name="baseline")

Replace = Annotated[
    bool, typer.Option("--replace", help="Take the place of a baseline that is there already.")
]


@_group.command("capture", epilog="Example: loom-exporter baseline capture --for 10m")
def capture_(
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
    for_: Annotated[
        str | None, typer.Option("--for", help="Watch for so long, such as 10m.", metavar="TIME")
    ] = None,
    since_reset: Annotated[
        bool,
        typer.Option("--since-reset", help="Take all that pg_stat_statements has counted so far."),
    ] = False,
    replace: Replace = False,
) -> None:
    """Make a baseline now, which is then used instead of the one that the daemon collects.

    It is put into the state folder, where the daemon finds it. The daemon goes on collecting:
    `baseline discard` leaves the matter to it again. Once the deployment has begun, none can be
    made.
    """
    settings, known = _load(config, queries, database)
    seconds = _seconds(for_, since_reset=since_reset)
    facts = asyncio.run(with_database(settings, read_facts))
    scope = _people(settings, known).of(facts.identity)
    _keep_what_is_there(scope, replace=replace)
    act = partial(capture, settings, known, seconds=seconds, tell=_progress)
    baseline = asyncio.run(with_database(settings, act))
    _save(scope, dumps(baseline))
    print(baseline_text(baseline), end="")


@_group.command(epilog="Example: loom-exporter baseline show")
def show(
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
    output: Format = "text",
) -> None:
    """Show the baseline in the state folder; exit 1 if there is none or it is refused."""
    settings, known = _load(config, queries, database)
    _, text = _kept(settings, known)
    baseline = loads(text)
    doubts = _doubts(settings, known, baseline)
    print(text if output == "json" else baseline_text(baseline), end="")
    for doubt in (*moved_far(baseline), *doubts):
        note(doubt)


@_group.command(
    epilog="Example: loom-exporter baseline exclude 2026-11-20T09:00Z 2026-11-20T11:30Z"
)
def exclude(
    start: Annotated[
        str, typer.Argument(metavar="FROM", help="When it began, as ISO 8601 with a time zone.")
    ],
    end: Annotated[str, typer.Argument(metavar="TO", help="When it was over.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why, in a few words; shown with the baseline.")
    ] = NO_REASON,
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
) -> None:
    """Leave a time out of the baseline: an incident, a load test, maintenance.

    Whole hours are left out. A baseline that is there already is made again from its hours; what
    was counted against it since the deployment is counted afresh.
    """
    settings, known = _load(config, queries, database)
    left_out = Exclusion(
        parse_moment(start, "FROM").timestamp(),
        parse_moment(end, "TO").timestamp(),
        " ".join(reason.split()) or NO_REASON,
    )
    if left_out.end <= left_out.start:
        raise UsageError("command line: TO: must be later than FROM")
    people = _people(settings, known)
    exclusions = {**EXCLUSIONS.load(people), key_of(left_out): left_out}
    text = "it will be left out when the baseline is made\n"
    if list(people.store.elsewhere(people, TOPIC)):
        scope, before = _kept(settings, known, read_only=False)
        clock = Clock(settings.hour)
        baseline = rebuilt(scope, known.deployment, clock, loads(before), exclusions.values())
        _save(scope, dumps(baseline))
        text = baseline_text(baseline)
    if not EXCLUSIONS.save(people, {key_of(left_out): left_out}):
        raise ExporterError(f"state: {people.store.problem}")
    print(text, end="")


@_group.command(epilog="Example: loom-exporter baseline export baseline.json")
def export(
    file: Annotated[
        Path | None,
        typer.Argument(help="Where to; by default standard output.", show_default=False),
    ] = None,
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
) -> None:
    """Write the baseline to a file that only its owner can read."""
    settings, known = _load(config, queries, database)
    _, text = _kept(settings, known)
    loads(text)
    if file:
        write_file(file, text)
    else:
        print(text, end="")


@_group.command("import", epilog="Example: loom-exporter baseline import baseline.json")
def import_(
    file: Annotated[Path, typer.Argument(help="What `baseline export` wrote.")],
    config: Config = None,
    queries: Queries = None,
    database: DatabaseName = None,
    allow_other_database: Annotated[
        bool,
        typer.Option(
            "--allow-other-database",
            help="Take it over from another database, as for a restored copy or a branch.",
        ),
    ] = False,
    replace: Replace = False,
) -> None:
    """Take over a baseline from a file; exit 4 if it is of another database."""
    settings, known = _load(config, queries, database)
    text = read_file(file)
    try:
        baseline = loads(text)
    except RefusedError as refused:
        raise UsageError(f"{file}: {refused.line}") from None
    facts = asyncio.run(with_database(settings, read_facts))
    if allow_other_database:
        baseline = adopted(baseline, facts)
        text = dumps(baseline)
    rules = class_rules_digest(known.deployment)
    doubts = check_fits(baseline, facts, known.deployment.name, rules)
    scope = _people(settings, known).of(facts.identity)
    _keep_what_is_there(scope, replace=replace)
    _save(scope, text)
    for doubt in doubts:
        note(doubt)
    print(f"{file}: taken over; a daemon that runs will use it within a minute")


@_group.command(epilog="Example: loom-exporter baseline discard")
def discard(config: Config = None, queries: Queries = None, database: DatabaseName = None) -> None:
    """Drop the baseline; until the deployment begins, the daemon collects one by itself."""
    settings, known = _load(config, queries, database)
    scope, _ = _kept(settings, known, read_only=False)
    _save(scope, None)
    print(f"{known.deployment.name}: the baseline is dropped")


def _people(settings: Settings, known: Catalog, *, read_only: bool = False) -> Scope:
    """Return the scope of what people say of the deployment; those of databases are beside it."""
    store = open_state(settings, read_only=read_only)
    return store.scope(settings.database_name, known.deployment.name)


def _keep_what_is_there(scope: Scope, *, replace: bool) -> None:
    """End if there is a baseline of this database, unless it is to be replaced."""
    if not replace and scope.store.read(scope, TOPIC, KEY) is not None:
        raise ExporterError(
            f"baseline: there is one of {scope.deployment} already, see `loom-exporter baseline "
            "show`; give --replace to have another one in its place"
        )


def _save(scope: Scope, text: str | None) -> None:
    """Write the baseline for the daemon to find, or drop it; end if that cannot be done."""
    content = None if text is None else text.encode()
    if not scope.store.save(scope, TOPIC, {KEY: content}):
        raise ExporterError(f"state: {scope.store.problem}")


def _load(
    config: Path | None, queries: Path | None, database: str | None
) -> tuple[Settings, Catalog]:
    settings, known = load_settings_and_catalog(config, queries, database)
    configure_logging(settings.log_format, "error")
    return settings, known


def _seconds(text: str | None, *, since_reset: bool) -> float | None:
    if (text is None) != since_reset:
        raise UsageError("command line: give either --for TIME or --since-reset")
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"command line: --for: {error}") from None
    if seconds < SHORTEST_SECONDS:
        raise UsageError(f"command line: --for: must be at least {SHORTEST_SECONDS:g}s")
    return seconds


def _kept(settings: Settings, known: Catalog, *, read_only: bool = True) -> tuple[Scope, str]:
    """Return the baseline in the state folder, and whose it is; end if there is none.

    Only where there are several, of other databases with this name, the database is asked.
    """
    people = _people(settings, known, read_only=read_only)
    store = people.store
    found = list(store.elsewhere(people, TOPIC))
    if not found:
        raise ExporterError(
            f"baseline: there is none of {known.deployment.name} in {store.path}; the daemon makes "
            "it when the deployment begins, and `loom-exporter baseline capture` at once"
        )
    if len(found) > 1:
        now = asyncio.run(with_database(settings, read_facts)).identity
        found.sort(key=lambda identity: not identity.is_same(now))
    scope = people.of(found[0])
    content = store.read(scope, TOPIC, KEY) or b""
    return scope, content.decode(errors="replace")


def _doubts(settings: Settings, known: Catalog, baseline: Baseline) -> list[str]:
    """Hold a baseline against the database, if that can be asked."""
    try:
        facts = asyncio.run(with_database(settings, read_facts))
    except (RunError, UsageError) as error:
        return [f"not held against the database: {error}"]
    return check_fits(baseline, facts, known.deployment.name, class_rules_digest(known.deployment))


def _progress(text: str) -> None:
    """Tell a person how it goes, on one line that is written over."""
    if interactive():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
