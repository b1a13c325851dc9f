"""The database of the demo: made, and taken through its deployment, by the SQL files in `loom/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from exporter.demo.postgres import PostgresServer

FILES = Path(__file__).parent / "loom"
DATABASE_NAME = "loom"
OWNER = "postgres"


@dataclass(frozen=True)
class DemoDatabase:
    """A database of a server; every role that can log in has the password of the superuser."""

    server: PostgresServer
    name: str = DATABASE_NAME

    @classmethod
    def create(cls, server: PostgresServer, name: str = DATABASE_NAME) -> Self:
        """Create the roles and a database as it is before its deployment, and return it."""
        database = cls(server, name)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        database.run_file(FILES / "roles.sql", user=server.superuser)
        database.set_passwords()
        for file in ("schema.sql", "seed.sql"):
            database.run_file(FILES / file)
        database.run("ANALYZE")
        return database

    def dsn(self, user: str | None = None, password: str | None = None) -> str:
        """Return the URL for a role; without `user`, for the superuser."""
        server = self.server
        return server.dsn(self.name, user or server.superuser, password or server.password)

    def connect(self, user: str | None = None, **options: Any) -> psycopg.Connection[Any]:
        """Open a connection in autocommit; use it as a context manager, which closes it."""
        return psycopg.connect(self.dsn(user), autocommit=True, **options)

    def run(self, text: str, user: str = OWNER) -> None:
        """Run SQL, of any number of statements, as psql would."""
        with self.connect(user) as connection:
            connection.execute(text.encode())

    def run_file(self, path: Path, user: str = OWNER) -> None:
        """Run an SQL file, such as a migration."""
        self.run(path.read_text(encoding="utf-8"), user)

    def install_grants(self, grants: str) -> None:
        """Install the monitoring role as `loom-exporter grants` prints it, and let it log in."""
        self.run(grants)
        self.set_passwords()

    def set_passwords(self) -> None:
        """Give every role that can log in the password of the superuser."""
        with self.connect() as connection:
            roles = connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper"
            ).fetchall()
            for (role,) in roles:
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(self.server.password)
                    )
                )


def migrations(edition: str) -> list[Path]:
    """Return the migrations of an edition, in the order in which they are applied."""
    return sorted((FILES / "migrations" / edition).glob("*.sql"))
