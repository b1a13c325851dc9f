"""Statements as PostgreSQL's parser sees them: how each is named, and what of it may be shown.

pg_stat_statements replaces most literals by parameters, but not all: the text of a prepared
statement that runs after a reset, and of many utility statements, is raw.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pgparse

from exporter.parser import GAP, SqlError, fingerprint_sql, parse_sql

ALGORITHM = "pg_query-17"
"""How statements are named: by the fingerprint of libpg_query 17."""

SHOWN_CHARACTERS = 200
"""The longest text that is shown, in characters."""

_HIDDEN = "<insufficient privilege>"  # the text of an entry that the role may not see
_SHOWN = frozenset(("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"))
# Each of these words begins one of those statements and no other.
_SHOWN_WORD = re.compile(rf"{GAP}*(?:select|insert|update|delete|merge)\b", re.I | re.DOTALL)

# A normalised text, piece by piece. A quote or a dollar sign that is none of these begins a literal
# that normalisation has left, as in CYCLE and JSON_TABLE.
_PIECE = re.compile(
    rf"""
      (?P<name>    "(?:[^"]|"")*" | [^\W\d][\w$]* )
    | (?P<space>   {GAP}+ )
    | (?P<literal> (?: \$\d+ | \.?\d[\w.]* ) (?:\s*,\s*\$\d+)* )
    | (?P<sign>    (?!--|/\*|\*/) [^\w\s"'$\\] )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class ParsedStatement:
    """A statement that the parser takes.

    `identity` is its fingerprint, 16 hexadecimal digits. Unlike `queryid` it does not depend on
    OIDs. It does not tell apart what one place in an application may send: other literals, casts of
    them, more values in a list or rows in VALUES, other output names, another order of columns,
    conditions or arguments, and relations that differ by a number of two or more digits, as daily
    partitions do.
    """

    text: str
    identity: str

    @cached_property
    def trees(self) -> list[dict[str, Any]]:
        """The parse trees, as `exporter.parser.parse_sql` returns them.

        They take ten times as long as the fingerprint; most statements need none.

        Raises:
            SqlError: the statement is nested too deeply.
        """
        return parse_sql(self.text)


def parse_statement(text: str | None) -> ParsedStatement | None:
    """Return the statement in a text of pg_stat_statements.

    None where there is none: the text is NULL, hidden or a comment, or the parser does not take it,
    as when it is cut off.
    """
    if text is None or text == _HIDDEN:
        return None
    try:
        fingerprint = fingerprint_sql(text)
    except SqlError:
        return None
    return ParsedStatement(text, fingerprint) if fingerprint else None


def identity(text: str | None) -> str | None:
    """Return the name of the statement in a text, or None where there is none."""
    statement = parse_statement(text)
    return statement.identity if statement else None


def display_text(statement: ParsedStatement) -> str | None:
    """Return the text as anybody may see it: `?` for each literal or list of them, no comment.

    At most `SHOWN_CHARACTERS` long. None for anything but SELECT, INSERT, UPDATE, DELETE, MERGE
    and WITH, and wherever it is not certain what is a literal.
    """
    if "\\'" in statement.text:  # with standard_conforming_strings = off, this ends no string
        return None
    if not _is_shown(statement):
        return None
    shown = ""
    text = pgparse.normalize(statement.text)
    position = 0
    while position < len(text) and len(shown) <= SHOWN_CHARACTERS:
        piece = _PIECE.match(text, position)
        if piece is None:
            return None
        position = piece.end()
        if piece.lastgroup == "space":
            shown += " " if shown and text[position : position + 1] not in ("", ")") else ""
        else:
            shown += "?" if piece.lastgroup == "literal" else piece[0]
    shown = shown.rstrip("; ")
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[: SHOWN_CHARACTERS - 1]}…"


def _is_shown(statement: ParsedStatement) -> bool:
    """Return whether the text is one statement of a kind that is shown.

    The first word says so where no semicolon can separate two statements.
    """
    if ";" not in statement.text.rstrip("; \n") and _SHOWN_WORD.match(statement.text):
        return True
    try:
        trees = statement.trees
    except SqlError:
        return False
    if len(trees) != 1:
        return False
    ((kind, tree),) = trees[0]["stmt"].items()
    return kind in _SHOWN and "valuesLists" not in tree
