"""The life of a baseline: collected, frozen when the deployment begins, compared with, kept."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from exporter.baseline.codec import Refusal, dumps, loads
from exporter.baseline.fit import adopted, provenance_of
from exporter.catalog import Catalog
from exporter.catalog.history import APPLIED
from exporter.clock import Clock
from exporter.collect.store import SnapshotStore
from exporter.comparison.calls import COMPARISON
from exporter.comparison.sums import Sums
from exporter.deployment.history import SEEN
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.errors import ExporterError
from exporter.learning.document import KEY, TOPIC, class_rules_digest
from exporter.learning.exclusions import EXCLUSIONS, Exclusion, key_of, rebuilt
from exporter.learning.gauges import GAUGES, Gauges
from exporter.learning.hours import HOURS, UnreadableError
from exporter.learning.lifecycle import STALE_SECONDS, BaselineLifecycle
from exporter.learning.metrics import BaselineState
from exporter.run_state import State
from exporter.state import StateStore
from tests.support.baselines import BASELINE
from tests.support.disk import full_disk
from tests.support.queries import make_query
from tests.support.state import opened, save, scope, version
from tests.support.windows import DEPLOYMENT, FACTS, HOUR, OWNER, called, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.baseline.artefact import Baseline
    from exporter.database.facts import ServerFacts
    from exporter.database.identity import DatabaseIdentity
    from exporter.state import Scope

HISTORY = make_query("history", {APPLIED: {"labels": ["version"], "value": "applied"}})
ORDERS = make_query(
    "orders", {"loom_orders": {"labels": ["kind"], "value": "orders", "baseline": True}}
)
CATALOG = Catalog(DEPLOYMENT, (HISTORY, ORDERS))

NOW = time.time()
START = NOW - NOW % HOUR - 5 * HOUR
"""When the collecting begins; after six hours and a half, and always later than NOW, so does the
deployment."""
BEGAN = START + 6.5 * HOUR
SETTLED = BEGAN + HOUR / 2
PLACE = ("invoices", "anon")

UNKNOWN = DeploymentProgress({"one": PhaseProgress()})
BEFORE = DeploymentProgress({"one": PhaseProgress(False)}, has_begun=False)
BEGUN = DeploymentProgress({"one": PhaseProgress(True, BEGAN)}, True, BEGAN, BEGAN, SETTLED)
LONG_SINCE = DeploymentProgress({"one": PhaseProgress(True)}, has_begun=True)


class Life:
    """A lifecycle that can be restarted, on a file that others write and that can be lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts = FACTS
        self.snapshots = SnapshotStore(CATALOG.queries, {"history": 60.0, "orders": 60.0})
        self.store = StateStore(path)
        self.restart()

    def restart(self) -> None:
        """Begin anew with what is written down."""
        self.store.close()
        self.store = StateStore(self.path)
        self.lifecycle = BaselineLifecycle(scope(self.store), CATALOG, Clock())

    def on_progress(self, deployed: DeploymentProgress, facts: ServerFacts | None = None) -> None:
        """See how far the deployment has come."""
        self.facts = facts or self.facts
        draft = self.lifecycle.on_progress(self.facts, deployed, self.snapshots, NOW)
        if draft:
            with suppress(UnreadableError):
                self.lifecycle.freeze(self.facts, draft())

    def call(self, at: float, *times: float) -> None:
        """Poll, half a minute after `at`, what was called since then."""
        self.lifecycle.on_poll(OWNER, window(at, called(*times)))

    def collect(self, hours: int = 6) -> None:
        """Collect from the beginning, one call of 0.2 s and one of 0.3 s in each hour."""
        self.on_progress(BEFORE)
        for hour in range(hours):
            self.call(START + hour * HOUR, 0.2, 0.3)

    def freeze(self) -> Baseline:
        """Collect, and see the deployment begin."""
        self.collect()
        self.on_progress(BEGUN)
        assert self.baseline is not None
        return self.baseline

    @property
    def scope(self) -> Scope:
        """Where the state has what is observed of the database."""
        return scope(self.store, identity=OWNER)

    @property
    def baseline(self) -> Baseline | None:
        """The baseline that is used."""
        return self.lifecycle.status.baseline

    def write(self, text: str | None, identity: DatabaseIdentity = OWNER) -> None:
        """Write a document, or drop it, as a command does it."""
        with opened(self.path) as other:
            assert save(scope(other, identity=identity), TOPIC, {KEY: text})

    def written(self) -> str | None:
        """Return the document that is in the state."""
        content = self.store.read(self.scope, TOPIC, KEY)
        return None if content is None else content.decode()

    def hours(self) -> list[str]:
        """Return the keys of the hours that are in the state."""
        return HOURS.keys(self.scope)

    def condition(self) -> tuple[str, str | None]:
        """Return the state that is shown, and the reason why the baseline is refused."""
        samples = self.lifecycle.samples()
        (state,) = (one for (one,), is_so in samples["loom_baseline_state"].items() if is_so)
        reasons = [one for (one,), is_so in samples["loom_baseline_refused"].items() if is_so]
        assert len(reasons) < 2
        return state, reasons[0] if reasons else None

    def matched(self) -> Sums:
        """Return the sums of the class, as they are exposed."""
        shown = self.lifecycle.on_poll(OWNER, None)
        calls, *others = (series[PLACE] for series in shown.values())
        return Sums(int(calls), *others)


