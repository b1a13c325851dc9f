"""Which database this is: the one place that says whether two are the same."""

from typing import NamedTuple


class DatabaseIdentity(NamedTuple):
    """What tells one database from another. `system` is None where the role may not read it."""

    name: str
    oid: int
    system: str | None

    def is_same(self, other: "DatabaseIdentity") -> bool:
        """Return whether these are one database, as far as can be known."""
        return self.difference(other) is None

    def difference(self, other: "DatabaseIdentity") -> str | None:
        """Return what differs, with `other` as the one of now; None if these are one database.

        A system identifier that only one of them has says nothing.
        """
        if None not in (self.system, other.system) and self.system != other.system:
            return f"server {self.system}, and this is server {other.system}"
        if self.name != other.name:
            return f"database {self.name!r}, and this is {other.name!r}"
        if self.oid != other.oid:
            return f"database {self.oid}, and this is {other.oid} (OID)"
        return None
