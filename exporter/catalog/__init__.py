"""What is watched: a folder of queries and a deployment, as validated, frozen data."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter.catalog.deployment import Deployment, load_deployment
from exporter.catalog.header import QueryMetric
from exporter.catalog.metric import Metric
from exporter.catalog.query import Query, parse_query
from exporter.catalog.references import broken_references
from exporter.errors import UsageError
from exporter.yaml_source import YamlDocument, YamlError, read_text

__all__ = [
    "Catalog",
    "CatalogError",
    "Deployment",
    "Metric",
    "Query",
    "QueryMetric",
    "load_catalog",
]


_REMEDY = "point --queries at one that holds .sql files and a deployment.yaml"


class CatalogError(UsageError):
    """A folder that cannot be used; `problems` has one line for each faulty file."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that `queries/` says. `queries` are sorted by name."""

    deployment: Deployment
    queries: tuple[Query, ...]

    def query(self, name: str) -> Query | None:
        """Return the query of that name."""
        return next((query for query in self.queries if query.name == name), None)

    def metrics(self) -> dict[str, QueryMetric]:
        """Return every metric by name; queries that share one agree on what is exposed of it."""
        return {name: metric for query in self.queries for name, metric in query.metrics.items()}


def load_catalog(folder: Path) -> Catalog:
    """Load a folder of queries.

    Raises:
        CatalogError: with a fault of each file that has any, so that one look shows all of them.
    """
    if not folder.is_dir():
        raise CatalogError([f"{folder}: not a folder; {_REMEDY}"])
    problems: list[str] = []
    deployment: Deployment | None = None
    document: YamlDocument | None = None
    try:
        deployment, document = load_deployment(folder / "deployment.yaml")
    except YamlError as error:
        problems.append(str(error))
    queries: list[Query] = []
    paths = sorted(folder.glob("*.sql"))
    for path in paths:
        try:
            queries.append(parse_query(path, read_text(path)))
        except YamlError as error:
            problems.append(str(error))
    if not paths:
        problems.append(f"{folder}: holds no .sql file; {_REMEDY}")
    if deployment:
        problems.extend(_unknown_phases(queries, deployment))
    problems.extend(_disagreements(queries))
    problems.extend(_clashes(queries))
    if problems or deployment is None or document is None:
        raise CatalogError(problems)
    catalog = Catalog(deployment, tuple(queries))
    if broken := list(broken_references(deployment, document, catalog.metrics())):
        raise CatalogError(broken)
    return catalog


def _unknown_phases(queries: list[Query], deployment: Deployment) -> Iterator[str]:
    known = [*deployment.phases, "all"]
    for query in queries:
        if query.header.phase not in known:
            yield str(
                query.document.error(
                    ("phase",),
                    f"`{query.header.phase}` is not in deployment.yaml; "
                    f"known are {', '.join(known)}",
                )
            )


def _disagreements(queries: list[Query]) -> Iterator[str]:
    """Find metrics that two files define differently: Prometheus knows one type for each."""
    first: dict[str, Query] = {}
    for query in queries:
        for name, metric in query.metrics.items():
            other = first.setdefault(name, query)
            for key in ("type", "help", "labels"):
                if getattr(metric, key) != getattr(other.metrics[name], key):
                    yield str(
                        query.document.error(
                            ("metrics", name, key),
                            f"differs from {other.path.name}; make them alike",
                        )
                    )


def _clashes(queries: list[Query]) -> Iterator[str]:
    """Find metrics that OpenMetrics takes for one, such as a gauge `x` and a counter `x_total`."""
    first: dict[str, str] = {}
    for query in queries:
        for name, metric in query.metrics.items():
            if first.setdefault(metric.family(name), name) != name:
                yield str(
                    query.document.error(
                        ("metrics", name),
                        f"{first[metric.family(name)]} and this are one metric to OpenMetrics; "
                        "rename one of them",
                    )
                )
