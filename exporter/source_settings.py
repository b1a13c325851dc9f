"""The HTTP sources as an operator configures them: the address, the credentials, the limits."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def _source_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a source is named in lower case, digits and _, such as prometheus")
    return text


def _base_url(text: str) -> str:
    """Validate the address; the messages never show it, because it may hold a password."""
    if re.search(r"[\s\x00-\x20\x7f\\]", text):
        raise ValueError("must not hold spaces, control characters or \\")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("not an address; write it as https://host:port/path") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise ValueError("must begin with https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or a password; put them into a token_file")
    if "?" in text or "#" in text:
        raise ValueError("must not hold ? or #; parameters belong to the question")
    if {".", ".."} & set(parts.path.split("/")) or "%" in parts.path:
        raise ValueError("must not hold %, `.` or `..` as a part of its path")
    return text.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base_url)]
SourceName = Annotated[str, AfterValidator(_source_name)]


class SourceSettings(BaseModel):
    """One HTTP source. Questions name it, and a path below its address, but never a host."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Literal["json", "prometheus", "loki"]
    """prometheus and loki answer expressions, json answers paths."""
    url: BaseUrl
    """The address below which all paths lie, without a slash at its end."""
    token_file: Path | None = None
    """Read before each request, so that a rotated token needs no restart."""
    auth: Literal["bearer", "basic"] = "bearer"
    """basic: the token file holds `user:password`."""
    requests_per_minute: Annotated[int, Field(ge=1, le=6000)] = 30
    ca_file: Path | None = None
    """The only authorities that are trusted; by default the ones that browsers trust."""
    plain_http: bool = False
    """Whether an address without TLS is allowed."""

    @model_validator(mode="after")
    def _is_encrypted_unless_allowed(self) -> Self:
        is_plain = self.url.startswith("http:")
        if is_plain and not self.plain_http:
            raise ValueError("url: must begin with https://; `plain_http: true` allows http://")
        if self.plain_http and not is_plain:
            raise ValueError("plain_http: the url begins with https://; leave plain_http out")
        if is_plain and self.ca_file:
            raise ValueError("ca_file: has no meaning without TLS; leave it out")
        if self.auth == "basic" and not self.token_file:
            raise ValueError("auth: basic needs a token_file that holds `user:password`")
        return self
