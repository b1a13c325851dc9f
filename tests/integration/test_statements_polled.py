"""What /metrics says of the statements: what the application did, whatever befell the server."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from exporter.run_state import State
from exporter.statements.text_reader import BATCH
from tests.support.daemon import Page
from tests.support.loom_database import make_database, make_template
from tests.support.observers import follow
from tests.support.statements import crash, own_loom, reset
from tests.support.tools import POSTGRES_VERSIONS
from tests.support.watching import MONITOR, install_grants, watching

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.conftest import NewServer
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

CALLS = "loom_statement_calls_total"
QUERIES = {
    "mfa_status": "SELECT count(*) FROM public.user_mfa_methods WHERE user_id IS NULL",
    "resource_library": "SELECT id FROM public.resource_collections LIMIT 3",
    "audit_log": "SELECT count(*) FROM public.security_audit_log",
}

only_on_18 = pytest.mark.parametrize("server", [18], indirect=True)


class Application:
    """Calls its queries as the API does, and counts its calls."""

    def __init__(self, loom: LoomDatabase) -> None:
        self._loom = loom
        self.calls: Counter[tuple[str, ...]] = Counter()

    def work(self, times: int = 3) -> None:
        """Run each query so often, as the owner and, where it may, as a user of the API."""
        with self._loom.connect("postgres") as owner:
            for name, query in QUERIES.items():
                self._call(owner, name, "other", query, times)
        with self._loom.connect("authenticator") as api, api.transaction():
            api.execute("SET LOCAL ROLE authenticated")
            for name in ("mfa_status", "resource_library"):
                self._call(api, name, "authenticated", QUERIES[name], times + 1)

    def _call(
        self, connection: psycopg.Connection[Any], name: str, role: str, query: str, times: int
    ) -> None:
        for _ in range(times):
            connection.execute(query.encode())
            self.calls[name, role] += 1


def _counted(watch: Watch) -> dict[tuple[str, ...], float]:
    """Return the calls by class and role, of the classes that the application's queries are in."""
    samples = watch.board["pg_stat_statements"].samples[CALLS]
    return {place: calls for place, calls in samples.items() if calls and place[0] in QUERIES}


@pytest.mark.parametrize("version", POSTGRES_VERSIONS)
async def test_calls_are_the_applications_own_count_whatever_happens(
    new_server: NewServer, version: int, tmp_path: Path
) -> None:
    loom = own_loom(new_server, version)
    install_grants(loom)
    state = tmp_path / "state.sqlite3"
    application = Application(loom)
    application.work()
    application.calls.clear()  # what was called before the first poll is not counted
    async with watching(loom.dsn(MONITOR), state=state) as watch:
        assert (await watch.poll()).state is State.OK
        assert _counted(watch) == {}
        application.work()
        await watch.poll()
        assert _counted(watch) == application.calls
        reset(loom)
        application.work(20)
        await watch.poll()
        assert _counted(watch) == application.calls
        resets = watch.board["pg_stat_statements"].samples["loom_statement_resets_total"][()]
        assert resets > 0
        loom.server.restart()
        application.work()
        await watch.poll_in_peace()
        assert _counted(watch) == application.calls
        with loom.connect("postgres") as victim:
            crash(loom.server, victim)
        application.work(20)
        await watch.poll_in_peace()
        assert _counted(watch) == application.calls
    application.work()  # while no exporter runs
    async with watching(loom.dsn(MONITOR), state=state) as watch:
        await watch.poll()
        assert _counted(watch) == application.calls


