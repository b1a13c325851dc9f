"""The class of a statement: by the relations that it names and the functions that it calls.

What the parser cannot see is not seen here either: the tables behind a view, the body of a
function, and the schema of an unqualified name.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from exporter.catalog.deployment import OTHER, StatementClass
from exporter.catalog.relation_name import RelationName
from exporter.database.probe_grants import PROBE_ROLE
from exporter.parser import SqlError
from exporter.statements.partitions import NO_PARTITIONS, Partitions
from exporter.statements.text import ParsedStatement

# Other statements (schema changes, settings, cursors) belong to no class, whatever they name.
_CLASSIFIED = frozenset(
    ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CallStmt")
)
# FOR UPDATE OF names aliases; a WITH clause is walked expression by expression.
_APART = frozenset(("lockingClause", "withClause"))

QualifiedName = tuple[str | None, str]
"""Schema, or None where the statement names none, and name."""


class Names(NamedTuple):
    """The relations and functions that a statement names."""

    relations: frozenset[QualifiedName]
    functions: frozenset[QualifiedName]


class Classification(NamedTuple):
    """The class of a statement.

    `how` is `parsed`, or `none` where there is no text that the parser takes. `ambiguous` is true
    where a later class would have claimed the statement too.
    """

    name: str
    how: Literal["parsed", "none"]
    ambiguous: bool = False


def classify(
    statement: ParsedStatement | None,
    classes: Mapping[str, StatementClass],
    partitions: Partitions = NO_PARTITIONS,
) -> Classification:
    """Return the class of a statement: the first that claims it, in the order of `classes`.

    Args:
        statement: None where there is no text, or none that the parser takes; it is `OTHER`, as
            is one that is nested too deeply for parse trees.
        classes: rules by the name of the class. An identity takes precedence over every name.
        partitions: a statement that names one belongs to the class of its table.
    """
    if statement is None:
        return Classification(OTHER, "none")
    for name, rules in classes.items():
        if statement.identity in rules.identities:
            return Classification(name, "parsed")
    if not _mentions_any(statement.text, classes.values(), partitions):
        return Classification(OTHER, "parsed")
    try:
        names = names_of(statement)
    except SqlError:
        return Classification(OTHER, "none")
    tables = (table for each in names.relations for table in partitions.tables_of(*each))
    relations = names.relations.union(tables)
    claiming = [
        name
        for name, rules in classes.items()
        if _claims(rules.relations, relations) or _claims(rules.functions, names.functions)
    ]
    return Classification(claiming[0] if claiming else OTHER, "parsed", len(claiming) > 1)


def _mentions_any(text: str, rules: Iterable[StatementClass], partitions: Partitions) -> bool:
    """Return whether a text may name a relation or function of the rules, or a partition.

    Most texts name none, and this takes a hundredth of the time of a parse tree. Names that are
    written with escapes, as in U&"...", only the parser can read.
    """
    folded = text.casefold()
    return (
        'u&"' in folded
        or any(
            rule.rpartition(".")[2].casefold() in folded
            for each in rules
            for rule in (*each.relations, *each.functions)
        )
        or any(name in folded for name in partitions.unlike)
    )


def names_of(statement: ParsedStatement) -> Names:
    """Return the relations and functions that a statement names, without its WITH expressions.

    Empty for utility statements but CALL, and for those of our own probes: these run as a role of
    the application, but the time that they take is not the application's.

    Raises:
        SqlError: the statement is nested too deeply.
    """
    relations: set[QualifiedName] = set()
    functions: set[QualifiedName] = set()
    for tree in statement.trees:
        for kind, node in tree["stmt"].items():
            if kind in _CLASSIFIED and not _is_of_a_probe(node):
                _collect(node, relations, functions)
    return Names(frozenset(relations), frozenset(functions))


def _is_of_a_probe(node: dict[str, Any]) -> bool:
    sources = [*node.get("fromClause", ())[:1]]
    return any(
        source.get("alias", {}).get("aliasname") == PROBE_ROLE
        for each in sources
        for source in each.values()
    )


def _collect(tree: Any, relations: set[QualifiedName], functions: set[QualifiedName]) -> None:
    """Walk a parse tree, keeping for each node the WITH expressions that it can see."""
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
        # Without RECURSIVE an expression sees only those before it: its own name means the table.
        stack.append((expression, after if clause.get("recursive") else visible))
        visible = visible | {expression["ctename"]}
    return after


def _function_name(parts: list[dict[str, Any]]) -> QualifiedName:
    *schema, name = (part["String"]["sval"] for part in parts)
    return (schema[-1] if schema else None, name)


def _claims(rules: tuple[str, ...], named: frozenset[QualifiedName]) -> bool:
    for rule in rules:
        schema, name = RelationName.parse(rule)
        for named_schema, named_name in named:
            if name == named_name and (not schema or named_schema in (None, schema)):
                return True
    return False
