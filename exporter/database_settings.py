"""The databases of one process as an operator lists them: where each one is, and its pack."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from exporter.dsn import check_dsn, database_of
from exporter.source_settings import SourceName, SourceSettings

_NAME = "{name}"


def _label_value(text: str) -> str:
    if not text.strip() or len(text) > 63 or not text.isprintable():
        raise ValueError("must be 1 to 63 printable characters")
    return text


def _dsn(secret: SecretStr) -> SecretStr:
    return SecretStr(check_dsn(secret.get_secret_value().strip()))


def _subject(text: str) -> str:
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise ValueError("must be the id of a test user, as `sub` of its token has it")
    return text


def _template(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if _NAME not in text or "://" not in text:
        raise ValueError("must be a URL in which {name} stands for the name of the database")
    check_dsn(text.replace(_NAME, "name"))
    return SecretStr(text)


Dsn = Annotated[SecretStr, AfterValidator(_dsn)]
LabelValue = Annotated[str, AfterValidator(_label_value)]
Subject = Annotated[str, AfterValidator(_subject)]


class DatabaseSettings(BaseModel):
    """One entry of `databases`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: LabelValue | None = None
    """Value of the label `database`; by default the name in the URL."""
    url: Dsn | None = None
    url_file: Path | None = None
    """A file that holds it, read at each connect."""
    pack: Path | None = None
    """The folder of its queries; by default the one of the setting `queries`."""
    probe_url: Dsn | None = None
    probe_url_file: Path | None = None
    probe_subjects: dict[SourceName, Subject] = Field(default_factory=dict)
    suites: Path | None = None
    """The folder from which results of its test suites are taken."""
    sources: dict[SourceName, SourceSettings] = Field(default_factory=dict)
    """Its own: an answer about production says nothing of staging."""

    @model_validator(mode="after")
    def _has_one_url(self) -> Self:
        if bool(self.url) is bool(self.url_file):
            raise ValueError("needs either url or url_file")
        if self.probe_url and self.probe_url_file:
            raise ValueError("probe_url and probe_url_file are both set; give one")
        return self


class TenantSettings(BaseModel):
    """`databases_from`: where the names of further databases come from."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    query: str
    """Asked of the first entry of `databases`; one column, the names."""
    template: Annotated[SecretStr, AfterValidator(_template)]
    """The URL of each, in which {name} stands for the name."""
    pack: Path | None = None

    def entry(self, name: str) -> DatabaseSettings:
        """Return the entry of a database.

        Raises:
            ValidationError: the name cannot be that of a database.
        """
        url = self.template.get_secret_value().replace(_NAME, quote(name, safe=""))
        return DatabaseSettings(name=name, url=SecretStr(url), pack=self.pack)


def name_in_url(url: SecretStr | None, file: Path | None) -> str:
    """Return the name of the database in a connection string; empty where none can be read.

    Raises:
        ValueError: it cannot be the value of a label.
    """
    try:
        if file:
            conninfo = file.read_text(encoding="utf-8-sig").strip()
        else:
            conninfo = url.get_secret_value() if url else ""
        name = database_of(conninfo)
    except (OSError, ValueError):
        return ""
    try:
        return _label_value(name)
    except ValueError as error:
        raise ValueError(f"the name of the database {error} to be a label") from None
