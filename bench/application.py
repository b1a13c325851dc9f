"""An application with thousands of statements of 2 kB, some of each class, by several roles."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from exporter.database.database import Database
from exporter.database.facts import FactsReader
from exporter.database.grants import grants_sql
from exporter.database.roles import ROLE
from exporter.demo.database import OWNER, DemoDatabase
from exporter.demo.postgres import PostgresServer
from exporter.demo.programs import embedded_bin_dir
from exporter.state import StateStore
from exporter.statements.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.catalog import Catalog

CHARACTERS = 2_000
OPERATORS = 13
"""So many in each text, + or -, make each of 8,192 texts another one."""

SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "6000",
    "autovacuum": "off",  # so that what the server takes when nobody watches is the same all along
}
ONE_IN_A_CLASS = 10
"""One statement in so many is of a class; the owner calls it, whom no policy stops."""

SUPERUSER = "supabase_admin"

Statements = dict[str, list[str]]
"""Texts by role."""


def text_of(number: int, relation: str | None = None) -> str:
    """Return a statement that differs from those of other numbers in its operators."""
    terms = "".join(f" {'-+'[number >> bit & 1]} 1" for bit in range(OPERATORS))
    text = f"SELECT 1{terms}" + (f" FROM {relation} WHERE false" if relation else "")
    return f"{text} /*{'x' * (CHARACTERS - len(text) - 5)}*/"


def application(catalog: Catalog, count: int) -> Statements:
    """Return so many statements by the role that calls them."""
    relations = [rules.relations[0] for rules in catalog.deployment.classes.values()]
    roles = (*catalog.deployment.statement_roles, OWNER)
    found: Statements = {role: [] for role in roles}
    for number in range(count):
        turn, rest = divmod(number, ONE_IN_A_CLASS)
        if rest:
            found[roles[number % len(roles)]].append(text_of(number))
        else:
            found[OWNER].append(text_of(number, relations[turn % len(relations)]))
    return found


def call(connection: psycopg.Connection[Any], statements: Statements) -> None:
    """Call each statement once, as its role, on a connection of the superuser."""
    for role, texts in statements.items():
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        for text in texts:
            connection.execute(text.encode())
    connection.execute("RESET ROLE")


def connect(loom: DemoDatabase) -> psycopg.Connection[Any]:
    """Return a connection on which every role may be set, and no statement is prepared."""
    return psycopg.connect(loom.dsn(SUPERUSER), autocommit=True, prepare_threshold=None)


@contextlib.contextmanager
def calling(loom: DemoDatabase, statements: Statements, rest_seconds: float) -> Iterator[None]:
    """Call all statements again and again meanwhile, with a rest between two rounds."""
    done = threading.Event()

    def work() -> None:
        with connect(loom) as connection:
            while not done.wait(rest_seconds):
                call(connection, statements)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def loom_database(folder: Path, catalog: Catalog) -> Iterator[DemoDatabase]:
    """Start the demo's database, as it is before its deployment; nothing was called there yet."""
    # The account that runs the server for root must get through to its own folder.
    folder.chmod(0o711)
    with PostgresServer(
        embedded_bin_dir(), folder / "postgres", settings=SETTINGS, superuser=SUPERUSER
    ) as server:
        loom = DemoDatabase.create(server)
        loom.install_grants(grants_sql(catalog))
        loom.run("SELECT extensions.pg_stat_statements_reset()")
        yield loom


def learn(loom: DemoDatabase, state: Path, catalog: Catalog) -> None:
    """Write down what a daemon knows that has had the time to read all texts."""

    async def poll() -> None:
        store = StateStore(state)
        async with Database("loom", lambda: loom.dsn(ROLE)) as watched:
            poller = Poller(
                watched,
                FactsReader(watched),
                store.scope("loom", catalog.deployment.name),
                catalog.deployment,
                show_texts=True,
                from_zero=True,
                pause_seconds=0.0,
            )
            await poller.ask()
            while poller.is_behind:
                await poller.ask()
        store.close()

    asyncio.run(poll())
