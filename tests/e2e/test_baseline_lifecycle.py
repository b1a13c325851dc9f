"""The baseline from its first hour to long after the deployment, whatever befalls the daemon."""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from exporter.baseline.encoding import Refusal, dumps, loads
from exporter.baseline.keeper import TOPIC
from tests.daemon import Daemon, command
from tests.e2e.observers import Scraper, eventually
from tests.loom_database import make_database, make_template
from tests.shipped_queries import DEPLOYMENT
from tests.state import opened
from tests.watching import MONITOR, deploy, install_grants

if TYPE_CHECKING:
    from tests.conftest import NewServer
    from tests.daemon import Page
    from tests.loom_database import LoomDatabase

HISTORY = "supabase_migrations.schema_migrations"
PLACE = (("class", "resource_library"), ("role", "service_role"))
"""Where the calls of `Application` are counted, and nobody else's."""

CALLS = "loom_statement_calls_total"
COUNTERS = (
    CALLS,
    "loom_statement_exec_seconds_total",
    "loom_statement_rows_total",
    "loom_statement_matched_calls_total",
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
            "LOOM_EXPORTER_STATE_DIR": str(folder),
            "LOOM_EXPORTER_HOUR": hour,
            "LOOM_EXPORTER_MAX_INTERVAL": "1s",
        }
        self._loom = loom
        self._random = random.Random(3)
        self._counters: dict[tuple[str, object], float] = {}
        self._met: set[int] = set()
        self.first_polls = 0.0
        """Calls of `PLACE` that were new to an exporter at its first poll, of all of them."""

    def daemon(self) -> Daemon:
        """Return the next exporter."""
        return Daemon(self._loom.dsn(MONITOR), env=self.env)

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
        if called is not None and daemon.process.pid not in self._met:
            self._met.add(daemon.process.pid)
            self.first_polls += called - self._counters.get((CALLS, PLACE), 0.0)
        for name in COUNTERS:
            for labels, value in page.series(name).items():
                before = self._counters.get((name, labels), 0.0)
                assert value >= before, f"{name}{labels} fell from {before} to {value}"
                self._counters[name, labels] = value
        return page


@pytest.fixture
def lives(monitored: LoomDatabase, tmp_path: Path) -> Lives:
    return Lives(monitored, tmp_path / "state", "6s")


def test_kills_cost_no_call_no_baseline_and_no_sign_off(
    monitored: LoomDatabase, lives: Lives
) -> None:
    with lives.daemon() as daemon:
        eventually("it is polled", lambda: _has_polled(daemon), within_seconds=30)
        daemon.stop(signal.SIGKILL)
    with Application(monitored) as application:
        for _ in range(4):
            lives.live(5.0)
        deploy(monitored, "healthy")
        for _ in range(2):  # one of them may be about to freeze the baseline
            lives.live(1.5)
        with lives.daemon() as daemon:
            eventually("it is polled", lambda: _has_polled(daemon), within_seconds=30)
            eventually("it is frozen", lambda: _is(daemon, "frozen"), within_seconds=30)
            frozen = _document(lives)
            unmatched, first_polls = _unmatched(lives.look(daemon)), lives.first_polls
            told = command("sign-off", "error_rates", "--by", "Ada", env=lives.env)
            daemon.stop(signal.SIGKILL)
        assert told.returncode == 0, told.stderr
        for _ in range(3):
            lives.live(4.0)
            assert _document(lives) == frozen
    with lives.daemon() as daemon:
        page = eventually(
            "every call is counted, and none twice",
            lambda: _with_calls(lives.look(daemon), application.calls),
            within_seconds=30,
        )
    assert page
    assert _document(lives) == frozen
    assert "approved by Ada" in command("report", env=lives.env | _url(monitored)).stdout
    remembered = sum(
        each.calls
        for each in loads(frozen).classes
        if (each.class_name, each.role) == tuple(dict(PLACE).values())
    )
    assert 0 < remembered <= unmatched, "a call is of before or of after, never of both"
    assert _unmatched(page) - unmatched <= lives.first_polls - first_polls, "one poll a kill"


def _with_calls(page: Page, calls: int) -> Page | None:
    return page if page.value(CALLS, **dict(PLACE)) == calls else None


