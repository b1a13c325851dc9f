"""The status page, the report and the verdict, rendered from what is in memory."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from exporter.collect.store import SnapshotStore
from exporter.redaction import redact
from exporter.render.answers import ANSWERS
from exporter.render.report import REPORTS
from exporter.render.status_page import Overview, status_page
from exporter.verdict.assess import Assessment
from exporter.web.render_cache import RenderCache


class Judged(NamedTuple):
    """A document about an assessment, with its verdict and readiness for those who read no more."""

    body: bytes
    verdict: str
    readiness: str

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that say the same."""
        return {"Loom-Verdict": self.verdict, "Loom-Ready": self.readiness}


class Pages:
    """Renders once for all clients that ask for the same while nothing changes."""

    def __init__(self, snapshots: SnapshotStore, overview: Callable[[], Overview]) -> None:
        self.show(snapshots, overview)

    def show(self, snapshots: SnapshotStore, overview: Callable[[], Overview]) -> None:
        """Show what `overview` returns from now on; it changes with `snapshots`."""
        self.snapshots = snapshots
        self.overview = overview
        self._rendered = RenderCache[Judged](snapshots)

    async def status(self, *, is_one_of_several: bool = False) -> bytes:
        """Return the status page; before the first verdict it says that there is none."""
        overview = self.overview

        def rendered() -> Judged:
            page = status_page(overview(), is_one_of_several=is_one_of_several)
            return Judged(_encoded(page), "", "")

        return (await self._rendered.get(f"status {is_one_of_several}", rendered)).body

    async def report(self, form: str) -> Judged | None:
        """Return the report in a form of `REPORTS`, or None without a current verdict."""
        return await self._from_assessment(f"report {form}", REPORTS[form])

    async def verdict(self, form: str) -> Judged | None:
        """Return the verdict in a form of `ANSWERS`, or None without a current one."""
        render = ANSWERS[form]
        return await self._from_assessment(f"verdict {form}", lambda known: redact(render(known)))

    async def _from_assessment(
        self, key: str, render: Callable[[Assessment], str]
    ) -> Judged | None:
        overview = self.overview()
        assessment = overview.assessment
        if assessment is None or not overview.is_current:
            return None
        verdict, readiness = assessment.verdict.value, assessment.readiness.value
        return await self._rendered.get(
            key, lambda: Judged(_encoded(render(assessment)), verdict, readiness)
        )


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")
