"""The file of `--web.config.file`: TLS, users, headers and rate limit.

The format is that of Prometheus' exporter-toolkit, `docs/web-configuration.md`. A part of it that
is not supported is an error, because its author relies on it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from exporter.durations import parse_duration
from exporter.redaction import redact
from exporter.yaml_source import YamlDocument, read_document

_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
"""Version, cost, salt (128 bits, so its last character has four values) and digest."""

_CIPHERS = {
    f"TLS_ECDHE_{key}_WITH_{cipher}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for cipher, openssl in {
        "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
        "AES_128_CBC_SHA": "AES128-SHA",
        "AES_256_CBC_SHA": "AES256-SHA",
    }.items()
} | {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
}
"""The suites of TLS 1.2 that Go offers: IANA's name to OpenSSL's name."""

_OF_TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


def _cipher(name: str) -> str | None:
    """Return OpenSSL's name of a suite; None for one of TLS 1.3: they are always all in force."""
    if name in _OF_TLS13:
        return None
    if name in _CIPHERS:
        return _CIPHERS[name]
    raise ValueError(f"`{name}` is not supported; known are {', '.join(_CIPHERS)}")


def _hash(text: str) -> str:
    redact.hide(text)
    if not _HASH.fullmatch(text):
        raise ValueError("must be a bcrypt hash, such as `htpasswd -nBC 10 ''` prints")
    return text


def _user(name: str) -> str:
    if ":" in name:
        raise ValueError("a name with a colon cannot be sent")
    return name


def _interval(value: Any) -> float:
    return 0.0 if value in (0, "0") else parse_duration(value)


def _file(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("must be the path of a file")
    return Path(str(info.context), value)


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value  # `X-XSS-Protection: 1`


def _pem(text: str) -> str:
    redact.hide(text)
    if "-----BEGIN" not in text:
        raise ValueError("must be PEM; put a path into the key that ends in _file")
    return text


def _printable(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII")
    return text


def _section(value: Any) -> Any:
    return {} if value is None else value


def _unsupported(reason: str) -> BeforeValidator:
    def refuse(_: Any) -> Any:
        raise ValueError(f"not supported: {reason}")

    return BeforeValidator(refuse)


_Text = Annotated[str, BeforeValidator(_as_text), AfterValidator(_printable)]
_Pem = Annotated[str, AfterValidator(_pem)]

File = Annotated[Path, BeforeValidator(_file)]
"""A path, relative to the folder of the file that names it."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TlsConfig(_Model):
    """`tls_server_config`."""

    cert: _Pem | None = None
    key: _Pem | None = None
    cert_file: File | None = None
    key_file: File | None = None
    client_ca: str | None = None
    client_ca_file: File | None = None
    client_auth_type: Literal[
        "NoClientCert", "RequestClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
    ] = "NoClientCert"
    client_allowed_sans: tuple[str, ...] | None = None
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"
    cipher_suites: tuple[Annotated[Any, AfterValidator(_cipher)], ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: Annotated[
        tuple[()], _unsupported("the curves are those of OpenSSL; leave the key out")
    ] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that this section names."""
        files = (self.cert_file, self.key_file, self.client_ca_file)
        return tuple(path for path in files if path)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for name in ("cert", "key"):
            if bool(getattr(self, name)) is bool(getattr(self, f"{name}_file")):
                raise ValueError(f"give either `{name}_file` or `{name}`")
        if self.max_version == "TLS12" and self.cipher_suites and not any(self.cipher_suites):
            raise ValueError("`cipher_suites` has none of TLS 1.2, and `max_version` is TLS12")
        authorities = [each for each in (self.client_ca, self.client_ca_file) if each]
        if self.min_version > self.max_version:
            raise ValueError("`min_version` is above `max_version`")
        if len(authorities) > 1:
            raise ValueError("give either `client_ca` or `client_ca_file`")
        if authorities and self.client_auth_type == "NoClientCert":
            raise ValueError("a client CA needs a `client_auth_type` that verifies certificates")
        if not authorities and self.client_auth_type == "RequireAndVerifyClientCert":
            # With those of the system, whoever has the certificate of a web site would get in.
            raise ValueError("`RequireAndVerifyClientCert` needs `client_ca_file`")
        if (
            self.client_allowed_sans is not None
            and self.client_auth_type != "RequireAndVerifyClientCert"
        ):
            raise ValueError(
                "`client_allowed_sans` needs `client_auth_type: RequireAndVerifyClientCert`"
            )
        return self


class Headers(_Model):
    """`headers`: added to each response, except those that are empty."""

    content_security_policy: _Text = Field("", alias="Content-Security-Policy")
    x_frame_options: Literal["deny", "sameorigin", ""] = Field("", alias="X-Frame-Options")
    x_content_type_options: Literal["nosniff", ""] = Field("", alias="X-Content-Type-Options")
    x_xss_protection: _Text = Field("", alias="X-XSS-Protection")
    strict_transport_security: _Text = Field("", alias="Strict-Transport-Security")

    @property
    def given(self) -> Mapping[str, str]:
        """The headers that are not empty, by name."""
        return {name: text for name, text in self.model_dump(by_alias=True).items() if text}


class HttpConfig(_Model):
    """`http_server_config`."""

    http2: bool = False
    """Allows HTTP/2; clients take HTTP/1.1 where it is not offered, as here."""
    headers: Annotated[Headers, BeforeValidator(_section)] = Field(default_factory=Headers)


class RateLimit(_Model):
    """`rate_limit`: one request each `interval` (seconds, 0: no limit), `burst` of them at once."""

    interval: Annotated[float, BeforeValidator(_interval)] = 0.0
    burst: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _lets_something_pass(self) -> Self:
        if self.interval and not self.burst:
            raise ValueError("without a `burst` of 1 or more, every request is refused")
        return self


Users = dict[Annotated[str, AfterValidator(_user)], Annotated[str, AfterValidator(_hash)]]
"""Hashes of passwords by user."""


class WebConfig(_Model):
    """The whole file."""

    tls_server_config: TlsConfig | None = None
    http_server_config: Annotated[HttpConfig, BeforeValidator(_section)] = Field(
        default_factory=HttpConfig
    )
    basic_auth_users: Annotated[Users, BeforeValidator(_section)] = Field(default_factory=dict)
    rate_limit: Annotated[RateLimit, BeforeValidator(_section)] = Field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class WebFile:
    """A validated file; `document` gives the lines of errors that are found later."""

    config: WebConfig
    document: YamlDocument


def read_web_file(path: Path) -> WebFile:
    """Read the file of `--web.config.file`; an empty one changes nothing.

    Raises:
        YamlError: it cannot be used; one line with file, line, key and what is wrong.
    """
    document = read_document(path)
    data = {} if document.data is None else document.data
    try:
        return WebFile(WebConfig.model_validate(data, context=path.parent), document)
    except ValidationError as invalid:
        raise document.errors(invalid) from None
