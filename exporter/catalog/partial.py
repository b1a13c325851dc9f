"""What is right in a deployment.yaml that has faults, so that the rest of it is checked too."""

import copy
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from exporter.catalog.consistency import inconsistencies
from exporter.catalog.deployment import Deployment
from exporter.yaml_source import KeyPath, YamlDocument, YamlError

_STAND_INS: dict[str, Any] = {"name": "x", "title": "x", "warmup": "1m", "phases": {}}
"""For keys that are required and wrong."""

_MOST_PASSES = 10
"""What is left out may uncover faults, such as of a phase whose name two entries had."""


@dataclass(slots=True)
class Partial:
    """A deployment without its faulty entries; `deployment` is None if too little is left."""

    document: YamlDocument
    faults: dict[KeyPath, str] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    """Names of the entries that are missing; see `may_mean`."""
    deployment: Deployment | None = None
    kept: dict[str, list[int]] = field(default_factory=dict)
    """Of each list that has lost items, where the others stand in the file."""

    def place(self, path: KeyPath) -> KeyPath:
        """Return where the file has what stands at `path` once entries are left out."""
        if len(path) > 1 and isinstance(path[1], int) and path[0] in self.kept:
            return (path[0], self.kept[str(path[0])][path[1]], *path[2:])
        return path

    def may_mean(self, name: str | None) -> bool:
        """Return whether a name may be that of an entry left out, which its key may misspell."""
        entries = [entry.lower() for entry in self.left_out]
        return bool(name and difflib.get_close_matches(name.lower(), entries, n=1))

    def errors(self) -> Iterator[YamlError]:
        """Yield an error for each fault, in no particular order."""
        for path, reason in self.faults.items():
            yield self.document.error(path, reason)


def right_part(document: YamlDocument) -> Partial:
    """Return what is right in a deployment.yaml, and every fault of the rest.

    Raises:
        YamlError: nothing of it can be used.
    """
    found = Partial(document)
    data = copy.deepcopy(document.data)
    if not isinstance(data, dict):
        reason = "must hold `key: value` pairs, beginning with name"
        raise YamlError(document.place, 1, (), reason)
    for number in range(_MOST_PASSES):
        try:
            deployment = Deployment.model_validate(data)
        except ValidationError as invalid:
            complaints = replace(document, data=data).complaints(invalid)
            _record(found, complaints, is_first=number == 0)
            if not _leave_out(found, data, complaints):
                break
        else:
            faults = inconsistencies(deployment)
            found.faults.update({found.place(path): reason for path, reason in faults})
            found.deployment = deployment
            break
    return found


def _record(found: Partial, complaints: dict[KeyPath, str], *, is_first: bool) -> None:
    known = {path[:2] for path in found.faults}
    for path, reason in complaints.items():
        place = found.place(path)
        # A key that is missing now may be one that was left out.
        if is_first or not (place[:2] in known or _is_missing(reason)):
            found.faults[place] = reason


def _leave_out(found: Partial, data: dict[str, Any], complaints: dict[KeyPath, str]) -> bool:
    """Remove the smallest entries that hold the faults; return whether the rest can be checked."""
    entries: set[tuple[str, str | int]] = set()
    for path, reason in complaints.items():
        if not path:
            return False
        if len(path) == 1:
            key = str(path[0])
            wrong = data.pop(key, None)
            if key in _STAND_INS:
                data[key] = _STAND_INS[key]
            elif isinstance(wrong, (dict, list)) and not _is_unknown(reason):
                return False  # whatever refers to its entries would be a fault
        elif _is_unknown(reason) and _remove(data, path):
            continue
        else:
            entries.add((str(path[0]), path[1]))
    # The last items of a list first, so that the others stay where they are.
    for entry in sorted(entries, key=lambda entry: str(entry[1]).zfill(9), reverse=True):
        section, name = entry
        holder = data.get(section)
        if isinstance(holder, list) and isinstance(name, int):
            kept = found.kept.setdefault(section, list(range(len(holder))))
            del holder[name], kept[name]
        elif isinstance(holder, dict) and name in holder:
            found.left_out.add(str(name))
            del holder[name]
    return True


def _remove(data: Any, path: KeyPath) -> bool:
    *parents, key = path
    for step in parents:
        data = data[step]
    if isinstance(data, dict) and key in data:
        del data[key]
        return True
    return False


def _is_unknown(reason: str) -> bool:
    return reason.startswith("unknown key")


def _is_missing(reason: str) -> bool:
    return reason == "this key is required"
