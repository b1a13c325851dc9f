"""A password of every awkward character, and pieces of it wherever they may be seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from exporter.database.grants import ROLE
from tests.support.observers import eventually

if TYPE_CHECKING:
    from tests.support.daemon import Daemon
    from tests.support.loom_database import LoomDatabase

# Letters stand between the signs, so that a piece of it is not by chance a piece of anything else.
PASSWORD = "jQ x'Zv\"Kw\\qJ%4AG@Vz/Xk:7#Yq?wB&Hj=Uv$N`Fy;Pz<R>Zé漢ß{W}[k]|~^*!(x),+-_.Qq"
OTHER_PASSWORD = "another one"

FRAGMENT = 4
"""The length of a piece of the password that must not be seen."""


def until_up(daemon: Daemon, up: float) -> None:
    """Wait until the daemon says whether it reaches its database."""
    eventually(f"loom_database_up is {up}", lambda: daemon.page().value("loom_database_up") == up)


def set_password(loom: LoomDatabase, password: str, role: str = ROLE) -> None:
    """Give a role of ours a password, and room for many processes at once."""
    with loom.connect() as connection:
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {} CONNECTION LIMIT 50").format(
                sql.Identifier(role), sql.Literal(password)
            )
        )
    with psycopg.connect(loom.dsn(role, password)):
        pass


def fragments_in(*texts: str) -> set[str]:
    """Return the pieces of the password that are seen, however they are encoded."""
    forms = {
        PASSWORD,
        quote(PASSWORD, safe=""),
        quote(PASSWORD),
        json.dumps(PASSWORD),
        json.dumps(PASSWORD, ensure_ascii=False),
        repr(PASSWORD),
        ascii(PASSWORD),
        make_conninfo(password=PASSWORD).removeprefix("password="),
    }
    fragments = {
        form[start : start + FRAGMENT]
        for form in forms
        for start in range(len(form) - FRAGMENT + 1)
    }
    return {fragment for fragment in fragments for text in texts if fragment in text}
