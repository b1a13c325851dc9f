"""The connection string: read anew for each connection, checked, and never shown."""

import re
from collections.abc import Callable, Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict

from exporter.redaction import redact
from exporter.settings import Settings, SettingsError

_PASSWORD_KEY = re.compile(
    r"""(?:^|[\s?&])(?:password|sslpassword)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]*)"""
)


def conninfo_reader(settings: Settings) -> Callable[[], str]:
    """Return a function that reads the connection string from where the settings say.

    A file is read at each call, so that a rotated password needs no restart.

    Raises:
        SettingsError: no connection string is set. What the function returns is checked by it and
            raises the same.
    """
    if settings.database_url_file:
        path = settings.database_url_file

        def from_file() -> str:
            try:
                text = path.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
            except UnicodeDecodeError:
                raise SettingsError(f"{path}: not UTF-8 text") from None
            return _checked(text, str(path))

        return from_file
    if settings.database_url:
        url = settings.database_url.get_secret_value()
        return lambda: _checked(url.strip(), "LOOM_EXPORTER_DATABASE_URL")
    raise SettingsError(
        "settings: no database; set LOOM_EXPORTER_DATABASE_URL or LOOM_EXPORTER_DATABASE_URL_FILE, "
        "such as postgresql://loom_monitor:…@db.example.org/postgres?sslmode=verify-full"
    )


def _checked(conninfo: str, place: str) -> str:
    """Hide the secrets of `conninfo` and make sure that libpq will read it as it was meant.

    libpq quotes parts of a string that it cannot read, so its own messages are not passed on.
    """
    _hide_secrets(conninfo)
    if not conninfo:
        raise SettingsError(f"{place}: is empty; give a PostgreSQL URL or key=value pairs")
    try:
        parameters = conninfo_to_dict(conninfo)
    except (psycopg.ProgrammingError, UnicodeError):
        raise SettingsError(
            f"{place}: not a PostgreSQL URL nor key=value pairs; in a URL, percent-encode what is "
            "not a letter or digit in the password (@ is %40, / is %2F, # is %23, % is %25)"
        ) from None
    redact.hide(*(str(parameters.get(key) or "") for key in ("password", "sslpassword")))
    if "://" in conninfo and _password_was_split(parameters):
        raise SettingsError(
            f"{place}: the password holds a character that ends it in a URL; percent-encode it "
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
