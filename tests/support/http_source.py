"""An HTTP source for tests, on 127.0.0.1: it answers as a test says, well or badly."""

from __future__ import annotations

import json
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Request:
    """A GET as it arrived."""

    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    at: float


@dataclass
class Reply:
    """What is answered; `body` may come in parts, with a pause before each but the first."""

    body: str | bytes | Iterable[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_seconds: float = 0.0


def as_json(document: Any, **reply: Any) -> Reply:
    """Return a reply whose body is a document."""
    return Reply(json.dumps(document), headers={"Content-Type": "application/json"}, **reply)


class HttpSource:
    """Answers each GET with what `answer` returns for it, and keeps the requests.

    Args:
        answer: makes the reply; None stands for a server that takes a request and says nothing.
        certificate: paths of a certificate and its key, for TLS.
    """

    def __init__(
        self,
        answer: Callable[[Request], Reply | None],
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self._closing = threading.Event()
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source._serve(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            # The handshake in the thread of the connection, so that a bad one stops no other.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def settings(self, **changed: Any) -> dict[str, Any]:
        """Return the settings of a source that is here."""
        plain = {"plain_http": True} if self.url.startswith("http:") else {}
        return {"kind": "json", "url": self.url, **plain, **changed}

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        parameters = {key: values[0] for key, values in parse_qs(parts.query).items()}
        headers = {key.lower(): value for key, value in handler.headers.items()}
        request = Request(parts.path, parameters, headers, time.monotonic())
        self.requests.append(request)
        reply = self.answer(request)
        if reply is None:
            self._closing.wait(60)
            return
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        with suppress(OSError):  # the other side has had enough
            handler.send_response(reply.status)
            for key, value in reply.headers.items():
                handler.send_header(key, value)
            if isinstance(body, bytes):
                handler.send_header("Content-Length", str(len(body)))
                body = [body]
            handler.end_headers()
            for number, part in enumerate(body):
                if number and self._closing.wait(reply.pause_seconds):
                    return
                handler.wfile.write(part)
                handler.wfile.flush()
