"""A connection to the state file that outlives faults of the file: it is opened again and again."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from exporter.errors import UsageError
from exporter.state.file import copy_file, is_corrupt, last_set_aside, open_file, set_aside
from exporter.state.lock import TakenError, lock_path, take_lock
from exporter.state.schema import CorruptError, NewerVersionError

if TYPE_CHECKING:
    from io import FileIO

T = TypeVar("T")

RETRY_SECONDS = 30.0

_log = structlog.get_logger(__name__)


class GoneError(Exception):
    """What was written before is not in the file any more; `str()` is one line."""


_FAILURES = (sqlite3.Error, OSError, CorruptError, NewerVersionError, TakenError, GoneError)


class StateConnection:
    """Opens the file at `path`, and opens it again where another process has replaced it."""

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool,
        owner: bool,
        on_open: Callable[[sqlite3.Connection], None],
        on_lost: Callable[[], None],
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            path: the file; it and its folder are created.
            read_only: read a copy of what is there now, if anything.
            owner: keep other owners out, and where the file is corrupt, set it aside and begin a
                new one.
            on_open: reads from a file that was just opened.
            on_lost: is called when the file is given up; the next one may be another.

        Raises:
            UsageError: another process owns the file; not unless one is to be its `owner`.
        """
        self.path = path
        self.problem: str | None = None
        """Why the file cannot be used, in one line with the path; None while it can be."""
        self.set_aside_at: float | None = None
        """Unix time at which a corrupt file was last set aside, while that one is kept there."""
        self._read_only = read_only
        self._owner = owner
        self._on_open = on_open
        self._on_lost = on_lost
        self._is_closed = False
        self._file: sqlite3.Connection | None = None
        self._ownership: FileIO | None = None
        self._held: dict[Path, os.stat_result] = {}
        self._next_try = float("-inf")
        if owner:
            self._claim()

    def attempt(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do `work` on the file; None if that cannot be done, and then `problem` says why."""
        file = self.opened()
        if file is None:
            return None
        try:
            return work(file)
        except _FAILURES as error:
            self._lose(error)
            return None

    def opened(self) -> sqlite3.Connection | None:
        """Return the file, opened if need be; None while that cannot be done."""
        if self._file and not self.is_in_place():
            if self._owner:
                _log.warning("the state file was taken away or replaced", path=str(self.path))
            self._let_go()
        if self._file or self._is_closed or time.monotonic() < self._next_try:
            return self._file
        self._next_try = time.monotonic() + RETRY_SECONDS
        try:
            self._file = self._open()
        except _FAILURES as error:
            self._lose(error)
        else:
            self.problem = None
        return self._file

    def is_in_place(self) -> bool:
        """Return whether the file that we hold is still the one that others find there."""
        try:
            return all(os.path.samestat(path.stat(), held) for path, held in self._held.items())
        except OSError:
            return False

    def close(self) -> None:
        """Close the file for good."""
        self._is_closed = True
        self._let_go()

    def _claim(self) -> None:
        try:
            self._ownership = take_lock(self.path)
        except TakenError as error:
            raise UsageError(f"state: {self.path}: {error}") from None
        except OSError:
            pass  # no process can write there; `_open` tries again and says so

    def _open(self) -> sqlite3.Connection:
        if self._read_only:
            return self._take_in(copy_file(self.path))
        if self._owner and not self._ownership:
            self._ownership = take_lock(self.path)
        try:
            return self._take_in(open_file(self.path, owner=self._owner))
        except (sqlite3.Error, CorruptError) as error:
            if not (self._owner and is_corrupt(error)):
                raise
            aside = set_aside(self.path)
            _log.error(
                "the state file was corrupt; a new one is begun",
                path=str(self.path),
                reason=str(error),
                kept_as=str(aside),
            )
        return self._take_in(open_file(self.path, owner=True))

    def _take_in(self, file: sqlite3.Connection) -> sqlite3.Connection:
        try:
            self._on_open(file)
            if not self._read_only:
                files = [self.path, *([lock_path(self.path)] if self._owner else [])]
                self._held = {path: path.stat() for path in files}
                self.set_aside_at = last_set_aside(self.path)
        except BaseException:
            file.close()
            raise
        return file

    def _let_go(self) -> None:
        for held in (self._file, self._ownership):
            if held:
                held.close()
        self._file = self._ownership = None
        self._on_lost()
        self._next_try = float("-inf")

    def _lose(self, error: Exception) -> None:
        reason = f"{self.path}: {getattr(error, 'strerror', None) or error}"
        if is_corrupt(error) and not self._owner:
            reason += "; `loom-exporter serve` sets it aside when it starts"
        if self._owner and reason != self.problem:
            _log.error(
                "state is kept in memory only and lost at a restart; see LOOM_EXPORTER_STATE_DIR",
                reason=reason,
            )
        self.problem = reason
        if self._file and is_corrupt(error):
            self._let_go()  # it is looked at again, and set aside if it is no better
