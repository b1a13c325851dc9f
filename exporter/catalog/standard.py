"""The shipped queries that every PostgreSQL answers, and those that read a migration history."""

from collections.abc import Iterator

from exporter.catalog.deployment import Deployment
from exporter.catalog.history import HISTORY_QUERY, OBJECTS_QUERY
from exporter.catalog.query import Query, parse_query
from exporter.settings import packaged
from exporter.yaml_source import read_text


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
            header, end, body = text.partition("*/")
            header = header.replace("public.", f"{history.schema_name}.")
            text = header + end + body.replace("public.", f'"{history.schema_name}".')
        yield parse_query(path, text, HISTORY_QUERY)
