"""What is watched: a folder of queries and a deployment, as validated, frozen data."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from exporter.catalog.deployment import Deployment
from exporter.catalog.header import QueryMetric
from exporter.catalog.history import APPLIED, unseen_phases, with_seen_phases
from exporter.catalog.http_query import SUFFIX as HTTP_SUFFIX
from exporter.catalog.http_query import HttpQuery, parse_http_query
from exporter.catalog.metric import Metric
from exporter.catalog.parameters import parameters
from exporter.catalog.partial import Partial, right_part
from exporter.catalog.probe import SUFFIX as PROBE_SUFFIX
from exporter.catalog.probe import Probe, faults_of_probes, parse_probe
from exporter.catalog.query import Query, parse_query
from exporter.catalog.references import broken_references
from exporter.catalog.standard import standard_queries
from exporter.errors import UsageError
from exporter.yaml_source import YamlDocument, YamlError, read_document, read_text

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
    """A folder that cannot be used; `problems` has one line for each fault.

    `unseen` has one for each phase that nothing could ever show, which is no fault while the file
    is being written.
    """

    def __init__(self, problems: Iterable[str], unseen: Iterable[str] = ()) -> None:
        self.problems = sorted(problems, key=_by_place)
        self.unseen = tuple(unseen)
        super().__init__("\n".join(self.problems))


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
    unseen: tuple[str, ...] = ()
    """A line for each phase that nothing could ever show to be applied."""
    document: YamlDocument | None = None
    """deployment.yaml as it stands in the file, for errors that are found later."""

    @property
    def database_queries(self) -> tuple[Query | Probe, ...]:
        """The queries that the database answers, probes last."""
        return (*self.queries, *self.probes)

    @property
    def all_queries(self) -> tuple[AnyQuery, ...]:
        """The queries of every kind, those of the database first."""
        return (*self.queries, *self.http_queries, *self.probes)

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
        CatalogError: with every fault of every file, so that one look shows all of them.
    """
    if not folder.is_dir():
        raise CatalogError([f"{folder}: not a folder; {_REMEDY}"])
    problems: list[str] = []
    part = _deployment_of(folder / "deployment.yaml", problems)
    deployment = part.deployment if part else None
    probe_paths = sorted(folder.glob(f"*{PROBE_SUFFIX}"))
    paths = sorted({*folder.glob("*.sql")} - {*probe_paths})
    queries = _parsed(paths, parse_query, problems)
    if deployment:
        own = frozenset(path.stem for path in paths)
        shipped = standard_queries(deployment, own)
        queries = sorted([*queries, *shipped], key=lambda query: query.name)
    http_paths = sorted(folder.glob(f"*{HTTP_SUFFIX}"))
    http_queries = _parsed(http_paths, parse_http_query, problems)
    probes = _parsed(probe_paths, parse_probe, problems)
    if not (paths or queries):
        problems.append(f"{folder}: holds no .sql file; {_REMEDY}")
    problems.extend(f"{path}: name it .http.yaml" for path in sorted(folder.glob("*.http.yml")))
    every: list[AnyQuery] = [*queries, *http_queries, *probes]
    read = {query.path for query in every}
    unread = [path for path in (*paths, *http_paths, *probe_paths) if path not in read]
    if part and deployment:
        problems.extend(_unknown_phases(every, part))
        problems.extend(faults_of_probes(probes, deployment, is_complete=not unread))
        metrics = {name: metric for each in every for name, metric in each.metrics.items()}
        broken = broken_references(part, metrics, [_text_of(path) for path in unread])
        problems.extend(str(error) for error in broken)
    problems.extend(_same_names(every))
    problems.extend(_disagreements(every))
    problems.extend(_clashes(every))
    unseen: list[str] = []
    if part and deployment and not (part.faults or unread):
        applied = [query.metrics[APPLIED] for query in every if APPLIED in query.metrics]
        faults = unseen_phases(deployment, applied)
        unseen = [str(part.document.error(*fault)) for fault in faults]
    if problems or deployment is None:
        raise CatalogError(problems, unseen)
    deployment = with_seen_phases(deployment)
    told = parameters(deployment)
    queries = [replace(each.with_parameters(told), pack=deployment.name) for each in queries]
    return Catalog(
        deployment,
        tuple(queries),
        tuple(http_queries),
        tuple(probes),
        tuple(unseen),
        part.document if part else None,
    )


def _text_of(path: Path) -> str:
    try:
        return read_text(path)
    except YamlError:
        return ""


def _by_place(problem: str) -> tuple[str, int]:
    """Return the key that puts the faults of a file together, in the order of its lines."""
    place, _, _ = problem.partition(": ")
    path, _, line = place.rpartition(":")
    return (path, int(line)) if line.isdigit() else (place, 0)


def _deployment_of(path: Path, problems: list[str]) -> Partial | None:
    """Return what is right in deployment.yaml, and add its faults to `problems`."""
    try:
        part = right_part(read_document(path))
    except YamlError as error:
        problems.extend(error.faults)
        return None
    problems.extend(str(error) for error in part.errors())
    return part


def _parsed(paths: Iterable[Path], parse: Callable[[Path, str], T], problems: list[str]) -> list[T]:
    """Return what could be parsed, and add a line to `problems` for each fault of other files."""
    parsed: list[T] = []
    for path in paths:
        try:
            parsed.append(parse(path, read_text(path)))
        except YamlError as error:
            problems.extend(error.faults)
    return parsed


def _same_names(queries: list[AnyQuery]) -> Iterator[str]:
    first: dict[str, AnyQuery] = {}
    for query in queries:
        if (other := first.setdefault(query.name, query)) is not query:
            yield f"{query.path}: has the name of {other.path.name}; rename one of them"


def _unknown_phases(queries: list[AnyQuery], part: Partial) -> Iterator[str]:
    known = [*(part.deployment.phases if part.deployment else ()), "all"]
    for query in queries:
        phase = query.header.phase
        if phase not in known and not part.may_mean(phase):
            yield str(
                query.document.error(
                    ("phase",),
                    f"`{phase}` is not in deployment.yaml; known are {', '.join(known)}",
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
