"""The daemon behind TLS and a password: as Prometheus and a container's health check see it."""

from __future__ import annotations

import base64
import http.client
import signal
import socket
from typing import TYPE_CHECKING

import bcrypt
import pytest

from exporter.database.roles import ROLE
from tests.support.certificates import Authority
from tests.support.daemon import Daemon, Page, command
from tests.support.observers import HANG_SECONDS, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

NO_DATABASE = "postgresql://nobody@127.0.0.1:1/nothing"
PASSWORD = "correct horse"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key%s}\n"
VERIFY = ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt"
IN_FORCE = dict.fromkeys(("database_url", "web_config", "tls", "queries"), 1)


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def web_config(tmp_path: Path, authority: Authority) -> Path:
    """Return a file that asks for TLS and for the password of one user."""
    authority.issue().write(tmp_path)
    (tmp_path / "ca.crt").write_text(authority.pem)
    path = tmp_path / "web.yml"
    path.write_text(TLS % "" + _users(PASSWORD))
    return path


def _users(password: str) -> str:
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    return f"basic_auth_users: {{prometheus: {hashed}}}\n"


def _status(daemon: Daemon, password: str | None = None) -> int:
    return daemon.get("/metrics", headers=_credentials(password)).status


def _credentials(password: str | None) -> dict[str, str]:
    if password is None:
        return {}
    return {
        "Authorization": f"Basic {base64.b64encode(f'prometheus:{password}'.encode()).decode()}"
    }


def _healthcheck(daemon: Daemon) -> int:
    return command("healthcheck", "--listen", f"127.0.0.1:{daemon.port}").returncode


def _reloaded(daemon: Daemon) -> dict[str, float]:
    """Return what /metrics says of each reload: whether the files are in force."""
    # A page for some names only is made anew, where a whole one may be some seconds old.
    name = "loom_exporter_config_last_reload_successful"
    answer = daemon.get(f"/metrics?name[]={name}", headers=_credentials(PASSWORD))
    assert answer.status == 200, answer
    return {dict(labels)["what"]: value for labels, value in Page(answer.body).series(name).items()}


def test_metrics_need_tls_and_the_password_and_health_needs_none(
    monitored: LoomDatabase, web_config: Path, authority: Authority
) -> None:
    arguments = ("--web.config.file", str(web_config))
    with Daemon(monitored.dsn(ROLE), *arguments, tls=authority.client()) as daemon:
        assert _status(daemon, PASSWORD) == 200
        assert _status(daemon, "wrong") == _status(daemon) == 401
        daemon.wait_until_ready()
        assert f"https://127.0.0.1:{daemon.port}" in daemon.stderr
        eventually("it is healthy", lambda: _healthcheck(daemon) == 0)
        plain = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=HANG_SECONDS)
        plain.request("GET", "/-/healthy")
        with pytest.raises((OSError, http.client.HTTPException)):
            plain.getresponse()
        plain.close()
        with socket.create_connection(("127.0.0.1", daemon.port)):  # a client that says nothing
            assert _status(daemon, PASSWORD) == 200
            daemon.stop()
        assert daemon.process.returncode == 0
        assert "Traceback" not in daemon.stderr
        assert PASSWORD not in daemon.stderr


def test_change_of_the_files_needs_no_restart_and_a_broken_one_changes_nothing(
    web_config: Path, authority: Authority
) -> None:
    folder = web_config.parent
    env = {"LOOM_EXPORTER_WEB_CONFIG_FILE": str(web_config)}
    with Daemon(NO_DATABASE, env=env, tls=authority.client()) as daemon:
        assert _reloaded(daemon) == IN_FORCE

        good = web_config.read_text()
        web_config.write_text(good + "nonsense: true\n")
        assert _reloaded(daemon) == {**IN_FORCE, "web_config": 0}
        assert f"{web_config}:3: nonsense: unknown key" in daemon.stderr
        web_config.write_text(TLS % "" + _users("new"))
        assert (_status(daemon, PASSWORD), _status(daemon, "new")) == (401, 200)
        web_config.write_text(good)
        assert _reloaded(daemon) == IN_FORCE

        key = (folder / "server.key").read_text()
        authority.issue().write(folder)
        (folder / "server.key").write_text(key)
        assert _reloaded(daemon) == {**IN_FORCE, "tls": 0}
        assert f"{web_config}:1: tls_server_config.key_file: " in daemon.stderr
        other = Authority("Next authority")
        other.issue().write(folder)
        daemon.tls = other.client()
        assert _reloaded(daemon) == IN_FORCE
        assert "Traceback" not in daemon.stderr


def test_client_without_a_certificate_gets_nothing_but_a_sign_of_life(
    web_config: Path, authority: Authority
) -> None:
    web_config.write_text(TLS % VERIFY)
    client = authority.client(authority.issue().write(web_config.parent, "client"))
    env = {"LOOM_EXPORTER_WEB_CONFIG_FILE": str(web_config)}
    with Daemon(NO_DATABASE, env=env, tls=client) as daemon:
        assert _status(daemon) == 200
        eventually("it is healthy", lambda: _healthcheck(daemon) == 0)
        daemon.tls = authority.client()
        with pytest.raises((OSError, http.client.HTTPException)):
            _status(daemon)
        daemon.process.send_signal(signal.SIGSTOP)
        assert _healthcheck(daemon) == 1
        daemon.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("basic_auth_users: {prometheus: secret}\n", ":1: basic_auth_users.prometheus: must be a"),
        (TLS % ", min_version: TLS13, http2: false", ":1: tls_server_config.http2: unknown key"),
        (TLS % "", ":1: tls_server_config.cert_file: "),
    ],
)
def test_file_that_cannot_be_used_ends_the_daemon_at_its_start(
    tmp_path: Path, content: str, remedy: str
) -> None:
    path = tmp_path / "web.yml"
    path.write_text(content)
    done = command(
        "serve",
        *("--web.config.file", str(path), "--listen", "127.0.0.1:0"),
        env={"LOOM_EXPORTER_DATABASE_URL": NO_DATABASE},
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"loom-exporter: {path}{remedy}")
    assert "secret" not in line
