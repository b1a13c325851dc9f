"""What is called now, compared with the baseline: hour by hour since the deployment."""

from collections.abc import Iterable

from exporter.baseline.artefact import Baseline
from exporter.catalog import Deployment
from exporter.catalog.deployment import OTHER
from exporter.clock import Clock
from exporter.comparison.calls import (
    ComparisonState,
    ComparisonSums,
    Since,
    StatementOfClass,
    StatementTotals,
    WindowCalls,
    save_state,
)
from exporter.comparison.class_hours import HOURS_KEPT, ClassCalls, ClassHour
from exporter.comparison.class_verdict import ClassResult, judge, judge_unclassified
from exporter.comparison.expectations import Expectations
from exporter.comparison.rule import (
    SLOWER,
    STATEMENT_SHARE,
    USUAL_RATIO,
    USUAL_RATIO_WITHOUT_NIGHT,
)
from exporter.comparison.single_statements import CountedStatement, StatementCalls
from exporter.comparison.sums import Sums
from exporter.comparison.window_noise import BaselineNoise, pooled_noise
from exporter.state import Scope
from exporter.statements.continuity import BREAKS
from exporter.statements.tally import PollWindow

_NAME_CHARACTERS = 60


class Comparison:
    """Adds up what was called, against one baseline. Not to be used by two threads at once."""

    def __init__(
        self,
        baseline: Baseline,
        digest: str,
        deployment: Deployment,
        clock: Clock,
        before: ComparisonState | None = None,
    ) -> None:
        """Begin at zero, or go on with what `before` has.

        The sums go on even if the baseline was another one; the time since the deployment is of one
        baseline. `digest` tells this baseline from any other.
        """
        self._clock = clock
        self._deployment = deployment
        self._expectations = Expectations(baseline, deployment.replacements, clock)
        self._texts = dict(self._expectations.texts)
        self._state = before or ComparisonState(ComparisonSums(digest))
        self._is_written = before is not None
        self._changed: set[float] = set()
        if self.sums.baseline != digest:
            self.sums.baseline = digest
            self._restart(None)
        for place in self._expectations.noise:
            self.sums.matched.setdefault(place, Sums())

    @property
    def sums(self) -> ComparisonSums:
        """What was added up, but for the single hours and statements."""
        return self._state.sums

    @property
    def state(self) -> ComparisonState:
        """Everything that was added up."""
        return self._state

    def take(self, window: PollWindow, settled_at: float | None) -> None:
        """Add a window, unless it is counted: the process may have ended before its poll was kept.

        Args:
            window: what was called between two polls.
            settled_at: the Unix time of the end of the warm-up, from which on the deployment is
                judged; None while there is none. When it moves, that begins again.
        """
        sums = self.sums
        sums.taken_at = self._clock.now()
        if settled_at != sums.since.at:
            self._restart(settled_at)
        started_at, ended_at = window.started_at.timestamp(), window.ended_at.timestamp()
        if window.dropped:
            # The time is that of another clock, so nothing of it can be counted already.
            sums.counted_at = ended_at
            if settled_at is not None:
                dropped = sums.since.dropped
                dropped[window.dropped] = dropped.get(window.dropped, 0) + 1
            return
        if sums.counted_at is not None and started_at < sums.counted_at:
            return
        sums.counted_at = ended_at
        calls = WindowCalls(self._expectations)
        for known, delta in window.counted:
            calls.add(known, delta, started_at)
        for place, new in calls.matched.items():
            sums.matched[place] = sums.matched.get(place, Sums()).plus(new)
        if settled_at is not None and started_at >= settled_at:
            self._judge_later(window, calls, started_at, ended_at)

    def results(self, classes: Iterable[str]) -> dict[str, ClassResult]:
        """Return what can be said about each class since the deployment."""
        return {name: self._result(name) for name in classes}

    def save(self, scope: Scope) -> None:
        """Write down what was added since it was last written."""
        changed = self._changed if self._is_written else None
        self._is_written = save_state(scope, self._state, changed)
        self._changed = set()

    def _restart(self, settled_at: float | None) -> None:
        """Forget what was counted since the deployment: it begins again."""
        self.sums.since = Since(settled_at)
        self._state.hours.clear()
        self._state.statements.clear()
        self._is_written = False

    def _judge_later(
        self, window: PollWindow, calls: WindowCalls, started_at: float, ended_at: float
    ) -> None:
        """Add a window to its hour: to each class, for that was watched too where none was called.

        A window longer than an hour counts to the one in which it began.
        """
        hours = self._state.hours
        start = self._clock.start_of_hour(started_at)
        hour = hours.setdefault(start, {})
        watched = window.seconds / self._clock.hour_seconds
        totals = self.sums.since.totals
        for name in (*self._deployment.classes, OTHER):
            usual = self._expectations.usual_calls(name, started_at, ended_at)
            new = calls.of_class(name, watched, usual)
            hour[name] = hour.get(name, ClassCalls()).plus(new)
            totals[name] = totals.get(name, ClassCalls()).plus(new)
        for place, sums in calls.matched.items():
            expected = self.sums.since.expected
            expected[place] = expected.get(place, 0.0) + sums.expected_seconds
        for statement, totals_now in calls.statements.items():
            before = self._state.statements.get(statement, StatementTotals())
            self._state.statements[statement] = before.plus(totals_now)
        self._texts.update(calls.texts)
        self._changed.add(start)
        for old in sorted(hours)[:-HOURS_KEPT]:
            del hours[old]
            self._changed.add(old)

    def _result(self, name: str) -> ClassResult:
        hours = [
            ClassHour(start, classes[name])
            for start, classes in sorted(self._state.hours.items())
            if name in classes
        ]
        statements = [
            StatementCalls(self._name(statement.identity), *totals)
            for statement, totals in self._state.statements.items()
            if statement.class_name == name
        ]
        noise = self._noise(name)
        notes = [
            f"calls between {count} pairs of polls not counted: {BREAKS[reason]}"
            for reason, count in self.sums.since.dropped.items()
        ]
        seconds = self._clock.hour_seconds
        if name == OTHER:
            return judge_unclassified(hours, noise, statements, hour_seconds=seconds, notes=notes)
        return judge(
            hours,
            noise,
            margin=self._deployment.classes[name].margin or SLOWER,
            hour_seconds=seconds,
            usual_ratio=(
                USUAL_RATIO if self._expectations.covers_a_day else USUAL_RATIO_WITHOUT_NIGHT
            ),
            statements=statements,
            replacements=list(self._replacements(name)),
            usual=list(self._usual_statements(name)),
            notes=notes,
        )

    def _noise(self, name: str) -> BaselineNoise:
        return pooled_noise(
            (expected, self._expectations.noise.get(place, BaselineNoise()))
            for place, expected in self.sums.since.expected.items()
            if place[0] == name
        )

    def _replacements(self, name: str) -> Iterable[CountedStatement]:
        """Yield how often statements are called that replace others."""
        for new, old in self._expectations.replaced.items():
            if StatementOfClass(name, new or "") in self._state.statements:
                yield self._counted(name, new or "", old or "")

    def _usual_statements(self, name: str) -> Iterable[CountedStatement]:
        """Yield how often statements are called that had much of the calls; not the replaced."""
        replaced = set(self._expectations.replaced.values())
        for known_by, share in self._expectations.shares_of_calls(name).items():
            if share >= STATEMENT_SHARE and known_by not in replaced:
                counted = self._counted(name, known_by, known_by)
                if counted.has_rest or self._expectations.covers_a_day:
                    yield counted

    def _counted(self, name: str, now: str, before: str) -> CountedStatement:
        total = self.sums.since.totals.get(name, ClassCalls())
        share = self._expectations.shares_of_calls(name).get(before, 0.0)
        known = self._state.statements.get(StatementOfClass(name, now), StatementTotals())
        calls = known.sums.calls
        return CountedStatement(
            self._name(now),
            calls,
            total.usual_calls * share,
            total.calls - calls,
            total.usual_calls * (1 - share),
        )

    def _name(self, identity: str) -> str:
        """Return the name that people know a statement by: how it begins, and its fingerprint."""
        text = self._texts.get(identity)
        if text is None:
            return identity
        short = text if len(text) <= _NAME_CHARACTERS else f"{text[: _NAME_CHARACTERS - 1]}…"
        return f"{identity} `{short}`"