@pytest.fixture
def life(path: Path) -> Iterator[Life]:
    made = Life(path)
    yield made
    made.store.close()


def calls(baseline: Baseline | None) -> int:
    assert baseline is not None
    return sum(statement.calls for statement in baseline.statements)


def test_baseline_is_frozen_when_the_deployment_begins_without_the_hour_before(life: Life) -> None:
    baseline = life.freeze()
    assert calls(baseline) == 2 * 5, "hour 5 ends half an hour before"
    (statement,) = baseline.statements
    assert statement.seconds == pytest.approx(5 * 0.5)
    assert statement.text == "select * from invoices"
    assert (baseline.source, baseline.deployment) == ("automatic", "orders")
    assert baseline.window.end.timestamp() == START + 5 * HOUR
    assert life.condition() == (BaselineState.FROZEN, None)
    assert loads(life.written() or "") == baseline


def test_what_is_called_before_anybody_has_noticed_the_deployment_is_not_in_it(life: Life) -> None:
    life.collect()
    life.call(BEGAN, 9.0)
    life.on_progress(BEGUN)
    assert calls(life.baseline) == 10


@pytest.mark.parametrize("unsure", [None, UNKNOWN, LONG_SINCE])
def test_nothing_is_collected_while_it_is_not_sure_that_nothing_has_begun(
    life: Life, unsure: DeploymentProgress | None
) -> None:
    if unsure:
        life.on_progress(unsure)
    life.call(START, 9.0)
    assert life.condition() == (BaselineState.MISSING, None)
    life.on_progress(BEFORE)
    assert life.condition() == (BaselineState.COLLECTING, None)
    life.call(START + HOUR, 0.2)
    life.on_progress(BEGUN)
    assert calls(life.baseline) == 1


def test_deployment_that_was_there_before_anybody_looked_has_no_baseline(life: Life) -> None:
    life.on_progress(LONG_SINCE)
    life.call(START, 0.2)
    life.on_progress(LONG_SINCE)
    assert life.condition() == (BaselineState.MISSING, None)
    assert (life.baseline, life.written(), life.lifecycle.results()) == (None, None, {})


def test_deployment_that_begins_at_once_has_no_baseline(life: Life) -> None:
    life.collect(hours=0)
    life.call(BEGAN - HOUR / 2, 0.2)
    life.on_progress(BEGUN)
    assert life.condition() == (BaselineState.MISSING, None)
    assert life.written() is None


def test_collected_time_is_shown(life: Life) -> None:
    life.collect(hours=3)
    samples = life.lifecycle.samples()
    assert samples["loom_baseline_collected_seconds"] == {(): 2 * HOUR + 30.0}
    assert life.lifecycle.status.collected_seconds == 2 * HOUR + 30.0
    life.on_progress(BEGUN)
    assert life.lifecycle.status.collected_seconds is None


