"""The connection string, read again for each connection."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from exporter.dsn import check_dsn
from exporter.errors import UsageError
from exporter.reload import Reloaded, stamp_of
from exporter.settings import Settings


def conninfo_reader(settings: Settings) -> Callable[[], str]:
    """Return a function that reads the connection string from where the settings say.

    A file is read at each call, so that a rotated password needs no restart.

    Raises:
        UsageError: no connection string is set. The function raises the same if the file
            cannot be read or does not hold one.
    """
    reader = _reader(settings.database_url_file, settings.database_url)
    if reader:
        return reader
    raise UsageError(
        "settings: no database; set LOOM_EXPORTER_DATABASE_URL or LOOM_EXPORTER_DATABASE_URL_FILE, "
        "such as postgresql://loom_monitor:…@db.example.org/postgres?sslmode=verify-full"
        "&sslrootcert=/etc/ssl/certs/ca-certificates.crt"
    )


def probe_conninfo_reader(settings: Settings) -> Callable[[], str] | None:
    """Return a function that reads the connection string of the probes; None if none is set."""
    return _reader(settings.probe_database_url_file, settings.probe_database_url)


def _reader(path: Path | None, secret: SecretStr | None) -> Callable[[], str] | None:
    if path:

        def from_file() -> str:
            try:
                return check_dsn(path.read_text(encoding="utf-8-sig").strip())
            except OSError as error:
                raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
            except UnicodeDecodeError:
                raise UsageError(f"{path}: not UTF-8 text") from None
            except ValueError as error:
                raise UsageError(f"{path}: {error}") from None

        return from_file
    return secret.get_secret_value if secret else None


def reloaded_conninfo(settings: Settings) -> Reloaded[str]:
    """Return the connection string as it is at each connect.

    A file that is broken later leaves in force what it held before.

    Raises:
        UsageError: it is not set, or its file is broken now.
    """
    files = [settings.database_url_file] if settings.database_url_file else []
    return Reloaded("database_url", partial(stamp_of, files), conninfo_reader(settings))
