"""Connections of the web server: no client keeps one that it does not use, nor keeps others out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from exporter.web.connections import Connection, ConnectionLimits
from exporter.web.server import bind, serving
from exporter.web.tls import ServerTls
from tests.support.certificates import Authority
from tests.support.observers import HANG_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE_SECONDS = 60.0
"""Longer than both ends, which are in this process, are held up; `skip_seconds` ends it."""
PATIENT = ConnectionLimits(PATIENCE_SECONDS)
BIG_BYTES = 16 * 2**20
"""More than the buffers of both ends of a connection hold."""


def _answer(body: bytes, before: Callable[[], Awaitable[object]] | None = None) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if before:
            await before()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


SMALL = _answer(b"here")
BIG = _answer(b"x" * BIG_BYTES)


@contextlib.asynccontextmanager
async def _server(
    app: ASGIApp, limits: ConnectionLimits, tls: ServerTls | None = None
) -> AsyncIterator[int]:
    """Serve `app`, and yield the port."""
    with bind("127.0.0.1:0") as listener:
        async with serving(app, listener, (lambda: tls) if tls else None, limits):
            yield listener.getsockname()[1]


@contextlib.asynccontextmanager
async def _client(
    port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect with a small buffer, so that what is not read stays with the server."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    async with asyncio.timeout(HANG_SECONDS):
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(
            sock=client, ssl=tls, server_hostname=name, limit=4096
        )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _ask(port: int) -> bytes:
    async with _client(port) as (reader, writer):
        writer.write(REQUEST)
        return await reader.readuntil(b"here")


async def _rest(reader: asyncio.StreamReader) -> int:
    """Return how many bytes come until the server hangs up."""
    count = 0
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            count += len(data)
    return count


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls(tmp_path: Path, authority: Authority) -> ServerTls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue().write(tmp_path))
    return ServerTls(context, None)


@pytest.mark.parametrize("secured", [False, True])
async def test_client_that_does_not_read_is_hung_up_on(
    secured: bool,
    tls: ServerTls,
    authority: Authority,
    skip_seconds: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()
    connection_lost = Connection.connection_lost

    async def begin() -> None:
        asked.set()

    def lost(self: Connection, exc: Exception | None) -> None:
        connection_lost(self, exc)
        hung_up.set()

    def is_hung_up_on() -> bool:
        skip_seconds(PATIENCE_SECONDS)
        return hung_up.is_set()

    monkeypatch.setattr(Connection, "connection_lost", lost)
    async with (
        _server(_answer(b"x" * BIG_BYTES, begin), PATIENT, tls if secured else None) as port,
        _client(port, authority.client() if secured else None) as (reader, writer),
    ):
        writer.write(REQUEST * 40)
        await asked.wait()
        await until("the server hangs up", is_hung_up_on)
        assert await _rest(reader) < BIG_BYTES


async def test_client_that_reads_slowly_gets_everything(
    skip_seconds: Callable[[float], None],
) -> None:
    async with _server(BIG, PATIENT) as port, _client(port) as (reader, writer):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        for _ in range(8):
            skip_seconds(PATIENCE_SECONDS / 2)
            await reader.readexactly(2**20)
        assert b" 200 " in head
        await reader.readexactly(BIG_BYTES - 8 * 2**20)


async def test_client_whose_answer_takes_us_long_is_not_hung_up_on(
    skip_seconds: Callable[[float], None],
) -> None:
    async def take_long() -> None:
        for _ in range(5):
            skip_seconds(PATIENCE_SECONDS)
            await asyncio.sleep(0.01)  # what is due by then is done

    async with _server(_answer(b"here", take_long), PATIENT) as port:
        assert b" 200 " in await _ask(port)


async def test_at_the_limit_the_client_that_is_silent_longest_makes_way() -> None:
    limits = ConnectionLimits(patience_seconds=60, most=3)
    async with _server(SMALL, limits) as port, contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(_client(port)) for _ in range(3)]
        assert b" 200 " in await _ask(port)
        assert await _rest(silent[0][0]) == 0
        for reader, writer in silent[1:]:
            writer.write(REQUEST)
            assert b" 200 " in await reader.readuntil(b"here")


async def test_at_the_limit_no_client_that_is_answered_makes_way() -> None:
    answer = asyncio.Event()
    limits = ConnectionLimits(patience_seconds=60, most=2)
    begun: list[None] = []

    async def wait() -> None:
        begun.append(None)
        await answer.wait()

    app = _answer(b"here", wait)
    async with _server(app, limits) as port, contextlib.AsyncExitStack() as stack:
        answered = [await stack.enter_async_context(_client(port)) for _ in range(2)]
        for _, writer in answered:
            writer.write(REQUEST)
        await until("both are being answered", lambda: len(begun) == 2)
        async with _client(port) as (reader, _):
            assert await _rest(reader) == 0
        answer.set()
        for reader, _ in answered:
            assert b" 200 " in await reader.readuntil(b"here")


async def test_request_that_comes_with_the_end_of_the_handshake_is_answered(
    tls: ServerTls, authority: Authority
) -> None:
    loop = asyncio.get_running_loop()
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = authority.client().wrap_bio(received, sent, server_hostname="localhost")
    async with _server(SMALL, PATIENT, tls) as port, asyncio.timeout(HANG_SECONDS):
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            while True:
                try:
                    secured.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await loop.sock_sendall(client, sent.read())
                    received.write(await loop.sock_recv(client, 2**16))
            assert secured.version() == "TLSv1.3"
            secured.write(REQUEST)
            await loop.sock_sendall(client, sent.read())
            answer = b""
            while not answer.endswith(b"here"):
                data = await loop.sock_recv(client, 2**16)
                assert data, "the server has hung up"
                received.write(data)
                with contextlib.suppress(ssl.SSLWantReadError):
                    while part := secured.read(2**16):  # one record at a time
                        answer += part
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
async def test_server_does_not_wait_for_a_handshake_to_stop(
    said: bytes, tls: ServerTls, caplog: pytest.LogCaptureFixture
) -> None:
    limits = ConnectionLimits(patience_seconds=60)
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(20), _server(SMALL, limits, tls) as port:
            reader, writer = await stack.enter_async_context(_client(port))
            writer.write(said)
            await asyncio.sleep(0.2)
        await _rest(reader)
    assert caplog.records == []


async def test_client_that_breaks_off_the_handshake_leaves_no_trace(
    tls: ServerTls, caplog: pytest.LogCaptureFixture
) -> None:
    limits = ConnectionLimits(patience_seconds=60, most=2)
    async with _server(SMALL, limits, tls) as port:
        for said in (b"", b"\x16\x03\x01", b"nonsense") * 2:
            async with _client(port) as (_, writer):
                writer.write(said)
                await asyncio.sleep(0.05)
    assert caplog.records == []
