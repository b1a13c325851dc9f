"""A folder of queries that changes is taken up without a restart, or refused as a whole."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, TypeVar

from exporter.database.roles import ROLE
from tests.support.daemon import Daemon, Page
from tests.support.observers import Scraper, eventually
from tests.support.queries import DEPLOYMENT, make_folder, query_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

T = TypeVar("T")

EVERY_SECOND = {"LOOM_EXPORTER_MAX_INTERVAL": "1s"}
SERIES = 'loom_one{database="loom"}'
TRACKED = "tracked:\n  - {title: One, metric: loom_one}\n"
SUCCESSFUL = "loom_exporter_config_last_reload_successful"


def _query(name: str, value: int = 1) -> str:
    return query_text({name: {"value": "things"}}, sql=f"SELECT {value} AS things")


def _page(daemon: Daemon, name: str) -> Page:
    # A page for some names only is made anew, where a whole one may be some seconds old.
    return Page(daemon.get(f"/metrics?name[]={name}").body)


def _runs(daemon: Daemon, query: str) -> float:
    name = "loom_exporter_query_runs_total"
    return _page(daemon, name).value(name, query=query) or 0.0


def _mounted(folder: Path, version: str, files: dict[str, str]) -> Path:
    """Put files into a folder as Kubernetes mounts a ConfigMap, and replaces it."""
    folder.mkdir(exist_ok=True)
    make_folder(folder / f"..{version}", files)
    link = folder / "..new"
    link.symlink_to(f"..{version}")
    link.rename(folder / "..data")
    for name in ("deployment.yaml", *files):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    return folder


def _until_told(daemon: Daemon, text: str) -> None:
    eventually(f"the page tells {text}", lambda: text in daemon.get("/").body)


def _after_a_call(loom: LoomDatabase, look: Callable[[], T]) -> T:
    with loom.connect() as connection:
        connection.execute("SELECT count(*) FROM public.users")
    return look()


def test_new_queries_run_without_a_restart_and_what_stays_never_goes(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "queries"
    _mounted(folder, "1", {"one.sql": _query("loom_one"), "two.sql": _query("loom_two")})
    with Daemon(monitored.dsn(ROLE), "--queries", str(folder), env=EVERY_SECOND) as daemon:
        daemon.wait_until_ready()
        calls = "loom_statement_calls_total"
        eventually(
            "calls are counted",
            lambda: _after_a_call(monitored, lambda: _page(daemon, calls).total(calls)),
        )
        before = daemon.page()
        with Scraper(daemon.port, "loom_one") as scraper:
            _mounted(folder, "2", {"one.sql": _query("loom_one"), "two.sql": _query("loom_new", 7)})
            eventually(
                "the new query runs", lambda: _page(daemon, "loom_new").value("loom_new") == 7
            )
            assert daemon.get("/-/ready").status == 200
        after = daemon.page()
        assert len(scraper.values(SERIES)) == len(scraper.scrapes)
        assert after.value("loom_two") is None
        assert (after.total(calls) or 0) >= (before.total(calls) or 0) > 0
        assert after.value("loom_database_up") == 1
        eventually("the new query runs again and again", lambda: _runs(daemon, "two") > 2)
        daemon.stop()
        assert daemon.process.returncode == 0
        assert "Traceback" not in daemon.stderr


def test_lines_of_the_page_go_on_with_new_queries(monitored: LoomDatabase, tmp_path: Path) -> None:
    """What is tracked is the same; a minute lasts a second here."""
    folder = make_folder(
        tmp_path / "queries",
        {"deployment.yaml": DEPLOYMENT + TRACKED, "one.sql": _query("loom_one")},
    )
    env = {**EVERY_SECOND, "LOOM_EXPORTER_HOUR": "60s"}
    with Daemon(monitored.dsn(ROLE), "--queries", str(folder), env=env) as daemon:
        _until_told(daemon, "One: from 1 to 1 within")
        (folder / "one.sql").write_text(_query("loom_one", 2))
        _until_told(daemon, "One: from 1 to 2 within")
        eventually("the log tells", lambda: "watching with new queries" in daemon.stderr)


def test_hangup_ends_nothing_and_has_the_files_looked_at(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "queries", {"one.sql": _query("loom_one")})
    with Daemon(monitored.dsn(ROLE), "--queries", str(folder), env=EVERY_SECOND) as daemon:
        daemon.wait_until_ready()
        (folder / "one.sql").write_text(_query("loom_one", 2))
        daemon.process.send_signal(signal.SIGHUP)
        eventually("it looks", lambda: "looking at the files" in daemon.stderr)
        eventually("the new query runs", lambda: daemon.page().value("loom_one") == 2)
        daemon.stop()
        assert daemon.process.returncode == 0


def test_broken_folder_is_refused_with_each_fault_and_the_queries_run_on(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "queries", {"one.sql": _query("loom_one")})
    with Daemon(monitored.dsn(ROLE), "--queries", str(folder), env=EVERY_SECOND) as daemon:
        daemon.wait_until_ready()
        assert _page(daemon, SUCCESSFUL).value(SUCCESSFUL, what="queries") == 1
        (folder / "one.sql").write_text(_query("loom_one", 2).replace("interval", "intervall"))
        (folder / "two.sql").write_text("")
        eventually(
            "it is told", lambda: _page(daemon, SUCCESSFUL).value(SUCCESSFUL, what="queries") == 0
        )
        # One may be looked at before the other is written, and the page tells before the log does.
        faulty = [str(folder / name) for name in ("one.sql", "two.sql")]
        eventually("each fault is told", lambda: all(name in daemon.stderr for name in faulty))
        seen = _runs(daemon, "one")
        eventually("the query runs on", lambda: _runs(daemon, "one") > seen)
        assert daemon.page().value("loom_one") == 1
        (folder / "one.sql").write_text(_query("loom_one", 2))
        (folder / "two.sql").unlink()
        eventually(
            "the mended query runs", lambda: _page(daemon, "loom_one").value("loom_one") == 2
        )
        assert _page(daemon, SUCCESSFUL).value(SUCCESSFUL, what="queries") == 1
        assert "Traceback" not in daemon.stderr


def test_signal_ends_a_daemon_that_waits_for_a_query_to_replace_it(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    slow = query_text(
        {"loom_slow": {"value": "slow"}},
        sql="SELECT 1 AS slow FROM pg_sleep(50)",
        timeout="60s",
        interval="5m",
    )
    folder = make_folder(tmp_path / "queries", {"slow.sql": slow})
    with Daemon(monitored.dsn(ROLE), "--queries", str(folder)) as daemon:
        (folder / "slow.sql").write_text(_query("loom_one"))
        eventually(
            "the new queries are loaded",
            lambda: "a change of the files is in force" in daemon.stderr,
        )
        assert "watching with new queries" not in daemon.stderr
        assert daemon.stop() < 25, "it waited for the query"
        assert daemon.process.returncode == 0
        assert "Traceback" not in daemon.stderr
