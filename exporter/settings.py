"""The settings, and the only reader of the environment.

Precedence: command line, `LOOM_EXPORTER_*` variables, the YAML file of `--config`, the defaults
here. Every error is one line that names the place and the key.
"""

import difflib
import os
import re
import sys
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from exporter.database_settings import (
    DatabaseSettings,
    Dsn,
    LabelValue,
    Subject,
    TenantSettings,
    name_in_url,
)
from exporter.durations import Duration
from exporter.errors import UsageError
from exporter.redaction import redact
from exporter.source_settings import SourceName, SourceSettings
from exporter.yaml_source import YamlDocument, plain_reason, read_document

ENV_PREFIX = "LOOM_EXPORTER_"
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"

_SECRETS = ("database_url", "probe_database_url")
"""Settings that hold a password; each has a twin that names a file."""

_HIDDEN = (*_SECRETS, "daemon_password", "daemon_token")
"""Settings that are shown nowhere."""

_FROM_KUBERNETES = re.compile(rf"{ENV_PREFIX}(SERVICE_|PORT($|_))")
"""Variables that the kubelet sets in each pod if a Service is named loom-exporter."""


def _listen_address(text: str) -> str:
    """Validate `host:port`, `[v6]:port` or `:port` (all interfaces)."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s]*):(\d{1,5})", text)
    if not match or not 0 <= int(match[2]) <= 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:10187, [::1]:10187 or :10187")
    return text


def packaged(folder: str) -> Path:
    """Return a shipped folder: inside the package once installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / folder
    return installed if installed.is_dir() else package.parent / folder


def packaged_queries() -> Path:
    """Return the folder of the shipped pack."""
    return packaged("queries") / "loom"


def _state_home() -> Path:
    return _expand(os.environ.get("XDG_STATE_HOME") or "~/.local/state") / "loom-exporter"


def _expand(path: str) -> Path:
    """Expand `~`; a user without a home, as in a container, has it in the working directory."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises there


class Settings(BaseSettings):
    """The settings of one process, immutable once loaded. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    database_url: Dsn | None = Field(None, description="PostgreSQL, as a URL or as key=value pairs")
    database_url_file: Path | None = Field(
        None, description="a file that holds it, read at each connect"
    )
    probe_database_url: Dsn | None = Field(
        None, description="the same database as the role loom_probe, which asks as users of the API"
    )
    probe_database_url_file: Path | None = Field(
        None, description="a file that holds it, read at each connect"
    )
    probe_subjects: dict[SourceName, Subject] = Field(
        default_factory=dict, description="test users of the probes in *.as.sql: their ids, by name"
    )
    database_name: LabelValue = Field(
        "", description="value of the label `database`; by default the name in the URL"
    )
    databases: tuple[DatabaseSettings, ...] = Field(
        (), description="several databases instead of one, each with its URL and its pack"
    )
    databases_from: TenantSettings | None = Field(
        None, description="a query on the first of `databases` that names more, and their URL"
    )
    server_connections: Annotated[int, Field(ge=4)] = Field(
        40, description="the most sessions on one server, of all databases that are watched there"
    )
    listen: Annotated[str, AfterValidator(_listen_address)] = Field(
        ":10187", description="address and port of the web server"
    )
    web_config_file: Path | None = Field(
        None, description="TLS, users and limits of the web server, in the exporter-toolkit format"
    )
    queries: Path = Field(default_factory=packaged_queries, description="folder of the queries")
    sources: dict[SourceName, SourceSettings] = Field(
        default_factory=dict, description="HTTP sources of the questions in *.http.yaml, by name"
    )
    suites: Path | None = Field(
        None, description="folder from which results of test suites are taken as they change"
    )
    state_dir: Path = Field(
        default_factory=_state_home, description="folder of the state that survives a restart"
    )
    max_interval: Annotated[Duration, Field(ge=1)] | None = Field(
        None, description="run every query at least this often, for instance while a migration runs"
    )
    hour: Annotated[Duration, Field(ge=3, le=3600)] = Field(
        3600.0,
        description="length of an hour of the baseline, the warm-up and the first week; "
        "shorter only to rehearse a deployment in fast motion",
    )
    statement_text: bool = Field(
        True, description="show the slowest statements with their text, free of literals"
    )
    daemon_user: str | None = Field(
        None, description="user with whom `verify --url` and others ask a daemon"
    )
    daemon_password: SecretStr | None = Field(None, description="the password of that user")
    daemon_token: SecretStr | None = Field(
        None, description="a bearer token instead, where a proxy before the daemon wants one"
    )
    daemon_ca_file: Path | None = Field(
        None, description="the only authorities that are trusted when a daemon is asked"
    )
    log_format: Literal["console", "json"] = Field("console", description="form of the log lines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level that is logged"
    )


