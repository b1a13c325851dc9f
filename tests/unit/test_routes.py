"""The paths of the web server; none of them asks the database."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import httpx
import pytest

from exporter import __version__
from exporter.render.report import report_html, report_markdown
from exporter.render.verdict_json import verify_json
from exporter.run_state import State
from exporter.web.routes import Health, build_app
from tests.support.components import assemble, judged
from tests.support.queries import make_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.components import Parts

QUERY = make_query("things", {"loom_things": {"labels": ["kind"], "value": "things"}})


@dataclass
class Mood:
    alive: bool = True
    ready: bool = True


@pytest.fixture
async def parts(tmp_path: Path) -> Parts:
    parts = assemble(tmp_path, [QUERY])
    parts.snapshots.publish("things", State.OK, {"loom_things": {("round",): 1.0}})
    return parts


@pytest.fixture
def mood() -> Mood:
    return Mood()


@pytest.fixture
async def client(parts: Parts, mood: Mood) -> AsyncIterator[httpx.AsyncClient]:
    health = Health(is_alive=lambda: mood.alive, is_ready=lambda: mood.ready)
    app = build_app(parts.exposition, health, parts.database_pages)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
        yield client


async def test_status_page_is_at_the_root(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "No verdict yet" in answer.text
    assert __version__ in answer.text


async def test_every_link_of_the_status_page_leads_somewhere(
    client: httpx.AsyncClient, parts: Parts
) -> None:
    judged(parts)
    links = re.findall(r'href="([^"]+)"', (await client.get("/")).text)
    assert len(links) == 6
    for link in links:
        assert not link.startswith("/"), "a proxy may serve us under a path of its own"
        assert (await client.get(f"/{link}")).status_code == 200


async def test_verdict_is_what_the_command_says(client: httpx.AsyncClient, parts: Parts) -> None:
    assessment = judged(parts)
    answer = await client.get("/api/v1/verdict")
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == verify_json(assessment)


async def test_report_is_what_the_command_says(client: httpx.AsyncClient, parts: Parts) -> None:
    assessment = judged(parts)
    page = await client.get("/report")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == report_html(assessment)
    markdown = await client.get("/report?format=markdown")
    assert markdown.headers["content-type"] == "text/markdown; charset=utf-8"
    assert markdown.text == report_markdown(assessment)


async def test_report_in_another_form_is_refused_in_one_line(client: httpx.AsyncClient) -> None:
    answer = await client.get("/report?format=<b>")
    assert (answer.status_code, answer.text) == (
        400,
        "format: must be html or markdown or notification\n",
    )


@pytest.mark.parametrize("path", ["/api/v1/verdict", "/report", "/report?format=markdown"])
async def test_nothing_is_said_before_the_first_verdict(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 503
    assert "there is no current verdict" in answer.text


async def test_verdict_that_is_too_old_is_none(
    client: httpx.AsyncClient, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(parts)
    expires = parts.snapshots[parts.verdict.name].expires
    assert (await client.get("/api/v1/verdict")).status_code == 200
    monkeypatch.setattr(time, "monotonic", lambda: expires + 1)
    assert (await client.get("/api/v1/verdict")).status_code == 503
    assert (await client.get("/report")).status_code == 503
    page = await client.get("/")
    assert page.status_code == 200
    assert "No verdict" in page.text
    assert "The last verdict was" in page.text


@pytest.mark.parametrize(
    "path", ["/", "/report", "/report?format=markdown", "/report?format=x", "/api/v1/verdict"]
)
@pytest.mark.parametrize("is_judged", [True, False])
async def test_browser_is_told_to_run_load_and_keep_nothing_else(
    client: httpx.AsyncClient, parts: Parts, path: str, is_judged: bool
) -> None:
    if is_judged:
        judged(parts)
    answer = await client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    sources = {"script-src": r"<script>(.*?)</script>", "style-src": r"<style>(.*?)</style>"}
    for directive, pattern in sources.items():
        inline = re.findall(pattern, answer.text, re.DOTALL)
        hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in inline]
        assert re.findall(rf"{directive} 'sha256-([^']+)'", policy) == hashes


@pytest.mark.parametrize(
    "path", ["/index.html", "/x", "/metric", "/metrics/x", "/-/", "/-/reload", "/favicon.ico", "/-"]
)
async def test_anything_else_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/-/healthy", "/healthz"])
async def test_health_is_that_of_the_process(
    client: httpx.AsyncClient, mood: Mood, path: str
) -> None:
    mood.ready = False
    answer = await client.get(path)
    assert (answer.status_code, answer.text) == (200, "alive\n")
    mood.alive = False
    answer = await client.get(path)
    assert (answer.status_code, answer.text) == (
        503,
        "the event loop or the scheduler is stuck\n",
    )


@pytest.mark.parametrize("path", ["/-/ready", "/readyz"])
async def test_readiness_has_a_reason(client: httpx.AsyncClient, mood: Mood, path: str) -> None:
    mood.alive = False
    answer = await client.get(path)
    assert (answer.status_code, answer.text) == (200, "ready\n")
    mood.ready = False
    answer = await client.get(path)
    assert answer.status_code == 503
    assert answer.text.startswith("not every query has been tried yet")


async def test_metrics_are_served_with_headers_that_caches_understand(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert "content-encoding" not in answer.headers
    assert 'loom_things{database="loom",kind="round"} 1.0' in answer.text


async def test_metrics_are_zipped_when_asked(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < len(answer.content)
    assert "loom_things{" in answer.text


async def test_metrics_are_openmetrics_when_asked(client: httpx.AsyncClient) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    answer = await client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(accept)
    assert answer.text.endswith("# EOF\n")


async def test_metrics_can_be_asked_for_by_name(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics", params={"name[]": ["loom_things", "loom_database_up"]})
    names = {line.split("{")[0] for line in answer.text.splitlines() if not line.startswith("#")}
    assert names == {"loom_things", "loom_database_up"}
    assert (await client.get("/metrics?name=loom_things")).text.count("# TYPE ") > 5


@pytest.mark.parametrize(
    "path", ["/", "/report", "/api/v1/verdict", "/metrics", "/-/healthy", "/-/ready"]
)
async def test_head_is_answered_and_nothing_can_be_posted(
    client: httpx.AsyncClient, parts: Parts, path: str
) -> None:
    judged(parts)
    assert (await client.head(path)).status_code == 200
    for method in ("POST", "PUT", "DELETE"):
        assert (await client.request(method, path)).status_code == 405


async def test_database_that_is_away_is_told_and_no_probe_minds(
    client: httpx.AsyncClient, parts: Parts
) -> None:
    await parts.runner.run(QUERY)
    assert 'loom_database_up{database="loom"} 0.0' in (await client.get("/metrics")).text
    for path in ("/-/healthy", "/-/ready"):
        assert (await client.get(path)).status_code == 200
