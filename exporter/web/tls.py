"""TLS of the web server, from the files of the web config."""

import asyncio
import contextlib
import ipaddress
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from exporter.web.web_config import TlsConfig, WebFile
from exporter.yaml_source import YamlError, read_text

_SECTION = "tls_server_config"

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}

_CLIENT_CERTIFICATES = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,  # asks for one, and lets everybody in
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How a connection is secured, and which clients may connect."""

    context: ssl.SSLContext
    allowed_sans: frozenset[str] | None
    """Names of which a client's certificate must have one; None: it needs no name."""


def make_tls(file: WebFile, config: TlsConfig) -> ServerTls:
    """Return the TLS that `config`, the TLS part of `file`, describes.

    Raises:
        YamlError: a file that it names cannot be used; with the line that names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.min_version]
    context.maximum_version = _VERSIONS[config.max_version]
    if suites := [name for name in config.cipher_suites if name]:
        context.set_ciphers(":".join(suites))
    elif config.cipher_suites:  # only such of TLS 1.3
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_certificate(context, file, config)
    context.verify_mode = _CLIENT_CERTIFICATES[config.client_auth_type]
    if context.verify_mode is not ssl.CERT_NONE:
        _load_authorities(context, file, config)
    names = config.client_allowed_sans
    return ServerTls(context, None if names is None else frozenset(map(_canonical, names)))


def lets_in(tls: ServerTls, connection: asyncio.Transport) -> bool:
    """Return whether the client of a TLS connection may connect, by the names it has proved."""
    if tls.allowed_sans is None:
        return True
    certificate = connection.get_extra_info("peercert") or {}
    names = certificate.get("subjectAltName", ())
    return any(_canonical(name) in tls.allowed_sans for _, name in names)


def _load_certificate(context: ssl.SSLContext, file: WebFile, config: TlsConfig) -> None:
    of_cert = "cert_file" if config.cert_file else "cert"
    of_key = "key_file" if config.key_file else "key"
    named = (config.cert_file or "`cert`", config.key_file or "`key`")

    def ask_for_password() -> NoReturn:
        _fail(file, of_key, f"{named[1]}: is encrypted; give one without a password")

    with contextlib.ExitStack() as files:
        cert, key = (
            files.enter_context(_in_memory(text))
            for text in (
                config.cert or _read(file, of_cert, config.cert_file),
                config.key or _read(file, of_key, config.key_file),
            )
        )
        try:
            context.load_cert_chain(cert, key, ask_for_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                _fail(file, of_key, f"{named[1]}: is not the key of {named[0]}")
            reason = f"{named[0]} and {named[1]}: no certificate and key in PEM form"
            _fail(file, of_cert, f"{reason} ({error.reason})")


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """Yield the path of a file with this text: OpenSSL takes a certificate from nowhere else.

    One without a name, so that a key that stands in the web config is written to no disk.
    """
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("tls"), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as named:
            named.write(text)
            named.flush()
            yield named.name


def _load_authorities(context: ssl.SSLContext, file: WebFile, config: TlsConfig) -> None:
    if not (config.client_ca or config.client_ca_file):
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    key, text = "client_ca", config.client_ca or ""
    if config.client_ca_file:
        key, text = "client_ca_file", _read(file, "client_ca_file", config.client_ca_file)
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, TypeError):  # TypeError: not ASCII
        _fail(file, key, f"{config.client_ca_file or 'it'} holds no certificate in PEM form")
    # An intermediate authority is trusted without its root, as in Go.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _read(file: WebFile, key: str, path: Path | None) -> str:
    assert path is not None  # noqa: S101 - the config has either it or the text
    try:
        return read_text(path)
    except YamlError as error:
        _fail(file, key, str(error))


def _fail(file: WebFile, key: str, reason: str) -> NoReturn:
    raise file.document.error((_SECTION, key), reason)


def _canonical(name: str) -> str:
    """Return a name as Go writes it; OpenSSL writes IPv6 addresses in another form.

    >>> _canonical("2001:DB8:0:0:0:0:0:1"), _canonical("prometheus.example.org")
    ('2001:db8::1', 'prometheus.example.org')
    """
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
