"""The shipped queries that every PostgreSQL answers, and those that read a migration history."""

from collections.abc import Iterator

from exporter.catalog.deployment import Deployment
from exporter.catalog.query import Query, parse_query
from exporter.settings import packaged
from exporter.yaml_source import read_text

HISTORY_QUERY = "migrations"
"""The name of the query that reads the history, whatever keeps it."""

OBJECTS_QUERY = "deployment_objects"

APPLIED = "loom_migration_applied"
"""The metric, with a label `version`, by which a migration is known to be applied."""


def standard_queries(deployment: Deployment, own: frozenset[str]) -> Iterator[Query]:
    """Yield the shipped queries of a pack, but for those that it has a file of the same name for.

    Args:
        deployment: says what it includes, and what keeps its history.
        own: names of the queries of the pack itself.
    """
    folder = packaged("queries") / "standard"
    if deployment.include == "standard":
        for path in sorted(folder.glob("*.sql")):
            if path.stem not in own:
                yield parse_query(path, read_text(path))
    history = deployment.history
    if history and history.kind != "none" and HISTORY_QUERY not in own:
        path = folder / "history" / f"{history.kind}.sql"
        text = read_text(path)
        if history.kind == "probe":
            objects = parse_query(folder, read_text(folder / f"{OBJECTS_QUERY}.sql"), OBJECTS_QUERY)
            text = text.replace(f"SELECT * FROM {OBJECTS_QUERY}", objects.text.strip())
        if history.schema_name:
            text = text.replace("public.", f"{history.schema_name}.")
        yield parse_query(path, text, HISTORY_QUERY)


def unseen_phases(deployment: Deployment, has_history: bool) -> Iterator[str]:
    """Yield a line for each phase that nothing could ever show to be applied.

    Args:
        deployment: what deployment.yaml says.
        has_history: whether a query feeds `APPLIED` with a label `version`.
    """
    kind = deployment.history.kind if deployment.history else None
    if kind == "none":
        return
    for name, phase in deployment.phases.items():
        if kind == "probe" and not phase.objects:
            yield (
                f"phases.{name}: with `history: {{kind: probe}}` a phase is applied when its "
                "`objects` are there; give it some"
            )
        elif phase.migrations and not has_history:
            yield (
                f"phases.{name}: nothing can show that it is applied; say what keeps the history, "
                f"such as `history: {{kind: django}}`, or feed {APPLIED} with the label version "
                "from a query"
            )
        elif not phase.migrations and kind is None:
            yield (
                f"phases.{name}: nothing can show that it is applied; give it `migrations`, or "
                "write `history: {kind: none}` and say so yourself: loom-exporter deploy mark"
            )
