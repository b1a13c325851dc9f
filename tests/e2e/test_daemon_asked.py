"""`verify`, `ready` and `report` with --url: a daemon answers, behind TLS and a password."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import bcrypt

from exporter.database.roles import ROLE
from tests.support.certificates import Authority
from tests.support.daemon import Daemon, command
from tests.support.observers import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

PASSWORD = "correct horse battery"


def test_daemon_is_asked_and_no_secret_is_printed(monitored: LoomDatabase, tmp_path: Path) -> None:
    authority = Authority()
    authority.issue().write(tmp_path)
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text(authority.pem)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    web_config = tmp_path / "web.yml"
    web_config.write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
        f"basic_auth_users: {{ada: {hashed}}}\n"
    )
    env = {
        "LOOM_EXPORTER_DAEMON_USER": "ada",
        "LOOM_EXPORTER_DAEMON_PASSWORD": PASSWORD,
        "LOOM_EXPORTER_DAEMON_CA_FILE": str(ca_file),
    }
    arguments = ("--web.config.file", str(web_config))
    with Daemon(monitored.dsn(ROLE), *arguments, tls=authority.client()) as daemon:
        url = f"https://127.0.0.1:{daemon.port}"

        def told(*command_line: str, **more: str) -> tuple[int, str, str]:
            done = command(*command_line, "--url", url, env={**env, **more})
            assert PASSWORD not in done.stdout + done.stderr
            return done.returncode, done.stdout, done.stderr

        eventually("a verdict", lambda: told("verify")[1], within_seconds=120)
        code, text, _ = told("verify")
        assert (code, text.split(":")[0]) == (3, "NOT DEPLOYED YET")
        code, text, _ = told("verify", "--format", "json")
        said = json.loads(text)
        assert (code, said["verdict"], said["stage"]) == (3, "inconclusive", "collecting")
        assert told("verify", "--format", "junit")[1].startswith("<?xml")
        code, text, _ = told("ready")
        assert code == 3
        assert "Reviewed, and the team is told" in text
        assert told("report", "--format", "notification")[1].startswith("Subject: ")
        assert told("report", "--format", "markdown")[1].startswith("# ")
        code, _, error = told("verify", LOOM_EXPORTER_DAEMON_PASSWORD="wrong")
        assert code == 2
        assert "LOOM_EXPORTER_DAEMON_USER" in error


def test_address_without_a_daemon_is_4_and_one_that_is_none_is_2() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        done = command("verify", "--url", url)
    assert (done.returncode, done.stdout) == (4, "")
    assert "no answer" in done.stderr
    for wrong in ("127.0.0.1:1", "http://ada:secret@127.0.0.1:1"):
        done = command("ready", "--url", wrong)
        assert done.returncode == 2
        assert "secret" not in done.stderr
