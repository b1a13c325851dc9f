"""Those who watch from outside while a test makes life hard: each in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psutil
import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")

FAST_SECONDS = 0.1
"""Within this time /metrics is to answer, whatever the database does."""

HANG_SECONDS = 120.0
"""The limit of a wait. It only ends a hang, so it is far above what a busy machine takes."""


def eventually(
    claim: str, condition: Callable[[], T], *, within_seconds: float = HANG_SECONDS
) -> T:
    """Ask until the answer is true, and return it.

    Raises:
        AssertionError: It was not true in time; the message has the claim and the last answer.
    """
    started = time.monotonic()
    while True:
        asked = time.monotonic()
        if answer := condition():
            return answer
        if asked - started > within_seconds:
            raise AssertionError(
                f"{claim}: not within {within_seconds:g} s; the last answer was {answer!r}"
            )
        # The longer it takes, the less it matters when exactly: who asks for a page four times a
        # second keeps the daemon from little of what is waited for, and twenty times from much.
        time.sleep(min(0.05 + (asked - started) / 10, 0.25))


async def until(
    claim: str, condition: Callable[[], T], *, within_seconds: float = HANG_SECONDS
) -> T:
    """Ask until the answer is true, and return it; other tasks go on meanwhile.

    Raises:
        AssertionError: It was not true in time.
    """
    deadline = time.monotonic() + within_seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{claim}: not within {within_seconds:g} s"
        await asyncio.sleep(0.02)
    return answer


def follow(log: Path) -> Callable[[], str]:
    """Return a function that returns what was written to `log` after this call.

    The offset counts bytes: other tests leave text in the log that is longer in bytes than in
    characters, and some that is no UTF-8.
    """
    offset = log.stat().st_size
    return lambda: log.read_bytes()[offset:].decode(errors="replace")


class _Observer:
    """Looks again and again, in the background, between `with` and its end."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(HANG_SECONDS)

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self._look()
            self._stopped.wait(self._every_seconds)

    def _look(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Scrape:
    """One scrape of /metrics; `at` is `time.monotonic()` when it was asked for."""

    at: float
    seconds: float
    lines: tuple[str, ...]
    problem: str = ""


class Scraper(_Observer):
    """Scrapes /metrics like Prometheus, and keeps the lines that begin with one of `keep`."""

    def __init__(self, port: int, *keep: str, every_seconds: float = 0.2) -> None:
        super().__init__(every_seconds)
        self._port = port
        self._keep = keep
        self.scrapes: list[Scrape] = []

    def _look(self) -> None:
        at = time.monotonic()
        lines: tuple[str, ...] = ()
        problem = ""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=HANG_SECONDS)
        try:
            connection.request("GET", "/metrics", headers={"Accept-Encoding": "identity"})
            response = connection.getresponse()
            text = response.read().decode()
            lines = tuple(line for line in text.splitlines() if line.startswith(self._keep))
            if response.status != 200:
                problem = f"status {response.status}"
        except (OSError, http.client.HTTPException) as error:
            problem = repr(error)
        finally:
            connection.close()
        self.scrapes.append(Scrape(at, time.monotonic() - at, lines, problem))

    def values(self, series: str) -> list[tuple[float, float]]:
        """Return when a series, written as on the page, was seen with which value."""
        return [
            (scrape.at, float(line.rpartition(" ")[2]))
            for scrape in self.scrapes
            for line in scrape.lines
            if line.rpartition(" ")[0] == series
        ]

    def until_first_failure(self) -> list[Scrape]:
        """Return the scrapes up to the first that failed, which is the last of them."""
        failed = next(number for number, scrape in enumerate(self.scrapes) if scrape.problem)
        return self.scrapes[: failed + 1]

    def assert_always_answered(self) -> None:
        """Fail unless every scrape was answered."""
        failed = [scrape for scrape in self.scrapes if scrape.problem]
        assert not failed, f"{len(failed)} of {len(self.scrapes)} scrapes failed: {failed[:3]}"
        assert len(self.scrapes) > 10

    def assert_always_fast(self) -> None:
        """Fail unless every scrape was answered, and fast; for tests marked `timing`.

        Single scrapes may be slow through no fault of the daemon, so it is not the slowest that
        counts but the time: a scraper that asks one by one has spent at most a twentieth of it
        waiting for answers that took longer than `FAST_SECONDS`. A page that asks the database, or
        a loop that is blocked by a connection, takes far more than that; counted by number, a
        scrape that hangs for seconds would be one among hundreds.
        """
        self.assert_always_answered()
        times = sorted(scrape.seconds for scrape in self.scrapes)
        slow = sum(seconds for seconds in times if seconds > FAST_SECONDS)
        watched = self.scrapes[-1].at - self.scrapes[0].at
        assert slow < watched / 20, (
            f"{slow:.1f} s of {watched:.1f} s went by in slow scrapes; the slowest: {times[-5:]}"
        )


class Sampler(_Observer):
    """Asks the server the same question again and again, as a superuser, however it is treated."""

    def __init__(self, dsn: str, question: str, *, every_seconds: float = 0.02) -> None:
        super().__init__(every_seconds)
        self._dsn = dsn
        self._question = question
        self._connection: psycopg.Connection[Any] | None = None
        self.samples: list[tuple[float, Sequence[tuple[Any, ...]]]] = []

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._connection:
            self._connection.close()

    def rows(self, *, since: float = 0.0) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of all samples, or of those from `time.monotonic()` on."""
        return (row for at, rows in self.samples if at >= since for row in rows)

    def _look(self) -> None:
        with contextlib.suppress(psycopg.OperationalError):
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=5)
            rows = self._connection.execute(self._question).fetchall()
            self.samples.append((time.monotonic(), rows))


class Sockets(_Observer):
    """Counts the TCP connections that a process has to a port, or is about to have."""

    def __init__(self, pid: int, port: int, *, every_seconds: float = 0.05) -> None:
        super().__init__(every_seconds)
        self._process = psutil.Process(pid)
        self._port = port
        self.counts: list[int] = []

    def _look(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            connections = self._process.net_connections("tcp")
            self.counts.append(sum(c.raddr[1:] == (self._port,) for c in connections))
