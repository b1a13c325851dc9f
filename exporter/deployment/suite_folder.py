"""A folder into which test runs write their results, from which they are recorded."""

import asyncio
import re
import time
from pathlib import Path

import structlog

from exporter.catalog import Deployment
from exporter.catalog.own_metrics import own_metrics
from exporter.collect.source import Job, RunResult
from exporter.deployment.suite_results import (
    SuiteResult,
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
from exporter.state import DamagedError, Scope

INTERVAL_SECONDS = 15.0

_SETTLED_SECONDS = 2.0
"""A file that was written more recently may still be written to."""

_log = structlog.get_logger(__name__)


class SuiteFolder:
    """Records results of suites as their files change: `NAME.xml`, `NAME.ENVIRONMENT.tap`."""

    def __init__(self, folder: Path | None, people: Scope, deployment: Deployment) -> None:
        """Begin as if every file had changed.

        Args:
            folder: is looked at; without one, only what is recorded by others is shown.
            people: the scope in which results are recorded.
            deployment: with the suites.
        """
        self._folder = folder
        self._people = people
        self._deployment = deployment
        self._seen: dict[Path, object] = {}

    def job(self, longest_interval: float | None) -> Job:
        """Return the look at the folder as a job; `max_interval` may make it more frequent."""
        interval = max(1.0, min(INTERVAL_SECONDS, longest_interval or INTERVAL_SECONDS))
        return Job("suites", own_metrics("suites"), interval, self.ask)

    async def ask(self) -> RunResult:
        """Record what has changed in the folder; return the newest results as samples.

        Raises:
            RunError: `error`, a file cannot be read, or the state cannot be written.
        """
        store = self._people.store
        for path, stamp, result in await asyncio.to_thread(self._changed):
            if result and not await store.run(save_result, self._people, result):
                raise RunError(State.ERROR, f"state: {store.problem}")
            self._seen[path] = stamp
        try:
            suites = await store.run(load_suites, self._people, self._deployment)
        except DamagedError as error:
            raise RunError(State.ERROR, str(error)) from None
        has_results = any(record.results for record in suites.values())
        return RunResult(State.OK if has_results else State.EMPTY, suite_samples(suites))

    def _changed(self) -> list[tuple[Path, object, SuiteResult | None]]:
        """Return the files that were written since the last look, each with what it reports."""
        if self._folder is None:
            return []
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.is_file())
        except OSError as error:
            told = f"{self._folder}: cannot be read: {error.strerror}"
            raise RunError(State.ERROR, told) from None
        stamps = {path: stamp_of([path]) for path in paths if not path.name.startswith(".")}
        return [
            (path, stamp, self._read(path))
            for path, stamp in stamps.items()
            if self._seen.get(path) != stamp and _is_settled(path)
        ]

    def _read(self, path: Path) -> SuiteResult | None:
        name, *rest = path.name.split(".")
        suite = self._deployment.suites.get(name)
        if suite is None:
            _log.warning("a file has the name of no suite in deployment.yaml", path=str(path))
            return None
        content = b""
        try:
            content = read_suite_file(path)
            counts = parse_suite_file(path, content, suite.notices)
        except SuiteFileError as error:
            # Recorded as well: the suite has run, and an older pass says nothing about this run.
            _log.error("the results of a suite cannot be read", suite=name, reason=str(error))
            counts = Counts(problem=str(error))
        environment = re.sub(r"[^A-Za-z0-9._-]", "_", ".".join(rest[:-1]))[:50]
        return suite_result(name, content, counts, _written_at(path), environment=environment)


def _written_at(path: Path) -> float:
    """Return the Unix time at which a file was written; now if it is gone, or of the future."""
    try:
        return min(path.stat().st_mtime, time.time())
    except OSError:
        return time.time()


def _is_settled(path: Path) -> bool:
    try:
        return abs(time.time() - path.stat().st_mtime) >= _SETTLED_SECONDS
    except OSError:
        return False
