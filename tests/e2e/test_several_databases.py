"""Several databases in one daemon: each has its pack, its page, its verdict and its bad days."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

import psycopg
import pytest
import yaml

from exporter.database.roles import ROLE
from tests.support.daemon import Daemon, command
from tests.support.loom_database import drop_database
from tests.support.observers import Sockets, eventually
from tests.support.queries import DEPLOYMENT, make_folder, query_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.conftest import NewServer
    from tests.support.daemon import Page
    from tests.support.loom_database import LoomDatabase

AWAY = "postgresql://nobody@127.0.0.1:1/nothing"
UP = "loom_database_up"
WARMUP = "loom_deployment_warmup_active"
"""Is there as soon as there is a verdict."""
MARKED = re.sub("    migrations:\n.*\n", "", DEPLOYMENT) + "history: {kind: none}\n"
"""A deployment of which people say when it began."""

FAILURES = "loom_exporter_query_failures_total"
SUCCESS = "loom_exporter_query_last_success_timestamp_seconds"


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """Return a folder with two packs, which share a metric and have one each of their own."""
    # What a run that is held up misses is not old at once.
    kept = {"max_age": "60s"}
    shared = query_text(
        {"loom_shared": {"value": "things"}}, interval="1s", timeout="900ms", **kept
    )
    once = query_text({"loom_once": {"value": "things"}}, interval="1h")
    for name, value in (("left", 1), ("right", 2)):
        own = query_text(
            {f"loom_{name}": {"value": "things"}},
            sql=f"SELECT {value} AS things",
            interval="2s",
            timeout="1900ms",
            **kept,
        )
        make_folder(
            tmp_path / name,
            {"deployment.yaml": MARKED, "own.sql": own, "shared.sql": shared, "once.sql": once},
        )
    return tmp_path


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the config file with these databases, and returns its path."""

    def write(*databases: dict[str, str], **others: object) -> Path:
        path = tmp_path / "config.yaml"
        state = str(tmp_path / "state")
        text = yaml.safe_dump({"databases": list(databases), "state_dir": state, **others})
        path.with_suffix(".new").write_text(text, encoding="utf-8")
        path.with_suffix(".new").rename(path)
        return path

    return write


@pytest.fixture
def second(monitored: LoomDatabase) -> str:
    """Return the URL of another database on the same server."""
    with psycopg.connect(monitored.server.dsn(), autocommit=True) as connection:
        drop_database(connection, "second")
        connection.execute("CREATE DATABASE second")
    return monitored.server.dsn("second", ROLE, monitored.server.password)


def _of(url: str, packs: Path, pack: str, name: str | None = None) -> dict[str, str]:
    return {"url": url, "pack": str(packs / pack), **({"name": name} if name else {})}


def _daemon(config: Path) -> Daemon:
    env = {"LOOM_EXPORTER_STATE_DIR": "", "LOOM_EXPORTER_CONFIG": str(config)}
    return Daemon(None, env=env)


def _until_new(daemon: Daemon, database: str, query: str, after: float) -> float:
    """Wait for an answer of a query that is newer than `after`, and return its time."""
    return eventually(
        f"{query} of {database} is answered again",
        lambda: (
            at
            if (at := daemon.page().value(SUCCESS, database=database, query=query) or 0) > after
            else 0
        ),
    )


def _page_with(daemon: Daemon, expected: Mapping[tuple[str, str], float]) -> Page | None:
    """Return a page that has these values, by metric and database; None if it has not."""
    page = daemon.page()
    values = {(name, database): page.value(name, database=database) for name, database in expected}
    return page if values == expected else None


def _report(daemon: Daemon, database: str) -> str:
    def found() -> str:
        answer = daemon.get(f"/report?format=markdown&database={database}")
        return answer.body if answer.status == 200 else ""

    return eventually(f"there is a report of {database}", found)


def _assert_each_family_stands_once(page: Page) -> None:
    kinds = re.findall(r"^# TYPE (\S+) ", page.text, re.MULTILINE)
    assert len(kinds) == len(set(kinds))
    names = [line.split("{")[0].split(" ")[0] for line in page.text.splitlines() if line[0] != "#"]
    runs = [name for name, before in zip(names, ["", *names], strict=False) if name != before]
    plain = [name for name in runs if not name.endswith(("_bucket", "_sum", "_count"))]
    assert len(plain) == len(set(plain)), "the samples of a family stand together"


