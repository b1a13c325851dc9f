"""The baseline from its first hour on: collected, frozen when the deployment begins, compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from exporter.baseline.artefact import Baseline
from exporter.baseline.codec import RefusedError
from exporter.baseline.fit import provenance_of
from exporter.catalog import Catalog, Metric
from exporter.catalog.deployment import OTHER
from exporter.catalog.own_metrics import own_metrics
from exporter.clock import Clock
from exporter.collect.snapshot import Samples
from exporter.collect.store import SnapshotStore
from exporter.comparison.calls import ClassRole, load_state
from exporter.comparison.class_verdict import ClassResult
from exporter.comparison.comparison import Comparison
from exporter.comparison.sums import Sums
from exporter.database.facts import ServerFacts
from exporter.database.identity import DatabaseIdentity
from exporter.deployment.history import SEEN
from exporter.deployment.progress import DeploymentProgress
from exporter.learning.build import build, moved_far
from exporter.learning.document import BaselineDocument, BaselineFound, class_rules_digest
from exporter.learning.exclusions import EXCLUSIONS, excluder
from exporter.learning.gauges import Gauges, gauges_of
from exporter.learning.hours import LearnedHours, shown_texts
from exporter.learning.metrics import (
    BaselineState,
    baseline_samples,
    change_samples,
    condition_samples,
    matched_samples,
)
from exporter.state import Scope
from exporter.statements.poller import MAX_AGE_SECONDS
from exporter.statements.tally import PollWindow

MIXING_VERSION = 180_000
"""From this version on, the server tells statements apart by aliases and not by tables."""

STALE_SECONDS = 600.0
"""What was counted longer ago says nothing about now."""

TEXTS_KEPT = 5_000
"""Texts that wait for the baseline, the ones that were met last."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BaselineStatus:
    """How things stand with the baseline."""

    state: BaselineState = BaselineState.MISSING
    baseline: Baseline | None = None
    refusal: RefusedError | None = None
    """Why a baseline is not used, if there is one that is not."""
    collected_seconds: float | None = None
    """Time of which a baseline has been collected; None unless it is being collected."""


