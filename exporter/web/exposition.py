"""/metrics as bytes: made off the event loop, and kept until something changes."""

import asyncio
import gzip
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from exporter.collect.store import SnapshotStore

KEPT_SECONDS = 5.0
"""The longest that a page is kept: the process's own figures change without a snapshot."""

_GZIP_LEVEL = 6
"""Level 9 takes more than twice the time of 6 for a twentieth less."""

_MOST_KEPT = 8

_OPENMETRICS_VERSIONS = ("0.0.1", "1.0.0")


@dataclass(frozen=True, slots=True)
class Page:
    """One rendering of /metrics."""

    body: bytes
    content_type: str
    encoding: str | None


@dataclass(frozen=True, slots=True)
class _Kept:
    page: Page
    generation: int
    expires: float

    def is_current(self, board: SnapshotStore) -> bool:
        return self.generation == board.generation and time.monotonic() < self.expires


@dataclass(frozen=True, slots=True)
class _Shown:
    registry: CollectorRegistry
    board: SnapshotStore
    kept: dict[tuple[str, bool], _Kept]

    def current(self, key: tuple[str, bool]) -> Page | None:
        kept = self.kept.get(key)
        return kept.page if kept and kept.is_current(self.board) else None

    def next_expiries(self) -> list[float]:
        now = time.monotonic()
        return [snapshot.expires for snapshot in self.board.latest() if snapshot.expires > now]


class Exposition:
    """Renders the registry for those who ask, once for all who ask for the same."""

    def __init__(self, registry: CollectorRegistry, board: SnapshotStore) -> None:
        self._rendering = asyncio.Lock()
        self.show(registry, board)

    def show(self, registry: CollectorRegistry, board: SnapshotStore) -> None:
        """Show this registry from now on, which is current while the board stays as it is."""
        self._shown = _Shown(registry, board, {})

    async def page(self, accept: str, accept_encoding: str, names: Sequence[str] = ()) -> Page:
        """Return /metrics in the format and encoding that the headers ask for.

        Args:
            accept: the Accept header; OpenMetrics if it is acceptable, else Prometheus text.
            accept_encoding: the Accept-Encoding header; gzip or nothing.
            names: if any, only the families with these sample names.
        """
        encode, content_type = _choose_encoder(accept)
        zipped = accepts_gzip(accept_encoding)
        shown = self._shown
        if names:
            restricted: Any = shown.registry.restricted_registry(names)
            async with self._rendering:  # one at a time, however many ask
                return await asyncio.to_thread(_render, restricted, encode, content_type, zipped)
        key = (content_type, zipped)
        if page := shown.current(key):
            return page
        async with self._rendering:
            if page := shown.current(key):  # made while we waited
                return page
            generation = shown.board.generation
            expires = min([time.monotonic() + KEPT_SECONDS, *shown.next_expiries()])
            page = await asyncio.to_thread(_render, shown.registry, encode, content_type, zipped)
            if len(shown.kept) >= _MOST_KEPT:
                shown.kept.clear()
            shown.kept[key] = _Kept(page, generation, expires)
            return page


def _choose_encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """Return the encoder and its content type; the text format for whatever is not understood.

    prometheus_client raises on a version that is no version, and promises any that is.
    """
    asked = re.findall(r"application/openmetrics-text\s*;\s*version\s*=\s*\"?([^\s,;\"]+)", accept)
    if any(version not in _OPENMETRICS_VERSIONS for version in asked):
        accept = ""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an Accept-Encoding header asks for gzip.

    >>> accepts_gzip("gzip;q=0.5, br"), accepts_gzip("gzip;q=0"), accepts_gzip("identity")
    (True, False, False)
    """
    for part in accept_encoding.lower().split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip() == "gzip":
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _render(
    registry: CollectorRegistry,
    encode: Callable[[CollectorRegistry], bytes],
    content_type: str,
    zipped: bool,
) -> Page:
    body = encode(registry)
    if zipped:
        return Page(gzip.compress(body, _GZIP_LEVEL), content_type, "gzip")
    return Page(body, content_type, None)
