"""How far the application has moved from old statements to those that replace them."""

from collections import Counter
from collections.abc import Iterable, Mapping

from exporter.catalog.deployment import Replacement
from exporter.collect.snapshot import Samples
from exporter.statements.tally import Counted
from exporter.statements.text import identity


class Adoption:
    """Counts the calls of each new statement, and of the one that it replaces."""

    def __init__(self, replacements: Iterable[Replacement]) -> None:
        """Begin at zero; the statements are named by the fingerprints of the new ones."""
        self._pairs: Mapping[str, str] = {
            new: old
            for each in replacements
            if (new := identity(each.new)) and (old := identity(each.old))
        }
        self._calls: Counter[str] = Counter()

    def add(self, counted: Iterable[Counted]) -> None:
        """Add the calls between two polls."""
        known = {*self._pairs, *self._pairs.values()}
        for each in counted:
            if each.known.identity in known:
                self._calls[each.known.identity] += each.delta.calls

    def samples(self) -> Samples:
        """Return the calls by replacement, of the new statement and of the old one."""
        calls: dict[tuple[str, ...], float] = {}
        for new, old in self._pairs.items():
            calls[new, "new"] = self._calls[new]
            calls[new, "old"] = self._calls[old]
        return {"loom_replacement_calls_total": calls}
