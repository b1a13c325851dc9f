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

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED_AT_ONCE = 60


@pytest.fixture
def hanging_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the resolver of the system hang until the test is over."""
    over = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        over.wait(60.0)
        raise OSError("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(hosts, "RESOLVE_SECONDS", 0.5)
    yield
    over.set()


@pytest.mark.usefixtures("hanging_resolver")
async def test_resolver_that_hangs_leaves_threads_for_all_else() -> None:
    names = [Server(host=f"db-{number}.example.org") for number in range(ASKED_AT_ONCE)]
    resolving = [asyncio.create_task(addresses_of(name)) for name in names]
    await asyncio.sleep(0)
    await asyncio.to_thread(int)  # before any of them has given up, or it would have to wait
    assert not any(each.done() for each in resolving)
    for each, name in zip(resolving, names, strict=True):
        with pytest.raises(psycopg.OperationalError, match=f"{name.host}: not resolved within"):
            await each


async def test_name_has_its_addresses() -> None:
    found = await addresses_of(Server(host="localhost", port="5432"))
    assert found
    assert {each.hostaddr for each in found} <= {"127.0.0.1", "::1"}
    with pytest.raises(psycopg.OperationalError, match=r"no address for nowhere\.invalid: "):
        await addresses_of(Server(host="nowhere.invalid"))