def test_two_databases_with_two_packs_are_on_one_page(
    monitored: LoomDatabase, second: str, packs: Path, config: Callable[..., Path]
) -> None:
    path = config(
        _of(monitored.dsn(ROLE), packs, "left", "staging & more"), _of(second, packs, "right")
    )
    with _daemon(path) as daemon:
        daemon.wait_until_ready()
        of_each = {UP: 1.0, "loom_shared": 1.0, WARMUP: 0.0}
        expected = {
            ("loom_left", "staging & more"): 1.0,
            ("loom_right", "second"): 2.0,
            **{(name, "staging & more"): value for name, value in of_each.items()},
            **{(name, "second"): value for name, value in of_each.items()},
        }
        page = eventually("each is answered and judged", lambda: _page_with(daemon, expected))
        assert page
        assert (page.total("loom_left"), page.total("loom_right")) == (1, 2)
        _assert_each_family_stands_once(page)
        links = re.findall(r'href="(\?database=[^"]+)"', daemon.get("/").body)
        assert links == ["?database=staging%20%26%20more", "?database=second"]
        for link, name in zip(links, ("staging &amp; more", "second"), strict=True):
            shown = daemon.get(f"/{link}")
            assert (shown.status, f"<b>{name}</b>" in shown.body) == (200, True)
            for inner in re.findall(r'href="([^"]+)"', shown.body):
                path_of = urljoin(f"/{link}", inner.replace("&amp;", "&"))
                assert daemon.get(path_of).status == 200
        verdict = json.loads(daemon.get("/api/v1/verdict?database=second").body)
        assert verdict["database"] == "second"
        assert daemon.get("/api/v1/verdict").status == 400
        assert daemon.get("/report?database=third").status == 404
        listed = json.loads(daemon.get("/api/v1/databases").body)["databases"]
        names = [each["database"] for each in listed]
        assert names == ["staging & more", "second"]
        url = f"http://127.0.0.1:{daemon.port}"
        told = command("verify", "--url", url, "--all", "--format", "json")
        assert {*json.loads(told.stdout)["databases"]} == {*names}
        one = command("verify", "--url", url, "--database", "second", "--format", "json")
        assert json.loads(one.stdout)["database"] == "second"
        none = command("verify", "--url", url)
        assert (none.returncode, "database: must be one of" in none.stderr) == (2, True)
        daemon.stop()
        assert daemon.process.returncode == 0
        assert '"second"' in daemon.stderr or "database=second" in daemon.stderr


def test_one_that_hangs_and_one_that_is_away_change_nothing_for_the_others(
    monitored: LoomDatabase, new_server: NewServer, packs: Path, config: Callable[..., Path]
) -> None:
    frozen = new_server()
    path = config(
        _of(frozen.dsn(), packs, "right", "frozen"),
        _of(AWAY, packs, "right", "away"),
        _of(monitored.dsn(ROLE), packs, "left", "well"),
    )
    with _daemon(path) as daemon:
        daemon.wait_until_ready()
        last = _until_new(daemon, "well", "own", 0)
        frozen.freeze()
        try:
            eventually(
                "the frozen one is known to be down",
                lambda: daemon.page().value(UP, database="frozen") == 0,
            )
            for _ in range(4):
                last = _until_new(daemon, "well", "own", last)
            page = daemon.page()
        finally:
            frozen.thaw()
        assert page.value(UP, database="well") == 1
        assert page.value(UP, database="away") == 0
        # What a busy machine holds up is a timeout; a neighbour that hangs would be another state.
        timeouts = page.total(FAILURES, database="well", query="own", state="timeout")
        assert page.total(FAILURES, database="well", query="own") == timeouts is not None
        assert daemon.get("/-/ready").status == 200
        eventually("it is back", lambda: daemon.page().value(UP, database="frozen") == 1)


def test_what_is_known_of_each_database_survives_a_restart(
    monitored: LoomDatabase, second: str, packs: Path, config: Callable[..., Path]
) -> None:
    path = config(_of(monitored.dsn(ROLE), packs, "left"), _of(second, packs, "right"))
    with _daemon(path) as daemon:
        daemon.wait_until_ready()
        text = ("--config", str(path), "--by", "Ada")
        assert command("deploy", "note", "cold cache", "--database", "loom", *text).returncode == 0
        assert command("deploy", "note", "no news", "--database", "second", *text).returncode == 0
        daemon.process.kill()
        daemon.process.wait()
    with _daemon(path) as daemon:
        daemon.wait_until_ready()
        reports = {name: _report(daemon, name) for name in ("loom", "second")}
    assert ("cold cache" in reports["loom"], "no news" in reports["loom"]) == (True, False)
    assert ("cold cache" in reports["second"], "no news" in reports["second"]) == (False, True)


