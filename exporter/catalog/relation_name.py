"""Names of relations and functions as deployment.yaml has them: schema, and name."""

import re
from typing import NamedTuple

_PART = r'(?:"(?:[^"]|"")+"|[^".\s][^".]*)'
PATTERN = rf"^{_PART}(\.{_PART})?$"
WITH_SCHEMA = rf"^{_PART}\.{_PART}$"
RULE = (
    "must be schema.name, or a name alone for any schema, spelt as the catalog has it; "
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


def _bare(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
