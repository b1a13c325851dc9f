"""Which database this is: the one place that says whether two are the same."""

from typing import NamedTuple

from exporter.database.facts import ServerFacts


class DatabaseIdentity(NamedTuple):
    """What tells one database from another. `system` is None where the role may not read it."""

    name: str
    oid: int
    system: str | None

    def is_same(self, other: "DatabaseIdentity") -> bool:
        """Return whether these are one database, as far as can be told."""
        systems = {self.system, other.system} - {None}
        return self[:2] == other[:2] and len(systems) < 2


def identity_of(facts: ServerFacts) -> DatabaseIdentity:
    """Return what tells this database from others."""
    return DatabaseIdentity(facts.database_name, facts.database_oid, facts.system_identifier)
