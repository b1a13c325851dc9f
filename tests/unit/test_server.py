"""The web server: a client that says nothing does not keep its connection."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from exporter.errors import UsageError
from exporter.web.connections import ConnectionLimits
from exporter.web.routes import Health, build_app
from exporter.web.server import bind, families, serving
from tests.support.components import assemble
from tests.support.observers import HANG_SECONDS, until
from tests.support.queries import make_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

PATIENCE_SECONDS = 60.0
"""Longer than both ends, which are in this process, are held up; `skip_seconds` ends it."""

QUERY = make_query("things", {"loom_things": {"value": "things"}})


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """Return where a server listens."""
    parts = assemble(tmp_path, [QUERY])
    app = build_app(parts.exposition, Health(lambda: True, lambda: True), parts.database_pages)
    with bind("127.0.0.1:0") as listener:
        async with serving(app, listener, limits=ConnectionLimits(PATIENCE_SECONDS)):
            yield listener.getsockname()[1]


async def _rest(reader: asyncio.StreamReader, skip_seconds: Callable[[float], None]) -> bytes:
    """Return what the server says to a client that says no more, until it hangs up."""
    rest = asyncio.create_task(reader.read())
    await asyncio.sleep(0.05)  # what was said arrives

    def is_hung_up_on() -> bool:
        skip_seconds(PATIENCE_SECONDS)
        return rest.done()

    await until("the server hangs up", is_hung_up_on)
    return await rest


@pytest.mark.parametrize("said", [b"", b"GET /metr", b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n"])
async def test_client_that_never_asks_is_hung_up_on(
    port: int, said: bytes, skip_seconds: Callable[[float], None]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    assert await _rest(reader, skip_seconds) == b""
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(HANG_SECONDS):
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_client_that_begins_to_ask_again_is_hung_up_on_too(
    port: int, skip_seconds: Callable[[float], None]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(HANG_SECONDS):
        assert (await reader.readuntil(b"alive\n")).startswith(b"HTTP/1.1 200 ")
    writer.write(b"G")
    assert await _rest(reader, skip_seconds) == b""
    writer.close()


async def test_signals_are_left_to_those_who_had_them() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Is never asked."""

    def handlers() -> list[object]:
        return [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    before = handlers()
    with bind("127.0.0.1:0") as listener:
        async with serving(app, listener):
            assert handlers() == before
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
            later = handlers()
            assert later != before
    assert handlers() == later
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


@pytest.mark.parametrize("listen", ["127.0.0.1", "[::1]"])
def test_address_that_is_taken_is_told_in_one_line(listen: str) -> None:
    with bind(f"{listen}:0") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UsageError, match=rf":{port}: .*LOOM_EXPORTER_LISTEN"):
            bind(f"{listen}:{port}")


@pytest.mark.parametrize(
    ("listen", "served"),
    [
        (":0", "IPv4, IPv6"),
        ("[::]:0", "IPv4, IPv6"),
        ("0.0.0.0:0", "IPv4"),
        ("localhost:0", "IPv4"),
        ("[::1]:0", "IPv6"),
    ],
)
def test_families_that_are_served_are_told(listen: str, served: str) -> None:
    with bind(listen) as listener:
        assert families(listener) == served
        port = listener.getsockname()[1]
        for family, address in (("IPv4", "127.0.0.1"), ("IPv6", "::1")):
            if family in served:
                socket.create_connection((address, port), timeout=2).close()
            else:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((address, port), timeout=2)
