"""Looks, without a server, whether SQL is one SELECT that can stand in a subquery."""

import re

_OPAQUE = re.compile(
    r"""
      --[^\n]*                                  # comments
    | /\*.*?\*/
    | \b[Ee]'(?:[^'\\]|\\.|'')*'              # literals, E'' with backslashes
    | '(?:[^']|'')*'
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)
    | "(?:[^"]|"")*"                          # quoted names
    """,
    re.DOTALL | re.VERBOSE,
)
"""What must not be mistaken for syntax."""

_BEGINNINGS = {"SELECT", "WITH", "VALUES", "TABLE"}


class SelectError(Exception):
    """The SQL is not one SELECT; `position` is the offset of the character that shows it."""

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        super().__init__(reason)


def single_select(sql: str) -> str:
    """Return `sql` without white space around it, and without a final semicolon and what follows.

    >>> single_select(" SELECT ';' AS x; -- done ")
    "SELECT ';' AS x"

    Raises:
        SelectError: there is nothing, something else, or more than one statement.
    """
    # As long as the original, so that positions stay true.
    bare = _OPAQUE.sub(lambda opaque: re.sub(r"[^\n]", " ", opaque[0]), sql)
    first = re.search(r"[^\s(]\w*", bare)
    if not first:
        raise SelectError(len(sql) - len(sql.lstrip()), "there is no SQL below the header")
    if first[0].upper() not in _BEGINNINGS:
        raise SelectError(
            first.start(), f"must be one SELECT (or WITH … SELECT); it begins with {first[0][:20]}"
        )
    end = bare.find(";")
    if end < 0:
        return sql.strip()
    if bare[end:].strip("; \n\t"):
        raise SelectError(end, "must be one statement; remove what follows the first `;`")
    return sql[:end].strip()
