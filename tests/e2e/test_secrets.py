"""A password of every awkward character works in each way it may be given, and is told nowhere."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from exporter.database.grants import ROLE
from tests.support.daemon import Daemon, Page, command
from tests.support.observers import eventually
from tests.support.queries import make_folder, query_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path
    from typing import LiteralString

    from tests.support.loom_database import LoomDatabase

    Way = Callable[[str, Path], Mapping[str, str]]

# Letters stand between the signs, so that a piece of it is not by chance a piece of anything else.
PASSWORD = "jQ x'Zv\"Kw\\qJ%4AG@Vz/Xk:7#Yq?wB&Hj=Uv$N`Fy;Pz<R>Zé漢ß{W}[k]|~^*!(x),+-_.Qq"
OTHER_PASSWORD = "another one"
NEXT_ROLE = f"{ROLE}_next"

FRAGMENT = 4
"""The length of a piece of the password that must not be seen."""


def _in_url(dsn: str, _: Path) -> Mapping[str, str]:
    return {"LOOM_EXPORTER_DATABASE_URL": dsn}


def _in_key_value(dsn: str, _: Path) -> Mapping[str, str]:
    return {"LOOM_EXPORTER_DATABASE_URL": make_conninfo(dsn)}


def _in_url_parameter(dsn: str, _: Path) -> Mapping[str, str]:
    without, password = _parted(dsn)
    return {"LOOM_EXPORTER_DATABASE_URL": f"{without}?password={password}&connect_timeout=5"}


def _in_url_file(dsn: str, folder: Path) -> Mapping[str, str]:
    path = folder / "url"
    path.write_text(dsn + "\n", encoding="utf-8")
    return {"LOOM_EXPORTER_DATABASE_URL_FILE": str(path)}


def _in_config(dsn: str, folder: Path) -> Mapping[str, str]:
    path = folder / "config.yaml"
    text = json.dumps(make_conninfo(dsn), ensure_ascii=False)
    path.write_text(f"database_url: {text}\n", encoding="utf-8")
    return {"LOOM_EXPORTER_CONFIG": str(path)}


def _in_pgpassword(dsn: str, _: Path) -> Mapping[str, str]:
    return {"LOOM_EXPORTER_DATABASE_URL": _parted(dsn)[0], "PGPASSWORD": PASSWORD}


def _in_passfile(dsn: str, folder: Path) -> Mapping[str, str]:
    path = folder / "passfile"
    path.touch(mode=0o600)
    escaped = re.sub(r"([\\:])", r"\\\1", PASSWORD)
    path.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
    return {"LOOM_EXPORTER_DATABASE_URL": f"{_parted(dsn)[0]}?passfile={quote(str(path), safe='')}"}


def _parted(dsn: str) -> tuple[str, str]:
    """Return a URL without its password, and the password as it stood there."""
    start, at, rest = dsn.rpartition("@")
    start, _, password = start.rpartition(":")
    return start + at + rest, password


WAYS: list[Way] = [
    _in_url,
    _in_key_value,
    _in_url_parameter,
    _in_url_file,
    _in_config,
    _in_pgpassword,
    _in_passfile,
]


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """Return a folder with one query."""
    return make_folder(
        tmp_path / "queries", {"one.sql": query_text({"loom_one": {"value": "things"}})}
    )


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_password_is_used_and_not_told(
    monitored: LoomDatabase, queries: Path, tmp_path: Path, right: bool
) -> None:
    """All ways at once, because what is wrong takes each process some seconds to tell."""
    _set_password(monitored, PASSWORD if right else OTHER_PASSWORD)
    dsn = monitored.dsn(ROLE, PASSWORD)
    with ThreadPoolExecutor(2 * len(WAYS)) as threads:
        told: dict[str, list[Future[str]]] = {}
        for number, way in enumerate(WAYS):
            env = {**way(dsn, tmp_path), "LOOM_EXPORTER_QUERIES": str(queries)}
            form = ("json", "console")[number % 2]
            told[way.__name__] = [
                threads.submit(_told_by_daemon, env, form, right),
                threads.submit(_told_by_command, env, ["check", "--database"], right),
            ]
            if way is _in_url and not right:  # it takes longest, and connects as the daemon does
                told[way.__name__].append(
                    threads.submit(_told_by_command, env, ["run", "one"], right)
                )
    for name, tellers in told.items():
        for teller in tellers:
            text = teller.result()
            assert ("password authentication failed" in text) is not right, name
            assert _fragments_in(text) == set(), name


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://{ROLE}:{PASSWORD}@127.0.0.1/loom",
        f"postgresql://{ROLE}@127.0.0.1/loom?password={PASSWORD}",
        f"host=127.0.0.1 dbname=loom user={ROLE} password={PASSWORD}",
        f"host=127.0.0.1 dbname=loom user={ROLE} password='{PASSWORD}'",
        f"{ROLE}:{PASSWORD}@127.0.0.1/loom",
    ],
)
def test_password_that_should_have_been_escaped_is_not_told_either(
    url: str, queries: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"database_url": url}, ensure_ascii=False), encoding="utf-8")
    given_in = [{"LOOM_EXPORTER_DATABASE_URL": url}, {"LOOM_EXPORTER_CONFIG": str(config)}]
    for env, arguments in zip(given_in, (["serve"], ["check", "--database"]), strict=True):
        done = command(*arguments, env={**env, "LOOM_EXPORTER_QUERIES": str(queries)})
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "percent-encode" in done.stderr
        assert _fragments_in(done.stdout, done.stderr) == set()


def test_rotated_password_needs_no_restart(monitored: LoomDatabase) -> None:
    _set_password(monitored, PASSWORD)
    with Daemon(monitored.dsn(ROLE, PASSWORD), env={"LOOM_EXPORTER_MAX_INTERVAL": "1s"}) as daemon:
        _until_up(daemon, 1)
        _set_password(monitored, OTHER_PASSWORD)
        _end_sessions(monitored)
        _until_up(daemon, 0)
        daemon.url_file.write_text(monitored.dsn(ROLE, OTHER_PASSWORD))
        _until_up(daemon, 1)
        assert OTHER_PASSWORD not in daemon.stderr
        assert _fragments_in(daemon.stderr) == set()


def test_broken_file_leaves_the_last_good_one_in_force(
    monitored: LoomDatabase, queries: Path
) -> None:
    _set_password(monitored, PASSWORD)
    dsn = monitored.dsn(ROLE, PASSWORD)
    env = {"LOOM_EXPORTER_MAX_INTERVAL": "1s", "LOOM_EXPORTER_QUERIES": str(queries)}
    with Daemon(dsn, env=env) as daemon:
        _until_up(daemon, 1)
        assert _is_in_force(daemon)
        for broken in (dsn[: dsn.rindex("@")], ""):
            daemon.url_file.write_text(broken)
            _end_sessions(monitored)
            eventually("it is told", lambda: not _is_in_force(daemon))
            _until_connected(monitored)
            _until_up(daemon, 1)
            daemon.url_file.write_text(dsn)
            _end_sessions(monitored)
            eventually("it is mended", lambda: _is_in_force(daemon))
            _until_up(daemon, 1)
        assert f"{daemon.url_file}: the password holds a character" in daemon.stderr
        assert f"{daemon.url_file}: is empty" in daemon.stderr
        assert _fragments_in(daemon.stderr) == set()
        assert "Traceback" not in daemon.stderr


def test_next_connection_uses_the_rotated_file_and_no_query_fails(
    monitored: LoomDatabase, queries: Path
) -> None:
    """The old way in and the new one are both open for a while, as is good practice."""
    with monitored.connect() as owner:
        owner.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(NEXT_ROLE), sql.Literal(OTHER_PASSWORD), sql.Identifier(ROLE)
            )
        )
    _set_password(monitored, PASSWORD)
    env = {"LOOM_EXPORTER_MAX_INTERVAL": "1s", "LOOM_EXPORTER_QUERIES": str(queries)}
    try:
        with Daemon(monitored.dsn(ROLE, PASSWORD), env=env) as daemon:
            _until_up(daemon, 1)
            assert _roles_of_sessions(monitored) == {ROLE}
            new = daemon.url_file.with_suffix(".new")
            new.write_text(monitored.dsn(NEXT_ROLE, OTHER_PASSWORD))
            new.rename(daemon.url_file)
            _end_sessions(monitored, "AND state = 'idle'")
            eventually(
                "the next connection uses it", lambda: _roles_of_sessions(monitored) == {NEXT_ROLE}
            )
            runs = daemon.page().value("loom_exporter_query_runs_total", query="one")
            assert runs is not None
            eventually(
                "the query runs on",
                lambda: (
                    (daemon.page().value("loom_exporter_query_runs_total", query="one") or 0) > runs
                ),
            )
            assert daemon.page().total("loom_exporter_query_failures_total") == 0
            assert daemon.page().value("loom_database_up") == 1
            assert OTHER_PASSWORD not in daemon.stderr
    finally:
        with monitored.connect() as owner:
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(NEXT_ROLE)))


def _told_by_daemon(env: Mapping[str, str], form: str, right: bool) -> str:
    """Run the daemon until it knows whether it may come in; return all that is seen of it."""
    with Daemon(None, "--log-format", form, "--log-level", "debug", env=env) as daemon:
        if right:
            _until_up(daemon, 1)
        else:
            eventually(
                "the log tells why not", lambda: "password authentication failed" in daemon.stderr
            )
            assert daemon.page().value("loom_database_up") == 0
        paths = ("/", "/report", "/api/v1/verdict", "/metrics", "/-/ready", "/nothing")
        pages = [daemon.get(path).body for path in paths]
        arguments = psutil.Process(daemon.process.pid).cmdline()
        daemon.stop()
        return "\n".join([*pages, *arguments, daemon.stdout, daemon.stderr])


def _told_by_command(env: Mapping[str, str], arguments: list[str], right: bool) -> str:
    """Run a command that connects; return what it says."""
    done = command(*arguments, env=env)
    assert done.returncode == (0 if right else 4), done
    return done.stdout + done.stderr


def _until_up(daemon: Daemon, up: float) -> None:
    eventually(f"loom_database_up is {up}", lambda: daemon.page().value("loom_database_up") == up)


def _is_in_force(daemon: Daemon) -> bool:
    """Return whether the connection string is the one that its file holds now."""
    name = "loom_exporter_config_last_reload_successful"
    # A page for some names only is made anew, where a whole one may be some seconds old.
    page = Page(daemon.get(f"/metrics?name[]={name}").body)
    return page.value(name, what="database_url") == 1


def _until_connected(loom: LoomDatabase) -> None:
    eventually("it connects", lambda: _roles_of_sessions(loom) == {ROLE})


def _set_password(loom: LoomDatabase, password: str) -> None:
    with loom.connect() as connection:
        connection.execute(
            # More connections than it usually may have, for many processes at once.
            sql.SQL("ALTER ROLE {} PASSWORD {} CONNECTION LIMIT 50").format(
                sql.Identifier(ROLE), sql.Literal(password)
            )
        )
    with psycopg.connect(loom.dsn(ROLE, password)):
        pass


def _end_sessions(loom: LoomDatabase, condition: LiteralString = "") -> None:
    with loom.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s "
            + condition,
            [ROLE],
        )


def _roles_of_sessions(loom: LoomDatabase) -> set[str]:
    with loom.connect() as connection:
        return {
            role
            for (role,) in connection.execute(
                "SELECT usename FROM pg_stat_activity WHERE application_name = 'loom-exporter'"
            )
        }


def _fragments_in(*texts: str) -> set[str]:
    """Return the pieces of the password that are seen, however they are encoded."""
    forms = {
        PASSWORD,
        quote(PASSWORD, safe=""),
        quote(PASSWORD),
        json.dumps(PASSWORD),
        json.dumps(PASSWORD, ensure_ascii=False),
        repr(PASSWORD),
        ascii(PASSWORD),
        make_conninfo(password=PASSWORD).removeprefix("password="),
    }
    fragments = {
        form[start : start + FRAGMENT]
        for form in forms
        for start in range(len(form) - FRAGMENT + 1)
    }
    return {fragment for fragment in fragments for text in texts if fragment in text}
