"""The settings of each database that a process watches, as if it were the only one."""

from collections.abc import Sequence

from pydantic import ValidationError

from exporter.database_settings import DatabaseSettings, TenantSettings, name_in_url
from exporter.errors import UsageError
from exporter.settings import Settings

_OF_ONE_DATABASE = (
    "database_url",
    "database_url_file",
    "database_name",
    "probe_database_url",
    "probe_database_url_file",
    "probe_subjects",
    "suites",
    "sources",
)
"""Settings that each entry of `databases` has for itself."""


def each_database(settings: Settings, tenants: Sequence[str] = ()) -> tuple[Settings, ...]:
    """Return the settings of each database; those given where no list is given.

    Args:
        settings: of the process.
        tenants: names that `databases_from` has found; one that is listed stays as it is listed.

    Raises:
        UsageError: a database has no name, or one that another has; or a setting of one database
            stands beside the list.
    """
    if not settings.databases:
        return (settings,)
    for key in _OF_ONE_DATABASE:
        if getattr(settings, key):
            raise UsageError(
                f"settings: {key} and databases are both set",
                f"move {key} into the entries of databases, as {key.replace('database_', '')}",
            )
    found: dict[str, Settings] = {}
    for number, entry in enumerate(settings.databases):
        name = _name(number, entry)
        if name in found:
            raise UsageError(f"settings: databases.{number}: another one is named {name} too")
        found[name] = _settings_of(settings, entry, name)
    if settings.databases_from:
        for name in tenants:
            if name not in found:
                entry = _tenant(settings.databases_from, name)
                found[name] = _settings_of(settings, entry, name)
    return tuple(found.values())


def pick(databases: Sequence[Settings], name: str | None) -> Settings:
    """Return the settings with this name; the only ones where none is given.

    Raises:
        UsageError: there is none with this name, or there are several and none is named.
    """
    known = {each.database_name: each for each in databases}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name is None:
        raise UsageError(f"{len(known)} databases", f"give --database NAME: {', '.join(known)}")
    if name not in known:
        raise UsageError(f"--database: no database {name}", f"known are {', '.join(known)}")
    return known[name]


def _tenant(found: TenantSettings, name: str) -> DatabaseSettings:
    try:
        return found.entry(name)
    except ValidationError:
        raise UsageError(
            f"settings: databases_from: {name!r} cannot be the name of a database"
        ) from None


def _name(number: int, entry: DatabaseSettings) -> str:
    try:
        name = entry.name or name_in_url(entry.url, entry.url_file)
    except ValueError as error:
        raise UsageError(f"settings: databases.{number}: {error}", "give it a name") from None
    if not name:
        raise UsageError(
            f"settings: databases.{number}: no name can be read in {entry.url_file}",
            "give it a name",
        )
    return name


def _settings_of(settings: Settings, entry: DatabaseSettings, name: str) -> Settings:
    return settings.model_copy(
        update={
            "databases": (),
            "databases_from": None,
            "database_url": entry.url,
            "database_url_file": entry.url_file,
            "database_name": name,
            "probe_database_url": entry.probe_url,
            "probe_database_url_file": entry.probe_url_file,
            "probe_subjects": entry.probe_subjects,
            "queries": entry.pack or settings.queries,
            "suites": entry.suites,
            "sources": entry.sources,
        }
    )
