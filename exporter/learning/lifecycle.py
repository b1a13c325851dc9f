"""Keeps the baseline: collects it until the deployment begins, freezes it, and compares with it."""

import hashlib
import threading
from collections.abc import Mapping
from contextlib import suppress

import structlog

from exporter.baseline.artefact import Baseline
from exporter.baseline.codec import RefusedError, dumps, loads
from exporter.baseline.fit import check_fits, provenance_of
from exporter.catalog import Catalog, Deployment, Metric
from exporter.catalog.deployment import OTHER
from exporter.clock import Clock
from exporter.collect.snapshot import Samples
from exporter.collect.store import SnapshotStore
from exporter.comparison.comparison import ClassResult, Comparison
from exporter.database.facts import ServerFacts
from exporter.database.identity import DatabaseIdentity, identity_of
from exporter.deployment.history import last_look
from exporter.deployment.progress import DeploymentProgress
from exporter.learning.build import build
from exporter.learning.gauges import Gauges, gauges_of
from exporter.learning.hours import LearnedHours, UnreadableError, shown_texts
from exporter.learning.metrics import (
    MATCHED,
    BaselineState,
    baseline_samples,
    change_samples,
    condition_samples,
    matched_samples,
)
from exporter.state import StateStore
from exporter.statements.persistence import rules_of
from exporter.statements.window import PollWindow

TOPIC = "baseline"
"""The document, by the name of the deployment that it is made for."""

COMPARISON = "comparison"

MIXING_VERSION = 180_000
"""From this version on, the server tells statements apart by aliases and not by tables."""

STALE_SECONDS = 600.0
"""What was counted longer ago tells nothing of now."""

TEXTS_KEPT = 5_000
"""Texts that wait for the baseline, the ones that were met last."""

_log = structlog.get_logger(__name__)


