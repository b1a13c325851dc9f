"""The status page, the report and the verdict, rendered from what is in memory."""

from collections.abc import Callable

from exporter.collect.store import SnapshotStore
from exporter.redaction import redact
from exporter.render.report import REPORTS
from exporter.render.status_page import Overview, status_page
from exporter.render.verdict_json import verify_json
from exporter.verdict.assess import Assessment
from exporter.web.render_cache import RenderCache


class Pages:
    """Renders once for all clients that ask for the same while nothing changes."""

    def __init__(self, snapshots: SnapshotStore, overview: Callable[[], Overview]) -> None:
        self.show(snapshots, overview)

    def show(self, snapshots: SnapshotStore, overview: Callable[[], Overview]) -> None:
        """Show what `overview` returns from now on; it changes with `snapshots`."""
        self._overview = overview
        self._rendered = RenderCache[bytes](snapshots)

    async def status(self) -> bytes:
        """Return the status page; before the first verdict it says that there is none."""
        overview = self._overview
        return await self._rendered.get("status", lambda: _encoded(status_page(overview())))

    async def report(self, form: str) -> bytes | None:
        """Return the report in a form of `REPORTS`, or None without a current verdict."""
        return await self._from_assessment(f"report {form}", REPORTS[form])

    async def verdict(self) -> bytes | None:
        """Return the verdict as JSON, or None without a current one."""
        return await self._from_assessment("verdict", lambda known: redact(verify_json(known)))

    async def _from_assessment(self, key: str, render: Callable[[Assessment], str]) -> bytes | None:
        overview = self._overview()
        assessment = overview.assessment
        if assessment is None or not overview.is_current:
            return None
        return await self._rendered.get(key, lambda: _encoded(render(assessment)))


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")
