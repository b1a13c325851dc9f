"""Names of relations and functions as deployment.yaml has them: schema, and name."""

import re
from typing import NamedTuple

_PLAIN = r'[^".\s][^".]*'
_PART = rf'(?:"(?:[^"]|"")+"|{_PLAIN})'
PATTERN = rf"^{_PART}(\.{_PART})?$"
RULE = (
    "must be schema.name, or a name alone for any schema, spelt as the catalog has it; "
    'a name with a dot or a quotation mark goes in quotation marks: "a.b"'
)

QUALIFIED_PATTERN = rf"^{_PART}\.{_PART}$"
QUALIFIED_RULE = (
    "must be a relation with its schema, such as public.users, spelt as the catalog has it; "
    'a name with a dot or a quotation mark goes in quotation marks: "a.b"'
)


class RelationName(NamedTuple):
    """A name; `schema` is None where none is given."""

    schema: str | None
    name: str

    @classmethod
    def parse(cls, text: str) -> "RelationName":
        """Return the parts of a name that matches `PATTERN`, without quotation marks.

        >>> RelationName.parse("Sales.Event Log")
        RelationName(schema='Sales', name='Event Log')
        >>> RelationName.parse('hr."v1.0"')
        RelationName(schema='hr', name='v1.0')
        """
        parts = [_bare(part) for part in re.findall(_PART, text)]
        return cls(parts[0] if len(parts) > 1 else None, parts[-1])

    def __str__(self) -> str:
        """Return the name as deployment.yaml has it, with quotation marks where it needs them.

        >>> str(RelationName("hr", "v1.0"))
        'hr."v1.0"'
        """
        return ".".join(_written(part) for part in self if part is not None)


def _bare(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _written(part: str) -> str:
    if re.fullmatch(_PLAIN, part) and part == part.strip():
        return part
    return '"' + part.replace('"', '""') + '"'