def test_counters_are_exact_after_the_deployment(life: Life) -> None:
    life.freeze()
    assert life.matched() == Sums()
    life.call(BEGAN + 60, 0.5)
    life.call(SETTLED, 0.3, 0.1)
    mean = 0.25
    found = life.matched()
    assert (found.calls, found.seconds, found.expected_seconds) == pytest.approx((3, 0.9, 3 * mean))
    assert found.deviation == pytest.approx(sum((x - mean) ** 2 for x in (0.5, 0.3, 0.1)))
    change = life.lifecycle.results()["invoices"].whole.change
    assert change is not None
    assert (change.calls, change.seconds) == pytest.approx((2, 0.4)), "not in the warm-up"
    ratio = life.lifecycle.samples()["loom_statement_change_ratio"]
    assert ratio == {("invoices",): pytest.approx(0.4 / (2 * mean))}


def test_what_was_counted_long_ago_says_nothing_of_now(life: Life) -> None:
    life.freeze()
    life.call(NOW - HOUR, 0.3)  # by a server whose clock is an hour late
    assert set(life.lifecycle.results()) == {"invoices", "refunds", "other"}
    counted = COMPARISON.read(life.scope, "sums")
    assert counted is not None
    assert COMPARISON.save(
        life.scope, {"sums": replace(counted, taken_at=counted.taken_at - STALE_SECONDS)}
    )
    life.restart()
    life.on_progress(BEGUN)
    assert life.lifecycle.results() == {}
    life.call(NOW, 0.3)
    assert set(life.lifecycle.results()) == {"invoices", "refunds", "other"}


def test_captured_baseline_is_dropped_for_what_was_collected_meanwhile(life: Life) -> None:
    life.collect(hours=3)
    identity = provenance_of(FACTS, class_rules_digest(CATALOG.deployment))
    captured = BASELINE.model_copy(update={"identity": identity, "deployment": "orders"})
    life.write(dumps(captured))
    life.on_progress(BEFORE)
    assert life.condition() == (BaselineState.FROZEN, None)
    for hour in range(3, 6):
        life.call(START + hour * HOUR, 0.2, 0.3)
    life.write(None)
    life.on_progress(BEFORE)
    assert life.condition() == (BaselineState.COLLECTING, None)
    life.on_progress(BEGUN)
    assert calls(life.baseline) == 2 * 5


def _live(life: Life, restart_after: int | None) -> tuple[object, ...]:
    """Live a whole life, and return what comes of it."""
    life.on_progress(BEFORE)
    steps: list[tuple[DeploymentProgress, Callable[[], None]]] = [
        (BEFORE, lambda: life.call(START, 0.2, 0.3)),
        (BEFORE, lambda: life.call(START + HOUR, 0.1)),
        (BEGUN, lambda: life.on_progress(BEGUN)),
        (BEGUN, lambda: life.call(BEGAN, 0.5)),
        (BEGUN, lambda: life.call(SETTLED, 0.3)),
        (BEGUN, lambda: life.on_progress(BEGUN)),
        (BEGUN, lambda: life.call(SETTLED + 30, 0.1)),
    ]
    for number, (deployed, step) in enumerate(steps):
        step()
        if number == restart_after:
            life.restart()
            life.on_progress(deployed)
    assert life.baseline is not None
    # A text is known again only when its statement is called again.
    statements = [each.model_copy(update={"text": None}) for each in life.baseline.statements]
    return statements, life.matched(), life.lifecycle.results()


@pytest.mark.parametrize("after", range(7))
def test_restart_at_any_point_changes_nothing(life: Life, path: Path, after: int) -> None:
    other = Life(path.with_name("other.sqlite3"))
    assert _live(life, after) == _live(other, None)
    other.store.close()


def test_nothing_is_written_twice(life: Life) -> None:
    life.freeze()
    versions = [version(life.scope, topic) for topic in (TOPIC, HOURS.name)]
    for _ in range(3):
        life.on_progress(BEGUN)
    life.restart()
    life.on_progress(BEGUN)
    assert versions == [version(life.scope, topic) for topic in (TOPIC, HOURS.name)]


