"""Commands as a person or a script runs them: exit codes, one line for an error, clean output."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.database.roles import ROLE
from tests.support.commands import run
from tests.support.daemon import COMMAND, Daemon, command, environment
from tests.support.observers import eventually
from tests.support.queries import DEPLOYMENT, make_folder, query_text
from tests.support.watching import FUNCTION_SCHEMA, OWNER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

COMMANDS = (
    "serve",
    "init",
    "check",
    "run",
    "grants",
    "record",
    "verify",
    "ready",
    "report",
    "sign-off",
    "rules",
    "runbooks",
    "dashboards",
    "healthcheck",
    "demo",
)
GROUPS = {
    "baseline": ("capture", "show", "export", "import", "exclude", "discard"),
    "deploy": ("mark", "acknowledge", "rolled-back", "note"),
}
ESCAPE = "\x1b"
NO_DATABASE = {"LOOM_EXPORTER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}


def _database(loom: LoomDatabase, user: str = ROLE) -> dict[str, str]:
    return {"LOOM_EXPORTER_DATABASE_URL": loom.dsn(user)}


def _done_well(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command until it has got every answer in time."""

    def done_well() -> subprocess.CompletedProcess[str] | None:
        done = command(*arguments, env=env)
        return done if done.returncode == 0 else None

    done = eventually(f"{arguments} ends well", done_well)
    assert done
    return done


