"""Values that are read from files, and again when the files change while we run."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from exporter.errors import UsageError

_RETRY_SECONDS = 60.0
"""Files may become usable without a change of their own, such as of a folder above them."""

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")


class Reloaded(Generic[_T]):
    """A value that is read again when its files change; files that cannot be used change nothing.

    One task calls `read`. Its attributes may be read on any thread.
    """

    def __init__(self, what: str, stamp: Callable[[], object], load: Callable[[], _T]) -> None:
        """Load it for the first time.

        Args:
            what: value of the label `what`, and its name in the log.
            stamp: returns another value if something changed; see `stamp_of`. Cheap.
            load: reads it; raises UsageError if the files cannot be used.

        Raises:
            UsageError: or what else `load` raises.
        """
        self.what = what
        self._stamp = stamp
        self._load = load
        self._seen = stamp()
        self._next_try = 0.0
        self.latest = load()
        self.loaded_at = time.time()
        """Unix time at which `latest` was read."""
        self.problem: str | None = None
        """Why the files as they are now are not used; None while they are."""

    def read(self) -> _T:
        """Return the latest value that could be used, after reading files that have changed."""
        # The stamp is taken before the files are read: what is written meanwhile is a change.
        seen = self._stamp()
        if seen == self._seen and not (self.problem and time.monotonic() >= self._next_try):
            return self.latest
        self._seen = seen
        try:
            self.latest = self._load()
        except UsageError as error:
            self._refuse(str(error))
        except Exception as error:
            # A fault of ours must not stop what is served.
            _log.exception("reading the files failed unexpectedly", what=self.what)
            self._refuse(type(error).__name__)
        else:
            self.loaded_at = time.time()
            self.problem = None
            _log.info("a change of the files is in force", what=self.what)
        return self.latest

    def _refuse(self, problem: str) -> None:
        self._next_try = time.monotonic() + _RETRY_SECONDS
        if problem == self.problem:
            return
        self.problem = problem
        for line in problem.splitlines():
            _log.error(
                "a change of the files is refused, and what was good before stays in force",
                what=self.what,
                reason=line,
            )


def stamp_of(paths: Iterable[Path]) -> tuple[object, ...]:
    """Return a value that changes if one of these files is written, replaced or removed.

    Links are followed: Kubernetes replaces a mounted ConfigMap by a new link.
    """
    return tuple(_stamp(path) for path in paths)


def stamp_of_folder(folder: Path) -> object:
    """Return a value that changes if a file in a folder does; folders in it do not count."""
    try:
        return stamp_of(sorted(folder.iterdir()))
    except OSError as error:
        return error.errno


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return (path, error.errno)
    # The time of the inode changes with each write; that of the content can be set at will.
    return (path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
