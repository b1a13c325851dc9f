"""What Loom's application does all day, at the database on the host that is given."""

import asyncio
import sys

import psycopg

from exporter.demo.database import DATABASE_NAME, FILES, OWNER
from exporter.demo.workload import Workload


def main(host: str) -> None:
    """Work on behalf of everybody who is in the database."""
    with psycopg.connect(host=host, dbname=DATABASE_NAME, user=OWNER) as connection:
        users = [str(user) for (user,) in connection.execute("SELECT id FROM auth.users")]
    workload = Workload(
        f"host={host} dbname={DATABASE_NAME} user=authenticator", FILES / "workload", users
    )
    asyncio.run(workload.run())


if __name__ == "__main__":
    main(sys.argv[1])
