"""The pages of each database, and the list that leads to them."""

from collections.abc import Callable, Iterator, Mapping

from exporter.render.database_list import DatabaseRow, database_list, row_of
from exporter.web.pages import Pages
from exporter.web.render_cache import RenderCache


class DatabasePages:
    """Finds the pages of a database by its name."""

    def __init__(
        self, pages: Mapping[str, Pages], problem: Callable[[], str | None] = lambda: None
    ) -> None:
        """Begin with these pages; `problem` says why others may be meant, or None."""
        self.problem = problem
        self.show(pages)

    def show(self, pages: Mapping[str, Pages]) -> None:
        """Show the pages of these databases from now on."""
        self._pages = pages
        self._rendered = RenderCache[bytes](*(each.snapshots for each in pages.values()))

    @property
    def names(self) -> list[str]:
        """The names of the databases."""
        return list(self._pages)

    def of(self, name: str | None) -> Pages | None:
        """Return the pages of a database; where none is named, of the only one."""
        if name is None and len(self._pages) == 1:
            return next(iter(self._pages.values()))
        return self._pages.get(name or "")

    def rows(self) -> Iterator[DatabaseRow]:
        """Yield where each database stands now."""
        return (row_of(each.overview()) for each in self._pages.values())

    async def list(self) -> bytes:
        """Return the page that lists the databases."""
        return await self._rendered.get(
            "list",
            lambda: database_list(list(self.rows()), self.problem()).encode(errors="replace"),
        )
