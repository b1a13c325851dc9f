"""A server for tests that speaks what the user flows need of Supabase Auth and PostgREST.

Not those programs: it answers the documented requests, checks codes of TOTP, and asks a PostgreSQL
as PostgREST does, so that the policies which judge a flow are real ones.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pyotp
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.loom_database import LoomDatabase

API_KEY = "sb_publishable_Hq7xTn2LdGv5"
_OPERATORS = {"eq": "=", "lt": "<", "like": "LIKE"}


@dataclass(frozen=True)
class User:
    """A user of Supabase Auth; with a secret, a verified factor of TOTP."""

    id: str
    email: str
    password: str
    totp_secret: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """The user as Auth describes it."""
        factor = {"id": f"factor-{self.id}", "factor_type": "totp", "status": "verified"}
        return {
            "id": self.id,
            "aud": "authenticated",
            "role": "authenticated",
            "email": self.email,
            "factors": [factor] if self.totp_secret else [],
        }


@dataclass(frozen=True)
class Reply:
    """A status and a document; None for no content."""

    status: int
    document: Any = None


@dataclass
class Supabase:
    """Serves a project on 127.0.0.1 between `with` and its end.

    `broken` answers a path with a status, for a flow that is to fail; `tokens` are all that were
    given out, and `requests` what was asked.
    """

    loom: LoomDatabase
    users: tuple[User, ...]
    broken: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, User] = field(default_factory=dict)
    given_out: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _challenges: dict[str, User] = field(default_factory=dict)

    def __enter__(self) -> Self:
        project = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = project._answer(self.command, self.path, headers, body)
                content = b"" if reply.document is None else json.dumps(reply.document).encode()
                self.send_response(reply.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: Any) -> Reply:
        parts = urlsplit(target)
        parameters = dict(parse_qsl(parts.query))
        self.requests.append(f"{method} {parts.path}")
        if headers.get("apikey") != API_KEY:
            return Reply(401, {"message": "No API key found in request"})
        if status := self.broken.get(f"{method} {parts.path}"):
            return Reply(status, {"message": "broken"})
        user = self.tokens.get((headers.get("authorization") or "").removeprefix("Bearer "))
        if parts.path == "/auth/v1/token" and parameters == {"grant_type": "password"}:
            return self._log_in(body)
        if user is None:
            return Reply(401, {"code": 401, "error_code": "no_authorization", "msg": "no token"})
        if parts.path.startswith("/rest/v1/"):
            return self._rest(method, parts.path.removeprefix("/rest/v1/"), parameters, user, body)
        return self._auth(method, parts.path, user, body)

    def _log_in(self, body: Mapping[str, str]) -> Reply:
        for user in self.users:
            if (user.email, user.password) == (body["email"], body["password"]):
                return self._session(user, "aal1")
        return Reply(400, {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid"})

    def _auth(self, method: str, path: str, user: User, body: Any) -> Reply:
        if (method, path) == ("GET", "/auth/v1/user"):
            return Reply(200, user.document)
        if (method, path) == ("POST", "/auth/v1/logout"):
            self.tokens = {token: each for token, each in self.tokens.items() if each != user}
            return Reply(204)
        factor = f"/auth/v1/factors/factor-{user.id}"
        if user.totp_secret and (method, path) == ("POST", f"{factor}/challenge"):
            challenge = secrets.token_hex(8)
            self._challenges[challenge] = user
            soon = int(time.time()) + 300
            return Reply(200, {"id": challenge, "type": "totp", "expires_at": soon})
        if user.totp_secret and (method, path) == ("POST", f"{factor}/verify"):
            is_asked = self._challenges.pop(body["challenge_id"], None) == user
            if is_asked and pyotp.TOTP(user.totp_secret).verify(body["code"], valid_window=1):
                return self._session(user, "aal2")
            code = "mfa_verification_failed"
            return Reply(422, {"code": 422, "error_code": code, "msg": "Invalid TOTP code entered"})
        return Reply(404, {"code": 404, "error_code": "not_found", "msg": "not found"})

    def _session(self, user: User, level: str) -> Reply:
        claims = {"sub": user.id, "role": "authenticated", "aal": level}
        parts = ({"alg": "HS256", "typ": "JWT"}, claims)
        encoded = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in parts
        ]
        token = ".".join([*encoded, secrets.token_urlsafe(32)])
        refresh = secrets.token_urlsafe(12)
        self.tokens[token] = user
        self.given_out += [token, refresh]
        document = {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": 3600,
            "refresh_token": refresh,
            "user": user.document,
        }
        return Reply(200, document)

    def _rest(
        self, method: str, table: str, parameters: Mapping[str, str], user: User, body: Any
    ) -> Reply:
        assert re.fullmatch(r"[a-z_]+", table), table
        name = sql.Identifier("public", table)
        conditions: list[sql.Composable] = [sql.SQL("true")]
        values: list[str] = []
        for column, condition in parameters.items():
            operator, _, value = condition.partition(".")
            conditions.append(
                sql.SQL("{} {} %s").format(sql.Identifier(column), sql.SQL(_OPERATORS[operator]))
            )
            values.append(value.replace("*", "%") if operator == "like" else value)
        where = sql.SQL(" AND ").join(conditions)
        claims = json.dumps({"sub": user.id, "role": "authenticated"})
        try:
            with self.loom.connect("authenticator") as connection, connection.transaction():
                connection.execute("SET LOCAL ROLE authenticated")
                connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
                if method == "GET":
                    select = sql.SQL("SELECT to_jsonb(t) FROM {} AS t WHERE {}")
                    rows = connection.execute(select.format(name, where), values).fetchall()
                    return Reply(200, [row for (row,) in rows])
                if method == "DELETE":
                    delete = sql.SQL("DELETE FROM {} WHERE {}")
                    connection.execute(delete.format(name, where), values)
                    return Reply(204)
                columns = sql.SQL(", ").join(map(sql.Identifier, body))
                insert = sql.SQL(
                    "INSERT INTO {0} ({1}) SELECT {1} FROM jsonb_populate_record(NULL::{0}, %s)"
                )
                connection.execute(insert.format(name, columns), [json.dumps(body)])
                return Reply(201)
        except psycopg.Error as error:
            status = {"42501": 403, "23505": 409, "42P01": 404}.get(error.sqlstate or "", 400)
            return Reply(status, {"code": error.sqlstate, "message": str(error), "hint": None})
