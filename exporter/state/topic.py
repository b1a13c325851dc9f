"""Documents of one type: the name they have in the state, and how they are JSON there."""

from collections.abc import Mapping
from typing import Annotated, Any, Generic, TypeVar

import structlog
from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from exporter.errors import ExporterError
from exporter.state.store import Scope

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_MOST_TOLD = 1_000
"""Damaged documents whose log line is remembered."""

_log = structlog.get_logger(__name__)


class DamagedError(ExporterError):
    """A document that must not be overlooked cannot be read."""


def _from_pairs(pairs: Any) -> Any:
    try:
        return {tuple(key): value for key, value in pairs}
    except (TypeError, ValueError):
        raise ValueError("must be pairs of a key and a value") from None


Table = Annotated[
    dict[K, V],
    BeforeValidator(_from_pairs),
    PlainSerializer(lambda table: list(table.items())),
]
"""A dict by tuples; written as pairs, because the keys of a JSON object are strings."""


class Topic(Generic[T]):
    """Reads and writes the documents of one type, by scope and key."""

    def __init__(self, name: str, kind: Any) -> None:
        """Name the topic; `kind` is the type of its documents, as pydantic takes it."""
        self.name = name
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)
        self._told: set[tuple[str, str, str, bytes]] = set()

    def load(self, scope: Scope) -> dict[str, T]:
        """Return all documents by key, but for those that cannot be read."""
        return self.all_decoded(scope, scope.store.load(scope, self.name))

    def load_all(self, scope: Scope) -> dict[str, T]:
        """Return all documents by key; for those of which none may be overlooked.

        Raises:
            DamagedError: one of them cannot be read.
        """
        written = scope.store.load(scope, self.name)
        found = self.all_decoded(scope, written)
        for key in sorted(written.keys() - found.keys()):
            raise DamagedError(
                f"state: {scope.store.path}: a document of the topic {self.name} is damaged "
                f"({key})",
                'restore the file from a copy, or remove that document: sqlite3 FILE "DELETE FROM '
                f"document WHERE topic = '{self.name}' AND key = '{key}'\"",
            )
        return found

    def read(self, scope: Scope, key: str) -> T | None:
        """Return one document; None if it is not there or cannot be read."""
        content = scope.store.read(scope, self.name, key)
        return None if content is None else self.decoded(scope, key, content)

    def save(self, scope: Scope, changed: Mapping[str, T | None], *, replace: bool = False) -> bool:
        """Write documents as `StateStore.save` does; None takes one away."""
        return scope.store.save(scope, self.name, self.all_encoded(changed), replace=replace)

    def keys(self, scope: Scope) -> list[str]:
        """Return the keys of all documents."""
        return scope.store.keys(scope, self.name)

    def version(self, scope: Scope) -> int | None:
        """Return a number that grows with each save; see `StateStore.version`."""
        return scope.store.version(scope, self.name)

    def encoded(self, value: T) -> bytes:
        """Return a document as it is written."""
        return self._adapter.dump_json(value)

    def all_encoded(self, changed: Mapping[str, T | None]) -> dict[str, bytes | None]:
        """Return documents as they are written; None takes one away."""
        return {
            key: None if value is None else self.encoded(value) for key, value in changed.items()
        }

    def all_decoded(self, scope: Scope, written: Mapping[str, bytes]) -> dict[str, T]:
        """Return documents that were written, but for those that cannot be read."""
        found = {key: self.decoded(scope, key, content) for key, content in written.items()}
        return {key: value for key, value in found.items() if value is not None}

    def decoded(self, scope: Scope, key: str, content: bytes) -> T | None:
        """Return a document that was written; None, with one line in the log, if it is damaged."""
        try:
            return self._adapter.validate_json(content)
        except ValidationError as invalid:
            # Without what it says, keys included: that may be the words of a person.
            told = (scope.database, scope.deployment, key, content[:100])
            if told not in self._told:
                if len(self._told) >= _MOST_TOLD:
                    self._told.clear()
                self._told.add(told)
                first = invalid.errors(include_url=False, include_input=False)[0]
                _log.error(
                    "a document in the state file is damaged; it counts as missing",
                    topic=self.name,
                    key=key,
                    reason=": ".join([*map(str, first["loc"][:1]), first["msg"]]),
                )
            return None