class BaselineLifecycle:
    """Follows the polls, and is told by whoever watches the deployment how far that has come.

    The one happens in one thread, the other in another.
    """

    def __init__(self, store: StateStore, database: str, catalog: Catalog, clock: Clock) -> None:
        """Begin without a baseline; the first poll or progress reads what the state has."""
        self._store = store
        self._database = database
        self._catalog = catalog
        self._clock = clock
        self._lock = threading.Lock()
        self._owner: DatabaseIdentity | None = None
        self._buckets = LearnedHours(store, database, clock)
        self._gauges = Gauges(store, database, catalog)
        self._texts: dict[str, str] = {}
        self._deployed: DeploymentProgress | None = None
        self._checked: tuple[int | None, ServerFacts] | None = None
        """Version of the document that was taken over or refused, and what it was held against."""
        self._is_written = False
        self._comparison: Comparison | None = None
        self.baseline: Baseline | None = None
        self.refusal: RefusedError | None = None

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What is added to the metrics of a poll."""
        return MATCHED

    def on_poll(self, owner: DatabaseIdentity, window: PollWindow | None) -> Samples:
        """Take in what was called between two polls, and return the samples of `metrics`."""
        with self._lock:
            self._begin(owner)
            if window and self._comparison:
                settled_at = self._deployed.settled_at if self._deployed else None
                self._comparison.take(window, settled_at)
                self._comparison.taken_at = self._clock.now()
                written = {self._catalog.deployment.name: self._comparison.dumps()}
                self._store.save(self._database, COMPARISON, written)
            if window and self._is_collecting:  # whatever may be dropped of what is there
                self._collect(window)
            return matched_samples(self._comparison.matched) if self._comparison else {}

    def on_progress(
        self, facts: ServerFacts, deployed: DeploymentProgress, snapshots: SnapshotStore
    ) -> None:
        """Take in how far the deployment has come; freeze the baseline when it begins."""
        with self._lock:
            self._begin(identity_of(facts))
            self._deployed = deployed
            self._look_for_document(facts)
            if deployed.has_begun is False:
                started_at = facts.postmaster_start.timestamp()
                self._buckets.exclude(started_at, "the server was restarted")
                self._gauges.look(snapshots, last_look(snapshots))
            if self.baseline:
                self._settle(facts)
            elif deployed.has_begun and deployed.began_at is not None:
                with suppress(UnreadableError):  # the hours are worth waiting for
                    self._freeze(facts, deployed.began_at)

    def changes(self) -> Mapping[str, ClassResult]:
        """Return how each class compares with the baseline since the deployment.

        Nothing without a baseline, nor where calls have not been counted lately.
        """
        with self._lock:
            comparison = self._comparison
            if not comparison or self._clock.now() - comparison.taken_at > STALE_SECONDS:
                return {}
            return comparison.changes([*self._catalog.deployment.classes, OTHER])

    def samples(self) -> Samples:
        """Return what is to be shown of the baseline, but for the counters of each poll."""
        changes = self.changes()
        with self._lock:
            shown = condition_samples(
                self._condition,
                self.refusal.reason if self.refusal else None,
                self._buckets.watched_seconds,
            )
            of_baseline = baseline_samples(self.baseline, self._catalog) if self.baseline else {}
        return {**shown, **of_baseline, **change_samples(changes)}

    @property
    def _condition(self) -> BaselineState:
        if self.baseline:
            return BaselineState.FROZEN
        if self.refusal:
            return BaselineState.REFUSED
        return BaselineState.COLLECTING if self._is_collecting else BaselineState.MISSING

    @property
    def _is_collecting(self) -> bool:
        # While it is not known whether the deployment has begun, nothing is sure to be of before.
        return self._deployed is not None and self._deployed.has_begun is False

    def _begin(self, owner: DatabaseIdentity) -> None:
        """Go on with what is written down of this database, or begin anew with another one."""
        if self._owner and self._owner.is_same(owner):
            return
        self._deployed = self._checked = None
        self._texts = {}
        self._comparison = self.baseline = self.refusal = None
        self._buckets.begin(owner)
        self._gauges.begin(owner)
        self._owner = owner

    def _collect(self, window: PollWindow) -> None:
        for name, text in shown_texts(window.counted).items():
            self._texts.pop(name, None)
            self._texts[name] = text
        for name in list(self._texts)[:-TEXTS_KEPT]:
            del self._texts[name]
        self._buckets.add(window)

    def _look_for_document(self, facts: ServerFacts) -> None:
        """Take over the document in the store, if it or the server is not as it was."""
        version = self._store.version(self._database, TOPIC)
        if version is None or (version, facts) == self._checked:
            return
        deployment = self._catalog.deployment
        text = self._store.read(self._database, TOPIC, deployment.name)
        if text is None and self._checked and version > (self._checked[0] or 0):
            self._comparison = self.baseline = self.refusal = None
            self._checked = version, facts
            _log.info("the baseline was dropped")
            return
        if text is None:
            self._is_written = False  # never was, or the state is lost
            return
        before, self._comparison = self._comparison, None
        self.baseline = self.refusal = None
        self._checked = version, facts
        self._is_written = True
        try:
            baseline = loads(text)
            warnings = check_fits(baseline, facts, deployment.name, class_rules_digest(deployment))
        except RefusedError as refused:
            self.refusal = refused
            _log.warning("the baseline is refused", reason=refused.reason, detail=str(refused))
            return
        for warning in warnings:
            _log.warning("the baseline was made under other circumstances", detail=warning)
        self._adopt(baseline, text, before)

    def _adopt(self, baseline: Baseline, text: str, before: Comparison | None = None) -> None:
        """Compare with this baseline from now on; what was counted so far stays counted."""
        deployment = self._catalog.deployment
        self.baseline = baseline
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._comparison = Comparison(baseline, digest, deployment, self._clock)
        written = (
            before.dumps()
            if before
            else self._store.read(self._database, COMPARISON, deployment.name)
        )
        try:
            if written:
                self._comparison.restore(written)
        except ValueError as error:
            _log.error("what was compared so far cannot be read", reason=str(error))

    def _freeze(self, facts: ServerFacts, began_at: float) -> None:
        """Make the baseline of what was collected, but for the hour before the deployment.

        In that one somebody may have been preparing it.

        Raises:
            UnreadableError: it is not known for now what was collected.
        """
        until = began_at - self._clock.hour_seconds
        gauges = [taken for taken in self._gauges.known if taken.at <= began_at]
        if not gauges and next(self._buckets.until(until), None) is None:
            return
        baseline = build(
            lambda: self._buckets.until(until),
            self._catalog.deployment,
            bucket_seconds=self._clock.hour_seconds,
            clock=self._clock,
            identity=provenance_of(facts, class_rules_digest(self._catalog.deployment)),
            source="automatic",
            texts=self._texts,
            gauges=gauges_of(gauges),
        )
        text = dumps(baseline)
        self.refusal = None
        self._adopt(baseline, text)
        self._write(text, facts)
        self._settle(facts)
        _log.info(
            "the deployment has begun; the baseline is frozen",
            hours=baseline.window.buckets,
            left_out=len(baseline.window.excluded),
            statements=len(baseline.statements),
            would_have_paged=baseline.backtest.pages,
        )
        if facts.server_version_num >= MIXING_VERSION and facts.extension_schema:
            _log.info(
                "this server may count a table that takes the place of another one, under the same "
                "alias, as the same statement until its statistics are reset",
                remedy=f'SELECT "{facts.extension_schema}".pg_stat_statements_reset'
                f"(0, {facts.database_oid}, 0)",
            )

    def _settle(self, facts: ServerFacts) -> None:
        """See to it that the baseline outlives the process, and nothing that it was made of."""
        if self.baseline and not self._is_written:
            self._write(dumps(self.baseline), facts)
        if self._is_written and self._deployed and self._deployed.has_begun:
            self._buckets.clear()
            self._gauges.clear()
            self._texts.clear()

    def _write(self, text: str, facts: ServerFacts) -> None:
        written = {self._catalog.deployment.name: text}
        self._is_written = self._store.save(self._database, TOPIC, written)
        if self._is_written:
            self._checked = self._store.version(self._database, TOPIC), facts


def class_rules_digest(deployment: Deployment) -> str:
    """Return a hash of what decides on the class of a statement."""
    return rules_of(deployment, show=False)
