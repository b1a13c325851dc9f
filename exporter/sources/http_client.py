"""One HTTP source: what is asked of it, within its limits, and what its refusals mean."""

import asyncio
import math
import ssl
import time
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

import httpx

from exporter import __version__
from exporter.durations import format_duration
from exporter.redaction import redact
from exporter.reload import stamp_of
from exporter.run_state import RunError, State
from exporter.source_settings import SourceSettings
from exporter.sources.json_rows import shown

MOST_BYTES = 4 * 2**20
"""The longest answer that is read."""

_LONGEST_TOKEN = 16_384
_CONCURRENT = 2
_PAUSE_SECONDS = 60.0
"""The pause after a refusal that does not say how long."""
_LONGEST_PAUSE_SECONDS = 86400.0

_GATEWAY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


class HttpClient:
    """Asks one source, on a connection for each request; at most two go on at the same time."""

    def __init__(self, settings: SourceSettings) -> None:
        self.kind = settings.kind
        self._settings = settings
        self._slots = asyncio.Semaphore(_CONCURRENT)
        self._asked: deque[float] = deque(maxlen=settings.requests_per_minute)
        self._not_before = -math.inf
        self._token = ""
        self._trust: tuple[object, ssl.SSLContext] | None = None

    async def get(self, path: str, parameters: Mapping[str, str], timeout_seconds: float) -> bytes:
        """Return the body of the answer to a GET.

        Raises:
            RunError: with the state that stands for what went wrong.
        """
        async with self._slots:
            self._take_turn()
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await self._get(path, parameters, timeout_seconds)
            except (TimeoutError, httpx.TimeoutException):
                within = format_duration(timeout_seconds)
                raise RunError(State.TIMEOUT, f"no complete answer within {within}") from None
            except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
                raise RunError(State.UNREACHABLE, _told(error)) from None

    async def _get(self, path: str, parameters: Mapping[str, str], timeout_seconds: float) -> bytes:
        headers = {
            "accept": "application/json",
            # Not compressed: a small answer could unpack to a huge one.
            "accept-encoding": "identity",
            "user-agent": f"loom-exporter/{__version__}",
            **await self._credentials(),
        }
        is_plain = self._settings.plain_http
        verify = False if is_plain else await asyncio.to_thread(self._trusted)
        # Neither proxies nor passwords from the environment, and no redirects: a question is
        # answered where the operator says, or not at all.
        async with (
            httpx.AsyncClient(verify=verify, trust_env=False, timeout=timeout_seconds) as client,
            client.stream(
                "GET", f"{self._settings.url}{path}", params=parameters, headers=headers
            ) as response,
        ):
            self._refuse(response)
            body = await _read(response)
        if response.status_code != HTTPStatus.OK:
            raise RunError(State.ERROR, f"{_status(response)}{_reason(response, body)}")
        return body

    def _take_turn(self) -> None:
        """Count one request.

        Raises:
            RunError: `limited`, the source wants no request yet, or the operator does not.
        """
        now = time.monotonic()
        if now < self._not_before:
            left = format_duration(math.ceil(self._not_before - now))
            raise RunError(State.LIMITED, f"the source accepts no request for {left}")
        if len(self._asked) == self._asked.maxlen and now - self._asked[0] < 60:
            most = self._settings.requests_per_minute
            raise RunError(
                State.LIMITED,
                f"its {most} requests_per_minute are used up; raise them, or the intervals",
            )
        self._asked.append(now)

    async def _credentials(self) -> dict[str, str]:
        """Return the header with the token as its file holds it now.

        Raises:
            RunError: `denied`, there is no token that could be sent.
        """
        path = self._settings.token_file
        if path is None:
            return {}
        try:
            content = await asyncio.to_thread(_beginning, path)
        except OSError as error:
            raise RunError(
                State.DENIED, f"token_file {path}: cannot be read: {error.strerror}"
            ) from None
        token = content.decode(errors="replace").strip()
        sent = b64encode(token.encode()).decode()
        if token != self._token:  # also before it is found wrong: it is in no message then either
            redact.hide(token, sent, token.partition(":")[2])
            self._token = token
        is_one_line = token.isascii() and token.isprintable() and len(content) <= _LONGEST_TOKEN
        if not token or not is_one_line:
            raise RunError(
                State.DENIED, f"token_file {path}: must hold one line of visible ASCII characters"
            )
        if self._settings.auth == "basic":
            if ":" not in token:
                raise RunError(State.DENIED, f"token_file {path}: must hold `user:password`")
            return {"authorization": f"Basic {sent}"}
        if " " in token:
            raise RunError(State.DENIED, f"token_file {path}: a token has no spaces")
        return {"authorization": f"Bearer {token}"}

    def _trusted(self) -> ssl.SSLContext:
        """Return the authorities that are trusted, as the CA file names them now.

        Raises:
            RunError: `error`, the file cannot be used.
        """
        path = self._settings.ca_file
        stamp = stamp_of([path] if path else [])
        if self._trust is None or self._trust[0] != stamp:
            try:
                context = (
                    ssl.create_default_context(cafile=path) if path else httpx.create_ssl_context()
                )
            except OSError as error:  # ssl.SSLError is one
                raise RunError(
                    State.ERROR, f"ca_file {path}: holds no certificate: {error.strerror}"
                ) from None
            self._trust = stamp, context
        return self._trust[1]

    def _refuse(self, response: httpx.Response) -> None:
        """Tell an answer that needs no reading.

        Raises:
            RunError: the source wants us to wait, does not let us in, sends us elsewhere, cannot
                answer now, or answers too much.
        """
        status, told = response.status_code, _status(response)
        pause = _pause_seconds(response)
        if pause is not None:
            self._not_before = time.monotonic() + pause
            raise RunError(State.LIMITED, f"{told}; not asked again for {format_duration(pause)}")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise RunError(State.DENIED, told)
        if response.is_redirect:
            raise RunError(State.ERROR, f"{told}: redirects are not followed; correct the url")
        if status in _GATEWAY:
            raise RunError(State.UNREACHABLE, told)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise RunError(State.ERROR, "the answer is compressed, which was not asked for")


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST_TOKEN + 1)


