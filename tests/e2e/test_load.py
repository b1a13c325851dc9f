"""Clients that are slow, or many, do not keep the others from /metrics."""

from __future__ import annotations

import contextlib
import gzip
import resource
import socket
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.database.roles import ROLE
from tests.support.daemon import Daemon, Page
from tests.support.observers import HANG_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.loom_database import LoomDatabase

ENOUGH_SECONDS = 5.0
"""Far less than it would take to wait for a client that never says anything."""


@pytest.fixture
def daemon(monitored: LoomDatabase) -> Iterator[Daemon]:
    with Daemon(monitored.dsn(ROLE)) as daemon:
        daemon.wait_until_ready()
        eventually("users are counted", lambda: daemon.page().value("loom_users"))
        yield daemon


@pytest.mark.timing
def test_silent_clients_do_not_delay_others_nor_the_end(daemon: Daemon) -> None:
    with contextlib.ExitStack() as stack:
        for said in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: x\r\n") * 7:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
            client.sendall(said)
        started = time.monotonic()
        for _ in range(5):
            assert daemon.page().value("loom_database_up") == 1
        assert time.monotonic() - started < ENOUGH_SECONDS
        assert daemon.stop() < ENOUGH_SECONDS
        assert daemon.process.returncode == 0


def test_silent_clients_use_up_neither_connections_nor_descriptors(daemon: Daemon) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(4096, hard)
    assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)[0] >= wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        with contextlib.ExitStack() as stack:
            for number in range(1500):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
                client.sendall(b"GET /met" * (number % 2))
                if number % 100 == 0:
                    assert daemon.page().value("loom_database_up") == 1
            # One that is let in takes the place of another, and a few are being let in.
            held = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
            assert held < 1300
            assert daemon.page().value("loom_database_up") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_fifty_scrapes_at_once_are_all_answered(daemon: Daemon) -> None:
    def scrape(number: int) -> Page:
        request = urllib.request.Request(f"http://127.0.0.1:{daemon.port}/metrics")
        if number % 2:
            request.add_header("Accept-Encoding", "gzip")
        with urllib.request.urlopen(request, timeout=HANG_SECONDS) as response:
            body = response.read()
        return Page((gzip.decompress(body) if number % 2 else body).decode())

    with ThreadPoolExecutor(50) as threads:
        pages = list(threads.map(scrape, range(50)))
    for page in pages:
        assert page.value("loom_database_up") == 1
        assert page.value("loom_users")