def test_the_worst_exit_code_of_all_counts(
    monitored: LoomDatabase, second: str, packs: Path, config: Callable[..., Path]
) -> None:
    judged = "criteria: {fine: {title: All is fine., phase: one, manual: true}}\n"
    for pack in ("left", "right"):
        with (packs / pack / "deployment.yaml").open("a", encoding="utf-8") as file:
            file.write(judged)
    left, right = _of(monitored.dsn(ROLE), packs, "left"), _of(second, packs, "right")
    path = config(left, right)
    with _daemon(path) as daemon:
        daemon.wait_until_ready()
    both = command("verify", "--all", "--config", str(path))
    assert both.returncode == 3, both
    assert re.findall(r"^== (\w+) ==$", both.stdout, re.MULTILINE) == ["loom", "second"]
    path = config(left, right, _of(AWAY, packs, "right", "away"))
    away = command("verify", "--all", "--config", str(path), "--format", "junit")
    assert away.returncode == 4, away
    suites = ET.fromstring(away.stdout)
    assert [suite.get("hostname") for suite in suites] == ["loom", "second", "away"]
    assert [suite.get("errors") for suite in suites] == ["0", "0", "1"]
    no = ("sign-off", "fine", "--by", "Ada", "--reject", "--database", "second")
    assert command(*no, "--config", str(path)).returncode == 0
    refused = command("verify", "--all", "--config", str(path), "--format", "json")
    assert refused.returncode == 1, "a no-go is worse than one that is away"
    answers = json.loads(refused.stdout)["databases"]
    assert (answers["second"]["verdict"], "error" in answers["away"]) == ("no_go", True)
    assert command("verify", "--database", "loom", "--config", str(path)).returncode == 3
    for arguments, told in (
        ((), "3 databases; give --database NAME: loom, second, away"),
        (("--database", "third"), "no database third; known are loom, second, away"),
        (("--database", "loom", "--all"), "give either --database NAME or --all"),
    ):
        done = command("verify", *arguments, "--config", str(path))
        assert (done.returncode, told in done.stderr) == (2, True), done
    page = command("report", "--all", "--format", "html", "--config", str(path))
    assert (page.returncode, "is about one database" in page.stderr) == (2, True)
    report = command("report", "--all", "--config", str(path))
    assert (report.returncode, report.stdout.count("\n# ")) == (4, 2)


def test_list_that_changes_adds_and_removes_and_the_others_go_on(
    monitored: LoomDatabase, second: str, packs: Path, config: Callable[..., Path]
) -> None:
    stays, comes = _of(monitored.dsn(ROLE), packs, "left"), _of(second, packs, "right")
    goes = _of(monitored.dsn(ROLE), packs, "right", "gone")
    with _daemon(config(stays, goes)) as daemon:
        daemon.wait_until_ready()
        asked_once = daemon.page().value(SUCCESS, database="loom", query="once")
        config(stays, comes)
        eventually(
            "the new one is watched", lambda: daemon.page().value(UP, database="second") == 1
        )
        page = daemon.page()
        assert page.value(UP, database="gone") is None
        assert "gone" not in daemon.get("/").body
        assert daemon.get("/-/ready").status == 200
        config(stays, {"name": "broken"})
        reload = "loom_exporter_config_last_reload_successful"
        eventually(
            "a broken list is refused",
            lambda: daemon.page().value(reload, what="databases") == 0,
        )
        assert daemon.page().value(UP, database="second") == 1
        url = f"http://127.0.0.1:{daemon.port}"
        told = command("verify", "--all", "--url", url)
        assert (told.returncode, "it may not watch all databases" in told.stderr) == (4, True)
        config(stays)
        eventually("one is left", lambda: daemon.page().value(UP, database="second") is None)
        page = daemon.page()
        assert page.value(reload, what="databases") == 1
        assert page.value(SUCCESS, database="loom", query="once") == asked_once, "it went on"
        daemon.stop()
        assert daemon.process.returncode == 0


