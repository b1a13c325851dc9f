"""A folder into which test runs write their results, from which they are recorded."""

import asyncio
import re
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from exporter.catalog import Deployment, Metric
from exporter.catalog.own_metrics import own_metrics
from exporter.collect.source import Job, RunResult
from exporter.deployment.suite_results import (
    load_suites,
    save_result,
    suite_result,
    suite_samples,
)
from exporter.reload import stamp_of
from exporter.run_state import RunError, State
from exporter.sources.suite_files import (
    Counts,
    SuiteFileError,
    parse_suite_file,
    read_suite_file,
)
from exporter.state import StateStore

INTERVAL_SECONDS = 15.0
MAX_AGE_SECONDS = 60.0

_SETTLED_SECONDS = 2.0
"""A file that was written more recently may still be written to."""

_log = structlog.get_logger(__name__)


class SuiteFolder:
    """Records results of suites as their files change: `NAME.xml`, `NAME.ENVIRONMENT.tap`."""

    name = "suites"

    def __init__(
        self, folder: Path | None, store: StateStore, database: str, deployment: Deployment
    ) -> None:
        """Begin as if every file had changed; without a folder only show what is recorded."""
        self._folder = folder
        self._store = store
        self._database = database
        self._deployment = deployment
        self._seen: dict[Path, object] = {}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics of its samples, by name."""
        return own_metrics("suites")

    def job(self, longest_interval: float | None) -> Job:
        """Return the look at the folder as a job; `max_interval` may make it more frequent."""
        interval = max(1.0, min(INTERVAL_SECONDS, longest_interval or INTERVAL_SECONDS))
        return Job(self.name, self.metrics, interval, self.ask)

    async def ask(self) -> RunResult:
        """Record what has changed in the folder; return the newest results as samples.

        Raises:
            RunError: `error`, the folder cannot be read, or the state cannot be written.
        """
        return await asyncio.to_thread(self._look)

    def _look(self) -> RunResult:
        if self._folder:
            try:
                paths = sorted(path for path in self._folder.iterdir() if path.is_file())
            except OSError as error:
                raise RunError(
                    State.ERROR, f"{self._folder}: cannot be read: {error.strerror}"
                ) from None
            for path in paths:
                self._take(path)
        suites = load_suites(self._store, self._database, self._deployment)
        is_empty = not any(record.results for record in suites.values())
        return RunResult(State.EMPTY if is_empty else State.OK, suite_samples(suites))

    def _take(self, path: Path) -> None:
        suite, *rest = path.name.split(".")
        stamp = stamp_of([path])
        if not suite or self._seen.get(path) == stamp:
            return
        try:
            written_at = path.stat().st_mtime
        except OSError:
            return  # it is gone again
        now = time.time()
        if abs(now - written_at) < _SETTLED_SECONDS:
            return
        if suite not in self._deployment.suites:
            _log.warning("a file has the name of no suite in deployment.yaml", path=str(path))
            self._seen[path] = stamp
            return
        content = b""
        try:
            content = read_suite_file(path)
            counts = parse_suite_file(path, content, self._deployment.suites[suite].notices)
        except SuiteFileError as error:
            # Recorded as well: the suite has run, and an older pass says nothing about this run.
            _log.error("the results of a suite cannot be read", suite=suite, reason=str(error))
            counts = Counts(problem=str(error))
        environment = re.sub(r"[^A-Za-z0-9._-]", "_", ".".join(rest[:-1]))[:50]
        result = suite_result(suite, content, counts, min(written_at, now), environment=environment)
        if not save_result(self._store, self._database, self._deployment, result):
            raise RunError(State.ERROR, f"state: {self._store.problem}")
        self._seen[path] = stamp