async def test_every_statement_has_its_class_after_the_first_poll(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    install_grants(loom)
    many = BATCH + 200  # which are read in two parts
    for number in range(many):
        signs = "".join(f" {'-+'[number >> bit & 1]} 1" for bit in range(11))
        application.execute(f"SELECT 1{signs} FROM public.user_mfa_methods LIMIT 0".encode())
    async with watching(loom.dsn(MONITOR)) as watch:
        first = await watch.poll()
        found = first.samples["loom_statements_classified"]
        assert found["parsed",] >= many
        assert not watch.parts.poller.is_behind
        assert {
            known.class_name
            for known in watch.parts.poller._tally.known.values()
            if known.shown and "user_mfa_methods LIMIT" in known.shown
        } == {"mfa_status"}


@only_on_18
async def test_another_database_of_that_name_begins_anew(
    loom: LoomDatabase, tmp_path: Path
) -> None:
    install_grants(loom)
    state = tmp_path / "state.sqlite3"
    async with watching(loom.dsn(MONITOR), state=state) as watch:
        await watch.poll()
        Application(loom).work()
        await watch.poll()
        assert _counted(watch)
    make_database(loom.server)
    install_grants(loom)
    Application(loom).work()
    async with watching(loom.dsn(MONITOR), state=state) as watch:
        await watch.poll()
        assert _counted(watch) == {}


async def test_own_statements_are_not_counted(loom: LoomDatabase) -> None:
    install_grants(loom)
    async with watching(loom.dsn(MONITOR)) as watch:
        await watch.poll()
        Application(loom).work(1)
        pages = []
        for _ in range(3):
            await watch.look(watch.catalog.queries[0].name)
            await watch.poll()
            pages.append(Page(await watch.page()).total(CALLS))
        assert pages[0]
        assert len(set(pages)) == 1


async def test_every_class_and_role_is_there_before_it_is_called(loom: LoomDatabase) -> None:
    install_grants(loom)
    async with watching(loom.dsn(MONITOR)) as watch:
        first = await watch.poll()
        assert len(first.samples[CALLS]) == 5 * 4
        assert first.samples["loom_statements_slow"] == {}  # no window, no answer
        second = await watch.poll()
        assert len(second.samples["loom_statements_slow"]) == 5


async def test_slow_statement_is_counted_and_shown_without_its_literals(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    install_grants(loom)
    async with watching(loom.dsn(MONITOR)) as watch:
        await watch.poll()
        application.execute("SELECT count(*) FROM public.users WHERE email = 'Trillian'")
        application.execute("SELECT set_config('app.secret', 'Marvin', false)")
        application.execute("DO $$ BEGIN PERFORM 'Slartibartfast'; END $$")
        application.execute("SET application_name = 'Agrajag'")
        application.execute(
            "SELECT pg_sleep(0.15), 'Zaphod'"
            " FROM (SELECT count(*) FROM public.user_mfa_methods) AS m"
        )
        await watch.poll()
        page = Page(await watch.page())
        assert page.value("loom_statements_slow", **{"class": "mfa_status"}) == 1
        assert page.value("loom_statements_slow", **{"class": "audit_log"}) == 0
        assert page.value("loom_statement_slow_threshold_seconds") == 0.1
        assert not re.search("Zaphod|Trillian|Marvin|Slartibartfast|Agrajag", page.text)
        ((labels, mean),) = page.series(
            "loom_statement_mean_exec_seconds", **{"class": "mfa_status"}
        ).items()
        assert mean >= 0.15
        statement = dict(labels)["statement"]
        ((info, _),) = page.series("loom_statement_info", statement=statement).items()
        assert dict(info)["text"] == (
            "SELECT pg_sleep(?), ? FROM (SELECT count(*) FROM public.user_mfa_methods) AS m"
        )
        (slow,) = [each for each in watch.parts.poller.slowest if each.labels[0] == statement]
        assert (slow.mean_seconds, slow.text) == (mean, dict(info)["text"])
    async with watching(loom.dsn(MONITOR), show_texts=False) as watch:
        await watch.poll()
        application.execute("SELECT count(*) FROM public.users WHERE email = 'Trillian'")
        await watch.poll()
        page = Page(await watch.page())
        assert page.series("loom_statement_mean_exec_seconds")
        assert page.series("loom_statement_info") == {}


async def test_role_that_may_not_see_all_is_denied_until_it_may(loom: LoomDatabase) -> None:
    install_grants(loom)
    application = Application(loom)
    async with watching(loom.dsn(MONITOR)) as watch:
        await watch.poll()
        application.work()
        await watch.poll()
        with loom.connect("postgres") as owner:
            owner.execute(f"REVOKE pg_read_all_stats FROM {MONITOR}")
        seen = await watch.poll()
        assert (seen.state, dict(seen.samples)) == (State.DENIED, {})
        assert "pg_read_all_stats" in seen.detail
        assert Page(await watch.page()).series(CALLS) == {}
        with loom.connect("postgres") as owner:
            owner.execute(f"GRANT pg_read_all_stats TO {MONITOR}")
        application.work()
        assert (await watch.poll()).state is State.OK
        assert _counted(watch) == application.calls


async def test_extension_that_is_gone_is_absent_and_found_again_elsewhere(
    loom: LoomDatabase,
) -> None:
    install_grants(loom)
    application = Application(loom)
    async with watching(loom.dsn(MONITOR)) as watch:
        await watch.poll()
        application.work()
        await watch.poll()
        _run_as_superuser(loom, "DROP EXTENSION pg_stat_statements")
        seen = await watch.poll()
        assert (seen.state, dict(seen.samples)) == (State.ABSENT, {})
        _run_as_superuser(loom, "CREATE SCHEMA moved; GRANT USAGE ON SCHEMA moved TO public")
        _run_as_superuser(loom, "CREATE EXTENSION pg_stat_statements SCHEMA moved")
        application.work()
        assert (await watch.poll()).state is State.OK
        assert _counted(watch) == application.calls
        _run_as_superuser(loom, "ALTER EXTENSION pg_stat_statements SET SCHEMA public")
        assert (await watch.poll()).state is State.OK, "without a poll that fails"


async def test_library_that_is_not_preloaded_is_absent_without_an_error_in_the_log(
    new_server: NewServer,
) -> None:
    server = new_server(18, {"shared_preload_libraries": ""})
    make_template(server)
    loom = make_database(server)
    install_grants(loom)
    log = follow(loom.server.log)
    async with watching(loom.dsn(MONITOR)) as watch:
        seen = await watch.poll()
    assert (seen.state, dict(seen.samples)) == (State.ABSENT, {})
    assert "shared_preload_libraries" in seen.detail
    assert "ERROR" not in log()


def _run_as_superuser(loom: LoomDatabase, statement: str) -> None:
    with loom.connect() as connection:
        connection.execute(statement.encode())
