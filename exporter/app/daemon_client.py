"""Asks a daemon for what it has judged, read only."""

import ssl
from http import HTTPStatus
from typing import NamedTuple

import httpx
from pydantic import TypeAdapter, ValidationError

from exporter import __version__
from exporter.errors import ExitCode, ExporterError, UsageError
from exporter.redaction import redact
from exporter.settings import Settings
from exporter.source_settings import BaseUrl
from exporter.yaml_source import plain_reason

_TIMEOUT_SECONDS = 20.0
_MOST_BYTES = 16 * 2**20


class DaemonError(ExporterError):
    """The daemon cannot be asked."""

    exit_code = ExitCode.UNREACHABLE


class NoVerdictError(ExporterError):
    """The daemon has no current verdict."""

    exit_code = ExitCode.INCONCLUSIVE


class DaemonAnswer(NamedTuple):
    """A document of the daemon, and what it says in one word each."""

    text: str
    verdict: str
    readiness: str


def ask_daemon(settings: Settings, url: str, path: str, form: str) -> DaemonAnswer:
    """Return a document of the daemon at an address.

    Args:
        settings: with the credentials.
        url: of the daemon, without user or password.
        path: of the document.
        form: its form, the parameter `format`.

    Raises:
        UsageError: the address or the credentials cannot be used.
        DaemonError: it does not answer, or is another program.
        NoVerdictError: it has no current verdict.
    """
    try:
        base = TypeAdapter[str](BaseUrl).validate_python(url)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"--url: {plain_reason(first['type'], first['msg'])}") from None
    headers = {"user-agent": f"loom-exporter/{__version__}"}
    password, token = settings.daemon_password, settings.daemon_token
    if token:
        headers["authorization"] = f"Bearer {token.get_secret_value()}"
    user = None
    if settings.daemon_user:
        user = httpx.BasicAuth(
            settings.daemon_user, password.get_secret_value() if password else ""
        )
    try:
        trusted: ssl.SSLContext | bool = True
        if settings.daemon_ca_file:
            trusted = ssl.create_default_context(cafile=str(settings.daemon_ca_file))
        with (
            httpx.Client(verify=trusted, trust_env=False, timeout=_TIMEOUT_SECONDS) as client,
            client.stream(
                "GET", f"{base}{path}", params={"format": form}, headers=headers, auth=user
            ) as response,
        ):
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise DaemonError(f"{base}: the answer is too long")
    except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise DaemonError(f"{base}: no answer: {redact(told)}") from None
    _refuse(base, response)
    verdict, readiness = (response.headers.get(name, "") for name in ("loom-verdict", "loom-ready"))
    if not verdict:
        raise DaemonError(f"{base}: not a loom-exporter, or one of another version")
    return DaemonAnswer(body.decode(errors="replace"), verdict, readiness)


def _refuse(base: str, response: httpx.Response) -> None:
    status = response.status_code
    if status == HTTPStatus.UNAUTHORIZED:
        raise UsageError(
            f"{base}: wants other credentials",
            "set LOOM_EXPORTER_DAEMON_USER and LOOM_EXPORTER_DAEMON_PASSWORD, or "
            "LOOM_EXPORTER_DAEMON_TOKEN",
        )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        raise NoVerdictError(f"{base}: the daemon has no current verdict", "its page / says why")
    if status != HTTPStatus.OK:
        raise DaemonError(f"{base}: answers {status} {response.reason_phrase}".rstrip())
