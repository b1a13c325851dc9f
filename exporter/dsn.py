"""Connection strings: checked before they are used, and never shown."""

import re
from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict

from exporter.redaction import redact

_PASSWORD_KEY = re.compile(
    r"""(?:^|[\s?&])(?:password|sslpassword)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]*)"""
)


_QUOTED = re.compile(r"""(['"]).*\1""", re.DOTALL)
_ASSIGNMENT = re.compile(r"(export\s+)?[A-Z_][A-Z0-9_]*\s*=")
_OTHER_DRIVER = re.compile(r"(postgres|postgresql|pgsql|asyncpg|psycopg2?)\+?\w*://", re.IGNORECASE)
_PARAMETER = re.compile(r"(?:^|[\s?&])(\w+)\s*=")

_DROP = "remove it"
_NO_SCHEMA = "remove it: each query names its schemas"
_SSLMODE = "write sslmode=verify-full or sslmode=require instead"
_NOT_NEEDED = "remove it: behind a transaction pooler nothing need be said"
_FOREIGN_PARAMETERS = {
    "pgbouncer": _NOT_NEEDED,
    "prepared_statements": _NOT_NEEDED,
    "prepareThreshold": _NOT_NEEDED,
    "statement_cache_size": _NOT_NEEDED,
    "prepared_statement_cache_size": _NOT_NEEDED,
    "binary_parameters": _NOT_NEEDED,
    "default_query_exec_mode": _NOT_NEEDED,
    "pool_mode": _NOT_NEEDED,
    "schema": _NO_SCHEMA,
    "currentSchema": _NO_SCHEMA,
    "search_path": _NO_SCHEMA,
    "ssl": _SSLMODE,
    "sslaccept": _SSLMODE,
    "sslidentity": _SSLMODE,
    "sslfactory": _SSLMODE,
    "uselibpqcompat": _SSLMODE,
    "connection_limit": _DROP,
    "pool_timeout": _DROP,
    "pool_size": _DROP,
    "max_overflow": _DROP,
    "pool_max_conns": _DROP,
    "socket_timeout": _DROP,
    "loginTimeout": _DROP,
    "socketTimeout": _DROP,
    "ApplicationName": _DROP,
    "reWriteBatchedInserts": _DROP,
    "stringtype": _DROP,
    "charset": _DROP,
    "serverVersion": _DROP,
    "supa": _DROP,
}
"""Parameters of other drivers, and what to do; the only words of a string that are ever quoted."""


def check_dsn(conninfo: str) -> str:
    """Hide the secrets of `conninfo`, and make sure that libpq will read it as it was meant.

    libpq quotes parts of a string that it cannot read, so its own messages are not passed on: any
    part of it may be a piece of a password that was not encoded.

    Raises:
        ValueError: it is neither a URL nor key=value pairs, it is written for another driver, or
            its password was not encoded; the message says what to change.
    """
    _hide_secrets(conninfo)
    if not conninfo:
        raise ValueError("is empty; give a PostgreSQL URL or key=value pairs")
    if problem := _written_for_others(conninfo):
        raise ValueError(problem)
    try:
        parameters = conninfo_to_dict(conninfo)
    except (psycopg.ProgrammingError, UnicodeError):
        for name in _PARAMETER.findall(conninfo):
            if remedy := _FOREIGN_PARAMETERS.get(name):
                raise ValueError(f"libpq has no parameter `{name}`; {remedy}") from None
        raise ValueError(
            "not a PostgreSQL URL nor key=value pairs; in a URL, percent-encode what is "
            "not a letter or digit in the password (@ is %40, / is %2F, # is %23, % is %25), "
            "and use no parameter that libpq does not have"
        ) from None
    redact.hide(*(str(parameters.get(key) or "") for key in ("password", "sslpassword")))
    if "://" in conninfo and _password_was_split(conninfo, parameters):
        raise ValueError(
            "the password holds a character that ends it in a URL; percent-encode it "
            "(@ is %40, / is %2F, : is %3A, ? is %3F)"
        )
    if not all(map(_is_port, str(parameters.get("port") or "").split(","))):
        raise ValueError("the port is not a number from 1 to 65535")
    return conninfo


def database_of(conninfo: str) -> str:
    """Return the name of the database that a string names, or what libpq takes in its place.

    A service of a file that libpq reads later stands for its database.

    Raises:
        ValueError: as `check_dsn`.
    """
    parameters = conninfo_to_dict(check_dsn(conninfo))
    given = (parameters.get(key) for key in ("dbname", "service", "user"))
    return str(next((name for name in given if name), "postgres"))


def _written_for_others(conninfo: str) -> str | None:
    """Return what to change in a string that is right elsewhere; None if it is not such a one."""
    if _QUOTED.fullmatch(conninfo):
        return "stands in quotes, which are not part of it; remove them"
    if _ASSIGNMENT.match(conninfo):
        return "begins with a name and `=`, as in an .env file; leave only what follows"
    if conninfo.lower().startswith("jdbc:"):
        return "is a JDBC URL; remove `jdbc:` (user=… and password=… may stay as parameters)"
    if _OTHER_DRIVER.match(conninfo) and not conninfo.startswith(("postgresql://", "postgres://")):
        return "is a URL of another library; begin it with postgresql:// instead"
    return None


def _password_was_split(conninfo: str, parameters: Mapping[str, object]) -> bool:
    """Return whether libpq took a piece of the password for the host, the port or the database."""
    host, port, name = (str(parameters.get(key) or "") for key in ("host", "port", "dbname"))
    if "@" in host or "@" in name:
        return True
    # Where the @ is missing or comes later than the first / or ?, the password was cut there.
    rest = conninfo.split("://", 1)[1]
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    return not re.fullmatch(r"[\d,]*", port) and "@" in rest and "@" not in authority


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535)


def _hide_secrets(conninfo: str) -> None:
    """Hide each part that could be the password, however badly it is written."""
    for value in _PASSWORD_KEY.findall(conninfo):
        redact.hide(value, value.strip("'"), re.sub(r"\\(.)", r"\1", value.strip("'")))
    if "://" in conninfo:
        redact.hide(conninfo)
        # Up to the last @: an unescaped one inside the password must not split it.
        authority, at, _ = conninfo.split("://", 1)[1].rpartition("@")
        _, colon, password = authority.partition(":")
        if at and colon:
            redact.hide(password, *re.split(r"[@:/?#&=%]", password))