def test_no_second_baseline_is_made_of_the_hours_once_the_first_is_written(life: Life) -> None:
    baseline = life.freeze()
    assert "used" in life.hours()
    life.write("{")
    life.on_progress(BEGUN)
    assert life.condition() == (BaselineState.REFUSED, Refusal.TRUNCATED)
    life.write(dumps(baseline))
    life.on_progress(BEGUN)
    assert life.baseline == baseline


def test_collecting_again_begins_without_the_hours_that_are_used(life: Life) -> None:
    life.freeze()
    life.on_progress(BEFORE)
    life.call(SETTLED + HOUR, 0.2)
    assert len(life.hours()) == 1


def test_process_killed_between_baseline_and_hours_uses_these_no_more(life: Life) -> None:
    life.collect()
    hours = HOURS.load(life.scope)
    life.on_progress(BEGUN)
    before = life.written()
    HOURS.save(life.scope, hours, replace=True)
    life.restart()
    life.on_progress(BEGUN)
    assert life.written() == before
    assert "used" in life.hours()


def test_baseline_that_cannot_be_written_is_used_and_written_when_it_can(life: Life) -> None:
    life.collect()
    with full_disk(), capture_logs():  # the output of tests is a file, too
        life.on_progress(BEGUN)
        assert calls(life.baseline) == 10
    assert life.written() is None
    life.call(SETTLED, 0.3)
    life.on_progress(BEGUN)
    life.restart()
    life.on_progress(BEGUN)
    assert calls(life.baseline) == 10
    assert "used" in life.hours()
    assert life.matched().calls == 1


def test_state_that_is_lost_is_written_again(life: Life) -> None:
    baseline = life.freeze()
    life.call(SETTLED, 0.3)
    for file in life.path.parent.iterdir():
        file.unlink()
    for _ in range(2):  # the first save finds out that something is amiss
        life.on_progress(BEGUN)
        life.call(SETTLED + 60, 0.3)
    life.restart()
    life.on_progress(BEGUN)
    assert life.baseline == baseline
    assert life.matched().calls == 2


def test_hours_that_cannot_be_read_now_are_waited_for(life: Life) -> None:
    life.collect()
    folder = life.path.parent
    folder.rename(folder.with_name("away"))
    folder.write_text("in the way")
    life.on_progress(BEGUN)
    assert life.baseline is None
    folder.unlink()
    folder.with_name("away").rename(folder)
    life.restart()
    life.on_progress(BEGUN)
    assert calls(life.baseline) == 10


def test_document_that_a_command_has_written_is_taken_up(life: Life) -> None:
    baseline = life.freeze()
    life.call(SETTLED, 0.3)
    statement = baseline.statements[0]
    slower = statement.model_copy(update={"seconds": 2 * statement.seconds})
    life.write(dumps(baseline.model_copy(update={"statements": (slower,), "source": "captured"})))
    life.on_progress(BEGUN)
    assert life.baseline is not None
    assert life.baseline.source == "captured"
    assert life.lifecycle.results()["invoices"].whole.change is None, "it begins anew"
    life.call(SETTLED + 30, 0.3)
    assert life.matched().expected_seconds == pytest.approx(0.25 + 0.5)


def test_captured_baseline_is_not_replaced_by_what_was_collected(life: Life) -> None:
    captured = life.freeze().model_copy(update={"source": "captured"})
    life.write(dumps(captured))
    life.write(None)
    life.restart()
    life.collect()
    life.write(dumps(captured))
    life.on_progress(BEGUN)
    life.restart()
    life.on_progress(BEGUN)
    assert life.baseline == captured


def _tampered(text: str) -> str:
    return text.replace('"calls":10', '"calls":11')


def _newer(text: str) -> str:
    return text.replace("loom-exporter.baseline/2", "loom-exporter.baseline/3")


def _named_otherwise(text: str) -> str:
    baseline = loads(text)
    identity = baseline.identity.model_copy(update={"id_algorithm": "tok-1"})
    return dumps(baseline.model_copy(update={"identity": identity}))


def _foreign(text: str) -> str:
    baseline = loads(text)
    identity = baseline.identity.model_copy(update={"system_identifier": "7001"})
    return dumps(baseline.model_copy(update={"identity": identity}))


