"""Probes: questions that are asked as a role of the API, with the claims of a test user."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from exporter.catalog import Catalog, Probe
from exporter.catalog.probe import MOST_ROWS, Expectation, Impersonation, chain
from exporter.database.connection import MonitorConnection, connect, hang_up
from exporter.database.database import Database
from exporter.database.probe_grants import PROBE_ROLE
from exporter.database.sqlstate import describe_error, state_of
from exporter.database.transaction import BEGIN_SNAPSHOT, begin, end
from exporter.errors import UsageError
from exporter.run_state import RunError, State
from exporter.sources.insert_check import insert_refusal

_STATEMENTS = 6
"""The most statements of one probe that may each use up its timeout."""

_POLICY_CYCLE = "42P17"
_DENIED = "42501"

SETTINGS = """
SELECT set_config('row_security', 'on', true),
       set_config('search_path', %(search_path)s, true),
       set_config('probe.subjects', %(subjects)s, true)
"""

CLAIMS = """
SELECT set_config('request.jwt.claims', %(claims)s, true),
       set_config('request.jwt.claim.sub', %(subject)s, true),
       set_config('request.jwt.claim.role', %(role)s, true),
       set_config('probe.control', %(control)s, true)
"""
"""As PostgREST sets them for a request; the single claims are those of its older versions."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a probe found: its first rows; None where it was denied. `reason` says why nothing."""

    rows: tuple[Any, ...] | None
    reason: str = ""

    def meets(self, expected: Expectation) -> bool:
        """Return whether this is what was expected; one who is denied sees no row either."""
        if expected.rows is None:
            return self.rows is None
        if expected.rows == 0:
            return not self.rows
        return len(self.rows or ()) >= expected.rows

    def __str__(self) -> str:
        if self.rows is None:
            return f"denied{self.reason and f': {self.reason}'}"
        if self.reason:
            return self.reason
        count = len(self.rows)
        if not count:
            return "no row"
        more = " or more" if count == MOST_ROWS else ""
        return f"{count}{more} row{'s' if count > 1 else ''}"


