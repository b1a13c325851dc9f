"""Connection strings: checked before they are used, and never shown."""

import re
from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict

from exporter.redaction import redact

_PASSWORD_KEY = re.compile(
    r"""(?:^|[\s?&])(?:password|sslpassword)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]*)"""
)


def check_dsn(conninfo: str) -> str:
    """Hide the secrets of `conninfo`, and make sure that libpq will read it as it was meant.

    libpq quotes parts of a string that it cannot read, so its own messages are not passed on.

    Raises:
        ValueError: it is neither a URL nor key=value pairs, or its password was not encoded.
    """
    _hide_secrets(conninfo)
    if not conninfo:
        raise ValueError("is empty; give a PostgreSQL URL or key=value pairs")
    try:
        parameters = conninfo_to_dict(conninfo)
    except (psycopg.ProgrammingError, UnicodeError):
        raise ValueError(
            "not a PostgreSQL URL nor key=value pairs; in a URL, percent-encode what is "
            "not a letter or digit in the password (@ is %40, / is %2F, # is %23, % is %25)"
        ) from None
    redact.hide(*(str(parameters.get(key) or "") for key in ("password", "sslpassword")))
    if "://" in conninfo and _password_was_split(parameters):
        raise ValueError(
            "the password holds a character that ends it in a URL; percent-encode it "
            "(@ is %40, / is %2F, : is %3A, ? is %3F)"
        )
    return conninfo


def _password_was_split(parameters: Mapping[str, object]) -> bool:
    """Return whether libpq took a piece of the password for the host, the port or the database."""
    host, port, name = (str(parameters.get(key) or "") for key in ("host", "port", "dbname"))
    return "@" in host or "@" in name or not re.fullmatch(r"[\d,]*", port)


def _hide_secrets(conninfo: str) -> None:
    """Hide whatever could be the password, however badly it is written."""
    for value in _PASSWORD_KEY.findall(conninfo):
        redact.hide(value, value.strip("'"), re.sub(r"\\(.)", r"\1", value.strip("'")))
    if "://" in conninfo:
        redact.hide(conninfo)
        # Up to the last @: an unescaped one inside the password must not split it.
        authority, at, _ = conninfo.split("://", 1)[1].rpartition("@")
        _, colon, password = authority.partition(":")
        if at and colon:
            redact.hide(password, *re.split(r"[@:/?#&=%]", password))
