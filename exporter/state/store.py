"""The state as the rest of the exporter uses it: a fault of the file is a `problem`, no error."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import structlog

from exporter.database.identity import DatabaseIdentity
from exporter.state import documents
from exporter.state.connection import GoneError, StateConnection
from exporter.state.schema import transaction
from exporter.state.tokens import Observation, Tokens

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose documents: those of a deployment, observed of one database or said by people."""

    store: "StateStore"
    database: str
    """Value of the label `database`."""
    deployment: str
    identity: DatabaseIdentity | None = None
    """Of the database that they were observed of; None for what people say."""

    def of(self, identity: DatabaseIdentity) -> "Scope":
        """Return the scope of what is observed of a database for this deployment."""
        return replace(self, identity=identity)

    @property
    def key(self) -> tuple[str, str, DatabaseIdentity | None]:
        """What tells it from other scopes of the store."""
        return self.database, self.deployment, self.identity


class StateStore:
    """Keeps tokens and documents, for one thread at a time; other processes may use the file too.

    For tokens memory leads and the file follows, so a broken file or a full disk costs the memory
    of the next restart and nothing else. Documents are in the file alone.
    """

    def __init__(self, path: Path, *, read_only: bool = False, owner: bool = False) -> None:
        """Open the store at `path`; if it cannot be opened, `problem` says why.

        Args:
            path: the file; it and its folder are created.
            read_only: read what is there now, if anything, and write nothing.
            owner: for the daemon: keep other owners out, and where the file is corrupt, set it
                aside and begin a new one. Others leave it where it is.

        Raises:
            UsageError: another process owns the file; not unless one is to be its `owner`.
        """
        self.path = path
        self._read_only = read_only
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._tokens = Tokens()
        self._versions: dict[tuple[Scope, str], int] = {}
        self._file = StateConnection(
            path,
            read_only=read_only,
            owner=owner,
            on_open=self._on_open,
            on_lost=self._tokens.forget_file,
        )
        self._file.opened()

    @property
    def problem(self) -> str | None:
        """Why nothing outlives a restart, in one line with the path; None while it does."""
        return self._file.problem

    @property
    def set_aside_at(self) -> float | None:
        """Unix time at which a corrupt file was last set aside, while that one is kept there."""
        return self._file.set_aside_at

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the worker thread: the one for the file and for what is saved there.

        One function runs at a time, in the order of the calls, so none of them needs a lock.
        """
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    def wait_for(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the worker thread, and wait for it on another thread.

        Raises:
            RuntimeError: the store is closed.
        """
        try:
            return self._worker.submit(function, *args, **kwargs).result()
        except CancelledError:
            raise RuntimeError("the store is closed") from None

    def scope(self, database: str, deployment: str) -> Scope:
        """Return the scope of what people say of a deployment; `Scope.of` returns the others."""
        return Scope(self, database, deployment)

    def observe(
        self, database: str, metric: str, seen: Sequence[Observation]
    ) -> list[float | None]:
        """Return the Unix time at which each token last changed, and remember what is new.

        None is for a token that was there before the first look at the metric: it changed at some
        time, and an invented time would make an old state look like a fresh one.
        """
        self._file.opened()  # it may know longer than we do
        times = self._tokens.observe(database, metric, seen, time.time())
        if not (self._read_only or self._tokens.is_written):
            self._file.attempt(self._catch_up)
        return times

    def load(self, scope: Scope, topic: str) -> dict[str, bytes]:
        """Return the documents of a topic by key; none if the file cannot be read.

        A document that is damaged is empty.
        """
        version = self.version(scope, topic)
        if version is None:
            return {}
        self._versions[scope, topic] = version
        return self._look(scope, documents.load, topic) or {}

    def keys(self, scope: Scope, topic: str) -> list[str]:
        """Return the keys of the documents of a topic; none if the file cannot be read."""
        return self._look(scope, documents.keys, topic) or []

    def read(self, scope: Scope, topic: str, key: str) -> bytes | None:
        """Return one document, empty if it is damaged.

        None if it is not there, or the file cannot be read.
        """
        return self._look(scope, documents.read, topic, key)

    def version(self, scope: Scope, topic: str) -> int | None:
        """Return a number that grows with each `save` of a topic, whichever process saves.

        It is 0 for a topic that was never saved, and falls when the file was lost; None if the file
        cannot be read. Those who follow a topic ask before `load`, and load again when the number
        is another one.
        """
        return self._look(scope, documents.version, topic)

    def elsewhere(self, scope: Scope, topic: str) -> dict[DatabaseIdentity, int]:
        """Return the other databases of which there are documents of a topic, with its version.

        Those with the same label and deployment; the one that was saved last is the first.
        """
        own = scope.identity
        names = (scope.database, scope.deployment)
        found = self._file.attempt(lambda file: documents.versions(file, *names, topic)) or {}
        return {
            identity: version
            for identity, version in found.items()
            if not (own and own.is_same(identity))
        }

    def save(
        self,
        scope: Scope,
        topic: str,
        changed: Mapping[str, bytes | None],
        *,
        replace: bool = False,
    ) -> bool:
        """Write documents of a topic, all or none of them; return whether they are written.

        What is written outlives the process and a power cut. If it is not, `problem` says why. One
        reason is that the file was lost with everything that this store has saved of the topic, or
        loaded: those who keep a topic in parts then write the whole of it, with `replace`.

        Args:
            scope: whose documents they are.
            topic: what they are about.
            changed: their content by key; None takes one away.
            replace: take away all others of the topic.
        """
        if self._read_only:
            self._file.problem = self.problem or f"{self.path}: opened to be read only"
            return False

        def write(file: sqlite3.Connection) -> bool:
            known = self._versions.pop((scope, topic), 0)
            with transaction(file):
                number = documents.make_scope(file, *scope.key)
                before = documents.version(file, number, topic)
                if before < known and not replace:
                    raise GoneError(f"what was saved of {topic} before is gone")
                after = documents.save(file, number, topic, changed, replace=replace)
            if not self._file.is_in_place():  # another process has set it aside while we wrote
                raise GoneError("the file was replaced meanwhile; try again")
            self._versions[scope, topic] = after
            return True

        is_saved = self._file.attempt(write)
        if is_saved:
            self._file.attempt(self._catch_up)
        return bool(is_saved)

    def close(self) -> None:
        """Close the file, once what the worker does is done; what waits for it is not done.

        What is observed later is kept in memory only.
        """
        self._worker.shutdown(cancel_futures=True)
        self._file.close()

    def _on_open(self, file: sqlite3.Connection) -> None:
        documents.check_scopes(file)  # so that a file is set aside in which one is damaged
        self._tokens.read(file)

    def _look(
        self,
        scope: Scope,
        read: Callable[Concatenate[sqlite3.Connection, int, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T | None:
        """Read from a scope; None if the file cannot be read."""
        return self._file.attempt(
            lambda file: read(file, documents.find_scope(file, *scope.key), *args, **kwargs)
        )

    def _catch_up(self, file: sqlite3.Connection) -> None:
        """Write the tokens that the file does not have: after that a restart costs nothing."""
        if not self._tokens.is_written:
            self._tokens.write(file)
        self._file.problem = None
