"""PostgreSQL's own parser (libpg_query 17), called so that no text can end or stall the process.

Its C code recurses once per level of nesting and checks no limit, so texts are limited here, and
threads that call it need 8 MiB of stack (`exporter.app.daemon`).
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import pgparse

LONGEST_PARSED = 50_000
"""Characters. The parser takes up to 64 bytes of stack for each of them, `normalize` more."""

GAP = r"(?:\s|--[^\n\r]*|/\*[^/*]*(?:(?:/(?!\*)|\*(?!/))[^/*]*)*\*/)"
"""Pattern of one white space or one comment without comments inside."""

_LONGEST_RUN_OF_SIGNS = 500
# The parser takes the square of the length of such a run to split it; no statement needs one.
_SIGNS = re.compile(r"(?:\+|-(?!-))+")
# A quick look first: of 2 kB it takes a tenth of the time.
_MANY_SIGNS = re.compile(rf"[-+][-+]{{{_LONGEST_RUN_OF_SIGNS}}}")


T = TypeVar("T")


class SqlError(Exception):
    """The parser does not take the text; `position` is the offset of a character, or None."""

    def __init__(self, reason: str, position: int | None = None) -> None:
        self.position = position
        super().__init__(reason)


def parse_sql(text: str) -> list[dict[str, Any]]:
    """Return the parse trees (`RawStmt`) of the statements in a text.

    Locations in them are offsets in UTF-8 bytes. A text of nothing but comments has none.

    Raises:
        SqlError: the text is no SQL of PostgreSQL 17, or is too long or too deeply nested.
    """
    return _call(pgparse.parse, text)


def fingerprint_sql(text: str) -> str | None:
    """Return the fingerprint of the statements in a text; None for nothing but comments.

    This takes a tenth of the time that `parse_sql` takes, which makes Python objects of the trees.

    Raises:
        SqlError: the text is no SQL of PostgreSQL 17, or is too long.
    """
    found = _call(pgparse.fingerprint, text)
    return None if found == _EMPTY else found


_EMPTY = pgparse.fingerprint("")


def _call(function: Callable[[str], T], text: str) -> T:
    if len(text) > LONGEST_PARSED:
        raise SqlError(f"longer than {LONGEST_PARSED:,} characters")
    if "\0" in text:  # where C would end the text
        raise SqlError("a NUL character", text.index("\0"))
    for signs in _SIGNS.finditer(text) if _MANY_SIGNS.search(text) else ():
        if len(signs[0]) > _LONGEST_RUN_OF_SIGNS:
            raise SqlError("too many operators in a row", signs.start())
    try:
        return function(text)
    except pgparse.PGQueryError as error:
        position = error.position - 1 if error.position > 0 else None
        raise SqlError(" ".join(error.message.split()), position) from None
    except RecursionError:  # the trees come as JSON, which Python reads to a limited depth
        raise SqlError("nested too deeply") from None
    except UnicodeError:
        raise SqlError("half of a surrogate pair") from None
