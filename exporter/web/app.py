"""The web server's paths."""

import html
from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.web.access import Access
from exporter.web.exposition import Exposition
from exporter.web.web_config import WebConfig

_HEALTHY = ("/-/healthy", "/healthz")
_READY = ("/-/ready", "/readyz")

HEALTH_PATHS = frozenset((*_HEALTHY, *_READY))
"""What probes ask, who have no password."""

_LANDING = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>loom-exporter</title>
<h1>loom-exporter</h1>
<p>Watches the database <strong>{database}</strong> through its deployment. Version {version}.</p>
<ul>
<li><a href="metrics">/metrics</a>: for Prometheus</li>
<li><a href="-/healthy">/-/healthy</a>: the process is alive</li>
<li><a href="-/ready">/-/ready</a>: every query has been tried</li>
</ul>
"""


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes ask. Neither answer depends on the database."""

    is_alive: Callable[[], bool]
    is_ready: Callable[[], bool]


def build_app(
    exposition: Exposition,
    health: Health,
    database: str,
    web_config: Callable[[], WebConfig] | None = None,
) -> Starlette:
    """Return the ASGI application: /, /metrics, /-/healthy and /-/ready (/healthz, /readyz).

    Args:
        exposition: /metrics.
        health: what the probes ask.
        database: the name on the landing page.
        web_config: returns what is asked of clients now; None: nothing.
    """

    async def landing(_: Request) -> Response:
        page = _LANDING.format(database=html.escape(database), version=__version__)
        return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'none'"})

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
            Route("/", landing),
            Route("/metrics", metrics),
            *(Route(path, healthy) for path in _HEALTHY),
            *(Route(path, ready) for path in _READY),
        ],
        middleware=[guard] if guard else [],
    )


def _answer(good: bool, yes: str, no: str) -> Response:
    return PlainTextResponse(f"{yes if good else no}\n", status_code=200 if good else 503)
