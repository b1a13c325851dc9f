"""Names of servers: a resolver that hangs keeps nobody waiting but those who need it."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from exporter.database import hosts
from exporter.database.hosts import Server, addresses_of
from tests.support.observers import HANG_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED_AT_ONCE = 60


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let the resolver of the system hang until the test is over; return what it was asked."""
    over, asked = threading.Event(), list[str]()

    def hang(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        over.wait(HANG_SECONDS)
        raise OSError("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield asked
    over.set()


async def test_resolver_that_hangs_leaves_threads_for_all_else(
    lookups: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "RESOLVE_SECONDS", 1000.0)
    names = [Server(host=f"db-{number}.example.org") for number in range(ASKED_AT_ONCE)]
    resolving = [asyncio.create_task(addresses_of(name)) for name in names]
    await until("all are asked for", lambda: len(lookups) == ASKED_AT_ONCE)
    await asyncio.to_thread(int)
    assert not any(each.done() for each in resolving)
    for each in resolving:
        each.cancel()
    await asyncio.wait(resolving)


async def test_name_is_looked_up_once_for_all_that_wait_and_given_up_in_time(
    lookups: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "RESOLVE_SECONDS", 0.2)
    server = Server(host="db.example.org")
    for _ in range(2):
        waiting = [addresses_of(server) for _ in range(ASKED_AT_ONCE)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert {str(each) for each in found} == {
            "no address for db.example.org: not resolved within 0.2 s"
        }
    # Its thread may begin later than anybody waits for it.
    await until("it is asked for", lambda: lookups)
    assert lookups == ["db.example.org"]


async def test_name_has_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "RESOLVE_SECONDS", HANG_SECONDS)
    found = await addresses_of(Server(host="localhost", port="5432"))
    assert found
    assert {each.hostaddr for each in found} <= {"127.0.0.1", "::1"}
    with pytest.raises(psycopg.OperationalError, match=r"no address for nowhere\.invalid: "):
        await addresses_of(Server(host="nowhere.invalid"))