def _unmatched(page: Page) -> float:
    """Return how many calls are counted that are not held against the baseline."""
    called = page.value(CALLS, **dict(PLACE))
    assert called is not None
    return called - (page.value("loom_statement_matched_calls_total", **dict(PLACE)) or 0.0)


# ── Documents that are not to be trusted ─────────────────────────────────────────────────────────


@pytest.fixture
def captured(monitored: LoomDatabase, lives: Lives) -> str:
    """Return a baseline of the database, and leave none in the state."""
    with Application(monitored) as application:
        eventually("there are calls", lambda: application.calls > 50, within_seconds=30)
    done = command("baseline", "capture", "--since-reset", env=lives.env | _url(monitored))
    assert done.returncode == 0, done.stderr
    document = _document(lives)
    with opened(_state(lives)) as store:
        assert store.save("loom", TOPIC, {DEPLOYMENT.name: None})
    return document


def test_baseline_that_cannot_be_trusted_is_refused_and_everything_else_goes_on(
    monitored: LoomDatabase, lives: Lives, captured: str
) -> None:
    others = {
        Refusal.TAMPERED: captured.replace('"calls":', '"calls":1', 1),
        Refusal.TRUNCATED: captured[: len(captured) // 2],
        Refusal.NEWER_VERSION: captured.replace("baseline/1", "baseline/2", 1),
        Refusal.OTHER_DATABASE: _foreign(captured),
    }
    with lives.daemon() as daemon:
        daemon.wait_until_ready()
        for reason, document in others.items():
            with opened(_state(lives)) as store:
                assert store.save("loom", TOPIC, {DEPLOYMENT.name: document})
            _assert_refused(daemon, reason)
            done = command("baseline", "show", env=lives.env | _url(monitored))
            assert done.returncode == (4 if reason is Refusal.OTHER_DATABASE else 1)
            (line,) = done.stderr.splitlines()
            assert f"({reason})" in line
            assert done.stdout == ""
        page = daemon.page()
        assert page.value("loom_users") == 200
        assert page.states["pg_stat_statements"] == "ok"
        assert daemon.get("/-/healthy").status == 200
        daemon.stop()
        assert daemon.process.returncode == 0
    with lives.daemon() as daemon:
        _assert_refused(daemon, Refusal.OTHER_DATABASE)


@pytest.mark.parametrize("fault", ["tampered", "truncated", "newer_version"])
def test_import_of_a_baseline_that_cannot_be_trusted_leaves_the_state_as_it_was(
    monitored: LoomDatabase, lives: Lives, captured: str, tmp_path: Path, fault: str
) -> None:
    file = tmp_path / "baseline.json"
    env = lives.env | _url(monitored)
    file.write_text(captured)
    assert command("baseline", "import", str(file), env=env).returncode == 0
    file.write_text(
        {
            "tampered": captured.replace('"calls":', '"calls":1', 1),
            "truncated": captured[: len(captured) // 2],
            "newer_version": captured.replace("baseline/1", "baseline/2", 1),
        }[fault]
    )
    done = command("baseline", "import", str(file), env=env)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"loom-exporter: {file}: ")
    assert f"({fault})" in line
    assert _document(lives) == captured


def test_baseline_of_another_database_is_taken_over_by_a_running_daemon_if_told_to(
    monitored: LoomDatabase, lives: Lives, captured: str, tmp_path: Path
) -> None:
    file = tmp_path / "foreign.json"
    file.write_text(_foreign(captured))
    env = lives.env | _url(monitored)
    with lives.daemon() as daemon:
        eventually("it collects", lambda: _is(daemon, "collecting"), within_seconds=30)
        done = command("baseline", "import", str(file), env=env)
        assert done.returncode == 4
        (line,) = done.stderr.splitlines()
        assert "--allow-other-database" in line
        assert _is(daemon, "collecting")
        done = command("baseline", "import", str(file), "--allow-other-database", env=env)
        assert done.returncode == 0, done.stderr
        eventually("it is taken up", lambda: _is(daemon, "frozen"), within_seconds=30)
        calls = daemon.page().value("loom_baseline_calls", **dict(PLACE))
    assert calls
    assert calls > 50
    exported = tmp_path / "exported.json"
    assert command("baseline", "export", str(exported), env=env).returncode == 0
    assert loads(exported.read_text()).statements == loads(captured).statements
    assert exported.stat().st_mode & 0o777 == 0o600


def _foreign(document: str) -> str:
    """Return the same baseline, of another server."""
    baseline = loads(document)
    identity = baseline.identity.model_copy(update={"system_identifier": "7432109876543210987"})
    return dumps(baseline.model_copy(update={"identity": identity}))


def _assert_refused(daemon: Daemon, reason: Refusal) -> None:
    def is_refused() -> bool:
        return daemon.page().value("loom_baseline_refused", reason=reason) == 1.0

    eventually(f"{reason} is shown", is_refused, within_seconds=30)
    assert _is(daemon, "refused")
    (line,) = [line for line in daemon.stderr.splitlines() if f"reason={reason}" in line]
    assert "the baseline is refused" in line


# ── When the deployment was ──────────────────────────────────────────────────────────────────────


def test_rewritten_history_is_no_new_deployment_but_a_rollout_begins_the_warm_up_anew(
    new_server: NewServer, tmp_path: Path
) -> None:
    """With commit times on, where the rewritten rows look as if they were new."""
    server = new_server(settings={"track_commit_timestamp": "on"})
    make_template(server)
    loom = make_database(server)
    install_grants(loom)
    lives = Lives(loom, tmp_path / "state", "10s")  # and 5 s of warm-up
    with lives.daemon() as daemon:
        eventually("nothing is applied", lambda: _warmup(daemon) == 0, within_seconds=30)
        deploy(loom, "healthy")
        eventually("it warms up", lambda: _warmup(daemon) == 1, within_seconds=30)
        eventually("it is warm", lambda: _warmup(daemon) == 0, within_seconds=30)
        applied = daemon.page().series("loom_deployment_timestamp_seconds")
        assert len(applied) == len(DEPLOYMENT.phases)
        with Scraper(daemon.port, "loom_deployment_", every_seconds=0.2) as scraper:
            with loom.connect() as connection:
                rows = connection.execute(f"SELECT version, name FROM {HISTORY}").fetchall()
                connection.execute(f"DELETE FROM {HISTORY}")
                eventually("it is noticed", lambda: _rewritten(daemon), within_seconds=30)
                for row in rows:
                    connection.execute(
                        f"INSERT INTO {HISTORY} (version, name) VALUES (%s, %s)", row
                    )
            eventually("they are back", lambda: _applied(daemon) == 3, within_seconds=30)
            judged = _verdicts(daemon)
            eventually("that is judged", lambda: _verdicts(daemon) > judged + 1, within_seconds=30)
        assert {
            value for _, value in scraper.values('loom_deployment_warmup_active{database="loom"}')
        } == {0.0}
        assert daemon.page().series("loom_deployment_timestamp_seconds") == applied
        assert command("deploy", "mark", "--at", "now", env=lives.env).returncode == 0
        eventually("it warms up again", lambda: _warmup(daemon) == 1, within_seconds=30)
        assert daemon.page().series("loom_deployment_timestamp_seconds") == applied


def _warmup(daemon: Daemon) -> float | None:
    return daemon.page().value("loom_deployment_warmup_active")


def _rewritten(daemon: Daemon) -> float | None:
    return daemon.page().value("loom_deployment_history_rewritten_timestamp_seconds")


def _applied(daemon: Daemon) -> float | None:
    return daemon.page().total("loom_migration_applied")


def _verdicts(daemon: Daemon) -> float:
    return daemon.page().value("loom_exporter_query_runs_total", query="verdict") or 0.0


def _has_polled(daemon: Daemon) -> bool:
    return daemon.page().states.get("pg_stat_statements") == "ok"


def _is(daemon: Daemon, state: str) -> bool:
    return daemon.page().value("loom_baseline_state", state=state) == 1.0


def _state(lives: Lives) -> Path:
    return Path(lives.env["LOOM_EXPORTER_STATE_DIR"]) / "state.sqlite3"


def _document(lives: Lives) -> str:
    with opened(_state(lives), read_only=True) as store:
        document = store.read("loom", TOPIC, DEPLOYMENT.name)
    assert document is not None
    return document


def _url(loom: LoomDatabase) -> dict[str, str]:
    return {"LOOM_EXPORTER_DATABASE_URL": loom.dsn(MONITOR)}
