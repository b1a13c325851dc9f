"""What the application does all day: statements of its own, under its roles, at a steady pace.

Each statement is a file in `loom/workload/` whose first comments say how it runs:
`-- role: authenticated`, and perhaps `-- weight: 5` (how often, against the others). A release of
the application goes with a relation of the database: `-- requires: public.x` leaves the statement
out while that relation is not there, `-- until: public.x` as soon as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PER_SECOND = 120.0
_WORKERS = 2
_BEGIN = """
SELECT (%(requires)s::text IS NULL OR to_regclass(%(requires)s) IS NOT NULL)
       AND to_regclass(%(until)s) IS NULL,
       set_config('role', %(role)s, true), set_config('request.jwt.claims', %(claims)s, true)
"""
"""Whether the release of the application that fits the database has a statement; and who calls,
which PostgREST tells the server in one statement too."""

_OPTION = re.compile(r"^-- (role|weight|requires|until): (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WorkloadStatement:
    """One thing that the application does."""

    text: str
    role: str
    weight: float
    requires: str | None
    until: str | None

    @classmethod
    def parse(cls, text: str) -> WorkloadStatement:
        """Parse a file of the workload."""
        options = dict(_OPTION.findall(text))
        return cls(
            text,
            options["role"],
            float(options.get("weight", "1")),
            options.get("requires"),
            options.get("until"),
        )


class Workload:
    """Runs random statements of a folder until cancelled; failures are counted, not raised."""

    def __init__(self, dsn: str, folder: Path, users: Sequence[str]) -> None:
        """Prepare.

        Args:
            dsn: of a role that may become the others, like Supabase's `authenticator`.
            folder: of the statements.
            users: ids of the people on whose behalf the application acts.
        """
        self._dsn = dsn
        self._users = users
        self._statements = [
            WorkloadStatement.parse(path.read_text(encoding="utf-8"))
            for path in sorted(folder.glob("*.sql"))
        ]
        self._weights = [statement.weight for statement in self._statements]
        self.error_share = 0.0
        """The share of calls that fail, as in a release of the application with a fault."""
        self.calls = 0
        self.failures: Counter[str] = Counter()
        """Calls that failed, by SQLSTATE."""

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                async with await psycopg.AsyncConnection.connect(self._dsn) as connection:
                    while True:
                        await asyncio.sleep(random.expovariate(PER_SECOND / _WORKERS))
                        (statement,) = random.choices(self._statements, self._weights)
                        await self._call(connection, statement)
            await asyncio.sleep(1.0)

    async def _call(
        self, connection: psycopg.AsyncConnection[Any], statement: WorkloadStatement
    ) -> None:
        claims = {"sub": random.choice(self._users), "role": statement.role}
        begun = {
            "role": statement.role,
            "claims": json.dumps(claims),
            "requires": statement.requires,
            "until": statement.until,
        }
        try:
            async with connection.transaction():
                answer = await connection.execute(_BEGIN, begun)
                ((is_in_use, *_),) = await answer.fetchall()
                if not is_in_use:
                    return
                if random.random() < self.error_share:
                    await connection.execute("SELECT forgotten_column FROM public.users")
                await connection.execute(statement.text.encode())
            self.calls += 1
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            self.failures[error.sqlstate or "unknown"] += 1
