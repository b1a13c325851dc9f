"""The exporter as one process after the other, killed at random, while an application works."""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from exporter.baseline.codec import loads
from exporter.database.identity import DatabaseIdentity
from exporter.durations import parse_duration
from exporter.learning.document import KEY, TOPIC
from exporter.learning.hours import HOURS
from tests.support.daemon import Daemon
from tests.support.observers import eventually
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.state import opened, save
from tests.support.watching import MONITOR

if TYPE_CHECKING:
    from tests.support.daemon import Page
    from tests.support.loom_database import LoomDatabase

PLACE = (("class", "resource_library"), ("role", "service_role"))
"""Where the calls of `Application` are counted, and nobody else's."""

CALLS = "loom_statement_calls_total"
MATCHED = "loom_statement_matched_calls_total"
COUNTERS = (
    CALLS,
    "loom_statement_exec_seconds_total",
    "loom_statement_rows_total",
    MATCHED,
    "loom_statement_matched_exec_seconds_total",
    "loom_statement_expected_exec_seconds_total",
    "loom_statement_deviation_seconds_squared_total",
)


class Application:
    """Calls one statement again and again, and knows how often it has."""

    def __init__(self, loom: LoomDatabase) -> None:
        self._loom = loom
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.calls = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(30)

    def _run(self) -> None:
        with self._loom.connect("authenticator") as connection:
            connection.execute("SET ROLE service_role")
            while not self._stopped.wait(0.01):
                connection.execute("SELECT count(*) FROM public.resource_collections")
                self.calls += 1


class Lives:
    """One exporter after the other on one state; each counter is watched over all of them."""

    def __init__(self, loom: LoomDatabase, folder: Path, hour: str) -> None:
        self.env = {
            "LOOM_EXPORTER_DATABASE_URL": loom.dsn(MONITOR),
            "LOOM_EXPORTER_STATE_DIR": str(folder),
            "LOOM_EXPORTER_HOUR": hour,
            "LOOM_EXPORTER_MAX_INTERVAL": "1s",
        }
        self.hour_seconds = parse_duration(hour)
        self._random = random.Random(3)
        self._counters: dict[tuple[str, object], float] = {}
        self._frozen: set[int] = set()
        """The exporters that have said that the baseline is frozen, by process."""
        self.uncompared = 0.0
        """Calls of `PLACE` that an exporter counted before it said so, of all of them."""

    @property
    def state(self) -> Path:
        """The file of what outlives each of them."""
        return Path(self.env["LOOM_EXPORTER_STATE_DIR"]) / "state.sqlite3"

    @property
    def document(self) -> str:
        """The baseline in the state, as it stands there."""
        with opened(self.state, read_only=True) as store:
            people = store.scope("loom", DEPLOYMENT.name)
            (identity,) = store.elsewhere(people, TOPIC)
            document = store.read(people.of(identity), TOPIC, KEY)
        assert document is not None
        return document.decode()

    def learnt(self, until: float) -> int:
        """Return the calls of `PLACE` that are kept for a baseline, in hours that ended by then."""
        with opened(self.state, read_only=True) as store:
            people = store.scope("loom", DEPLOYMENT.name)
            hours = [
                hour
                for identity in store.elsewhere(people, HOURS.name)
                for start, hour in HOURS.load(people.of(identity)).items()
                if float(start) + self.hour_seconds <= until and not hour.excluded
            ]
        return sum(
            calls
            for hour in hours
            for _, role, class_name, calls, *_ in hour.statements
            if (("class", class_name), ("role", role)) == PLACE
        )

    def write(self, document: str | None, of: str) -> None:
        """Put a document where the baseline `of` belongs, or drop what is there."""
        known = loads(of).identity
        identity = DatabaseIdentity(
            known.database_name, known.database_oid, known.system_identifier
        )
        with opened(self.state) as store:
            scope = store.scope("loom", DEPLOYMENT.name).of(identity)
            assert save(scope, TOPIC, {KEY: document})

    def daemon(self) -> Daemon:
        """Return the next exporter."""
        return Daemon(None, env=self.env)

    def learn(self) -> None:
        """Run an exporter, and kill it when it has kept calls of `PLACE` for a baseline.

        Its first poll is never kept, so one that lives for some seconds may have kept none.
        """
        with self.daemon() as daemon:
            eventually("it has learnt", lambda: self.learnt(until=float("inf")))
            daemon.stop(signal.SIGKILL)

    def live(self, longest_seconds: float) -> None:
        """Run an exporter, watch its counters, and kill it at a random moment."""
        with self.daemon() as daemon:
            ends = time.monotonic() + self._random.uniform(0.0, longest_seconds)
            while time.monotonic() < ends:
                self.look(daemon)
                time.sleep(0.1)
            daemon.stop(signal.SIGKILL)

    def look(self, daemon: Daemon) -> Page:
        """Scrape, and fail if a counter has fallen since the last look, be it at another life."""
        page = daemon.page()
        called = page.value(CALLS, **dict(PLACE))
        if called is not None and daemon.process.pid not in self._frozen:
            self.uncompared += called - self._counters.get((CALLS, PLACE), 0.0)
            if page.value("loom_baseline_state", state="frozen") == 1.0:
                self._frozen.add(daemon.process.pid)
        for name in COUNTERS:
            for labels, value in page.series(name).items():
                before = self._counters.get((name, labels), 0.0)
                assert value >= before, f"{name}{labels} fell from {before} to {value}"
                self._counters[name, labels] = value
        return page


def has_polled(daemon: Daemon) -> bool:
    """Return whether statements have been counted."""
    return daemon.page().states.get("pg_stat_statements") == "ok"


def baseline_is(daemon: Daemon, state: str) -> bool:
    """Return whether this is where things stand with the baseline."""
    return daemon.page().value("loom_baseline_state", state=state) == 1.0
