"""/metrics as bytes: rendered off the event loop, in the format and encoding asked for."""

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client.exposition import choose_encoder

from exporter.web.collectors import Families, Served
from exporter.web.encoding import Encoder, KeptLines
from exporter.web.render_cache import RenderCache

_GZIP_LEVEL = 6
"""Level 9 takes more than twice as long as level 6 and saves a twentieth."""

_OPENMETRICS_VERSIONS = ("0.0.1", "1.0.0")


@dataclass(frozen=True, slots=True)
class Page:
    """One rendering of /metrics."""

    body: bytes
    content_type: str
    encoding: str | None


class Exposition:
    """Renders what is served, once for all clients that ask for the same."""

    def __init__(self, served: Served) -> None:
        self._lines: dict[str, KeptLines] = {}
        self.show(served)

    def show(self, served: Served) -> None:
        """Show this from now on."""
        self._served = served
        self._rendered = RenderCache[Page](*(each.snapshots for each in served.databases))

    async def page(self, accept: str, accept_encoding: str, names: Sequence[str] = ()) -> Page:
        """Return /metrics in the format and encoding that the headers ask for.

        Args:
            accept: the Accept header; OpenMetrics if it is acceptable, else Prometheus text.
            accept_encoding: the Accept-Encoding header; gzip or nothing.
            names: if any, only the samples with these names; such a page is not kept.
        """
        encode, content_type = _choose_encoder(accept)
        zipped = accepts_gzip(accept_encoding)
        if names:
            served = self._served
            return await self._rendered.render_once(
                lambda: _page(encode(_some(served, names)), content_type, zipped)
            )
        lines = self._lines.setdefault(content_type, KeptLines(encode))
        served = self._served
        return await self._rendered.get(
            (content_type, zipped), lambda: _page(lines.page(served), content_type, zipped)
        )


def _choose_encoder(accept: str) -> tuple[Encoder, str]:
    """Return the encoder and its content type; the text format if the header is not understood.

    prometheus_client raises on a malformed version and promises any other version.
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


def _some(served: Served, names: Sequence[str]) -> Families:
    """Return the samples with these names, and no family without any."""
    families = list(served.collect())
    for family in families:
        family.samples = [each for each in family.samples if each.name in names]
    return Families(*(family for family in families if family.samples))


def _page(body: bytes, content_type: str, zipped: bool) -> Page:
    if zipped:
        return Page(gzip.compress(body, _GZIP_LEVEL), content_type, "gzip")
    return Page(body, content_type, None)
