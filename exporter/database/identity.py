"""Which database this is: the one place that says whether two are the same."""

from typing import NamedTuple


class DatabaseIdentity(NamedTuple):
    """What tells one database from another. `system` is None where the role may not read it."""

    name: str
    oid: int
    system: str | None

    def is_same(self, other: "DatabaseIdentity") -> bool:
        """Return whether these are one database, as far as is known."""
        return self.difference(other) is None

    def difference(self, other: "DatabaseIdentity") -> str | None:
        """Return how this one differs from `other`, the current one; None if they are the same.

        A system identifier that is known of only one of them is not compared.
        """
        if None not in (self.system, other.system) and self.system != other.system:
            return f"server {self.system}, and this is server {other.system}"
        if self.name != other.name:
            return f"database {self.name!r}, and this is {other.name!r}"
        if self.oid != other.oid:
            return f"database {self.oid}, and this is {other.oid} (OID)"
        return None
