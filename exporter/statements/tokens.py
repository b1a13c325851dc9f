"""The tokens of a statement, normalised: comments gone, words folded, literals replaced.

A lexer that follows PostgreSQL's `scan.l`, and not a parser: it must also read what does not parse.
"""

import re
from collections.abc import Iterator

LITERAL = "?"
"""The token that stands for a literal, for a parameter, and for a list of them."""

HIDDEN = "<insufficient privilege>"
"""What pg_stat_statements says where it may not show the text."""

# The operator that asks for a key of a jsonb, in the long form that the server takes as well.
_QUESTION = "operator(?)"

_TOKEN = re.compile(
    r"""
      (?P<space>     [ \t\n\r\f\v]+ | --[^\n\r]*+ )
    | (?P<comment>   /\* )
    | (?P<string>    [eE]'(?:[^'\\]++|''|\\.)*+(?P<escape_end>'|\\?\Z)
                   | (?:[bBnNxX]|[uU]&)?'(?P<plain>(?:[^']++|'')*+)(?P<string_end>'|\Z)
                   | \$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+)?)\$
                     .*?(?P<dollar_end>\$(?P=tag)\$|\Z) )
    | (?P<quoted>    (?:[uU]&)?"(?:[^"]++|"")*+(?P<quoted_end>"|\Z) )
    | (?P<parameter> \$[0-9]+ )
    | (?P<number>    0[xX][0-9A-Fa-f_]+ | 0[oO][0-7_]+ | 0[bB][01_]+
                   | (?:[0-9][0-9_]*+\.?[0-9_]*+|\.[0-9][0-9_]*+)(?:[eE][+-]?[0-9_]++)? )
    | (?P<word>      [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+ )
    | (?P<operator>  (?:(?!--|/\*)[-+*/<>=~!@\#%^&|`?])+ )
    | (?P<sign>      :: | := | [()\[\],;.:] )
    | (?P<unknown>   . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")

# An operator may only end in + or - if it holds one of these (scan.l, rule `operator`).
_SPECIAL = frozenset("~!@#%^&|`?")

# After one of these words, `-` belongs to the number that follows it, and pg_stat_statements
# replaces both; after any other it subtracts.
BEFORE_A_VALUE = frozenset(
    {
        "all",
        "and",
        "any",
        "array",
        "between",
        "by",
        "case",
        "distinct",
        "else",
        "except",
        "from",
        "having",
        "ilike",
        "in",
        "intersect",
        "into",
        "like",
        "limit",
        "not",
        "offset",
        "on",
        "or",
        "return",
        "returning",
        "select",
        "set",
        "similar",
        "some",
        "then",
        "to",
        "union",
        "using",
        "values",
        "when",
        "where",
    }
)
_CONSTANTS = frozenset(("true", "false", "null"))

_END = "\x1f"
# `?, ?` and `?::uuid, ?::uuid`, each token ending in `_END`.
_LIST = re.compile(
    f"(?<![^{_END}])(\\?{_END}(?:::{_END}[^{_END}]++{_END}(?:\\.{_END}[^{_END}]++{_END})*+)*+)"
    f"(?:,{_END}\\1(?!::))++"
)


def tokens(text: str | None) -> list[str]:
    """Return the normalised tokens of a statement; none of a text that is NULL or hidden.

    Words are folded to lower case as the server folds them, quoted identifiers keep their quotes,
    and each literal, or list of literals, is one `LITERAL`.
    """
    if is_hidden(text):
        return []
    found: list[str] = []
    after_string = False
    for kind, token, _ in _lex(text):
        is_string = kind == "string"
        # A string goes on in the next one, if that begins on another line.
        if not (is_string and after_string):
            _append(found, kind, token)
        after_string = is_string
    while found and found[-1] == ";":
        found.pop()
    joined = "".join(token + _END for token in found)
    return _LIST.sub(r"\1", joined).split(_END)[:-1]


def identifier(token: str) -> str | None:
    """Return the name that a token stands for, or None if it is no identifier.

    >>> identifier("users"), identifier('"my ""own"" table"'), identifier("(")
    ('users', 'my "own" table', None)
    """
    if token.startswith('"'):
        return token[1:].removesuffix('"').replace('""', '"')
    return token if token[0].isalpha() or token[0] == "_" or token[0] > "\x7f" else None


def is_hidden(text: str | None) -> bool:
    """Return whether there is no text: NULL, empty, or not for this role to see."""
    return text is None or text.strip() in ("", HIDDEN)


def is_certain(text: str | None) -> bool:
    """Return whether it is beyond doubt what in this text is a literal.

    It is not in a text that breaks off inside quotes, and in one that may have been written for
    standard_conforming_strings = off.
    """
    return all(certain for _, _, certain in _lex(text))


def _lex(text: str | None) -> Iterator[tuple[str, str, bool]]:
    """Yield kind and text of each token but spaces and comments, and whether that is certain."""
    text = text or ""
    position = 0
    while match := _TOKEN.match(text, position):
        position = match.end()
        kind = match.lastgroup or ""
        if kind == "space":
            continue
        if kind == "comment":
            position, closed = _end_of_comment(text, position)
            if not closed:
                yield "unknown", "", False
            continue
        yield kind, match.group(), _is_certain(match, kind)


def _end_of_comment(text: str, position: int) -> tuple[int, bool]:
    """Return where a comment ends, comments in it included, and whether it ends at all."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end(), True
    return len(text), False


def _is_certain(match: re.Match[str], kind: str) -> bool:
    ends = ("escape_end", "string_end", "dollar_end", "quoted_end")
    if any(match[end] in ("", "\\") for end in ends):
        return False
    # With standard_conforming_strings = off, \' is a quote inside the string and not its end.
    escaped = kind == "string" and "\\'" in f"{match['plain'] or ''}'"
    return not escaped and kind != "unknown"


def _append(found: list[str], kind: str, token: str) -> None:
    if kind in ("string", "parameter"):
        found.append(LITERAL)
    elif kind == "number":
        if found and found[-1] == "-" and _expects_value(found[:-1]):
            found.pop()
        found.append(LITERAL)
    elif kind == "word":
        word = _fold(token)
        found.append(LITERAL if _is_constant(found, word) else word)
    elif kind == "operator":
        found.extend(_operators(token))
    elif token:
        found.append(token)


def _fold(word: str) -> str:
    # In a multibyte encoding the server folds ASCII only.
    return word.lower() if word.isascii() else re.sub("[A-Z]+", lambda m: m[0].lower(), word)


def _is_constant(before: list[str], word: str) -> bool:
    """Return whether pg_stat_statements takes this word for a constant, and replaces it."""
    if word in _CONSTANTS:
        return before[-1:] != ["is"] and before[-2:] != ["is", "not"]
    return before[-2:] == ["extract", "("]


def _expects_value(before: list[str]) -> bool:
    if not before:
        return True
    last = before[-1]
    if last in (LITERAL, ")", "]"):
        return False
    return identifier(last) is None or last in BEFORE_A_VALUE


def _operators(run: str) -> list[str]:
    """Split a run of operator characters as the server does."""
    signs: list[str] = []
    while len(run) > 1 and run[-1] in "+-" and not _SPECIAL.intersection(run):
        signs.insert(0, run[-1])
        run = run[:-1]
    return [_QUESTION if run == "?" else run, *signs]
