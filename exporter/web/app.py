"""The web server's paths."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exporter.render.report import REPORT_STYLE
from exporter.web.access import Access
from exporter.web.exposition import Exposition
from exporter.web.headers import PLAIN, page_headers
from exporter.web.pages import PAGE_HEADERS, Pages, report_forms
from exporter.web.web_config import WebConfig

_HEALTHY = ("/-/healthy", "/healthz")
_READY = ("/-/ready", "/readyz")

HEALTH_PATHS = frozenset((*_HEALTHY, *_READY))
"""What probes ask, who have no password."""

_REPORT_HEADERS = page_headers(REPORT_STYLE)

_NOT_YET = "there is no verdict of now; / says why"


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes ask. Neither answer depends on the database."""

    is_alive: Callable[[], bool]
    is_ready: Callable[[], bool]


def build_app(
    exposition: Exposition,
    health: Health,
    pages: Pages,
    web_config: Callable[[], WebConfig] | None = None,
) -> Starlette:
    """Return the ASGI application: pages for people, /metrics, the verdict, health.

    Args:
        exposition: /metrics.
        health: what the probes ask.
        pages: the status page, the report and the verdict.
        web_config: returns what is asked of clients now; None: nothing.
    """

    async def status(_: Request) -> Response:
        return Response(await pages.status(), headers=PAGE_HEADERS, media_type="text/html")

    async def report(request: Request) -> Response:
        form = request.query_params.get("format", report_forms()[0])
        if form not in report_forms():
            return _refusal(f"format: must be {' or '.join(report_forms())}", 400)
        body = await pages.report(form)
        if body is None:
            return _refusal(_NOT_YET, 503)
        if form == "html":
            return Response(body, headers=_REPORT_HEADERS, media_type="text/html")
        return Response(body, headers=PLAIN, media_type="text/markdown; charset=utf-8")

    async def verdict(_: Request) -> Response:
        body = await pages.verdict()
        content = body or json.dumps({"error": _NOT_YET}) + "\n"
        return Response(content, 200 if body else 503, PLAIN, "application/json")

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

    async def healthy(_: Request) -> Response:
        return _answer(health.is_alive(), "alive", "the event loop or the scheduler is stuck")

    async def ready(_: Request) -> Response:
        return _answer(
            health.is_ready(),
            "ready",
            "not every query has been tried yet, or the exporter is stopping",
        )

    guard = Middleware(Access, config=web_config, open_paths=HEALTH_PATHS) if web_config else None
    return Starlette(
        routes=[
            Route("/", status),
            Route("/report", report),
            Route("/api/v1/verdict", verdict),
            Route("/metrics", metrics),
            *(Route(path, healthy) for path in _HEALTHY),
            *(Route(path, ready) for path in _READY),
        ],
        middleware=[guard] if guard else [],
    )


def _answer(good: bool, yes: str, no: str) -> Response:
    return PlainTextResponse(f"{yes if good else no}\n", status_code=200 if good else 503)


def _refusal(why: str, status: int) -> Response:
    return PlainTextResponse(f"{why}\n", status_code=status, headers=PLAIN)
