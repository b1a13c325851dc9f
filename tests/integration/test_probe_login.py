"""The login of the probes: what it may, how many sessions it takes, and what it tells."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest

from exporter.database.database import MAX_CONNECTIONS, Database
from exporter.database.probe_grants import CONNECTIONS_EACH, CONNECTIONS_SPARE, PROBE_ROLE
from exporter.database.transaction import Question
from exporter.run_state import RunError, State
from tests.support.daemon import Daemon, Page, command
from tests.support.impersonation import SUBJECTS, impersonating, install_probe_role, user
from tests.support.marks import only_18
from tests.support.network import hanging_port
from tests.support.observers import HANG_SECONDS, Sampler, Sockets, eventually, until
from tests.support.passwords import PASSWORD, fragments_in, set_password
from tests.support.truth import ask
from tests.support.watching import MONITOR, shipped

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

LIMIT = CONNECTIONS_EACH + CONNECTIONS_SPARE
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'loom_probe' AND xact_start IS NOT NULL"
)
"""How many of the probes are at work: the server may go on listing one that ends."""


@pytest.fixture
def probed(deployed: LoomDatabase) -> LoomDatabase:
    """Return a database after a deployment that went well, with the login of the probes."""
    install_probe_role(deployed)
    return deployed


def test_role_is_a_member_of_the_api_roles_and_nothing_else(probed: LoomDatabase) -> None:
    install_probe_role(probed)  # again changes nothing
    with probed.connect() as superuser:
        (attributes,) = ask(
            superuser,
            "SELECT rolcanlogin, rolinherit, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb,"
            " rolconnlimit FROM pg_roles WHERE rolname = %s",
            PROBE_ROLE,
        )
        members = "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole"
        memberships = ask(superuser, members, PROBE_ROLE)
    assert attributes == (True, False, False, False, False, False, LIMIT)
    assert set(memberships) == {("anon",), ("authenticated",)}


def test_thief_of_the_password_is_any_user_of_the_api_and_no_more(probed: LoomDatabase) -> None:
    """As docs/operations.md says: whatever any user may read and change."""
    with probed.connect(PROBE_ROLE) as thief:
        for table in ("resource_collections", "user_mfa_methods", "security_audit_log"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                thief.execute(f"SELECT * FROM public.{table}".encode())
        for role in ("service_role", "postgres", MONITOR):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                thief.execute(f"SET ROLE {role}".encode())
        thief.execute("SET ROLE authenticated")
        collections = "SELECT count(*) FROM public.resource_collections"
        assert ask(thief, collections) == [(0,)], "nobody in particular sees nothing"
        for number in (4, 5):
            claims = f'{{"sub": "{user(number)}"}}'
            thief.execute("SELECT set_config('request.jwt.claims', %s, false)", [claims])
            assert ask(thief, collections) == [(8,)]
        deleted = "DELETE FROM public.resource_collections"
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            thief.execute(deleted.encode())
        thief.execute("SET default_transaction_read_only = off")  # a net, and no lock
        assert thief.execute(deleted.encode()).rowcount == 8


def test_operations_page_says_what_a_thief_can_do() -> None:
    page = (shipped().probes[0].path.parents[2] / "docs" / "operations.md").read_text()
    (told,) = (each for each in page.split("\n\n") if "password of `loom_probe`" in each)
    assert "read and change" in told
    assert "any user of the API" in " ".join(told.split())


@only_18
def test_daemon_never_has_more_than_two_sessions_with_probes(probed: LoomDatabase) -> None:
    with (
        Sampler(probed.dsn(), SESSIONS, every_seconds=0.001) as sampler,
        Daemon(probed.dsn(MONITOR), env=_settings(probed)) as daemon,
    ):
        daemon.wait_until_ready()
        with Sockets(daemon.process.pid, probed.server.port) as sockets:
            eventually("ten rounds of probes were run", lambda: _rounds(daemon.page()) >= 10)
            eventually("all have an answer", lambda: _has_all_answers(daemon.page()))
        failures = daemon.page().series("loom_exporter_query_failures_total")
        daemon.stop()
        log = daemon.stderr
    assert max(sockets.counts) == MAX_CONNECTIONS
    assert max(at_work for (at_work,) in sampler.rows()) == 1
    # A busy machine may be too late for an answer; a third session would be refused.
    failed = {dict(labels)["state"] for labels, number in failures.items() if number}
    assert failed <= {"timeout", "unreachable"}, log
    assert "too many connections" not in log


def _rounds(page: Page) -> float:
    name = "rls_coach_sees_progress"
    return page.value("loom_exporter_query_runs_total", query=name) or 0.0


def _has_all_answers(page: Page) -> bool:
    """Return whether no question was kept from its last answer; no probe may ever fail."""
    found = page.series("loom_probe_ok")
    assert set(found.values()) <= {1.0}
    states = {page.states.get(query.name) for query in shipped().queries}
    is_whole = len(found) == len(shipped().probes) and states <= {"ok", "empty", "absent"}
    return is_whole and page.value("loom_database_up") == 1


@only_18
async def test_probes_that_are_due_together_share_one_session(probed: LoomDatabase) -> None:
    with probed.connect() as superuser:
        superuser.execute("ALTER ROLE loom_probe SET log_min_duration_statement = 0")
        began = probed.server.log.stat().st_size
        superuser.execute("ALTER SYSTEM SET log_connections = on")
        superuser.execute("SELECT pg_reload_conf()")
        try:
            eventually("log-ins are logged", lambda: _logs_log_ins(probed))
            async with impersonating(probed) as probes:
                await asyncio.gather(*map(probes.runner.run, probes.catalog.probes))
        finally:
            superuser.execute("ALTER SYSTEM RESET log_connections")
            superuser.execute("SELECT pg_reload_conf()")
            superuser.execute("ALTER ROLE loom_probe RESET log_min_duration_statement")
    log = probed.server.log.read_bytes()[began:].decode()
    assert log.count("connection authorized: user=loom_probe") == 1


def _logs_log_ins(probed: LoomDatabase) -> bool:
    with probed.connect() as superuser:
        return ask(superuser, "SHOW log_connections") == [("on",)]


@only_18
@pytest.mark.parametrize("most", [1, 2])
async def test_room_is_made_and_given_back(probed: LoomDatabase, most: int) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'loom_monitor'"
    slow = Question("SELECT pg_sleep(1)", 20.0)
    async with Database("loom", lambda: probed.dsn(MONITOR), max_connections=most) as database:
        await asyncio.gather(*(database.ask(slow) for _ in range(2)))
        with probed.connect() as superuser:
            # The second one may come too late for its question, and rests then.
            await until("all are there", lambda: ask(superuser, count) == [(most,)])
            for _ in range(3):
                async with database.room():
                    eventually("one is closed", lambda: ask(superuser, count) == [(most - 1,)])
                    if most > 1:
                        await asyncio.gather(*(database.ask(slow) for _ in range(3)))
                        assert ask(superuser, count) == [(1,)]
            await asyncio.gather(*(database.ask(slow) for _ in range(2)))
            await until("all are there again", lambda: ask(superuser, count) == [(most,)])
        assert database.is_up


@only_18
async def test_probe_waits_for_no_lock_and_keeps_its_value(probed: LoomDatabase) -> None:
    name = "rls_coach_sees_own_collections"
    async with impersonating(probed) as probes:
        assert await probes.look(name) == {name: 1.0}
        with probed.connect() as owner, owner.transaction():
            owner.execute("LOCK TABLE public.resource_collections")
            started = time.monotonic()
            await probes.look(name)
            assert time.monotonic() - started < 60
            assert probes.snapshots[name].state is State.LOCKED
            assert probes.snapshots[name].samples
        assert await probes.look(name) == {name: 1.0}


@only_18
async def test_login_that_hangs_delays_no_query_and_is_put_off(
    probed: LoomDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "rls_coach_sees_own_collections"
    monkeypatch.setattr("exporter.database.connection.CONNECT_SECONDS", 10.0)
    with hanging_port() as port:
        attempts = []

        def conninfo() -> str:
            attempts.append(time.monotonic())
            return f"postgresql://loom_probe:secret@127.0.0.1:{port}/loom"

        async with impersonating(probed, conninfo=conninfo) as probes:
            asking = asyncio.create_task(probes.look(name))
            await until("it logs in", lambda: attempts)
            for _ in range(5):
                await probes.database.ask(Question("SELECT 1", 20.0))
            assert not asking.done()
            await asking
            assert probes.snapshots[name].state is State.UNREACHABLE
            await probes.look(name)  # an attempt may still be busy on the server
            assert len(attempts) == 1
            assert probes.snapshots[name].state is State.UNREACHABLE
            assert probes.database.is_up


@only_18
async def test_probes_end_at_once_when_they_are_told_to(probed: LoomDatabase) -> None:
    with hanging_port() as port:
        dsn = f"postgresql://loom_probe:secret@127.0.0.1:{port}/loom"
        async with impersonating(probed, conninfo=lambda: dsn) as probes:
            probe = probes.catalog.probes[0]
            asking = asyncio.create_task(probes.probes.ask(probe))
            await asyncio.sleep(0.3)
            probes.probes.cancel()
            with pytest.raises(RunError, match="stopping"):
                await asyncio.wait_for(asking, HANG_SECONDS)


@only_18
def test_password_of_the_probes_is_told_nowhere(probed: LoomDatabase, tmp_path: Path) -> None:
    set_password(probed, PASSWORD, role=PROBE_ROLE)
    right, wrong = (probed.dsn(PROBE_ROLE, each) for each in (PASSWORD, f"{PASSWORD}x"))
    url = tmp_path / "probe-url"
    url.write_text(right + "\n", encoding="utf-8")
    for given, told in (
        ({"LOOM_EXPORTER_PROBE_DATABASE_URL": right}, "as expected"),
        ({"LOOM_EXPORTER_PROBE_DATABASE_URL_FILE": str(url)}, "as expected"),
        ({"LOOM_EXPORTER_PROBE_DATABASE_URL": wrong}, "password authentication failed"),
    ):
        env = {
            **_settings(probed),
            "LOOM_EXPORTER_PROBE_DATABASE_URL": "",
            "LOOM_EXPORTER_DATABASE_URL": probed.dsn(MONITOR),
            **given,
        }
        eventually(told, partial(_is_told, told, env))
    install_probe_role(probed)
    with probed.connect() as superuser:
        superuser.execute(f"ALTER ROLE loom_probe CONNECTION LIMIT {LIMIT}")


def _is_told(told: str, env: dict[str, str]) -> bool:
    """Ask each probe once, and return whether that ends as it should; it tells no password."""
    done = command("check", "--probes", env=env)
    assert fragments_in(done.stdout, done.stderr) == set()
    return told in done.stdout and done.returncode == (0 if told == "as expected" else 4)


def _settings(loom: LoomDatabase) -> dict[str, str]:
    subjects = ", ".join(f'"{name}": "{subject}"' for name, subject in SUBJECTS.items())
    return {
        "LOOM_EXPORTER_PROBE_DATABASE_URL": loom.dsn(PROBE_ROLE),
        "LOOM_EXPORTER_PROBE_SUBJECTS": f"{{{subjects}}}",
        "LOOM_EXPORTER_MAX_INTERVAL": "1s",
    }
