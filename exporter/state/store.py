"""The state as the rest of the house sees it: nothing that befalls the file is an error."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from exporter.errors import UsageError
from exporter.state import documents
from exporter.state.documents import GoneError, Place
from exporter.state.file import (
    CorruptError,
    NewerVersionError,
    copy_file,
    is_corrupt,
    last_set_aside,
    open_file,
    set_aside,
)
from exporter.state.lock import TakenError, lock_path, take_lock
from exporter.state.tokens import Observation, Tokens

if TYPE_CHECKING:
    from io import FileIO

T = TypeVar("T")

_RETRY_SECONDS = 30.0

_FAILURES = (
    sqlite3.Error,
    OSError,
    UnicodeDecodeError,
    CorruptError,
    NewerVersionError,
    TakenError,
    GoneError,
)

_log = structlog.get_logger(__name__)


class StateStore:
    """Remembers tokens and documents. Safe for several threads, and for several processes.

    Memory leads and the file follows for tokens, so a broken file or a full disk costs the memory
    of the next restart and nothing else. Documents are in the file alone.
    """

    def __init__(self, path: Path, *, read_only: bool = False, owner: bool = False) -> None:
        """Open the store at `path`; that it cannot be opened is no error but a `problem`.

        Args:
            path: the file; it and its folder are created.
            read_only: read what is there now, if anything, and write nothing.
            owner: for the daemon: keep other owners out, and where the file is corrupt, set it
                aside and begin a new one. Whoever is not the owner leaves it where it is.

        Raises:
            UsageError: another process owns the file; not unless one is to be its `owner`.
        """
        self.path = path
        self.problem: str | None = None
        """Why nothing outlives a restart, in one line with the path; None while it does."""
        self.set_aside_at: float | None = None
        """Unix time at which a corrupt file was last set aside, while that one is kept there."""
        self._lock = threading.Lock()
        self._read_only = read_only
        self._owner = owner
        self._is_closed = False
        self._tokens = Tokens()
        self._versions: dict[Place, int] = {}
        self._file: sqlite3.Connection | None = None
        self._ownership: FileIO | None = None
        self._held: dict[Path, os.stat_result] = {}
        self._next_try = float("-inf")
        if owner:
            self._claim()
        self._opened()

    def observe(
        self, database: str, metric: str, seen: Sequence[Observation]
    ) -> list[float | None]:
        """Return the Unix time at which each token last changed, and remember what is new.

        None is for a token that was there before anybody looked at the metric: it changed at some
        time, and to make one up would pass an old state off as a fresh one.
        """
        with self._lock:
            self._opened()  # it may know longer than we do
            times = self._tokens.observe(database, metric, seen, time.time())
            if not (self._read_only or self._tokens.is_written):
                self._attempt(self._catch_up)
        return times

    def load(self, database: str, topic: str) -> dict[str, str]:
        """Return the documents of a topic by name; none if the file cannot be read."""
        with self._lock:
            return self._attempt(lambda file: self._load(file, (database, topic))) or {}

    def names(self, database: str, topic: str) -> list[str]:
        """Return the names of the documents of a topic; none if the file cannot be read."""
        with self._lock:
            return self._attempt(lambda file: documents.names(file, (database, topic))) or []

    def read(self, database: str, topic: str, name: str) -> str | None:
        """Return one document of a topic; None if it is not there, or the file cannot be read."""
        with self._lock:
            return self._attempt(lambda file: documents.read(file, (database, topic), name))

    def version(self, database: str, topic: str) -> int | None:
        """Return a number that grows with each `save` of a topic, whichever process saves.

        It is 0 for a topic that was never saved, and falls when the file was lost; None if the file
        cannot be read. Whoever follows a topic asks before `load`, and loads again when the number
        is another one.
        """
        with self._lock:
            return self._attempt(lambda file: documents.version(file, (database, topic)))

    def save(
        self, database: str, topic: str, changed: Mapping[str, str | None], *, replace: bool = False
    ) -> bool:
        """Write documents of a topic, all or none of them; return whether they are written.

        What is written outlives the process and a power cut. If it is not, `problem` says why. One
        reason is that the file was lost with all that this store has saved of the topic, or loaded:
        whoever keeps a topic in parts writes the whole of it next, with `replace`.

        Args:
            database: the database that they are about.
            topic: what they are about.
            changed: their content by name; None takes one away.
            replace: take away all others of the topic.
        """
        with self._lock:
            if self._read_only:
                self.problem = self.problem or f"{self.path}: opened to be read only"
                return False
            place = (database, topic)
            is_saved = self._attempt(lambda file: self._save(file, place, changed, replace))
            if is_saved:
                self._attempt(self._catch_up)
            return bool(is_saved)

    def close(self) -> None:
        """Close the file; what is observed later is kept in memory only."""
        with self._lock:
            self._is_closed = True
            self._let_go()

    # Below, the lock is held.

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do `work` on the file; None if that cannot be done, and then `problem` says why."""
        file = self._opened()
        if file is None:
            return None
        try:
            return work(file)
        except _FAILURES as error:
            self._lose(error)
            return None

    def _catch_up(self, file: sqlite3.Connection) -> None:
        """Write the tokens that the file does not have: after that a restart costs nothing."""
        if not self._tokens.is_written:
            self._tokens.write(file)
        self.problem = None

    def _load(self, file: sqlite3.Connection, place: Place) -> dict[str, str]:
        self._versions[place] = documents.version(file, place)
        return documents.load(file, place)

    def _save(
        self,
        file: sqlite3.Connection,
        place: Place,
        changed: Mapping[str, str | None],
        replace: bool,
    ) -> bool:
        known = self._versions.pop(place, 0)
        after = documents.save(file, place, changed, replace=replace, known_version=known)
        if not self._is_in_place():  # another process has set it aside while we wrote
            raise GoneError("the file was replaced meanwhile; try again")
        self._versions[place] = after
        return True

    def _opened(self) -> sqlite3.Connection | None:
        """Return the file, opened if need be; again and again: who holds it may let go of it."""
        if self._file and not self._is_in_place():
            if self._owner:
                _log.warning("the state file was taken away or replaced", path=str(self.path))
            self._let_go()
        if self._file or self._is_closed or time.monotonic() < self._next_try:
            return self._file
        self._next_try = time.monotonic() + _RETRY_SECONDS
        try:
            self._file = self._open()
        except _FAILURES as error:
            self._lose(error)
        else:
            self.problem = None
        return self._file

    def _claim(self) -> None:
        try:
            self._ownership = take_lock(self.path)
        except TakenError as error:
            raise UsageError(f"state: {self.path}: {error}") from None
        except OSError:
            pass  # nobody can write there; `_open` tries again and tells

    def _open(self) -> sqlite3.Connection:
        if self._read_only:
            return self._take_in(copy_file(self.path))
        if self._owner and not self._ownership:
            self._ownership = take_lock(self.path)
        try:
            return self._take_in(open_file(self.path))
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
        return self._take_in(open_file(self.path))

    def _take_in(self, file: sqlite3.Connection) -> sqlite3.Connection:
        try:
            self._tokens.read(file)
            if not self._read_only:
                files = [self.path, *([lock_path(self.path)] if self._owner else [])]
                self._held = {path: path.stat() for path in files}
                self.set_aside_at = last_set_aside(self.path)
        except BaseException:
            file.close()
            raise
        return file

    def _is_in_place(self) -> bool:
        """Return whether what we hold is still what others find there."""
        try:
            return all(os.path.samestat(path.stat(), held) for path, held in self._held.items())
        except OSError:
            return False

    def _let_go(self) -> None:
        for held in (self._file, self._ownership):
            if held:
                held.close()
        self._file = self._ownership = None
        self._tokens.forget_file()
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
