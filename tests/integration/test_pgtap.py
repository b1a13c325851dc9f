"""Suites as they run in a pipeline: pgTAP under pg_prove, and a script under psql, recorded."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from exporter.deployment.suite_results import load_suites
from exporter.state import StateStore
from tests.support.commands import run
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.tools import has_extension, missing, require_postgres, require_tool

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.demo.postgres import PostgresServer
    from exporter.deployment.suite_results import SuiteResult
    from tests.conftest import NewServer

PASSING = "SELECT ok(true, 'test ' || n) FROM generate_series(1, {count}) AS n;"
FINISH = "SELECT * FROM finish(); ROLLBACK;"

SCRIPT = r"""
\set ON_ERROR_STOP on
BEGIN;
CREATE TEMP TABLE results (test_name text, status text, message text);
INSERT INTO results SELECT 'Test ' || n, 'PASS', 'fine' FROM generate_series(1, 4) AS n;
INSERT INTO results VALUES ('Functions have a search_path', '{last}', 'all | of them');
SELECT * FROM results;
DO $$ BEGIN
  RAISE NOTICE 'Passed: %', (SELECT count(*) FROM results WHERE status = 'PASS');
  IF EXISTS (SELECT FROM results WHERE status = 'FAIL') THEN
    RAISE EXCEPTION 'Test suite failed';
  END IF;
END $$;
ROLLBACK;
"""


@pytest.fixture(scope="module")
def tools() -> tuple[Path, Path]:
    """Return pg_prove, and the programs of a PostgreSQL that has pgTAP."""
    bin_dir = require_postgres(15)
    if not has_extension(bin_dir, "pgtap"):
        missing("pgTAP is not installed (Debian: postgresql-15-pgtap)")
    return require_tool("pg_prove", "LOOM_TEST_PG_PROVE"), bin_dir


@pytest.fixture
def tap_server(tools: tuple[Path, Path], new_server: NewServer) -> PostgresServer:
    server = new_server(15)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pgtap")
    return server


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOM_EXPORTER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LOOM_EXPORTER_DATABASE_NAME", "loom")
    StateStore(tmp_path / "state" / "state.sqlite3", owner=True).close()
    return tmp_path / "state"


def _prove(tools: tuple[Path, Path], server: PostgresServer, folder: Path, **files: str) -> str:
    """Run files of tests as the pipeline does; return what it keeps."""
    for name, text in files.items():
        (folder / f"{name}.sql").write_text(text)
    pg_prove, bin_dir = tools
    done = subprocess.run(
        [pg_prove, "--verbose", "--dbname", server.dsn(), *(f"{name}.sql" for name in files)],
        cwd=folder,
        env={**os.environ, "PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    path = folder / "output.tap"
    path.write_text(done.stdout)
    return str(path)


def _newest(state_dir: Path, suite: str) -> SuiteResult:
    store = StateStore(state_dir / "state.sqlite3", read_only=True)
    try:
        people = store.scope("loom", DEPLOYMENT.name)
        return load_suites(people, DEPLOYMENT)[suite].results[-1]
    finally:
        store.close()


def test_suite_of_pgtap_passes_fails_and_is_cut_off(
    tools: tuple[Path, Path], tap_server: PostgresServer, state_dir: Path, tmp_path: Path
) -> None:
    good = f"BEGIN; SELECT plan(11); {PASSING.format(count=11)} {FINISH}"
    done = run("record", "rls", _prove(tools, tap_server, tmp_path, good=good))
    assert (done.exit_code, done.stdout) == (
        0,
        "rls: 11 passed, 0 failed, 0 skipped, 11 planned\n",
    )
    assert _newest(state_dir, "rls").at == pytest.approx(time.time(), abs=60)

    halves = {
        "first": f"BEGIN; SELECT plan(6); {PASSING.format(count=6)} {FINISH}",
        "second": f"BEGIN; SELECT plan(5); {PASSING.format(count=4)} "
        f"SELECT ok(false, 'client sees only shared'); {FINISH}",
    }
    done = run("record", "rls", _prove(tools, tap_server, tmp_path, **halves))
    assert done.exit_code == 1
    newest = _newest(state_dir, "rls")
    assert (newest.passed, newest.failed) == (10, 1)
    assert newest.failed_names == ("client sees only shared",)

    broken = (
        f"BEGIN; SELECT plan(11); {PASSING.format(count=5)} "
        f"SELECT results_eq('SELECT 1 / 0', 'SELECT 1', 'breaks'); {FINISH}"
    )
    done = run("record", "rls", _prove(tools, tap_server, tmp_path, broken=broken))
    assert done.exit_code == 1
    assert _newest(state_dir, "rls").problem == "5 of the 11 tests that it planned itself"

    skipped = (
        f"BEGIN; SELECT plan(11); {PASSING.format(count=9)} "
        f"SELECT skip('no second coach', 2); {FINISH}"
    )
    done = run("record", "rls", _prove(tools, tap_server, tmp_path, skipped=skipped))
    assert (done.exit_code, done.stdout) == (1, "rls: 9 passed, 0 failed, 2 skipped, 11 planned\n")


def test_suite_that_reaches_no_server_is_no_result(
    tools: tuple[Path, Path], tap_server: PostgresServer, state_dir: Path, tmp_path: Path
) -> None:
    tap_server.stop()
    output = _prove(tools, tap_server, tmp_path, good="SELECT 1;")
    done = run("record", "rls", output)
    assert done.exit_code == 2
    assert "holds neither TAP nor JUnit XML" in done.stderr
    store = StateStore(state_dir / "state.sqlite3", read_only=True)
    assert load_suites(store.scope("loom", DEPLOYMENT.name), DEPLOYMENT)["rls"].results == []
    store.close()


@pytest.mark.parametrize("options", [[], ["--no-align"], ["--tuples-only"]])
@pytest.mark.parametrize(("last", "code"), [("PASS", 0), ("FAIL", 1)])
def test_script_that_prints_its_results(
    tools: tuple[Path, Path],
    tap_server: PostgresServer,
    state_dir: Path,
    tmp_path: Path,
    options: list[str],
    last: str,
    code: int,
) -> None:
    script, output = tmp_path / "script.sql", tmp_path / "output.txt"
    script.write_text(SCRIPT.replace("{last}", last))
    with output.open("wb") as file:
        subprocess.run(
            [tools[1] / "psql", "--no-psqlrc", tap_server.dsn(), *options, "--file", script],
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
    done = run("record", "security_regression", str(output))
    assert done.exit_code == code, done
    newest = _newest(state_dir, "security_regression")
    assert (newest.passed, newest.failed) == (4 + (not code), code)
    assert newest.failed_names == (("Functions have a search_path",) if code else ())
