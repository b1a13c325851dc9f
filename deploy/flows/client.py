"""Supabase Auth and PostgREST as an application uses them, with what the flows need of them."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pyotp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TIMEOUT_SECONDS = 20.0
_LEAST_SECONDS = 3.0
"""A code of TOTP is sent only if it is valid for so long: else the next one is waited for."""


class FlowError(AssertionError):
    """What the API answered is not what a user needs; the message holds no token and no body."""


@dataclass(frozen=True)
class Session:
    """A user who is logged in."""

    user_id: str
    token: str = field(repr=False)
    factors: tuple[str, ...] = ()
    """Ids of the verified factors of TOTP."""

    @property
    def level(self) -> str:
        """The assurance level: aal1 after the password, aal2 after a second factor."""
        payload = self.token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims.get("aal", ""))


class Project:
    """One Supabase project, asked with the public key of its API; `hide` is given each token."""

    def __init__(self, url: str, key: str, hide: Callable[[str], None]) -> None:
        # No proxies or passwords from the environment, and no redirects: tokens go nowhere else.
        self._http = httpx.Client(
            base_url=url, headers={"apikey": key}, timeout=_TIMEOUT_SECONDS, trust_env=False
        )
        self._hide = hide
        self._sessions: list[Session] = []

    def close(self) -> None:
        """Log everybody out who was logged in, and close the connections."""
        for session in self._sessions:
            try:
                self._auth("logout?scope=local", session, expected=(204, 401))
            except (FlowError, httpx.HTTPError):
                continue  # it expires by itself
        self._http.close()

    def log_in(self, email: str, password: str) -> Session:
        """Log in with a password."""
        body = {"email": email, "password": password}
        return self._begin(self._auth("token?grant_type=password", None, body))

    def answer_challenge(self, session: Session, secret: str) -> Session:
        """Have a challenge made for the only factor, and answer it with the code of now."""
        if len(session.factors) != 1:
            raise FlowError(f"the user has {len(session.factors)} verified TOTP factors, not one")
        factor = f"factors/{session.factors[0]}"
        challenge = self._auth(f"{factor}/challenge", session, {})
        totp = pyotp.TOTP(secret)
        left = totp.interval - time.time() % totp.interval
        if left < _LEAST_SECONDS:
            time.sleep(left)
        answer = {"challenge_id": challenge["id"], "code": totp.now()}
        return self._begin(self._auth(f"{factor}/verify", session, answer))

    def whoami(self, session: Session) -> str:
        """Return the id of the user to whom a token belongs."""
        response = self._http.get("/auth/v1/user", headers=_bearer(session))
        return str(_checked(response, (200,), "GET /auth/v1/user")["id"])

    def insert(self, session: Session, table: str, row: Mapping[str, Any]) -> None:
        """Insert a row."""
        headers = {**_bearer(session), "prefer": "return=minimal"}
        response = self._http.post(f"/rest/v1/{table}", json=row, headers=headers)
        _checked(response, (201,), f"POST /rest/v1/{table}")

    def select(self, session: Session, table: str, **filters: str) -> list[dict[str, Any]]:
        """Return the rows that a user sees, by PostgREST's filters such as `id="eq.7"`."""
        response = self._http.get(f"/rest/v1/{table}", params=filters, headers=_bearer(session))
        found: list[dict[str, Any]] = _checked(response, (200,), f"GET /rest/v1/{table}")
        return found

    def delete(self, session: Session, table: str, **filters: str) -> None:
        """Delete the rows that a user may delete, which may be none."""
        if not filters:
            raise ValueError("without a filter, everything would go")
        response = self._http.delete(f"/rest/v1/{table}", params=filters, headers=_bearer(session))
        _checked(response, (200, 204), f"DELETE /rest/v1/{table}")

    def _begin(self, answer: dict[str, Any]) -> Session:
        self._hide(answer["access_token"])
        self._hide(answer["refresh_token"])
        user = answer["user"]
        factors = tuple(
            each["id"]
            for each in user.get("factors") or ()
            if each["factor_type"] == "totp" and each["status"] == "verified"
        )
        session = Session(user["id"], answer["access_token"], factors)
        self._sessions.append(session)
        return session

    def _auth(
        self,
        path: str,
        session: Session | None,
        body: Mapping[str, Any] | None = None,
        expected: tuple[int, ...] = (200,),
    ) -> Any:
        headers = _bearer(session) if session else {}
        response = self._http.post(f"/auth/v1/{path}", json=body, headers=headers)
        return _checked(response, expected, f"POST /auth/v1/{path.partition('?')[0]}")


def _bearer(session: Session) -> dict[str, str]:
    return {"authorization": f"Bearer {session.token}"}


def _checked(response: httpx.Response, expected: tuple[int, ...], what: str) -> Any:
    """Return the document of an answer.

    Raises:
        FlowError: another status; of the body only the code of the error is told.
    """
    if response.status_code not in expected:
        raise FlowError(f"{what}: {response.status_code}{_code(response)}")
    return response.json() if response.content else None


def _code(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    # PostgREST has the SQLSTATE or PGRST… as `code`, Auth a word as `error_code`.
    code = document.get("error_code") or document.get("code")
    return f" ({code})" if isinstance(code, str) and len(code) < 60 else ""