def _of_another_deployment(text: str) -> str:
    return dumps(loads(text).model_copy(update={"deployment": "customers"}))


REFUSED = [
    (_tampered, Refusal.TAMPERED),
    (lambda text: text[:-20], Refusal.TRUNCATED),
    (lambda _: "[]", Refusal.MALFORMED),
    (_newer, Refusal.NEWER_VERSION),
    (_named_otherwise, Refusal.OTHER_ALGORITHM),
    (_foreign, Refusal.OTHER_DATABASE),
    (_of_another_deployment, Refusal.OTHER_DEPLOYMENT),
]


@pytest.mark.parametrize(("spoil", "reason"), REFUSED)
def test_refused_baseline_is_named_and_left_alone_and_the_daemon_goes_on(
    life: Life, spoil: Callable[[str], str], reason: Refusal
) -> None:
    spoilt = spoil(dumps(life.freeze()))
    life.write(spoilt)
    with capture_logs() as logs:
        for _ in range(3):
            life.on_progress(BEGUN)
            life.call(SETTLED, 0.3)
    told = [line for line in logs if line["event"] == "the baseline is refused"]
    assert [(line["log_level"], line["reason"]) for line in told] == [("warning", reason)]
    assert life.condition() == (BaselineState.REFUSED, reason)
    assert (life.baseline, life.lifecycle.results()) == (None, {})
    assert life.lifecycle.on_poll(OWNER, None) == {}
    assert life.written() == spoilt


def test_while_a_baseline_is_refused_another_one_is_collected(life: Life) -> None:
    life.write("{")
    life.collect()
    assert life.condition() == (BaselineState.REFUSED, Refusal.TRUNCATED)
    life.on_progress(BEGUN)
    assert calls(life.baseline) == 10
    assert life.condition() == (BaselineState.FROZEN, None)


def test_baseline_is_used_again_when_the_server_is_as_it_was(life: Life) -> None:
    baseline = life.freeze()
    life.call(SETTLED, 0.3)
    other = replace(FACTS, settings={**FACTS.settings, "pg_stat_statements.track": "all"})
    life.on_progress(BEGUN, other)
    assert life.condition() == (BaselineState.REFUSED, Refusal.OTHER_SETTINGS)
    life.call(SETTLED + 30, 9.0)
    life.on_progress(BEGUN, FACTS)
    assert life.baseline == baseline
    assert life.matched().calls == 1
    life.call(SETTLED + 60, 0.3)
    assert life.matched().calls == 2


def test_counters_do_not_fall_when_the_server_is_restarted_while_the_disk_is_full(
    life: Life,
) -> None:
    life.freeze()
    with full_disk(), capture_logs():
        life.call(SETTLED, 0.3)
        life.on_progress(BEGUN, replace(FACTS, postmaster_start=datetime.now(UTC)))
        assert life.matched().calls == 1


def test_hour_in_which_the_server_was_restarted_is_excluded(life: Life) -> None:
    life.collect(hours=3)
    life.on_progress(
        BEFORE, replace(FACTS, postmaster_start=datetime.fromtimestamp(START + HOUR, UTC))
    )
    life.call(START + 3 * HOUR, 0.2)
    life.on_progress(BEGUN)
    assert calls(life.baseline) == 5
    assert life.baseline is not None
    (excluded,) = life.baseline.window.excluded
    assert excluded.start.timestamp() == START + HOUR
    assert excluded.reason == "the server was restarted"


def test_another_database_begins_with_nothing(life: Life) -> None:
    life.freeze()
    life.call(SETTLED, 0.3)
    other = replace(FACTS, database_oid=6)
    life.on_progress(BEFORE, other)
    assert life.condition() == (BaselineState.REFUSED, Refusal.OTHER_DATABASE)
    assert life.baseline is None


def test_sums_that_cannot_be_understood_begin_anew(life: Life) -> None:
    life.freeze()
    life.call(SETTLED, 0.3)
    save(life.scope, COMPARISON.name, {"sums": '{"matched": 3}'})
    life.restart()
    life.on_progress(BEGUN)
    assert life.matched() == Sums()