class BaselineLifecycle:
    """Collects a baseline from the polls of statements, freezes it, and compares with it.

    Its methods run on the worker of the state, one at a time; `status` may be read on any thread.
    """

    def __init__(self, people: Scope, catalog: Catalog, clock: Clock) -> None:
        """Begin without a baseline; the first poll or progress reads what the state has."""
        self._people = people
        self._catalog = catalog
        self._clock = clock
        self._scope: Scope | None = None
        self._document: BaselineDocument | None = None
        self._hours = LearnedHours(clock)
        self._gauges = Gauges(catalog)
        self._texts: dict[str, str] = {}
        self._progress: DeploymentProgress | None = None
        self._comparison: Comparison | None = None
        self._baseline: Baseline | None = None
        self._refusal: RefusedError | None = None
        self.status = BaselineStatus()
        """Replaced as a whole, so that a reader has one that stays as it is."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics that are added to those of a poll."""
        return own_metrics("rule_sums")

    def on_poll(self, identity: DatabaseIdentity, window: PollWindow | None) -> Samples:
        """Take in what was called between two polls, and return the samples of `metrics`."""
        scope, _ = self._begin(identity)
        if window and self._comparison:
            settled_at = self._progress.settled_at if self._progress else None
            self._comparison.take(window, settled_at)
            self._comparison.save(scope)
        if window and self._is_collecting:  # even with a baseline, which may be dropped later
            self._collect(window)
        self._publish()
        return matched_samples(self._comparison.sums.matched) if self._comparison else {}

    def on_progress(
        self,
        facts: ServerFacts,
        progress: DeploymentProgress,
        snapshots: SnapshotStore,
        history_read_at: float,
    ) -> Callable[[], Baseline] | None:
        """Take in how far the deployment has come.

        Returns:
            None, or what makes the baseline that is to be frozen now. It takes seconds, belongs on
            another thread than the worker's, and raises UnreadableError if it is not known for now
            what was collected. `freeze` takes what comes of it.
        """
        _, document = self._begin(facts.identity)
        self._progress = progress
        if found := document.read(facts):
            self._adopt(found)
        draft = None
        if progress.has_begun is False:
            started_at = facts.postmaster_start.timestamp()
            self._hours.exclude(started_at, "the server was restarted")
            self._gauges.record(snapshots, history_read_at)
        if self._baseline:
            self._settle(self._baseline, facts, document)
        elif progress.has_begun and progress.began_at is not None:
            draft = self._draft(facts, progress.began_at)
        self._publish()
        return draft

    def freeze(self, facts: ServerFacts, baseline: Baseline) -> None:
        """Use a baseline that was made by what `on_progress` returned.

        Nothing comes of it if the database is another one by now, or has a baseline already.
        """
        _, document = self._begin(facts.identity)
        if found := document.read(facts):
            self._adopt(found)
        if self._progress and not self._baseline:
            self._adopt(BaselineFound(baseline, document.write(baseline, facts)))
            self._settle(baseline, facts, document)
            _tell(baseline, facts)
        self._publish()

    def results(self) -> Mapping[str, ClassResult]:
        """Return what can be said about each class since the deployment.

        Nothing without a baseline, nor where calls have not been counted lately.
        """
        comparison = self._current
        return comparison.results([*self._catalog.deployment.classes, OTHER]) if comparison else {}

    def matched(self) -> Mapping[ClassRole, Sums]:
        """Return everything that was compared so far; nothing if the last poll was too long ago."""
        comparison = self._current
        if comparison and self._clock.now() - comparison.sums.taken_at <= MAX_AGE_SECONDS:
            return dict(comparison.sums.matched)
        return {}

    def samples(self) -> Samples:
        """Return the samples of the baseline, except for the counters of each poll."""
        status = self.status
        shown = condition_samples(
            status.state,
            status.refusal.reason if status.refusal else None,
            status.collected_seconds or 0.0,
        )
        of_baseline = baseline_samples(self._baseline, self._catalog) if self._baseline else {}
        return {**shown, **of_baseline, **change_samples(self.results())}

    @property
    def _current(self) -> Comparison | None:
        """The comparison, if calls have been counted lately."""
        comparison = self._comparison
        if comparison and self._clock.now() - comparison.sums.taken_at <= STALE_SECONDS:
            return comparison
        return None

    @property
    def _is_collecting(self) -> bool:
        # While it is not known whether the deployment has begun, nothing is sure to be of before.
        return self._progress is not None and self._progress.has_begun is False

    def _publish(self) -> None:
        if self._baseline:
            state = BaselineState.FROZEN
        elif self._refusal:
            state = BaselineState.REFUSED
        else:
            state = BaselineState.COLLECTING if self._is_collecting else BaselineState.MISSING
        collected = self._hours.watched_seconds if state is BaselineState.COLLECTING else None
        self.status = BaselineStatus(state, self._baseline, self._refusal, collected)

    def _begin(self, identity: DatabaseIdentity) -> tuple[Scope, BaselineDocument]:
        """Go on with what is written of a database, which may be another one than before."""
        known = self._scope.identity if self._scope else None
        if self._scope and self._document and known and known.is_same(identity):
            return self._scope, self._document
        scope = self._people.of(identity)
        if SEEN.version(scope) == 0:  # a database that was never seen
            known = known or next(iter(scope.store.elsewhere(scope, SEEN.name)), None)
        if known:
            _log.warning(
                "another database answers; what was observed of the one before is kept for it",
                before=known,
                now=identity,
            )
        self._scope, self._document = scope, BaselineDocument(scope, self._catalog.deployment)
        self._progress = None
        self._texts = {}
        self._comparison = self._baseline = self._refusal = None
        self._hours.begin(scope)
        self._gauges.begin(scope)
        return scope, self._document

    def _collect(self, window: PollWindow) -> None:
        for name, text in shown_texts(window.counted).items():
            self._texts.pop(name, None)
            self._texts[name] = text
        for name in list(self._texts)[:-TEXTS_KEPT]:
            del self._texts[name]
        self._hours.add(window)

    def _adopt(self, found: BaselineFound) -> None:
        """Compare with what was found from now on; what was counted so far stays counted."""
        before = self._comparison
        is_dropped = not (found.baseline or found.refusal)
        if is_dropped and self._progress and self._progress.has_begun:
            self._hours.clear()  # or another one would be made of them at once
        self._baseline, self._refusal, self._comparison = found.baseline, found.refusal, None
        if found.baseline and self._scope:
            state = before.state if before else load_state(self._scope)
            deployment = self._catalog.deployment
            self._comparison = Comparison(
                found.baseline, found.digest, deployment, self._clock, state
            )

    def _draft(self, facts: ServerFacts, began_at: float) -> Callable[[], Baseline] | None:
        """Return what makes the baseline of everything but the hour before the deployment.

        In that one somebody may have been preparing it.
        """
        until = began_at - self._clock.hour_seconds
        gauges = [taken for taken in self._gauges.known if taken.at <= began_at]
        if not gauges and not self._hours.has_any(until):
            return None
        deployment = self._catalog.deployment
        return partial(
            build,
            self._hours.reader(until),
            deployment,
            bucket_seconds=self._clock.hour_seconds,
            clock=self._clock,
            identity=provenance_of(facts, class_rules_digest(deployment)),
            source="automatic",
            texts=dict(self._texts),
            gauges=gauges_of(gauges),
            excluded=excluder(EXCLUSIONS.load(self._people).values()),
        )

    def _settle(self, baseline: Baseline, facts: ServerFacts, document: BaselineDocument) -> None:
        """See to it that the baseline outlives the process, and nothing that it was made of."""
        if not document.is_written:
            document.write(baseline, facts)
        if document.is_written and self._progress and self._progress.has_begun:
            self._hours.mark_used()
            self._gauges.clear()
            self._texts.clear()


def _tell(baseline: Baseline, facts: ServerFacts) -> None:
    """Log that a baseline is frozen, and what makes it less certain."""
    _log.info(
        "the deployment has begun; the baseline is frozen",
        hours=baseline.window.buckets,
        left_out=len(baseline.window.excluded),
        statements=len(baseline.statements),
        would_have_paged=baseline.backtest.pages,
    )
    for line in moved_far(baseline):
        _log.warning("the baseline leaves much out", detail=line)
    if facts.server_version_num >= MIXING_VERSION and facts.extension_schema:
        _log.info(
            "this server may count a table that takes the place of another one, under the same "
            "alias, as the same statement until its statistics are reset",
            remedy=f'SELECT "{facts.extension_schema}".pg_stat_statements_reset'
            f"(0, {facts.database_oid}, 0)",
        )
