"""Results of test suites as they are recorded: none of them takes the place of another."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from exporter.catalog import Deployment
from exporter.catalog.own_metrics import own_metrics
from exporter.collect.snapshot import Samples
from exporter.deployment.people import UnixTime, printable
from exporter.sources.suite_files import Counts
from exporter.state import Scope, Topic
from exporter.yaml_source import rule_in_words

MOST_RESULTS = 200
"""Results of one suite in one environment that are kept; the oldest go first."""

Label = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=100), AfterValidator(printable)
]
"""Short text of a person or a pipeline, such as a commit."""

_ENVIRONMENT = r"^[A-Za-z0-9._-]*$"
Environment = Annotated[
    str,
    StringConstraints(pattern=_ENVIRONMENT, max_length=50),
    rule_in_words(_ENVIRONMENT, "must be letters, digits and . _ -, such as staging"),
]

_Count = Annotated[int, Field(ge=0)]


class SuiteResult(BaseModel):
    """What one run of a suite has left; `at` is the Unix time of the run."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    suite: str
    at: UnixTime
    sha256: str
    """Hash of the file, by which it can be found again."""
    commit: Label = ""
    environment: Environment = ""
    passed: _Count = 0
    failed: _Count = 0
    skipped: _Count = 0
    failed_names: tuple[str, ...] = ()
    problem: str = ""
    """Why nothing, or not everything, is known of the run."""

    @property
    def key(self) -> str:
        """The key of its document: keys of one suite and environment sort by time."""
        return f"{self.suite}/{self.environment}/{self.at:017.3f}/{self.sha256[:16]}"


@dataclass(frozen=True, slots=True)
class SuiteRecord:
    """What is known of a suite: how many tests must pass, and its results, the newest last."""

    planned: int
    results: Sequence[SuiteResult] = ()


SUITE_RESULTS: Topic[SuiteResult] = Topic("suite results", SuiteResult)
"""By `SuiteResult.key`; in the scope of what people say."""


def suite_result(
    suite: str,
    content: bytes,
    counts: Counts,
    at: float,
    *,
    commit: str = "",
    environment: str = "",
) -> SuiteResult:
    """Return the result of a run at the Unix time `at`, or earlier if its file says so.

    Raises:
        ValidationError: the commit or the environment is too long, or not printable.
    """
    return SuiteResult(
        suite=suite,
        at=min(at, at if counts.began_at is None else max(counts.began_at, 0.0)),
        sha256=hashlib.sha256(content).hexdigest(),
        commit=commit,
        environment=environment,
        passed=counts.passed,
        failed=counts.failed,
        skipped=counts.skipped,
        failed_names=counts.failed_names,
        problem=counts.problem,
    )


def load_suites(people: Scope, deployment: Deployment) -> dict[str, SuiteRecord]:
    """Return the record of each suite of a deployment.

    Raises:
        DamagedError: a result cannot be read.
    """
    results = sorted(SUITE_RESULTS.load_all(people).values(), key=lambda result: result.at)
    return {
        name: SuiteRecord(suite.planned, [result for result in results if result.suite == name])
        for name, suite in deployment.suites.items()
    }


def save_result(people: Scope, result: SuiteResult) -> bool:
    """Add a result, unless it is there; return whether it is written."""
    prefix = f"{result.suite}/{result.environment}/"
    keys = sorted(key for key in SUITE_RESULTS.keys(people) if key.startswith(prefix))
    if result.key in keys:
        return True
    surplus = keys[: max(0, len(keys) + 1 - MOST_RESULTS)]
    return SUITE_RESULTS.save(people, {**dict.fromkeys(surplus), result.key: result})


def suite_samples(suites: Mapping[str, SuiteRecord]) -> Samples:
    """Return the samples of the own metrics in section `suites`: of the newest result of each."""
    tests: dict[tuple[str, ...], float] = {}
    times: dict[tuple[str, ...], float] = {}
    for name, record in suites.items():
        if not record.results:
            continue
        newest = record.results[-1]
        ran = newest.passed + newest.failed + newest.skipped
        counts = (newest.passed, newest.failed, newest.skipped, max(record.planned - ran, 0))
        outcomes = own_metrics("suites")["loom_suite_tests"].values["outcome"]
        tests |= {(name, outcome): count for outcome, count in zip(outcomes, counts, strict=True)}
        times[name,] = newest.at
    return {"loom_suite_tests": tests, "loom_suite_timestamp_seconds": times}
