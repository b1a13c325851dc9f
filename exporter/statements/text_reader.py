"""Reads the texts of new entries, as many at once as the server can give in time.

The server reads its file of all texts for one of them, so few readings are made. Where texts cannot
be read, their calls stay pending, and all else goes on.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

import structlog

from exporter.catalog import Deployment
from exporter.database.database import Database
from exporter.database.transaction import Question
from exporter.run_state import RunError, State
from exporter.statements.counters import Key
from exporter.statements.partitions import (
    NO_PARTITIONS,
    PARTITIONS,
    Partitions,
    names_of_tables,
    read_partitions,
)
from exporter.statements.reading import (
    StatementsExtension,
    foreign_texts_sql,
    read_texts,
    text_parameters,
    texts_sql,
)
from exporter.statements.tally import Known, recognise

BATCH = 1_000
"""The most texts that are in memory at once: they may be long."""

BATCHES = 6
"""The most batches of a poll. pg_stat_statements keeps 5,000 statements by default."""

FEW = 100
"""Up to this number, texts are read in the next poll; more of them, every `PAUSE_SECONDS`."""

PAUSE_SECONDS = 60.0

LONGEST_PAUSE_SECONDS = 600.0
"""The pause after texts could not be read for another reason than that it took too long."""

_TIMEOUT_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class TextReader:
    """Says which texts are due, reads them, and learns from what goes wrong."""

    def __init__(
        self, database: Database, deployment: Deployment, *, show: bool, pause_seconds: float
    ) -> None:
        """Begin with batches of `BATCH`; `show` says whether to keep what may be shown."""
        self._database = database
        self._deployment = deployment
        self._show = show
        self._pause_seconds = pause_seconds
        self._batch = BATCH
        self._read_at = float("-inf")
        self._not_before = float("-inf")
        self._problem: str | None = None

    def due(self, unread: Sequence[Key]) -> Sequence[Key]:
        """Return the entries whose text is to be read now."""
        now = time.monotonic()
        if now < self._not_before:
            return ()
        if len(unread) > FEW and now < self._read_at + self._pause_seconds:
            return ()
        # Where the server is slow, one batch of a poll is enough.
        return unread[: self._batch * (BATCHES if self._batch == BATCH else 1)]

    async def read(
        self, extension: StatementsExtension, keys: Sequence[Key], known: Iterable[Known]
    ) -> tuple[Mapping[Key, Known], Sequence[Key]]:
        """Return the statements of entries, and for which entries that is all there is.

        Those beyond could not be read now. Texts are classified on a thread of their own.

        Args:
            extension: where they are.
            keys: the entries.
            known: statements whose texts need no parsing.

        Raises:
            RunError: `unreachable`.
        """
        learnt: dict[Key, Known] = {}
        if not keys:
            return learnt, keys
        self._read_at = time.monotonic()
        batch = self._batch
        partitions: Partitions | None = None
        for start in range(0, len(keys), batch):
            some = keys[start : start + batch]
            if time.monotonic() > self._read_at + _TIMEOUT_SECONDS:
                return learnt, keys[:start]
            question = Question(texts_sql(extension), _TIMEOUT_SECONDS, text_parameters(some))
            try:
                if partitions is None:
                    partitions = await self._partitions()
                rows = await self._database.ask(question)
            except RunError as error:
                if error.state is State.UNREACHABLE:
                    raise
                await self._refused(extension, error, len(some))
                return learnt, keys[:start]
            learnt |= await asyncio.to_thread(
                recognise,
                read_texts(rows),
                self._deployment,
                [*known, *learnt.values()],
                partitions,
                show=self._show,
            )
        self._batch = min(2 * batch, BATCH)
        self._tell(None)
        return learnt, keys

    async def _partitions(self) -> Partitions:
        """Return the partitions of the tables that classes name: new ones come every day."""
        classes = self._deployment.classes.values()
        parameters = {"names": names_of_tables(classes)}
        if not parameters["names"]:
            return NO_PARTITIONS
        question = Question(PARTITIONS, _TIMEOUT_SECONDS, parameters)
        return read_partitions(await self._database.ask(question), classes)

    async def _refused(self, extension: StatementsExtension, error: RunError, asked: int) -> None:
        """Ask for fewer texts next time, or much later."""
        if error.state is State.TIMEOUT:
            self._batch = max(asked // 2, 1)
            if asked > 1:
                return
        elif error.state is State.LOCKED:
            return
        self._not_before = time.monotonic() + LONGEST_PAUSE_SECONDS
        self._tell(await self._foreign(extension) or str(error))

    async def _foreign(self, extension: StatementsExtension) -> str | None:
        """Return what to do about texts of databases whose encoding is another one."""
        try:
            rows = await self._database.ask(
                Question(foreign_texts_sql(extension), _TIMEOUT_SECONDS)
            )
        except RunError:
            return None
        if not rows:
            return None
        resets = "; ".join(
            f"of {name!r} by SELECT {extension.function}_reset(0, {oid}, 0)" for name, oid in rows
        )
        return f"one of another database is in another encoding; reset the entries {resets}"

    def _tell(self, problem: str | None) -> None:
        """Log a problem, once and not at every reading."""
        if problem and problem != self._problem:
            _log.warning(
                "texts of statements cannot be read; calls of new ones are in no class",
                detail=problem,
            )
        self._problem = problem
