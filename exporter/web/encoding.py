"""Families of samples in an exposition format, kept for each query until it has run again."""

import threading
from collections.abc import Callable, Mapping

from prometheus_client.registry import Collector

from exporter.web.collectors import Families, QueryCollector, Served, Version

Encoder = Callable[[Collector], bytes]

_Lines = Mapping[str, tuple[bytes, bytes]]
"""By the name of a family: its lines of help and type, and the lines of its samples."""

_END = b"# EOF\n"
"""The end of a page in OpenMetrics."""


class KeptLines:
    """Makes pages in one format; what a query shows is encoded once after each run."""

    def __init__(self, encode: Encoder) -> None:
        self._encode = encode
        self._lock = threading.Lock()
        self._kept: dict[QueryCollector, tuple[Version, _Lines]] = {}

    def page(self, served: Served) -> bytes:
        """Return the page, in which each family stands once, with the samples of all queries."""
        with self._lock:  # what is served may be exchanged while a thread makes a page
            return self._page(served)

    def _page(self, served: Served) -> bytes:
        families: dict[str, list[bytes]] = {}
        queries = served.queries
        for lines in (*map(self._of_query, queries), self._encoded(served.process)):
            for name, (header, samples) in lines.items():
                families.setdefault(name, [header]).append(samples)
        if len(self._kept) > len(queries):
            self._kept = {query: self._kept[query] for query in queries}
        end = _END if self._encode(Families()) else b""
        return b"".join([*(line for lines in families.values() for line in lines), end])

    def _of_query(self, query: QueryCollector) -> _Lines:
        version = query.version
        known, lines = self._kept.get(query, (None, {}))
        if not version.is_same_as(known):
            lines = self._encoded(query)
            self._kept[query] = version, lines
        return lines

    def _encoded(self, collector: Collector) -> _Lines:
        return {
            family.name: _split(self._encode(Families(family)).removesuffix(_END))
            for family in collector.collect()
        }


def _split(encoded: bytes) -> tuple[bytes, bytes]:
    """Return the comments with which a family begins, and its samples."""
    start = 0
    while encoded.startswith(b"#", start):
        start = encoded.index(b"\n", start) + 1
    return encoded[:start], encoded[start:]
