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
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.web_config import RateLimit, WebConfig

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
        self._comparing = asyncio.Lock()
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
            elif not await self._is_known(config.basic_auth_users, Headers(scope=scope)):
                answer = PlainTextResponse(
                    "Unauthorized\n", 401, headers={"WWW-Authenticate": "Basic"}
                )
        await answer(scope, receive, _with_headers(send, config.http_server_config.headers.given))

    def _is_in_time(self, limit: RateLimit) -> bool:
        if not limit.interval:
            return True
        next_request = next_request_at(time.monotonic(), self._next_request, limit)
        if next_request is None:
            return False
        self._next_request = next_request
        return True

    async def _is_known(self, users: Mapping[str, str], headers: Headers) -> bool:
        if not users:
            return True
        if not (credentials := _credentials(headers.get("authorization", ""))):
            return False
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
        # One at a time: each comparison occupies a processor for up to seconds.
        async with self._comparing:
            if self._has_proved(user, proof):  # another request has, while this one waited
                return True
            matches = await asyncio.to_thread(bcrypt.checkpw, password, compared.encode())
        if hashed and matches:
            self._proofs[user] = proof
            return True
        return False

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
