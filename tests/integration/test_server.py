"""The temporary server is what every other claim about PostgreSQL rests on."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from exporter.demo.postgres import PostgresServer
from exporter.demo.processes import children, wait_until_gone
from exporter.demo.programs import ServerError, embedded_bin_dir
from tests.support.loom_database import make_database
from tests.support.marks import only_18
from tests.support.observers import HANG_SECONDS
from tests.support.tools import POSTGRES_VERSIONS

if TYPE_CHECKING:
    from tests.conftest import NewServer
    from tests.support.loom_database import LoomDatabase

each_version = pytest.mark.parametrize("version", POSTGRES_VERSIONS)


def test_shared_server_is_of_its_version_and_asks_for_the_password(server: PostgresServer) -> None:
    with psycopg.connect(server.dsn()) as connection:
        assert connection.info.server_version // 10000 == server.version
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn(user=server.superuser, password="wrong"))


@each_version
def test_stop_leaves_no_process(new_server: NewServer, version: int) -> None:
    server = new_server(version)
    pids = [server.pid, *children(server.pid)]
    assert len(pids) > 1
    server.stop()
    assert not server.running
    wait_until_gone(pids, timeout_seconds=HANG_SECONDS)


@each_version
def test_killed_server_comes_back_on_its_port_with_its_data(
    new_server: NewServer, version: int
) -> None:
    server = new_server(version)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(server.dsn())
    for _ in range(2):
        server.start()
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        server.restart("immediate")
        server.stop()


def test_frozen_server_answers_nobody_until_it_is_thawed(new_server: NewServer) -> None:
    server = new_server()
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        server.freeze()
        assert server.running
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(server.dsn(), connect_timeout=2)
        server.thaw()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_frozen_server_can_be_stopped(new_server: NewServer) -> None:
    server = new_server()
    server.freeze()
    server.stop()
    assert not server.running


def test_server_ends_with_its_owner_even_when_frozen(
    server_folder: Path,
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(server_folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) > 1
        owner.send_signal(signal.SIGKILL)
    wait_until_gone(pids, timeout_seconds=HANG_SECONDS)


_OWNER = """
import sys, time
from pathlib import Path
from exporter.demo.processes import children
from exporter.demo.programs import embedded_bin_dir
from exporter.demo.postgres import PostgresServer
server = PostgresServer(embedded_bin_dir(), Path(sys.argv[1])).start()
server.freeze()
print(server.pid, *children(server.pid), flush=True)
time.sleep(60)
"""


def test_failed_start_quotes_the_log_and_leaves_nothing_running(
    server_folder: Path,
) -> None:
    server = PostgresServer(
        embedded_bin_dir(), server_folder, settings={"shared_buffers": "plenty"}
    )
    with pytest.raises(ServerError, match='invalid value for parameter "shared_buffers": "plenty"'):
        server.start()
    assert not server.running


def test_taken_port_is_told(new_server: NewServer, server_folder: Path) -> None:
    port = new_server().port
    with pytest.raises(ServerError, match="Address already in use"):
        PostgresServer(embedded_bin_dir(), server_folder, port=port).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs the server under its own name")
def test_root_brings_programs_within_reach_without_opening_its_own_folders(
    tmp_path: Path, server_folder: Path
) -> None:
    package = embedded_bin_dir().parents[1]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(package / "pginstall", closed / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    shutil.copytree(libraries, closed / libraries.name)
    bin_dir = closed / package.name / "pginstall" / "bin"
    with (
        PostgresServer(bin_dir, server_folder) as server,
        psycopg.connect(server.dsn()) as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_loom_is_as_before_the_deployment_and_open_to_its_owner(loom: LoomDatabase) -> None:
    with loom.connect("postgres") as connection:
        assert connection.execute("SELECT to_regclass('public.users') IS NOT NULL").fetchone() == (
            True,
        )
        assert connection.execute("SHOW search_path").fetchone() == ('"$user", public, extensions',)


@only_18
def test_what_a_test_leaves_behind_is_gone_in_the_next(server: PostgresServer) -> None:
    for _ in range(2):
        with make_database(server).connect("postgres") as connection:
            left = connection.execute("SELECT to_regclass('public.left_behind')").fetchone()
            assert left == (None,)
            connection.execute("CREATE TABLE public.left_behind ()")


def test_cron_is_at_work_and_the_owner_may_schedule(cron_loom: LoomDatabase) -> None:
    with cron_loom.connect("postgres") as connection:
        connection.execute("SELECT cron.schedule('refresh', '* * * * *', 'SELECT 1')")
        assert connection.execute("SELECT jobname, active, username FROM cron.job").fetchall() == [
            ("refresh", True, "postgres")
        ]