class Probes:
    """Asks probes in turn, over a session of their own login that lives as long as some wait."""

    def __init__(
        self,
        catalog: Catalog,
        database: Database,
        conninfo: Callable[[], str] | None,
        subjects: Mapping[str, str],
    ) -> None:
        """Prepare, without connecting.

        Args:
            catalog: with the probes, and the schemas that the API exposes.
            database: gives up one of its connections while a session of ours is open.
            conninfo: read at each connect, may raise UsageError; None if none is configured.
            subjects: ids of test users by name.
        """
        self._probes = {probe.name: probe for probe in catalog.probes}
        self._database = database
        self._conninfo = conninfo
        self._settings = {
            "subjects": json.dumps(dict(subjects)),
            "search_path": ", ".join(
                f'"{schema}"' for schema in (*catalog.deployment.exposed_schemas, "pg_temp")
            ),
        }
        self._subjects = subjects
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._open = AsyncExitStack()
        self._session: MonitorConnection | None = None
        self._attempt: asyncio.Task[MonitorConnection] | None = None
        self._is_stopping = False

    async def ask(self, probe: Probe) -> Sighting:
        """Ask a probe once, after its controls, and return what it found.

        Raises:
            RunError: with the state in which it ended; `absent` where a control found nothing, so
                that nothing that is found proves anything.
        """
        if self._conninfo is None:
            raise RunError(
                State.UNCONFIGURED, "no login for probes in the settings (`probe_database_url`)"
            )
        steps = chain(probe, self._probes)
        for step in steps:
            name = step.header.caller.subject
            if name and name not in self._subjects:
                raise RunError(
                    State.ERROR, f"no test user {name} in the settings (`probe_subjects`)"
                )
        self._waiting += 1
        try:
            async with self._turn:
                return await self._ask(steps, self._conninfo)
        finally:
            self._waiting -= 1

    def cancel(self) -> None:
        """End the session, also in the middle of a statement, and begin no further one."""
        self._is_stopping = True
        if self._attempt:
            self._attempt.cancel()
        if self._session:
            hang_up(self._session)

    async def _ask(self, steps: list[Probe], conninfo: Callable[[], str]) -> Sighting:
        try:
            session = self._session or await self._begin(conninfo)
            longest = sum(step.header.timeout for step in steps) * _STATEMENTS + 1.0
            deadline = asyncio.get_running_loop().call_later(longest, hang_up, session)
            try:
                return await self._run(session, steps)
            finally:
                deadline.cancel()
        except psycopg.Error as error:
            raise RunError(state_of(error), describe_error(error)) from None
        finally:
            # Others that wait are asked on the same session: there is one for all that are due.
            if self._waiting == 1 or self._session is None or self._session.closed:
                self._session = None
                await self._open.aclose()

    async def _begin(self, conninfo: Callable[[], str]) -> MonitorConnection:
        """Open the session, in the place of a connection of the database."""
        if self._is_stopping:
            raise RunError(State.UNREACHABLE, "the exporter is stopping")
        await self._open.enter_async_context(self._database.room())
        try:
            self._attempt = asyncio.create_task(connect(conninfo()))
            await asyncio.wait([self._attempt])
            if self._attempt.cancelled():
                raise RunError(State.UNREACHABLE, "the exporter is stopping")
            session = self._attempt.result()
        except UsageError as error:
            raise RunError(State.UNREACHABLE, str(error)) from None
        except psycopg.errors.ConnectionTimeout:
            # The server may still be busy with it, so that for a while no more are made.
            self._database.put_off_growth()
            raise
        finally:
            self._attempt = None
        self._open.push_async_callback(session.close)
        self._session = session
        return session

    async def _run(self, session: MonitorConnection, steps: list[Probe]) -> Sighting:
        """Ask all steps in one transaction, so that they see the same rows."""
        found = Sighting(())
        try:
            async with session.pipeline():
                await begin(session, steps[-1].header.timeout, BEGIN_SNAPSHOT)
                await session.execute(SETTINGS, self._settings)
            for step in steps:
                await self._impersonate(session, step.header.caller, found)
                found = await _look(session, step)
                if step is not steps[-1] and not found.meets(step.header.expect):
                    raise RunError(
                        State.ABSENT,
                        f"control {step.name} found {found}, so that this would prove nothing",
                    )
            return found
        finally:
            await end(session)

    async def _impersonate(
        self, session: MonitorConnection, caller: Impersonation, control: Sighting
    ) -> None:
        subject = self._subjects[caller.subject] if caller.subject else ""
        claims = {"role": caller.role, **({"sub": subject} if subject else {})}
        parameters = {
            "claims": json.dumps(claims),
            "subject": subject,
            "role": caller.role,
            "control": json.dumps(control.rows),
        }
        async with session.pipeline():
            await session.execute("SET LOCAL ROLE NONE")
            await session.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(caller.role)))
            await session.execute(CLAIMS, parameters)


async def _look(session: MonitorConnection, probe: Probe) -> Sighting:
    """Ask one probe as the role that the session has now.

    Raises:
        psycopg.Error: other than that the role is denied, or that its policies go in a circle.
        RunError: `absent`, there is no row of which it could be said whether it may be inserted.
    """
    target = probe.header.insert_into
    most = 1 if target else MOST_ROWS
    try:
        async with session.pipeline():
            # A probe's file is code, written by the one who runs the exporter. By the alias, its
            # time is told from that of the application.
            cursor = await session.execute(
                f"SELECT to_jsonb({PROBE_ROLE}) FROM (\n{probe.text}\n) AS {PROBE_ROLE}"
                f" LIMIT {most}".encode()
            )
        found = tuple(row for (row,) in await cursor.fetchall())
        if target is None:
            return Sighting(found)
        if not found:
            raise RunError(State.ABSENT, f"{probe.name} gives no row that could be inserted")
        refusal = await insert_refusal(session, target, found[0])
        return Sighting(None, refusal) if refusal else Sighting(found)
    except psycopg.Error as error:
        if error.sqlstate == _DENIED:
            return Sighting(None, describe_error(error))
        if error.sqlstate == _POLICY_CYCLE and not probe.header.expect.is_of_nothing:
            return Sighting((), describe_error(error))
        raise