def _assert_one_line(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """Fail unless the command ended with `code` and one plain line on standard error."""
    assert done.returncode == code, done
    (line,) = done.stderr.splitlines()
    assert all(part in line for part in parts), line
    assert ESCAPE not in line


@pytest.mark.parametrize(
    "name",
    [*COMMANDS, *(f"{group} {name}" for group, names in GROUPS.items() for name in names)],
)
def test_help_has_an_example(name: str) -> None:
    done = run(*name.split(), "--help")
    assert done.exit_code == 0
    assert "Example: " in done.stdout
    assert f"loom-exporter {name}" in " ".join(done.stdout.split()) or f'"{name}"' in done.stdout
    assert ESCAPE not in done.stdout


def test_help_of_all_names_each_command() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in (*COMMANDS, *GROUPS))
    for group, names in GROUPS.items():
        assert all(name in run(group, "--help").stdout for name in names)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run"],
        ["serve", "--nonsense"],
        ["baseline", "nonsense"],
        ["baseline", "import"],
        ["sign-off", "no_critical_bugs"],
        ["verify", "--format", "xml"],
        ["verify", "--inconclusive-as", "2"],
    ],
)
def test_wrong_command_line_is_usage(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr


def test_serve_says_that_the_port_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("serve", "--listen", f"127.0.0.1:{port}", env=NO_DATABASE)
    _assert_one_line(done, 2, f"127.0.0.1:{port}", "in use", "LOOM_EXPORTER_LISTEN")


@pytest.mark.parametrize(
    "arguments",
    [["serve"], ["check", "--database"], ["run", "database"], ["verify"], ["report"]],
)
def test_missing_database_is_told(arguments: list[str]) -> None:
    _assert_one_line(command(*arguments), 2, "LOOM_EXPORTER_DATABASE_URL")


def test_unreachable_database_is_4() -> None:
    done = command("check", "--database", env=NO_DATABASE)
    _assert_one_line(done, 4, "127.0.0.1", "Connection refused")


def test_check_needs_no_database() -> None:
    done = command("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no problem found" in done.stdout
    counts = json.loads(command("check", "--format", "json").stdout)
    assert counts["queries"] > 30
    assert counts["problems"] == []


def test_check_tells_every_fault_of_a_folder_in_a_line(tmp_path: Path) -> None:
    good = query_text({"loom_one": {"value": "things"}})
    files = {
        "typo.sql": good.replace("interval", "intervall"),
        "empty.sql": "",
        "two.sql": good + "; SELECT 2",
    }
    folder = make_folder(tmp_path / "queries", files)
    done = command("check", "--queries", str(folder))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == len(files)
    assert all(str(folder / name) in done.stderr for name in files)
    done = command("check", "--queries", str(folder), "--format", "json")
    assert done.returncode == 2
    assert len(json.loads(done.stdout)["problems"]) == len(files)


def test_check_with_a_database(monitored: LoomDatabase) -> None:
    done = _done_well("check", "--database", env=_database(monitored))
    assert done.stderr == ""
    states = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert states["mfa_users"] == "ok"
    assert states["mfa_discrepancies_view"] == "absent"
    assert ESCAPE not in done.stdout
    done = _done_well("check", "--database", "--format", "json", env=_database(monitored))
    told = json.loads(done.stdout)
    findings = {each["query"]: each["state"] for each in told["findings"]}
    names = {each["place"]: each["state"] for each in told["names"]}
    assert findings | names == states
    assert names["deployment.yaml"] == "ok"


def test_check_with_a_query_that_the_server_refuses(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    wrong = query_text({"loom_one": {"value": "things"}}, sql="SELECT 1 AS something")
    deployment = f"{DEPLOYMENT}history: {{kind: supabase}}\n"
    files = {"wrong.sql": wrong, "deployment.yaml": deployment}
    folder = make_folder(tmp_path / "queries", files)
    done = command("check", "--queries", str(folder), "--database", env=_database(monitored))
    assert done.returncode == 2
    assert "things" in done.stdout


def test_run_of_a_query_that_is_ok(monitored: LoomDatabase) -> None:
    done = command("run", "mfa_users", env=_database(monitored))
    _assert_one_line(done, 0, "mfa_users: ok")
    families = {family.name: family for family in text_string_to_metric_families(done.stdout)}
    (users,) = families["loom_users"].samples
    with monitored.connect() as connection:
        expected = connection.execute("SELECT count(*) FROM public.users").fetchone()
    assert (users.value,) == expected
    done = command("run", "mfa_users", "--format", "json", env=_database(monitored))
    told = json.loads(done.stdout)
    assert (done.returncode, told["state"]) == (0, "ok")
    assert {"metric": "loom_users", "labels": {}, "value": users.value} in told["samples"]


def test_run_of_a_query_whose_object_is_absent_is_3(monitored: LoomDatabase) -> None:
    done = command("run", "mfa_discrepancies_view", env=_database(monitored))
    _assert_one_line(done, 3, "absent", "public.mfa_status_discrepancies")


def test_run_of_a_query_that_is_denied_is_1(monitored: LoomDatabase) -> None:
    with monitored.connect(OWNER) as connection:
        connection.execute(
            f"REVOKE EXECUTE ON FUNCTION {FUNCTION_SCHEMA}.mfa_users() FROM {ROLE}".encode()
        )
    done = command("run", "mfa_users", env=_database(monitored))
    _assert_one_line(done, 1, "mfa_users: denied", "42501")
    done = command("run", "mfa_users", "--format", "json", env=_database(monitored))
    told = json.loads(done.stdout)
    assert (done.returncode, told["state"], told["samples"]) == (1, "denied", [])


def test_run_of_an_unknown_query_is_2_and_names_the_known() -> None:
    _assert_one_line(command("run", "nothing", env=NO_DATABASE), 2, "nothing", "mfa_users")


def test_grants_need_no_database_and_are_sql_that_the_owner_can_run_twice(
    loom: LoomDatabase,
) -> None:
    done = command("grants")
    assert (done.returncode, done.stderr) == (0, "")
    for _ in range(2):
        with loom.connect(OWNER) as connection:
            connection.execute(done.stdout.encode())
    loom.allow_login(ROLE)
    assert command("run", "mfa_users", env=_database(loom)).returncode == 0


def test_healthcheck(monitored: LoomDatabase) -> None:
    with Daemon(monitored.dsn(ROLE)) as daemon:
        env = {"LOOM_EXPORTER_LISTEN": f":{daemon.port}"}
        done = _done_well("healthcheck", env=env)
        assert (done.stdout, done.stderr) == ("", "")
        daemon.stop()
        _assert_one_line(command("healthcheck", env=env), 1, "no answer")


@pytest.mark.parametrize(
    "arguments", [["grants"], ["check"], ["check", "--format", "json"], ["--help"]]
)
def test_closed_pipe_is_no_news(arguments: list[str]) -> None:
    """As in `loom-exporter grants | head`, which takes what it wants and leaves."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=environment(),
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write_end)
    assert done.stderr == ""


def test_log_has_colours_for_nobody_but_a_terminal(monitored: LoomDatabase) -> None:
    with Daemon(monitored.dsn(ROLE)) as daemon:
        daemon.wait_until_ready()
        daemon.stop()
        assert "serving" in daemon.stderr
        assert ESCAPE not in daemon.stderr
        assert daemon.stdout == ""


def test_log_in_json_is_one_object_a_line(monitored: LoomDatabase) -> None:
    with Daemon(monitored.dsn(ROLE), "--log-format", "json", "--log-level", "debug") as daemon:
        daemon.wait_until_ready()
        daemon.stop()
        events = [json.loads(line) for line in daemon.stderr.splitlines()]
    assert {"serving", "stopping", "stopped"} <= {event["event"] for event in events}
    assert all(event["timestamp"].endswith("Z") and event["level"] for event in events)


def test_unknown_setting_is_told_with_the_nearest_known() -> None:
    done = command("serve", env={"LOOM_EXPORTER_DATABSE_URL": "x"})
    _assert_one_line(done, 2, "LOOM_EXPORTER_DATABSE_URL", "LOOM_EXPORTER_DATABASE_URL")