def test_tenants_are_found_by_a_query(
    monitored: LoomDatabase, second: str, packs: Path, config: Callable[..., Path]
) -> None:
    found = {
        "query": "SELECT datname::text FROM pg_database WHERE datname IN ('loom', 'second')",
        "template": second.replace("/second", "/{name}"),
        "pack": str(packs / "right"),
    }
    path = config(_of(monitored.dsn(ROLE), packs, "left"), databases_from=found)
    with _daemon(path) as daemon:
        expected = {
            (UP, "second"): 1.0,
            ("loom_right", "second"): 2.0,
            ("loom_left", "loom"): 1.0,  # one that is listed stays as it is
        }
        page = eventually("the tenant's pack is run", lambda: _page_with(daemon, expected))
        assert page
        assert page.value("loom_exporter_config_last_reload_successful", what="tenants") == 1
        assert monitored.server.password not in daemon.stderr + page.text
    told = command("verify", "--all", "--config", str(path), "--format", "json")
    assert {*json.loads(told.stdout)["databases"]} == {"loom", "second"}
    one = command("verify", "--database", "second", "--config", str(path), "--format", "json")
    assert json.loads(one.stdout)["database"] == "second"
    checked = command("check", "--database", "--config", str(path), "--format", "json")
    assert {each["database"] for each in json.loads(checked.stdout)["findings"]} == {
        "loom",
        "second",
    }
    assert checked.returncode == 0


def test_tenants_that_cannot_be_found_are_no_go(
    monitored: LoomDatabase, packs: Path, config: Callable[..., Path]
) -> None:
    found = {"query": "SELECT name FROM tenants", "template": f"{AWAY}/{{name}}"}
    path = config(_of(monitored.dsn(ROLE), packs, "left"), databases_from=found)
    reload = "loom_exporter_config_last_reload_successful"
    with _daemon(path) as daemon:
        eventually("it has a verdict", lambda: daemon.get("/api/v1/verdict").status == 200)
        daemon.wait_until_ready()  # the others are scraped all the same
        assert daemon.page().value(reload, what="tenants") == 0
        listed = json.loads(daemon.get("/api/v1/databases").body)
        assert 'relation "tenants" does not exist' in listed["problem"]
        url = f"http://127.0.0.1:{daemon.port}"
        told = command("verify", "--all", "--url", url, "--config", str(path))
    assert (told.returncode, "tenants cannot be found" in told.stderr) == (4, True)


def test_check_tells_of_each_database_and_the_worst_counts(
    monitored: LoomDatabase, second: str, packs: Path, config: Callable[..., Path]
) -> None:
    wrong = query_text({"loom_wrong": {"value": "things"}}, sql="SELECT nothing AS things")
    make_folder(packs / "wrong", {"deployment.yaml": MARKED, "wrong.sql": wrong})
    path = config(
        _of(monitored.dsn(ROLE), packs, "left"),
        _of(second, packs, "wrong"),
        _of(AWAY, packs, "right", "away"),
    )
    offline = command("check", "--config", str(path))
    assert offline.returncode == 0, offline.stderr
    told = command("check", "--database", "--config", str(path))
    _, *parts = re.split(r"^== (.+) ==$", told.stdout, flags=re.MULTILINE)
    states = {
        name: {line.split()[0] for line in text.splitlines() if line}
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }
    assert states == {"loom": {"ok"}, "second": {"ok", "error"}, "away": {"unreachable"}}
    assert told.returncode == 2, "a fault of a pack counts more than a server that is away"


def test_fifty_databases_of_a_server_share_a_few_sessions(
    monitored: LoomDatabase, tmp_path: Path, config: Callable[..., Path]
) -> None:
    """One database under fifty names, each of which may take two sessions."""
    text = query_text({"loom_left": {"value": "things"}}, interval="30s", timeout="20s")
    make_folder(tmp_path / "left", {"own.sql": text})
    names = [f"tenant_{number}" for number in range(50)]
    entries = [_of(monitored.dsn(), tmp_path, "left", name) for name in names]
    with (
        _daemon(config(*entries, server_connections=8)) as daemon,
        # Counted here: the server still has a session for a while that is over for the daemon.
        Sockets(daemon.process.pid, monitored.server.port) as sockets,
    ):
        daemon.wait_until_ready()
        page = daemon.page()
        assert all(page.value("loom_left", database=name) == 1 for name in names)
        assert all(page.value(UP, database=name) == 1 for name in names)
    assert 1 < max(sockets.counts) <= 8
