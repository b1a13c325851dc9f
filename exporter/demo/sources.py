"""Services beyond the demo's database: what they answer, and the settings that lead there."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import unquote_plus, urlsplit

from exporter.demo.database import FILES
from exporter.yaml_source import read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_COUNTED_SECONDS = 15.0
"""What stands here for the last hour, so that a change shows while one looks on."""

_USUAL_ERRORS = 200
"""One request in so many fails at the gateway, whatever the application does."""

_INTERVAL = re.compile(r"^(interval|timeout): .*$", re.MULTILINE)
_FAST = {"interval": "interval: 4s", "timeout": "timeout: 3s"}


class Calls(NamedTuple):
    """Calls of the application so far."""

    good: int
    failed: int


class DemoSources:
    """An HTTP server on 127.0.0.1 that answers for all services, each below a path of its own.

    Args:
        calls: returns what the application has done so far.
    """

    def __init__(self, calls: Callable[[], Calls]) -> None:
        document = read_document(FILES / "sources.yaml").data
        self._subjects: Mapping[str, str] = document["subjects"]
        self._sources: Mapping[str, Mapping[str, Any]] = document["sources"]
        self._calls = calls
        self._counted: deque[tuple[float, Calls]] = deque()
        self._lock = threading.Lock()
        sources = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = sources.answer(self.path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, target: str) -> bytes:
        """Return the body for a GET; empty if there is no such path."""
        parts = urlsplit(target)
        _, name, path = parts.path.split("/", 2) if parts.path.count("/") > 1 else ("", "", "")
        asked = unquote_plus(parts.query)
        for each in self._sources.get(name, {}).get("answers", ()):
            if each["path"] == f"/{path}" and each.get("where", "") in asked:
                return Template(each["body"]).substitute(self._values()).encode()
        return b""

    def write_settings(self, folder: Path, queries: Path, probe_dsn: str) -> Path:
        """Write a config file with these sources and the login of the probes; return its path.

        Questions to HTTP sources come every few minutes, to spare those; here they are copied with
        intervals of seconds.
        """
        copy = shutil.copytree(queries, folder / "queries")
        for path in copy.glob("*.http.yaml"):
            text = path.read_text(encoding="utf-8")
            path.write_text(_INTERVAL.sub(lambda found: _FAST[found[1]], text), encoding="utf-8")
        url_file = folder / "probe-url"
        url_file.touch(mode=0o600)
        url_file.write_text(probe_dsn, encoding="utf-8")
        settings = {
            "queries": str(copy),
            "probe_database_url_file": str(url_file),
            "probe_subjects": self._subjects,
            "sources": {
                name: {
                    "kind": source["kind"],
                    "url": f"{self._url}/{name}",
                    "plain_http": True,
                    "requests_per_minute": 6000,
                }
                for name, source in self._sources.items()
            },
        }
        config = folder / "config.yaml"
        config.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        return config

    def _values(self) -> dict[str, str]:
        now, calls = time.monotonic(), self._calls()
        with self._lock:
            self._counted.append((now, calls))
            while now - self._counted[0][0] > _COUNTED_SECONDS:
                self._counted.popleft()
            before = self._counted[0][1]
        failed = calls.failed - before.failed
        requests = calls.good - before.good + failed
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        return {
            "requests": str(requests),
            "errors": str(failed + requests // _USUAL_ERRORS),
            "hour_ago": hour_ago.isoformat(timespec="seconds"),
        }


def suite_results(folder: Path) -> Sequence[tuple[str, Path]]:
    """Return the suites and what a run of them has left just now, copied into a folder."""
    found = []
    for path in sorted((FILES / "suites").glob("*.tap")):
        copy = folder / path.name
        copy.write_bytes(path.read_bytes())  # not its time: it counts as run when it was written
        found.append((path.stem, copy))
    return found
