"""The database of the demo: made, and taken through its deployment, by the SQL files in `loom/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from exporter.demo.postgres import PostgresServer

FILES = Path(__file__).parent / "loom"
DATABASE_NAME = "loom"
OWNER = "postgres"


class DemoDatabase:
    """A database as it is before its deployment, on a server that has no other.

    Every role that can log in gets the password of the server's superuser.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE_NAME)))
        self.run_file(FILES / "roles.sql", user=server.superuser)
        self._set_passwords()
        for name in ("schema.sql", "seed.sql"):
            self.run_file(FILES / name)
        self.run("ANALYZE")

    def dsn(self, user: str) -> str:
        """Return the URL for a role."""
        return self._server.dsn(DATABASE_NAME, user, self._server.password)

    def run(self, text: str, user: str = OWNER) -> None:
        """Run SQL, of any number of statements, as psql would."""
        with psycopg.connect(self.dsn(user), autocommit=True) as connection:
            connection.execute(text.encode())

    def run_file(self, path: Path, user: str = OWNER) -> None:
        """Run an SQL file."""
        self.run(path.read_text(encoding="utf-8"), user)

    def install_grants(self, grants: str) -> None:
        """Install the monitoring role as `loom-exporter grants` prints it, and let it log in."""
        self.run(grants)
        self._set_passwords()

    def migrations(self, edition: str) -> list[Path]:
        """Return the migrations of an edition, in the order in which they are applied."""
        return sorted((FILES / "migrations" / edition).glob("*.sql"))

    def _set_passwords(self) -> None:
        with psycopg.connect(self.dsn(self._server.superuser), autocommit=True) as connection:
            roles = connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper"
            ).fetchall()
            for (role,) in roles:
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(self._server.password)
                    )
                )
