"""What a statement is called by, and what of it may be shown.

pg_stat_statements itself replaces most literals, but not all of them: a prepared statement that is
executed after a reset comes in with its raw text, and utility statements often do. So everything
is normalised again here.
"""

import hashlib

from exporter.statements.tokens import (
    BEFORE_A_VALUE,
    identifier,
    is_certain,
    is_hidden,
    tokens,
)

ALGORITHM = "tok-1"
"""Name of the normalisation behind `identity`; another one needs another name."""

SHOWN_CHARACTERS = 200
"""The longest text that is shown."""

_SHOWN = frozenset(("select", "insert", "update", "delete", "merge", "with"))
# An opening parenthesis belongs to the word before it, as in count(*), unless it is one of these.
_STANDS_ALONE = BEFORE_A_VALUE | frozenset(
    ("as", "conflict", "filter", "join", "lateral", "over", "within")
)


def identity(text: str | None) -> str | None:
    """Return the name of a statement: the SHA-256, in hexadecimal, of its normalised text.

    It is the same whatever the case, the white space, the comments, the literals and the number
    of values in a list, and does not depend on the objects' OIDs as `queryid` does. None where
    there is no text to go by: NULL, hidden, or nothing but comments.
    """
    normalised = " ".join(tokens(text))
    if not normalised:
        return None
    return hashlib.sha256(normalised.encode(errors="backslashreplace")).hexdigest()


def display_text(text: str | None) -> str | None:
    """Return the normalised text as it may be shown to anybody: without a single literal.

    At most `SHOWN_CHARACTERS` long. None for anything but SELECT, INSERT, UPDATE, DELETE, MERGE
    and WITH, and wherever it is not certain what is a literal (`is_certain`).
    """
    if is_hidden(text) or not is_certain(text):
        return None
    words = tokens(text)
    first = next((word for word in words if word != "("), "")
    if first not in _SHOWN:
        return None
    shown = _join(words)
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[: SHOWN_CHARACTERS - 1]}…"


def _join(words: list[str]) -> str:
    parts: list[str] = []
    before = ""
    for word in words:
        tight = (
            word in (",", ")", "]", "[", ".", "::", ";")
            or before in ("(", "[", ".", "::", "")
            or (word == "(" and identifier(before) is not None and before not in _STANDS_ALONE)
        )
        parts.append(word if tight else f" {word}")
        before = word
    return "".join(parts)
