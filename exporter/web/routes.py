"""The paths of the web server, and the headers of their answers."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exporter.redaction import redact
from exporter.render.answers import ANSWERS
from exporter.render.documents import SCRIPT, STYLE
from exporter.render.report import REPORTS
from exporter.web.access import Access
from exporter.web.database_pages import DatabasePages
from exporter.web.exposition import Exposition
from exporter.web.pages import Pages
from exporter.web.web_config import WebConfig

_HEALTHY = ("/-/healthy", "/healthz")
_READY = ("/-/ready", "/readyz")

HEALTH_PATHS = frozenset((*_HEALTHY, *_READY))
"""What probes ask, who have no password."""

_NO_VERDICT = "there is no current verdict; the status page at / says why"

_MEDIA_TYPES: Mapping[str, str] = {
    "html": "text/html",
    "markdown": "text/markdown; charset=utf-8",
    "json": "application/json",
    "junit": "application/xml",
    "notification": "text/plain; charset=utf-8",
    "text": "text/plain; charset=utf-8",
    "ready": "text/plain; charset=utf-8",
}

_PLAIN: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Headers of an answer without markup."""


def page_headers(style: str, script: str = "") -> Mapping[str, str]:
    """Return the headers of an HTML page that may use this inline style and script, and no other.

    The policy names them by hash and not by nonce, because one rendering serves all clients. The
    script may fetch from this server only.
    """
    directives = [
        "default-src 'none'",
        f"style-src {_hash_source(style)}",
        *([f"script-src {_hash_source(script)}", "connect-src 'self'"] if script else []),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return {**_PLAIN, "Content-Security-Policy": "; ".join(directives)}


def _hash_source(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_STATUS_PAGE_HEADERS = page_headers(STYLE, SCRIPT)
_REPORT_HEADERS = page_headers(STYLE)


@dataclass(frozen=True, slots=True)
class Health:
    """The answers to the health probes; neither depends on the database."""

    is_alive: Callable[[], bool]
    is_ready: Callable[[], bool]


def build_app(
    exposition: Exposition,
    health: Health,
    pages: DatabasePages,
    web_config: Callable[[], WebConfig] | None = None,
) -> Starlette:
    """Return the ASGI application.

    Args:
        exposition: /metrics.
        health: the health probes.
        pages: the status page, the report and the verdict of each database.
        web_config: returns the users and limits in force; None lets everybody in.
    """
    guard = Middleware(Access, config=web_config, open_paths=HEALTH_PATHS) if web_config else None
    return Starlette(
        routes=[*_PageRoutes(pages).routes(), _metrics_route(exposition), *_health_routes(health)],
        middleware=[guard] if guard else [],
    )


@dataclass(frozen=True, slots=True)
class _PageRoutes:
    """The paths of what is said of each database; of several, `?database=NAME` says which."""

    pages: DatabasePages

    def routes(self) -> list[Route]:
        return [
            Route("/", self.status),
            Route("/report", self.report),
            Route("/api/v1/verdict", self.verdict),
            Route("/api/v1/databases", self.databases),
        ]

    async def status(self, request: Request) -> Response:
        several = len(self.pages.names) > 1
        if several and "database" not in request.query_params:
            page = await self.pages.list()
        else:
            those = self._found(request)
            if isinstance(those, Response):
                return those
            page = await those.status(is_one_of_several=several)
        return Response(page, headers=_STATUS_PAGE_HEADERS, media_type="text/html")

    async def report(self, request: Request) -> Response:
        form = request.query_params.get("format", "html")
        if form not in REPORTS:
            return _refusal(f"format: must be {' or '.join(REPORTS)}", 400)
        those = self._found(request)
        if isinstance(those, Response):
            return those
        judged = await those.report(form)
        if judged is None:
            return _refusal(_NO_VERDICT, 503)
        security = _REPORT_HEADERS if form == "html" else _PLAIN
        return Response(judged.body, 200, {**security, **judged.headers}, _MEDIA_TYPES[form])

    async def verdict(self, request: Request) -> Response:
        form = request.query_params.get("format", "json")
        if form not in ANSWERS:
            return _refusal(f"format: must be {' or '.join(ANSWERS)}", 400)
        those = self._found(request)
        if isinstance(those, Response):
            return those
        judged = await those.verdict(form)
        if judged is None:
            return _json({"error": _NO_VERDICT}, 503)
        return Response(judged.body, 200, {**_PLAIN, **judged.headers}, _MEDIA_TYPES[form])

    async def databases(self, _: Request) -> Response:
        rows = [
            {"database": row.database, "verdict": row.verdict or None, "ready": row.ready or None}
            for row in self.pages.rows()
        ]
        return _json({"databases": rows, "problem": self.pages.problem()})

    def _found(self, request: Request) -> Pages | Response:
        """Return the pages of the database that is meant, or why there are none."""
        name = request.query_params.get("database")
        those = self.pages.of(name)
        if those:
            return those
        known = ", ".join(self.pages.names)
        if name is None:
            return _refusal(f"database: must be one of {known}", 400)
        return _refusal(f"database: no database {redact(name)}; known are {known}", 404)


def _metrics_route(exposition: Exposition) -> Route:
    async def metrics(request: Request) -> Response:
        page = await exposition.page(
            request.headers.get("accept", ""),
            request.headers.get("accept-encoding", ""),
            request.query_params.getlist("name[]"),
        )
        headers = {"Content-Type": page.content_type, "Vary": "Accept, Accept-Encoding"}
        if page.encoding:
            headers["Content-Encoding"] = page.encoding
        return Response(page.body, headers=headers)

    return Route("/metrics", metrics)


def _health_routes(health: Health) -> list[Route]:
    async def healthy(_: Request) -> Response:
        return _probe(health.is_alive(), "alive", "the event loop or the scheduler is stuck")

    async def ready(_: Request) -> Response:
        return _probe(
            health.is_ready(),
            "ready",
            "not every query has been tried yet, or the exporter is stopping",
        )

    return [
        *(Route(path, healthy) for path in _HEALTHY),
        *(Route(path, ready) for path in _READY),
    ]


def _probe(is_good: bool, yes: str, no: str) -> Response:
    return PlainTextResponse(f"{yes if is_good else no}\n", status_code=200 if is_good else 503)


def _json(document: Mapping[str, object], status: int = 200) -> Response:
    return Response(json.dumps(document) + "\n", status, _PLAIN, "application/json")


def _refusal(reason: str, status: int) -> Response:
    return PlainTextResponse(f"{reason}\n", status_code=status, headers=_PLAIN)
