"""A gauge counts as from before the deployment only if a later look found nothing applied."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from exporter.collect.store import SnapshotStore
from exporter.database.identity import DatabaseIdentity
from exporter.learning.gauges import GAUGES, Gauges, Taken, gauges_of
from exporter.run_state import State
from exporter.state import StateStore
from tests.support.disk import full_disk
from tests.support.queries import make_catalog, make_query
from tests.support.state import save, scope
from tests.support.windows import OWNER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.collect.snapshot import Samples

ORDERS = make_query(
    "orders",
    {
        "loom_orders": {"labels": ["kind"], "value": "orders", "baseline": True},
        "loom_baskets": {"value": "baskets"},
    },
)
USERS = make_query("users", {"loom_users": {"value": "users", "baseline": True}})
BASKETS = make_query("baskets", {"loom_other_baskets": {"value": "baskets"}})
RUN = 2.0 + 1e-6
"""A look takes no longer than this: if it ended so much later than a value, it began after it."""

SURE = 3.0
"""So long after a value, a look is surely after all that was shown meanwhile, too."""


class Shop:
    """A query of which a test shows values, and gauges that take them in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        queries = [ORDERS, USERS, BASKETS]
        self.snapshots = SnapshotStore(queries, {query.name: 60.0 for query in queries})
        self.store = StateStore(path)
        self.restart()

    def restart(self, identity: DatabaseIdentity = OWNER) -> None:
        """Begin anew with what is written down."""
        self.store.close()
        self.store = StateStore(self._path)
        self.gauges = Gauges(make_catalog(ORDERS, USERS, BASKETS))
        self.gauges.begin(scope(self.store, identity=identity))

    def show(self, orders: float) -> float:
        """Have the query say so many orders, and return when it did."""
        samples: Samples = {"loom_orders": {("web",): orders}, "loom_baskets": {(): 9.0}}
        self.snapshots.publish("orders", State.OK, samples)
        return self.snapshots["orders"].last_success_at or 0.0

    def look(self, clear_at: float) -> None:
        """Take in what is shown, while nothing was applied at `clear_at`."""
        self.gauges.record(self.snapshots, clear_at)

    def orders(self) -> list[float]:
        """Return the orders that are known to be from before."""
        return [taken.samples["loom_orders"][("web",)] for taken in self.gauges.known]


@pytest.fixture
def shop(path: Path) -> Iterator[Shop]:
    made = Shop(path)
    yield made
    made.store.close()


def test_value_counts_once_a_later_look_found_nothing_applied(shop: Shop) -> None:
    at = shop.show(5)
    shop.look(at)
    assert shop.orders() == []
    shop.look(at + SURE)
    assert shop.orders() == [5]
    (taken,) = shop.gauges.known
    assert taken == Taken(at, {"loom_orders": {("web",): 5.0}})


def test_what_was_read_since_the_last_look_that_found_nothing_never_counts(shop: Shop) -> None:
    first = shop.show(5)
    shop.look(first + SURE)
    shop.show(6)  # nobody knows whether the deployment came first
    shop.look(first + SURE - 1.0)
    shop.look(first)
    assert shop.orders() == [5]


def test_value_that_is_asked_for_more_often_than_anybody_looks_does_not_wait_for_ever(
    shop: Shop,
) -> None:
    for value in range(5):
        before = shop.show(value)
        shop.look(0.0)
        shop.show(value + 0.5)
        shop.look(before + RUN)  # of the newer one it is not known
        assert shop.orders() == [value]


def test_newest_value_that_is_sure_replaces_the_one_before(shop: Shop) -> None:
    shop.show(5)
    shop.look(0.0)
    at = shop.show(6)
    shop.look(at + SURE)
    assert shop.orders() == [6]


def test_query_that_fails_keeps_what_was_known(shop: Shop) -> None:
    at = shop.show(5)
    shop.look(at + SURE)
    shop.snapshots.fail("orders", State.TIMEOUT, "")
    shop.look(at + 100.0)
    assert shop.orders() == [5]


def test_only_gauges_that_are_marked_are_taken(shop: Shop) -> None:
    shop.snapshots.publish("baskets", State.OK, {"loom_other_baskets": {(): 1.0}})
    shop.snapshots.publish("users", State.EMPTY, {})
    shop.show(5)
    shop.look(time.time() + SURE)
    shop.look(time.time() + SURE)
    found = sorted(name for taken in shop.gauges.known for name in taken.samples)
    assert found == ["loom_orders", "loom_users"]


def test_values_outlive_a_restart_but_not_what_is_not_sure_yet(shop: Shop) -> None:
    at = shop.show(5)
    shop.look(at + SURE)
    shop.show(6)
    shop.look(at)
    shop.restart()
    assert shop.orders() == [5]
    known = shop.gauges.known
    assert known[0].samples == {"loom_orders": {("web",): 5.0}}


def test_another_database_has_values_of_its_own(shop: Shop) -> None:
    shop.look(shop.show(5) + SURE)
    shop.restart(DatabaseIdentity("loom", 6, "7000"))
    assert shop.orders() == []
    shop.look(shop.show(6) + SURE)
    shop.restart()
    assert shop.orders() == [5], "nothing of the first is lost"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_value_that_is_no_number_is_not_remembered(shop: Shop, value: float) -> None:
    shop.look(shop.show(value) + SURE)
    (taken,) = shop.gauges.known
    assert taken.samples == {"loom_orders": {}}


@pytest.mark.parametrize("text", ["{", "3", "[1, 2]", '[5.0, {"loom_orders": 3}]'])
def test_values_that_cannot_be_understood_are_none(shop: Shop, text: str) -> None:
    shop.look(shop.show(5) + SURE)
    save(scope(shop.store, identity=OWNER), GAUGES.name, {"orders": text})
    shop.restart()
    assert shop.orders() == []


def test_value_that_could_not_be_written_is_written_when_it_can(shop: Shop) -> None:
    at = shop.show(5)
    shop.look(at)
    with full_disk():
        shop.look(at + SURE)
    shop.look(at + SURE)
    shop.restart()
    assert shop.orders() == [5]


def test_values_are_forgotten_once_they_are_used(shop: Shop) -> None:
    shop.look(shop.show(5) + SURE)
    shop.gauges.clear()
    assert shop.gauges.known == ()
    shop.restart()
    assert shop.gauges.known == ()


def test_gauge_that_two_queries_feed_is_as_old_as_the_older_of_them() -> None:
    parts = [
        Taken(200.0, {"loom_orders": {("web",): 1.0}}),
        Taken(100.0, {"loom_orders": {("shop",): 2.0}}),
    ]
    (gauge,) = gauges_of(parts)
    assert gauge.taken_at.timestamp() == 100.0
    assert {each.labels: each.value for each in gauge.series} == {("web",): 1.0, ("shop",): 2.0}
