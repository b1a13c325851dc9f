"""What is watched: a folder of queries and a deployment, as validated, frozen data."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from exporter.catalog.deployment import Deployment, load_deployment
from exporter.catalog.header import QueryMetric
from exporter.catalog.http_query import SUFFIX as HTTP_SUFFIX
from exporter.catalog.http_query import HttpQuery, parse_http_query
from exporter.catalog.metric import Metric
from exporter.catalog.parameters import parameters
from exporter.catalog.probe import SUFFIX as PROBE_SUFFIX
from exporter.catalog.probe import Probe, faults_of_probes, parse_probe
from exporter.catalog.query import Query, parse_query
from exporter.catalog.references import broken_references
from exporter.catalog.standard import APPLIED, standard_queries, unseen_phases
from exporter.errors import UsageError
from exporter.yaml_source import YamlDocument, YamlError, read_text

__all__ = [
    "AnyQuery",
    "Catalog",
    "CatalogError",
    "Deployment",
    "HttpQuery",
    "Metric",
    "Probe",
    "Query",
    "QueryMetric",
    "load_catalog",
]

AnyQuery = Query | HttpQuery | Probe
"""A query of any kind."""

T = TypeVar("T")

_REMEDY = "point --queries at one that holds .sql files and a deployment.yaml"


class CatalogError(UsageError):
    """A folder that cannot be used; `problems` has one line for each faulty file."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that a folder of queries says; queries are sorted by name."""

    deployment: Deployment
    queries: tuple[Query, ...]
    """Those that the database answers."""
    http_queries: tuple[HttpQuery, ...] = ()
    """Those that HTTP sources answer."""
    probes: tuple[Probe, ...] = ()
    """Those that the database answers as it would to a user of the API."""

    @property
    def database_queries(self) -> tuple[Query | Probe, ...]:
        """The queries that the database answers, probes last."""
        return (*self.queries, *self.probes)

    @property
    def all_queries(self) -> tuple[AnyQuery, ...]:
        """The queries of every kind, those of the database first."""
        return (*self.queries, *self.http_queries, *self.probes)

    def unseen_phases(self) -> list[str]:
        """Return a line for each phase that nothing could ever show to be applied."""
        has_history = any(
            "version" in query.metrics[APPLIED].labels
            for query in self.all_queries
            if APPLIED in query.metrics
        )
        return list(unseen_phases(self.deployment, has_history))

    def query(self, name: str) -> AnyQuery | None:
        """Return the query of that name."""
        return next((query for query in self.all_queries if query.name == name), None)

    def metrics(self) -> dict[str, QueryMetric]:
        """Return every metric by name; queries that share one agree on what is exposed of it."""
        return {
            name: metric for query in self.all_queries for name, metric in query.metrics.items()
        }


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
    probe_paths = sorted(folder.glob(f"*{PROBE_SUFFIX}"))
    paths = sorted({*folder.glob("*.sql")} - {*probe_paths})
    queries = _parsed(paths, parse_query, problems)
    if deployment:
        own = frozenset(path.stem for path in paths)
        queries = sorted(
            [*queries, *standard_queries(deployment, own)], key=lambda query: query.name
        )
    http_queries = _parsed(sorted(folder.glob(f"*{HTTP_SUFFIX}")), parse_http_query, problems)
    probes = _parsed(probe_paths, parse_probe, problems)
    if not (paths or queries):
        problems.append(f"{folder}: holds no .sql file; {_REMEDY}")
    problems.extend(f"{path}: name it .http.yaml" for path in sorted(folder.glob("*.http.yml")))
    every: list[AnyQuery] = [*queries, *http_queries, *probes]
    if deployment:
        problems.extend(_unknown_phases(every, deployment))
        problems.extend(faults_of_probes(probes, deployment))
    problems.extend(_same_names(every))
    problems.extend(_disagreements(every))
    problems.extend(_clashes(every))
    if problems or deployment is None or document is None:
        raise CatalogError(problems)
    told = parameters(deployment)
    queries = [query.with_parameters(told) for query in queries]
    catalog = Catalog(deployment, tuple(queries), tuple(http_queries), tuple(probes))
    if broken := list(broken_references(deployment, document, catalog.metrics())):
        raise CatalogError(broken)
    return catalog


def _parsed(paths: Iterable[Path], parse: Callable[[Path, str], T], problems: list[str]) -> list[T]:
    """Return what could be parsed, and add a line to `problems` for each other file."""
    parsed: list[T] = []
    for path in paths:
        try:
            parsed.append(parse(path, read_text(path)))
        except YamlError as error:
            problems.append(str(error))
    return parsed


def _same_names(queries: list[AnyQuery]) -> Iterator[str]:
    first: dict[str, AnyQuery] = {}
    for query in queries:
        if (other := first.setdefault(query.name, query)) is not query:
            yield f"{query.path}: has the name of {other.path.name}; rename one of them"


def _unknown_phases(queries: list[AnyQuery], deployment: Deployment) -> Iterator[str]:
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


def _disagreements(queries: list[AnyQuery]) -> Iterator[str]:
    """Find metrics that two files define differently: Prometheus knows one type for each."""
    first: dict[str, AnyQuery] = {}
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


def _clashes(queries: list[AnyQuery]) -> Iterator[str]:
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
