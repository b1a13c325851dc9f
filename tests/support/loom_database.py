"""A database `loom` as it is before the deployment, fresh for each test."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from exporter.demo.database import DATABASE_NAME, DemoDatabase
from tests.support.observers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.demo.postgres import PostgresServer

TEMPLATE = "loom_template"


@dataclass(frozen=True)
class LoomDatabase(DemoDatabase):
    """A database of one server, `loom` unless it has another name."""

    def allow_login(self, role: str) -> None:
        """Let a role that a test has made log in with the password that all others have."""
        with self.connect() as connection:
            connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(role)))
        self.set_passwords()


def make_template(server: PostgresServer) -> None:
    """Make the roles and the database that `make_database` clones; once for each server."""
    LoomDatabase.create(server, TEMPLATE)


def drop_database(superuser: psycopg.Connection[Any], named: str) -> None:
    """Drop a database, if it is there, whoever is connected to it."""
    _when_unused(
        superuser,
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(named)),
    )


def _when_unused(superuser: psycopg.Connection[Any], statement: sql.Composed) -> None:
    """Run what needs a database that nobody uses."""

    def is_done() -> bool:
        try:
            superuser.execute(statement)
        except psycopg.errors.ObjectInUse:  # who is to leave has not left within 5 s
            return False
        return True

    eventually(f"{statement.as_string()} is done", is_done)


def make_database(server: PostgresServer, named: str = DATABASE_NAME) -> LoomDatabase:
    """Make a database from the template; all that was in the old one of that name is gone."""
    name, template = sql.Identifier(named), sql.Identifier(TEMPLATE)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        drop_database(connection, named)
        _when_unused(
            connection,
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER postgres").format(name, template),
        )
        # A clone has the template's content, but not the settings of ALTER DATABASE ... SET.
        settings = connection.execute(
            "SELECT split_part(s, '=', 1), substr(s, strpos(s, '=') + 1)"
            " FROM pg_db_role_setting r JOIN pg_database d ON d.oid = r.setdatabase,"
            " unnest(setconfig) s"
            " WHERE d.datname = %s AND r.setrole = 0",
            [TEMPLATE],
        ).fetchall()
        for setting, value in settings:
            connection.execute("SELECT set_config(%s, %s, false)", [setting, value])
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT").format(
                    name, sql.Identifier(setting)
                )
            )
    return LoomDatabase(server, named)


@contextlib.contextmanager
def empty_database(server: PostgresServer, named: str) -> Iterator[LoomDatabase]:
    """Give a database of another team beside that of Loom."""
    with psycopg.connect(server.dsn(), autocommit=True) as superuser:
        drop_database(superuser, named)
        create = sql.SQL("CREATE DATABASE {} OWNER postgres").format(sql.Identifier(named))
        _when_unused(superuser, create)
    try:
        yield LoomDatabase(server, named)
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as superuser:
            drop_database(superuser, named)


def make_database_with_cron(server: PostgresServer) -> LoomDatabase:
    """Make `loom` on a server of its own that preloads pg_cron; return when cron is at work.

    pg_cron lives in one database of a server, and does not survive its DROP.
    """
    loom = LoomDatabase.create(server)
    with loom.connect() as superuser:
        # As Supabase gives it to the owner of everything.
        superuser.execute(
            "CREATE EXTENSION pg_cron;"
            " GRANT USAGE ON SCHEMA cron TO postgres WITH GRANT OPTION;"
            " GRANT SELECT ON cron.job TO postgres WITH GRANT OPTION;"
            " GRANT ALL ON cron.job_run_details TO postgres WITH GRANT OPTION"
        )
        launcher = "SELECT FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher'"
        eventually("pg_cron is at work", lambda: superuser.execute(launcher).fetchall())
    return loom
