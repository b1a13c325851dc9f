"""How a question is asked: SQL with its requirements checked first, HTTP, files of test suites."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Rows(NamedTuple):
    """The result of a query: the columns' names, the rows that were kept, how many there were."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    total: int
