"""The class of a statement: by the relations that it names and the functions that it calls.

Names are taken from PostgreSQL's own parser (libpg_query 17), because patterns misfire on columns,
comments and aliases. What the parser cannot see, this cannot either: the tables behind a view, the
body of a function, and which schema an unqualified name means.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import pgparse

from exporter.catalog.deployment import OTHER, StatementClass
from exporter.statements.text import identity
from exporter.statements.tokens import identifier, is_hidden, tokens

LONGEST_PARSED = 100_000
"""Characters; a longer text is not handed to the parser."""

_QUESTIONS = frozenset(
    ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CallStmt")
)
_FIRST_WORDS = frozenset(("select", "insert", "update", "delete", "merge", "with", "call"))
# FOR UPDATE OF names aliases; of WITH, only its expressions are of interest.
_APART = frozenset(("lockingClause", "withClause"))

QualifiedName = tuple[str | None, str]
"""Schema, or None where the statement does not say, and name."""


class Names(NamedTuple):
    """What a statement names."""

    relations: frozenset[QualifiedName]
    functions: frozenset[QualifiedName]


class Classification(NamedTuple):
    """The class of a statement, and how that was found out.

    `how` is `parsed`; `pattern`, where the text does not parse and names were looked for among
    its words; or `none`, where there is no text. `ambiguous` says that a later class would have
    claimed it as well.
    """

    name: str
    how: Literal["parsed", "pattern", "none"]
    ambiguous: bool = False


def classify(text: str | None, classes: Mapping[str, StatementClass]) -> Classification:
    """Return the class of a statement: the first in the order of `classes` that claims it.

    Statements that are no question of an application (schema changes, settings, cursors) are
    `OTHER` whatever they name: they are none of what a class is judged by.

    Args:
        text: as pg_stat_statements has it, not normalised by us; NULL and hidden are `OTHER`.
        classes: rules by the name of the class, in order of precedence.
    """
    if text is None or is_hidden(text):
        return Classification(OTHER, "none")
    known_by = identity(text)
    for name, rules in classes.items():
        if known_by in rules.identities:
            return Classification(name, "parsed")
    how: Literal["parsed", "pattern"] = "parsed"
    try:
        names = parsed_names(text)
    except UnparsableError:
        how = "pattern"
        words = tokens(text)
        first = next((word for word in words if word != "("), "")
        claiming = [
            name
            for name, rules in classes.items()
            if first in _FIRST_WORDS and _is_among(words, rules)
        ]
    else:
        claiming = [
            name
            for name, rules in classes.items()
            if _claims(rules.relations, names.relations)
            or _claims(rules.functions, names.functions)
        ]
    return Classification(claiming[0] if claiming else OTHER, how, len(claiming) > 1)


class UnparsableError(Exception):
    """PostgreSQL's parser does not take this text."""


def parsed_names(text: str) -> Names:
    """Return the relations and functions that a statement names, common table expressions aside.

    Of statements that are no question of an application, nothing.

    The parser recurses in C, so a thread that calls it needs 1 MiB of stack: the default of glibc
    is 8 MiB, that of musl an eighth of a MiB (`threading.stack_size`).

    Raises:
        UnparsableError: the text is no SQL, as when it is cut off, or too long or deep.
    """
    if len(text) > LONGEST_PARSED:
        raise UnparsableError("too long")
    try:
        statements = pgparse.parse(text)
    # The tree comes as JSON: a long chain of operators is too deep for Python's reader of that.
    except (pgparse.PGQueryError, RecursionError, UnicodeError) as error:
        raise UnparsableError(str(error)) from None
    relations: set[QualifiedName] = set()
    functions: set[QualifiedName] = set()
    for statement in statements:
        for kind, tree in statement["stmt"].items():
            if kind in _QUESTIONS:
                _collect(tree, relations, functions)
    return Names(frozenset(relations), frozenset(functions))


def _collect(tree: Any, relations: set[QualifiedName], functions: set[QualifiedName]) -> None:
    """Walk a parse tree, with the common table expressions that each of its nodes can see."""
    stack: list[tuple[Any, frozenset[str]]] = [(tree, frozenset())]
    while stack:
        node, visible = stack.pop()
        if isinstance(node, list):
            stack.extend((child, visible) for child in node)
        elif isinstance(node, dict):
            if "relname" in node:
                schema = node.get("schemaname")
                if schema is not None or node["relname"] not in visible:
                    relations.add((schema, node["relname"]))
                continue
            if "funcname" in node:
                functions.add(_function_name(node["funcname"]))
            if "withClause" in node:
                visible = _enter(node["withClause"], visible, stack)
            stack.extend((child, visible) for key, child in node.items() if key not in _APART)


def _enter(
    clause: dict[str, Any], visible: frozenset[str], stack: list[tuple[Any, frozenset[str]]]
) -> frozenset[str]:
    """Put the expressions of a WITH on the stack; return what the rest of the query can see."""
    expressions = [expression["CommonTableExpr"] for expression in clause["ctes"]]
    after = visible.union(expression["ctename"] for expression in expressions)
    for expression in expressions:
        # Without RECURSIVE an expression sees those before it only: of its own name, the table.
        stack.append((expression, after if clause.get("recursive") else visible))
        visible = visible | {expression["ctename"]}
    return after


def _function_name(parts: list[dict[str, Any]]) -> QualifiedName:
    *schema, name = (part["String"]["sval"] for part in parts)
    return (schema[-1] if schema else None, name)


def _claims(rules: tuple[str, ...], named: frozenset[QualifiedName]) -> bool:
    for rule in rules:
        schema, _, name = rule.rpartition(".")
        for named_schema, named_name in named:
            if name == named_name and (not schema or named_schema in (None, schema)):
                return True
    return False


def _is_among(words: list[str], rules: StatementClass) -> bool:
    return any(_occurs(words, rule, call=False) for rule in rules.relations) or any(
        _occurs(words, rule, call=True) for rule in rules.functions
    )


def _occurs(words: list[str], rule: str, *, call: bool) -> bool:
    """Return whether a name stands among the words, as a whole and in the right schema."""
    schema, _, name = rule.rpartition(".")
    for at in _positions(words, name):
        qualified = at > 1 and words[at - 1] == "."
        if qualified and schema and identifier(words[at - 2]) != schema:
            continue
        if not call or words[at + 1 : at + 2] == ["("]:
            return True
    return False


def _positions(words: list[str], name: str) -> Iterator[int]:
    return (at for at, word in enumerate(words) if identifier(word) == name)
