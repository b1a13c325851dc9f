"""Asks a daemon for what it has judged, read only."""

import asyncio
import ssl
from http import HTTPStatus
from typing import NamedTuple

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from exporter import __version__
from exporter.durations import format_duration
from exporter.errors import ExitCode, ExporterError, UsageError
from exporter.redaction import redact
from exporter.settings import Settings
from exporter.source_settings import BaseUrl
from exporter.wording import one_line
from exporter.yaml_source import plain_reason

TIMEOUT_SECONDS = 20.0
"""From the first byte of the request to the last one of the answer."""

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


def ask_daemon(
    settings: Settings, url: str, path: str, form: str, database: str | None = None
) -> DaemonAnswer:
    """Return a document of the daemon at an address.

    Args:
        settings: with the credentials.
        url: of the daemon, without user or password.
        path: of the document.
        form: its form, the parameter `format`.
        database: which one it is about; None if the daemon watches one.

    Raises:
        UsageError: the address or the credentials cannot be used, or there is no such database.
        DaemonError: it does not answer, or is another program.
        NoVerdictError: it has no current verdict.
    """
    parameters = {"format": form} if database is None else {"format": form, "database": database}
    base, response, body = _ask(settings, url, path, parameters)
    verdict, readiness = (response.headers.get(name, "") for name in ("loom-verdict", "loom-ready"))
    if not verdict:
        raise DaemonError(f"{base}: not a loom-exporter, or one of another version")
    return DaemonAnswer(body.decode(errors="replace"), verdict, readiness)


def names_of_databases(settings: Settings, url: str) -> list[str]:
    """Return the names of the databases that the daemon at an address watches.

    Raises:
        UsageError: the address or the credentials cannot be used.
        DaemonError: it does not answer, is another program, or does not know all of them.
    """
    base, _, body = _ask(settings, url, "/api/v1/databases", {})
    try:
        listed = _Listed.model_validate_json(body)
    except ValidationError:
        raise DaemonError(f"{base}: not a loom-exporter, or one of another version") from None
    if listed.problem:
        told = redact(one_line(listed.problem))
        raise DaemonError(f"{base}: it may not watch all databases: {told}")
    return [each.database for each in listed.databases]


class _Named(BaseModel):
    database: str


class _Listed(BaseModel):
    databases: list[_Named]
    problem: str | None = None
    """Why other ones may be meant."""


def _ask(
    settings: Settings, url: str, path: str, parameters: dict[str, str]
) -> tuple[str, httpx.Response, bytes]:
    """Return the address as it is told to people, the response and its body."""
    try:
        base = TypeAdapter[str](BaseUrl).validate_python(url)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"--url: {plain_reason(first['type'], first['msg'])}") from None
    headers = {
        # Not compressed: a small answer could unpack to a huge one.
        "accept-encoding": "identity",
        "user-agent": f"loom-exporter/{__version__}",
    }
    password, token = settings.daemon_password, settings.daemon_token
    if token:
        headers["authorization"] = f"Bearer {_one_word(token.get_secret_value())}"
    user = None
    if settings.daemon_user:
        user = httpx.BasicAuth(
            settings.daemon_user, password.get_secret_value() if password else ""
        )
    try:
        trusted: ssl.SSLContext | bool = True
        if settings.daemon_ca_file:
            trusted = ssl.create_default_context(cafile=str(settings.daemon_ca_file))
        response, body = asyncio.run(_get(f"{base}{path}", parameters, headers, user, trusted))
    except (TimeoutError, httpx.TimeoutException):
        within = format_duration(TIMEOUT_SECONDS)
        raise DaemonError(f"{base}: no complete answer within {within}") from None
    except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise DaemonError(f"{base}: no answer: {redact(told)}") from None
    if body is None:
        raise DaemonError(f"{base}: the answer is too long")
    _refuse(base, response, body)
    return base, response, body


def _one_word(token: str) -> str:
    """Return a token that a header can hold.

    Raises:
        UsageError: it cannot.
    """
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(
            "LOOM_EXPORTER_DAEMON_TOKEN: must be visible ASCII characters without spaces"
        )
    return token


async def _get(
    url: str,
    parameters: dict[str, str],
    headers: dict[str, str],
    user: httpx.BasicAuth | None,
    trusted: ssl.SSLContext | bool,
) -> tuple[httpx.Response, bytes | None]:
    """Return the response and its body, None if that is too long.

    One deadline for all of it: a server that sends a byte now and then is one that does not answer.
    """
    body = bytearray()
    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        httpx.AsyncClient(verify=trusted, trust_env=False, timeout=TIMEOUT_SECONDS) as client,
        client.stream("GET", url, params=parameters, headers=headers, auth=user) as response,
    ):
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                return response, None
    return response, bytes(body)


def _refuse(base: str, response: httpx.Response, body: bytes) -> None:
    status = response.status_code
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND) and body.startswith(b"database: "):
        raise UsageError(f"{base}: {one_line(redact(body.decode(errors='replace')))}")
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
