"""The baseline of a database in the state: commands put one there, and so does the lifecycle."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from exporter.baseline.artefact import Baseline
from exporter.baseline.codec import RefusedError, dumps, loads
from exporter.baseline.fit import check_fits
from exporter.catalog import Deployment
from exporter.database.facts import ServerFacts
from exporter.database.identity import DatabaseIdentity
from exporter.state import Scope
from exporter.statements.persistence import rules_of

TOPIC = "baseline"
KEY = "document"

_log = structlog.get_logger(__name__)


class BaselineFound(NamedTuple):
    """A baseline that is there, or why it is not used; neither if it was dropped."""

    baseline: Baseline | None = None
    digest: str = ""
    """Tells this document from any other."""
    refusal: RefusedError | None = None


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What a document that was read is of, and what it was compared with."""

    version: int
    elsewhere: dict[DatabaseIdentity, int]
    facts: ServerFacts


class BaselineDocument:
    """Reads the document again when it, or the server, is not as it was."""

    def __init__(self, scope: Scope, deployment: Deployment) -> None:
        """Begin without having read anything in the scope of a database."""
        self._scope = scope
        self._deployment = deployment
        self._read: _Stamp | None = None
        self.is_written = False
        """Whether the state has the baseline that is used."""

    def read(self, facts: ServerFacts) -> BaselineFound | None:
        """Return what is there now, if that is not what was read or written last.

        A baseline of another database behind the same name is found too, and refused.
        """
        store = self._scope.store
        version = store.version(self._scope, TOPIC)
        if version is None:
            return None
        stamp = _Stamp(version, store.elsewhere(self._scope, TOPIC), facts)
        if stamp == self._read:
            return None
        content = store.read(self._scope, TOPIC, KEY)
        self.is_written = content is not None
        if content is None:
            content = self._of_another_database(stamp)
        if content is not None:
            self._read = stamp
            return self._checked(content, facts)
        if self._read and (version > self._read.version or self._read.elsewhere):
            self._read = stamp
            _log.info("the baseline was dropped")
            return BaselineFound()
        return None  # never was, or the state is lost

    def write(self, baseline: Baseline, facts: ServerFacts) -> str:
        """Write a baseline of this database, and return its digest; `is_written` says whether."""
        content = dumps(baseline).encode()
        store = self._scope.store
        self.is_written = store.save(self._scope, TOPIC, {KEY: content})
        version = store.version(self._scope, TOPIC)
        if self.is_written and version is not None:
            self._read = _Stamp(version, store.elsewhere(self._scope, TOPIC), facts)
        return _digest(content)

    def _of_another_database(self, stamp: _Stamp) -> bytes | None:
        for other in stamp.elsewhere:
            return self._scope.store.read(self._scope.of(other), TOPIC, KEY)
        return None

    def _checked(self, content: bytes, facts: ServerFacts) -> BaselineFound:
        try:
            baseline = loads(content.decode(errors="replace"))
            rules = class_rules_digest(self._deployment)
            warnings = check_fits(baseline, facts, self._deployment.name, rules)
        except RefusedError as refused:
            _log.warning("the baseline is refused", reason=refused.reason, detail=str(refused))
            return BaselineFound(refusal=refused)
        for warning in warnings:
            _log.warning("the baseline was made under other circumstances", detail=warning)
        return BaselineFound(baseline, _digest(content))


def class_rules_digest(deployment: Deployment) -> str:
    """Return a hash of what decides on the class of a statement."""
    return rules_of(deployment, show=False)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
