"""The list of databases, each with its verdict."""

from collections.abc import Sequence
from typing import NamedTuple

from exporter import __version__
from exporter.render.documents import SCRIPT, STYLE, render
from exporter.render.status_page import Overview, tone
from exporter.render.text import title

_REFRESH_SECONDS = 15.0


class DatabaseRow(NamedTuple):
    """Where a database stands; `verdict` and `ready` are empty without a current verdict."""

    database: str
    deployment: str
    is_up: bool | None
    tone: str
    said: str
    verdict: str
    ready: str


def row_of(overview: Overview) -> DatabaseRow:
    """Return where the database of an overview stands."""
    assessment = overview.assessment if overview.is_current else None
    return DatabaseRow(
        overview.database,
        overview.deployment.title,
        overview.is_up,
        tone(overview),
        title(assessment) if assessment else "No current verdict",
        assessment.verdict.value if assessment else "",
        assessment.readiness.value if assessment else "",
    )


def database_list(rows: Sequence[DatabaseRow], problem: str | None) -> str:
    """Return the page as HTML, in the order of the settings.

    Args:
        rows: one for each database.
        problem: why other databases may be meant; None if it is these.
    """
    return render(
        "databases.html",
        style=STYLE,
        script=SCRIPT,
        refresh_seconds=_REFRESH_SECONDS,
        version=__version__,
        rows=rows,
        problem=problem,
    )
