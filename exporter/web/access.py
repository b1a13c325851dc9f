"""Authentication, rate limit and response headers of the web server."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Collection, Mapping

import bcrypt
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.login_queue import LoginQueue
from exporter.web.web_config import RateLimit, WebConfig

_PAUSE_SECONDS = 1.0
"""Time before a login is refused for which there is no place to wait."""

_LONGEST_PASSWORD_BYTES = 72
"""The part of a password that bcrypt uses; it ignores the rest."""

# Its salt and digest are random bytes, so no password matches it.
_NOBODY = "$2b${cost:02d}$vAUrQ53AOMbcBtXH8SzX6.xroqbUDOK8sFOdKswlwe0Oc5JKWzPky"


class Access:
    """ASGI middleware that applies the web config, as the exporters of Prometheus do.

    `open_paths` are exempt from password and rate limit: a kubelet has no password, and other
    clients that ask too often must not make it restart the process.
    """

    def __init__(
        self, app: ASGIApp, config: Callable[[], WebConfig], open_paths: Collection[str]
    ) -> None:
        """Guard `app`.

        Args:
            app: the application.
            config: returns the web config in force now.
            open_paths: paths without password and rate limit.
        """
        self._app = app
        self._config = config
        self._open_paths = open_paths
        self._next_request = float("-inf")
        self._logins = LoginQueue()
        self._key = secrets.token_bytes(32)
        self._proofs: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        config = self._config()
        answer = self._app
        if scope["path"] not in self._open_paths:
            if not self._is_in_time(config.rate_limit):
                answer = PlainTextResponse("Too Many Requests\n", 429)
            elif refusal := await self._refusal(config.basic_auth_users, scope):
                answer = refusal
        await answer(scope, receive, _with_headers(send, config.http_server_config.headers.given))

    def _is_in_time(self, limit: RateLimit) -> bool:
        if not limit.interval:
            return True
        next_request = next_request_at(time.monotonic(), self._next_request, limit)
        if next_request is None:
            return False
        self._next_request = next_request
        return True

    async def _refusal(self, users: Mapping[str, str], scope: Scope) -> Response | None:
        """Return the answer to a request without the password of a user; None if it has one."""
        if not users:
            return None
        credentials = _credentials(Headers(scope=scope).get("authorization", ""))
        is_right = await self._is_right(users, credentials, scope) if credentials else False
        if is_right:
            return None
        if is_right is None:
            await asyncio.sleep(_PAUSE_SECONDS)  # a guesser that waits for it asks less often
            return PlainTextResponse("Too Many Requests\n", 429, headers={"Retry-After": "1"})
        return PlainTextResponse("Unauthorized\n", 401, headers={"WWW-Authenticate": "Basic"})

    async def _is_right(
        self, users: Mapping[str, str], credentials: tuple[str, bytes], scope: Scope
    ) -> bool | None:
        """Return whether a password is right; None if too many logins wait."""
        user, password = credentials
        hashed = users.get(user, "")
        # Hexadecimal parts cannot run into each other (CVE-2022-46146). Only this keyed digest of
        # a password is kept.
        parts = (user.encode("utf-8", "surrogateescape"), hashed.encode(), password)
        text = b":".join(part.hex().encode() for part in parts)
        proof = hashlib.blake2b(text, key=self._key).digest()
        if self._has_proved(user, proof):
            return True
        compared = hashed or nobodys_hash(users)

        async def compare() -> bool:
            matches = await asyncio.to_thread(bcrypt.checkpw, password, compared.encode())
            if hashed and matches:
                self._proofs[user] = proof
                return True
            return False

        return await self._logins.compare(proof, scope.get("client") or ("", 0), compare)

    def _has_proved(self, user: str, proof: bytes) -> bool:
        return hmac.compare_digest(self._proofs.get(user, b""), proof)


def nobodys_hash(users: Mapping[str, str]) -> str:
    """Return a hash to compare the password of an unknown user with.

    It costs as much as the hashes of known users, so that the time does not reveal which exist.
    """
    return _NOBODY.format(cost=max(int(hashed[4:6]) for hashed in users.values()))


def next_request_at(now: float, planned: float, limit: RateLimit) -> float | None:
    """Return when the next request is due, in seconds; None if this one exceeds the limit.

    A token bucket, kept as the time at which it will be full: the generic cell rate algorithm
    (ITU-T I.371).

    Args:
        now: the time of this request, in seconds.
        planned: the return value for the request before.
        limit: one request each `interval`, `burst` of them at once.
    """
    due = max(now, planned)
    if due - now > (limit.burst - 1) * limit.interval:
        return None
    return due + limit.interval


def _credentials(authorization: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    if not colon:
        return None
    return user.decode("utf-8", "surrogateescape"), password[:_LONGEST_PASSWORD_BYTES]


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return send_with_headers if headers else send
