"""A database `loom` as it is before the deployment, fresh for each test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

import exporter.demo
from tests.support.observers import eventually

if TYPE_CHECKING:
    from exporter.demo.postgres import PostgresServer

LOOM = Path(exporter.demo.__file__).parent / "loom"
NAME = "loom"
TEMPLATE = "loom_template"


@dataclass(frozen=True)
class LoomDatabase:
    """The database `loom` of one server; all roles that can log in share the server's password."""

    server: PostgresServer

    def dsn(self, user: str | None = None, password: str | None = None) -> str:
        """Return the URL for a role; without `user`, for the superuser."""
        return _dsn(self.server, NAME, user, password)

    def connect(self, user: str | None = None, **options: Any) -> psycopg.Connection[Any]:
        """Open a connection in autocommit; use it as a context manager, which closes it."""
        return psycopg.connect(self.dsn(user), autocommit=True, **options)

    def run_file(self, path: Path, user: str = "postgres") -> None:
        """Run an SQL file, such as a migration, as its role would with psql."""
        _run_file(self.server, NAME, path, user)

    def allow_login(self, role: str) -> None:
        """Give a role that a test has made the password that all others have."""
        with self.connect() as connection:
            _set_password(connection, role, self.server.password)


def make_template(server: PostgresServer) -> None:
    """Make the roles and the database that `make_database` clones; once for each server."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        _fill(server, TEMPLATE, connection)


def make_database(server: PostgresServer) -> LoomDatabase:
    """Make `loom` anew from the template, with all that was in the old one gone."""
    name, template = sql.Identifier(NAME), sql.Identifier(TEMPLATE)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER postgres").format(name, template)
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
    return LoomDatabase(server)


def make_database_with_cron(server: PostgresServer) -> LoomDatabase:
    """Make `loom` on a server of its own that preloads pg_cron; return when cron is at work.

    pg_cron lives in one database of a server, and does not survive its DROP.
    """
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
        _fill(server, NAME, connection)
        loom = LoomDatabase(server)
        with loom.connect() as inside:
            # As Supabase gives it to the owner of everything.
            inside.execute(
                "CREATE EXTENSION pg_cron;"
                " GRANT USAGE ON SCHEMA cron TO postgres WITH GRANT OPTION;"
                " GRANT SELECT ON cron.job TO postgres WITH GRANT OPTION;"
                " GRANT ALL ON cron.job_run_details TO postgres WITH GRANT OPTION"
            )
        launcher = (
            "SELECT FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher' AND datname = %s"
        )
        eventually("pg_cron is at work", lambda: connection.execute(launcher, [NAME]).fetchall())
    return loom


def _fill(server: PostgresServer, name: str, connection: psycopg.Connection[Any]) -> None:
    _run_file(server, name, LOOM / "roles.sql", None)
    for (role,) in connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper"
    ).fetchall():
        _set_password(connection, role, server.password)
    for file in ("schema.sql", "seed.sql"):
        _run_file(server, name, LOOM / file, "postgres")


def _run_file(server: PostgresServer, name: str, path: Path, user: str | None) -> None:
    with psycopg.connect(_dsn(server, name, user), autocommit=True) as connection:
        connection.execute(path.read_bytes())


def _set_password(connection: psycopg.Connection[Any], role: str, password: str) -> None:
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(password)
        )
    )


def _dsn(server: PostgresServer, name: str, user: str | None, password: str | None = None) -> str:
    return server.dsn(name, user or server.superuser, password or server.password)
