"""Checks, without a server, that SQL is one SELECT that can stand in a subquery."""

import re
from collections.abc import Iterator
from typing import Any

from exporter.parser import GAP, SqlError, parse_sql

_BEGINNING = re.compile(f"{GAP}*", re.DOTALL)
_LONGEST_QUOTE = 100

_WRITES = frozenset(("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"))
_REFUSED = {
    **dict.fromkeys(_WRITES, "must not change data; remove the INSERT, UPDATE, DELETE or MERGE"),
    "intoClause": "must not make a table; remove INTO",
    "lockingClause": "must not lock rows; remove FOR UPDATE or FOR SHARE",
}
"""What the server refuses in a subquery of a read-only transaction, by its key in a parse tree."""


class SelectError(Exception):
    """The SQL is not one SELECT; `position` is the offset of the character that shows it."""

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        super().__init__(reason)


def single_select(sql: str) -> str:
    """Return `sql` without surrounding white space and without what follows a final semicolon.

    >>> single_select(" SELECT ';' AS x; -- done ")
    "SELECT ';' AS x"

    Raises:
        SelectError: it is empty, no SQL of PostgreSQL 17, not a SELECT (or WITH, VALUES, TABLE),
            more than one statement, or it writes or locks.
    """
    beginning = _BEGINNING.match(sql)
    start = beginning.end() if beginning else 0
    try:
        statements = parse_sql(sql)
    except SqlError as error:
        position = start if error.position is None else error.position
        raise SelectError(position, f"not SQL: {_shortened(str(error))}") from None
    if not statements:
        first_line = len(sql) - len(sql.lstrip())
        raise SelectError(first_line, "there is no SQL below the header")
    first, *others = statements
    ((kind, tree),) = first["stmt"].items()
    if kind != "SelectStmt":
        command = re.sub("(?<=[a-z])(?=[A-Z])", " ", kind.removesuffix("Stmt")).upper()
        raise SelectError(start, f"must be one SELECT (or WITH … SELECT), and is {command}")
    begin = first.get("stmt_location", 0)  # in bytes, as the length
    end = begin + first["stmt_len"] if "stmt_len" in first else None  # where the semicolon is
    text = sql.encode()[begin:end].decode()
    if others:
        end_of_first = len(sql.encode()[:end].decode())
        raise SelectError(end_of_first, "must be one statement; remove what follows the first `;`")
    for key in _keys(tree):
        if key in _REFUSED:
            raise SelectError(start, _REFUSED[key])
    return text.strip()


def _keys(tree: Any) -> Iterator[str]:
    """Yield all keys of a parse tree, in no order."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield from node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _shortened(reason: str) -> str:
    # A quote that does not end brings the rest of the file with it.
    return reason if len(reason) <= _LONGEST_QUOTE else f"{reason[: _LONGEST_QUOTE - 1]}…"