async def _read(response: httpx.Response) -> bytes:
    """Return the body.

    Raises:
        RunError: `error`, it is longer than `MOST_BYTES`; the rest is not read.
    """
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MOST_BYTES:
            raise RunError(
                State.ERROR, f"the answer is longer than {MOST_BYTES // 2**20} MiB; ask for less"
            )
    return bytes(body)


def _pause_seconds(response: httpx.Response) -> float | None:
    """Return how long the source wants no request, in seconds; None unless it wants to be left."""
    headers = response.headers
    is_spent = headers.get("x-ratelimit-remaining") == "0"  # as GitHub says it, with a 403
    told = headers.get("retry-after")
    if response.status_code != HTTPStatus.TOO_MANY_REQUESTS and not (
        (response.status_code == HTTPStatus.FORBIDDEN and (told or is_spent))
        or (response.status_code == HTTPStatus.SERVICE_UNAVAILABLE and told)
    ):
        return None
    if told is None and is_spent and headers.get("x-ratelimit-reset", "").isdecimal():
        seconds = float(headers["x-ratelimit-reset"]) - time.time()
    else:
        seconds = _seconds(told or "")
    return min(max(math.ceil(seconds), 1.0), _LONGEST_PAUSE_SECONDS)


def _seconds(retry_after: str) -> float:
    """Return the seconds of a Retry-After header, which also may hold a date."""
    if retry_after.strip().isdecimal():
        return float(retry_after[:9])
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        return _PAUSE_SECONDS


def _status(response: httpx.Response) -> str:
    return f"the answer is {response.status_code} {shown(response.reason_phrase)}".rstrip()


def _reason(response: httpx.Response, body: bytes) -> str:
    """Return the beginning of what an answer that is no success says, unless that is a page."""
    if not response.headers.get("content-type", "").startswith(("application/json", "text/plain")):
        return ""
    # Much more than is shown, so that no secret is cut in two before it is hidden.
    return f": {shown(body[: 2**16].decode(errors='replace'))}"


def _told(error: Exception) -> str:
    text = shown(str(error) or type(error).__name__)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{text}; name the authority of its certificate as ca_file"
    return text