def _remember_orders(life: Life, at_least: float) -> None:
    """Have it known what the orders were, and when."""
    gauges = Gauges(CATALOG)
    gauges.begin(life.scope)
    with pytest.MonkeyPatch.context() as then:  # by now the deployment may have begun
        then.setattr(time, "time", lambda: NOW)
        life.snapshots.publish("orders", State.OK, {"loom_orders": {("web",): 1200.0}})
    gauges.record(life.snapshots, at_least)


def test_gauges_are_frozen_and_shown_under_a_name_of_their_own(life: Life) -> None:
    _remember_orders(life, NOW + HOUR)
    baseline = life.freeze()
    (gauge,) = baseline.gauges
    assert gauge.metric == "loom_orders"
    shown = life.lifecycle.samples()
    assert shown["loom_orders_baseline"] == {("web",): 1200.0}
    assert GAUGES.load(life.scope) == {}


def test_gauge_from_after_the_rollout_that_was_marked_later_does_not_count(life: Life) -> None:
    _remember_orders(life, NOW + HOUR)
    life.collect()
    marked_at = NOW - HOUR / 2
    life.on_progress(replace(BEGUN, began_at=marked_at))
    assert life.baseline is not None
    assert life.baseline.gauges == ()


def test_gauges_alone_are_worth_a_baseline(life: Life) -> None:
    _remember_orders(life, NOW + HOUR)
    life.on_progress(BEGUN)
    assert life.baseline is not None
    assert (life.baseline.statements, len(life.baseline.gauges)) == ((), 1)


def test_gauge_that_has_other_labels_by_now_is_not_shown(life: Life) -> None:
    _remember_orders(life, NOW + HOUR)
    life.freeze()
    for labels in ([], ["kind", "shop"]):
        metric = {"labels": labels, "value": "orders", "baseline": True}
        catalog = Catalog(DEPLOYMENT, (HISTORY, make_query("orders", {"loom_orders": metric})))
        lifecycle = BaselineLifecycle(scope(life.store), catalog, Clock())
        assert lifecycle.on_progress(FACTS, BEGUN, life.snapshots, NOW) is None
        assert lifecycle.status.baseline is not None
        assert "loom_orders_baseline" not in lifecycle.samples()


async def test_polls_and_looks_at_the_same_time_lose_no_call_and_count_none_twice(
    life: Life,
) -> None:
    life.freeze()

    async def poll() -> None:
        for number in range(100):
            await life.store.run(life.call, SETTLED + 30 * number, 0.2)

    async def look() -> None:
        for minute in range(100):  # a server that is restarted has the document read anew
            started = datetime.fromtimestamp(START + 60 * minute, UTC)
            facts = replace(FACTS, postmaster_start=started)
            await life.store.run(life.on_progress, BEGUN, facts)

    await asyncio.gather(poll(), look())
    assert life.matched().calls == 100
    assert life.lifecycle.results()["invoices"].whole.change is not None


# ── another database ─────────────────────────────────────────────────────────────────────────────

OTHER = replace(FACTS, database_oid=6)


def test_databases_that_take_turns_behind_a_name_lose_nothing_of_each_other(life: Life) -> None:
    life.collect(hours=3)
    with capture_logs() as logs:
        for turn in range(3):
            life.on_progress(BEFORE, OTHER)
            life.lifecycle.on_poll(
                OTHER.identity, window(START + turn * HOUR, called(0.5, 0.5, 0.5))
            )
            life.on_progress(BEFORE, FACTS)
            life.call(START + (3 + turn) * HOUR, 0.2, 0.3)
    told = [line for line in logs if "another database" in line["event"]]
    assert [(line["before"].oid, line["now"].oid) for line in told] == [(5, 6), (6, 5)] * 3
    life.on_progress(BEGUN)
    assert calls(life.baseline) == 10
    life.on_progress(BEGUN, OTHER)
    assert calls(life.baseline) == 9
    life.on_progress(BEGUN, FACTS)
    assert calls(life.baseline) == 10


