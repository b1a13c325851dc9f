"""What is read of pg_stat_statements: all that is the application's, from any extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from exporter.statements.reading import UnsupportedExtensionError, role_label
from tests.support.statements import WORK, find_extension, reset, watching, work
from tests.support.statements import schema as schema_of

if TYPE_CHECKING:
    from tests.support.loom_database import LoomDatabase


def test_only_statements_of_the_application_are_read(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    with loom.connect() as connection:
        connection.execute("ALTER SYSTEM SET pg_stat_statements.track = 'all'")
        connection.execute("SELECT pg_reload_conf()")
    try:
        with watching(loom) as watcher, psycopg.connect(loom.server.dsn()) as elsewhere:
            watcher.poll()
            elsewhere.execute("SELECT 1 AS in_another_database")
            watcher.connection.execute("SELECT 1 AS of_the_watcher")
            application.execute(
                "DO $$ BEGIN PERFORM 1 + 1; PERFORM 2 + 2; END $$; SELECT 1 - 1 AS outside"
            )
            watcher.poll()
            texts = " ".join(seen.text or "" for seen in watcher.texts.values())
            assert "outside" in texts
            assert "in_another_database" not in texts
            assert "of_the_watcher" not in texts
            assert watcher.total("SELECT 1 + 1").calls == 0
            assert watcher.total("SELECT 1 - 1").calls == 1
    finally:
        with loom.connect() as connection:
            connection.execute("ALTER SYSTEM RESET pg_stat_statements.track")
            connection.execute("SELECT pg_reload_conf()")


def test_role_of_a_statement_is_the_one_that_it_ran_as(loom: LoomDatabase) -> None:
    query = "SELECT 1 AS as_whom WHERE current_user IS NOT NULL"
    with watching(loom) as watcher, loom.connect("authenticator") as api:
        for role in ("anon", "authenticated"):
            with api.transaction():
                api.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
                api.execute(query)
        with loom.connect("postgres") as owner:
            owner.execute(query)
        watcher.poll()
        roles = {watcher.texts[key].role for key in watcher.keys(query)}
        assert roles == {"anon", "authenticated", "postgres"}
        labels = {role_label(role, ("anon", "authenticated")) for role in roles}
        assert labels == {"anon", "authenticated", "other"}


def test_statements_that_may_not_be_seen_are_counted_as_hidden(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    work(application, 1)
    with watching(loom, may_read_all=False) as watcher:
        poll = watcher.read()
        assert poll.hidden > 0
        assert poll.readings == {}
    with watching(loom) as watcher:
        assert watcher.read().hidden == 0


@pytest.mark.parametrize("extension_version", ["1.8", "1.9", "1.10"])
def test_older_extension_is_read_by_what_it_offers(
    loom: LoomDatabase, application: psycopg.Connection[Any], extension_version: str
) -> None:
    schema = sql.Identifier('odd %s "schema')
    with loom.connect() as connection:
        connection.execute("DROP EXTENSION pg_stat_statements")
        connection.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION postgres").format(schema))
        connection.execute(
            sql.SQL("CREATE EXTENSION pg_stat_statements SCHEMA {} VERSION {}").format(
                schema, sql.Literal(extension_version)
            )
        )
    with watching(loom) as watcher:
        assert watcher.extension.version == extension_version
        work(application, 20, 50_000)
        watcher.poll()
        work(application, 2)
        watcher.poll()
        (key,) = watcher.keys(WORK)
        reset(loom, key)
        work(application, 3)
        step = watcher.poll()
        assert watcher.total(WORK).calls == 2 + 3
        assert key in step.ended


def test_extension_older_than_that_is_refused_with_a_remedy(loom: LoomDatabase) -> None:
    with loom.connect() as connection:
        connection.execute("DROP EXTENSION pg_stat_statements")
        connection.execute("CREATE EXTENSION pg_stat_statements VERSION '1.7'")
        with pytest.raises(UnsupportedExtensionError, match=r"ALTER EXTENSION .* UPDATE"):
            find_extension(connection)


def test_edges_of_a_poll_stand_around_it(loom: LoomDatabase) -> None:
    with watching(loom) as watcher:
        before = watcher.connection.execute("SELECT clock_timestamp()").fetchone()
        poll = watcher.read()
        after = watcher.connection.execute("SELECT clock_timestamp()").fetchone()
        assert before is not None
        assert after is not None
        assert before[0] < poll.started_at < poll.ended_at < after[0]
        assert poll.stats_reset is not None
        assert poll.stats_reset < poll.started_at
        (dealloc,) = watcher.connection.execute(
            sql.SQL("SELECT dealloc FROM {}.pg_stat_statements_info").format(
                schema_of(watcher.connection)
            )
        ).fetchone() or (None,)
        assert poll.dealloc == dealloc
