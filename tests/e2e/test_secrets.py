"""A password of every awkward character works in each way it may be given, and is told nowhere."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import pytest
from psycopg.conninfo import make_conninfo

from exporter.database.roles import ROLE
from tests.support.daemon import Daemon, command
from tests.support.observers import eventually
from tests.support.passwords import OTHER_PASSWORD, PASSWORD, fragments_in, set_password, until_up
from tests.support.queries import DEPLOYMENT, query_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

    Way = Callable[[str, Path], Mapping[str, str]]


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


MIGRATIONS = '    migrations:\n      - {version: "1", name: first}\n'
"""What `check` would look for in a history."""


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_password_is_used_and_not_told(
    monitored: LoomDatabase, queries: Path, tmp_path: Path, right: bool
) -> None:
    """What is wrong, in all ways at once, because it takes each process some seconds to tell.

    What is right is answered at once, and in time if few of them ask.
    """
    without_migrations = DEPLOYMENT.replace(MIGRATIONS, "") + "history: {kind: none}\n"
    (queries / "deployment.yaml").write_text(without_migrations, encoding="utf-8")
    (queries / "one.sql").write_text(
        query_text({"loom_one": {"value": "things"}}, timeout="30s"), encoding="utf-8"
    )
    set_password(monitored, PASSWORD if right else OTHER_PASSWORD)
    dsn = monitored.dsn(ROLE, PASSWORD)
    with ThreadPoolExecutor(3 if right else 2 * len(WAYS)) as threads:
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
            assert fragments_in(text) == set(), name


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
        assert fragments_in(done.stdout, done.stderr) == set()


def _told_by_daemon(env: Mapping[str, str], form: str, right: bool) -> str:
    """Run the daemon until it knows whether it may come in; return all that is seen of it."""
    with Daemon(None, "--log-format", form, "--log-level", "debug", env=env) as daemon:
        if right:
            until_up(daemon, 1)
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