def load_settings(
    config: Path | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Load the settings from the command line, the environment and a file.

    Args:
        config: a YAML file; by default the one that `LOOM_EXPORTER_CONFIG` names, if any.
        overrides: values of the command line by field; None means that the option is absent.

    Raises:
        UsageError: a setting is unknown or malformed, or the file cannot be read.
    """
    redact.hide(
        *(os.environ.get(name, "") for name in ("PGPASSWORD", *map(_variable, _HIDDEN))),
    )
    _refuse_unknown_variables()
    config = config_file(config)
    document = _read_config(config) if config else YamlDocument("", {}, {})
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    # pydantic-settings prefers arguments to the environment, so keys of the file that a variable
    # sets are dropped. It ignores the case of variables, and variables that are empty.
    variables = {variable.upper() for variable, value in os.environ.items() if value}
    from_file = {
        key: value for key, value in document.data.items() if _variable(key) not in variables
    }
    try:
        settings = Settings(**{**from_file, **given})
    except ValidationError as invalid:
        raise _explain(invalid, document, given, variables) from None
    except SettingsError as error:
        # Of a variable that is not plain text; what it holds is not repeated.
        field = re.search(r'field "(\w+)"', str(error))
        place = _variable(field[1]) if field else "a variable"
        raise UsageError(f"environment: {place}: must be a JSON object") from None
    for name in _SECRETS:
        if getattr(settings, name) and getattr(settings, f"{name}_file"):
            raise UsageError(f"settings: {name} and {name}_file are both set; give one")
    if settings.databases_from and not settings.databases:
        raise UsageError("settings: databases_from: needs the database it asks, in databases")
    if settings.databases:
        return settings
    return settings.model_copy(update={"database_name": settings.database_name or _name(settings)})


def config_file(option: Path | None) -> Path | None:
    """Return the YAML file of settings: that of the option, else that of the environment."""
    named = os.environ.get(CONFIG_VARIABLE)
    return option or (Path(named) if named else None)


def _name(settings: Settings) -> str:
    """Return the name in the connection string of one database.

    Raises:
        UsageError: it cannot be the value of a label.
    """
    try:
        return name_in_url(settings.database_url, settings.database_url_file)
    except ValueError as error:
        raise UsageError(f"settings: {error}; set database_name") from None


def libpq_service_file() -> Path:
    """Return the file in which libpq looks for the services of connection strings."""
    return _expand(os.environ.get("PGSERVICEFILE") or "~/.pg_service.conf")


def interactive() -> bool:
    """Return whether standard error is a terminal and NO_COLOR is not set."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _variable(name: str) -> str:
    return ENV_PREFIX + name.upper()


def _refuse_unknown_variables() -> None:
    # pydantic-settings ignores unknown variables: a misspelt one would silently leave the default.
    known = {_variable(name) for name in Settings.model_fields} | {CONFIG_VARIABLE}
    for variable in sorted(os.environ):
        if not variable.upper().startswith(ENV_PREFIX) or variable.upper() in known:
            continue
        if _FROM_KUBERNETES.match(variable):
            continue
        near = difflib.get_close_matches(variable, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        raise UsageError(f"environment: {variable}: unknown setting; {hint}")


def _read_config(path: Path) -> YamlDocument:
    document = read_document(path)
    if document.data is None:
        return YamlDocument(str(path), {}, {})
    if not isinstance(document.data, dict):
        raise UsageError(f"{path}: must hold settings as `key: value`")
    redact.hide(*(str(document.data.get(name) or "") for name in _HIDDEN))
    listed = document.data.get("databases")
    for entry in [
        *(listed if isinstance(listed, list) else ()),
        document.data.get("databases_from"),
    ]:
        if isinstance(entry, dict):
            keys = ("url", "probe_url", "template")
            redact.hide(*(str(entry.get(name) or "") for name in keys))
    return document


def _explain(
    invalid: ValidationError,
    document: YamlDocument,
    given: Mapping[str, object],
    variables: Set[str],
) -> UsageError:
    first = invalid.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0])
    variable = _variable(name)
    if name in given:
        return UsageError(f"command line: --{name}: {plain_reason(first['type'], first['msg'])}")
    if variable in variables:
        place = ".".join([variable, *map(str, first["loc"][1:])])
        return UsageError(f"environment: {place}: {plain_reason(first['type'], first['msg'])}")
    return document.errors(invalid)