def test_another_database_after_a_restart_is_told_once(life: Life) -> None:
    save(life.scope, SEEN.name, {"seen": "{}"})
    life.restart()
    with capture_logs() as logs:
        for _ in range(3):
            life.on_progress(BEFORE, OTHER)
    (line,) = [line for line in logs if "another database" in line["event"]]
    assert line["before"] == FACTS.identity


def test_baseline_of_another_database_is_refused_until_there_is_one_of_this(life: Life) -> None:
    life.freeze()
    life.on_progress(BEFORE, OTHER)
    assert life.condition() == (BaselineState.REFUSED, Refusal.OTHER_DATABASE)
    life.write(dumps(adopted(loads(life.written() or ""), OTHER)), OTHER.identity)
    life.on_progress(BEFORE, OTHER)
    assert life.condition() == (BaselineState.FROZEN, None)
    life.write(None, OTHER.identity)
    life.write(None)
    life.on_progress(BEFORE, OTHER)
    assert life.condition() == (BaselineState.COLLECTING, None)


def test_baseline_that_was_made_of_a_database_that_is_gone_by_then_is_not_used(
    life: Life,
) -> None:
    life.collect()
    draft = life.lifecycle.on_progress(FACTS, BEGUN, life.snapshots, NOW)
    assert draft is not None
    baseline = draft()
    life.on_progress(BEFORE, OTHER)
    life.lifecycle.freeze(FACTS, baseline)
    assert life.written() is None
    life.on_progress(BEGUN, FACTS)
    assert life.baseline is not None


def test_baseline_that_a_command_writes_meanwhile_comes_first(life: Life) -> None:
    captured = life.freeze().model_copy(update={"source": "captured"})
    life.write(None)
    life.restart()
    life.collect()
    draft = life.lifecycle.on_progress(FACTS, BEGUN, life.snapshots, NOW)
    assert draft is not None
    baseline = draft()
    life.write(dumps(captured))
    life.lifecycle.freeze(FACTS, baseline)
    assert life.baseline == captured
    assert life.written() == dumps(captured)


# ── times that people leave out ──────────────────────────────────────────────────────────────────


def _exclude(life: Life, hour: float) -> Exclusion:
    exclusion = Exclusion(START + hour * HOUR, START + (hour + 1.5) * HOUR, "a load test")
    with opened(life.path) as other:
        assert EXCLUSIONS.save(scope(other), {key_of(exclusion): exclusion})
    return exclusion


def test_time_that_people_exclude_is_no_part_of_the_baseline(life: Life) -> None:
    _exclude(life, 1)
    baseline = life.freeze()
    assert calls(baseline) == 2 * 3
    reasons = {each.start.timestamp(): each.reason for each in baseline.window.excluded}
    assert reasons == {START + HOUR: "a load test", START + 2 * HOUR: "a load test"}


def test_baseline_is_made_again_without_what_people_exclude_later(life: Life) -> None:
    baseline = life.freeze()
    life.call(SETTLED, 0.3)
    with opened(life.path) as other:
        again = rebuilt(
            scope(other, identity=OWNER),
            CATALOG.deployment,
            Clock(),
            baseline,
            [Exclusion(START, START + 1, "a deploy")],
        )
    assert calls(again) == 2 * 4
    assert [each.text for each in again.statements] == ["select * from invoices"]
    life.write(dumps(again))
    life.on_progress(BEGUN)
    assert life.baseline == again
    assert life.lifecycle.results()["invoices"].whole.change is None, "it is counted afresh"


@pytest.mark.parametrize("what", ["captured", "everything"])
def test_what_cannot_be_left_out_is_an_error(life: Life, what: str) -> None:
    baseline = life.freeze()
    if what == "captured":
        baseline = baseline.model_copy(update={"source": "captured"})
    with opened(life.path) as other, pytest.raises(ExporterError, match="baseline: it"):
        rebuilt(
            scope(other, identity=OWNER),
            CATALOG.deployment,
            Clock(),
            baseline,
            [Exclusion(START, BEGAN)],
        )


def test_baseline_that_is_dropped_is_not_made_again_of_its_hours(life: Life) -> None:
    life.freeze()
    life.write(None)
    for _ in range(2):
        life.on_progress(BEGUN)
        life.restart()
    assert life.baseline is None
    assert life.hours() == []
