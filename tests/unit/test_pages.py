"""The status page: what it tells, that texts of others stay text, and that a view costs nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from exporter.baseline.codec import Refusal, RefusedError
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.redaction import redact
from exporter.render.answers import ANSWERS
from exporter.render.status_page import status_page
from exporter.run_state import State
from exporter.statements.slowest import Slow, SlowStatementKey
from exporter.verdict.assess import assess
from exporter.web.pages import Pages
from exporter.web.render_cache import KEPT_SECONDS
from exporter.web.routes import page_headers
from tests.support.components import assemble, judged
from tests.support.hostile import HOSTILE, hostile_parts
from tests.support.judging import (
    APPLIED_AT,
    DONE,
    NOT_BEGUN,
    half_done,
    make_deployment,
    make_evidence,
)

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.render.status_page import Overview
    from tests.support.components import Parts

ELEMENTS = {
    *("html", "head", "meta", "noscript", "title", "style", "body", "script", "header", "main"),
    *("footer", "nav", "section", "div", "p", "h1", "h2", "h3", "span", "b", "a", "ul", "ol", "li"),
    *("details", "summary", "table", "thead", "tbody", "tr", "th", "td", "code"),
    *("svg", "line", "path", "circle"),
}


class _Read(HTMLParser):
    """A page as a browser reads it: its elements, their attributes, and its text."""

    VOID = frozenset({"meta"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self._said: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], "what is opened is closed"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._said).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self._said.append(data)


async def _read(parts: Parts) -> _Read:
    return _Read((await parts.pages.status()).decode())


@pytest.fixture
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards what a test has hidden."""
    monkeypatch.setattr(redact, "_secrets", {})
    monkeypatch.setattr(redact, "_pattern", None)


# ── Texts of others ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_shown_as_text(tmp_path: Path, text: str) -> None:
    page = await _read(hostile_parts(tmp_path, text))
    shown = " ".join(text.split())
    # Title, verdict and its database, blame with advice, criteria, week, sign-offs, statements.
    assert page.text.count(shown) >= 15
    assert page.elements.count("script") == page.elements.count("style") == 1
    assert set(page.elements) <= ELEMENTS
    assert not {name for name in page.attributes if name.startswith("on")}
    assert not {"style", "src", "autofocus", "srcdoc"} & page.attributes
    assert all(not link.startswith("javascript") for link in page.links)
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.usefixtures("no_secrets")
async def test_secret_is_shown_nowhere_and_markup_stays_whole(tmp_path: Path) -> None:
    redact.hide("s3cr3t & <more>", "div", "class")
    parts = hostile_parts(tmp_path, "it is s3cr3t & <more> here")
    page = await _read(parts)
    assert "it is *** here" in page.text
    body = (await parts.pages.status()).decode()
    assert "s3cr3t" not in body
    assert body.count("<div") == body.count("</div>") > 5
    for said in (
        await parts.pages.report("html"),
        await parts.pages.report("markdown"),
        await parts.pages.report("notification"),
        *[await parts.pages.verdict(form) for form in ANSWERS],
    ):
        assert said
        assert b"s3cr3t" not in said.body


# ── What it tells ────────────────────────────────────────────────────────────────────────────────


def _judged_parts(folder: Path, deployed: DeploymentProgress) -> Parts:
    deployment = make_deployment(
        """
criteria: {things: {title: Few, phase: one, conditions: [{metric: loom_things, at_most: 2}]}}
plan: [{after: 2d, title: Look, checks: {look: {title: Look again, criteria: [things]}}}]
sign_offs: {boss: {title: The boss}}
"""
    )
    parts = assemble(folder, [])
    parts.catalog.deployment.phases.update(deployment.phases)
    judged(parts, assess("loom", deployment, {}, make_evidence(deployed=deployed, later=0.0)))
    return parts


@pytest.mark.parametrize(
    ("deployed", "told", "is_calm"),
    [
        (DeploymentProgress({}), "The migration history could not be read yet", False),
        (NOT_BEGUN, "The deployment has not begun.", True),
        (half_done(0.0), "1 of 2 phases are applied.", False),
        (DONE, "Deployed 20", False),
        (
            DeploymentProgress(DONE.phases, True, APPLIED_AT, APPLIED_AT, time.time() + 86_400),
            "The database is warming up: speed is judged from 20",
            False,
        ),
        (
            DeploymentProgress({"one": PhaseProgress(True)}, has_begun=True),
            "Deployed at an unknown time.",
            False,
        ),
    ],
)
async def test_stage_of_the_deployment_is_told(
    tmp_path: Path, deployed: DeploymentProgress, told: str, is_calm: bool
) -> None:
    parts = _judged_parts(tmp_path, deployed)
    assert told in (await _read(parts)).text
    body = (await parts.pages.status()).decode()
    assert ('class="verdict pending"' in body) is is_calm
    assert ('class="verdict inconclusive"' in body) is not is_calm


async def test_no_go_is_told_with_what_fails_the_phase_and_the_risk(tmp_path: Path) -> None:
    text = (await _read(hostile_parts(tmp_path, "Some text"))).text
    verdict, blame, why, criteria = (
        text.index(each)
        for each in ("NO-GO", "Phase to blame: one rollback risk high", "Why", "Success criteria")
    )
    assert verdict < blame < why < criteria
    assert 'loom_things{kind="Some text"} is 3 (expected at most 2' in text[why:criteria]
    assert "Fast" not in text[why:criteria], "it holds"


async def test_table_tells_before_after_change_and_trend(tmp_path: Path) -> None:
    text = (await _read(hostile_parts(tmp_path, "Number of things"))).text
    assert "Number of things 5 7 +2 7 Mean time 10 ms 5 ms −50 % —" in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "There is no baseline, so speed is not compared."),
        ({"collected_seconds": 7500.0}, "A baseline is being collected: 2h5m so far."),
        (
            {"refusal": RefusedError(Refusal.OTHER_DATABASE, "it is of another database")},
            "The baseline is refused: it is of another database.",
        ),
    ],
)
async def test_baseline_is_told_as_it_stands(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    parts = assemble(tmp_path, [])
    judged(parts)
    assert sentence in _Read(status_page(replace(parts.overview(), **changes))).text


async def test_slowest_statements_are_shown_while_the_poll_is_of_now(tmp_path: Path) -> None:
    parts = hostile_parts(tmp_path, "select 1")
    assert "Slowest statements 250 ms quick · select 1 select 1" in (await _read(parts)).text
    place = SlowStatementKey("abc", "quick", "anon")
    parts.poller.slowest = [Slow(place, 0.5, None)]
    assert "500 ms quick · anon statement abc" in _Read(status_page(parts.overview())).text
    parts.snapshots.fail("pg_stat_statements", State.DENIED, "1 entry is hidden")
    assert "Slowest statements" not in (await _read(parts)).text


async def test_line_of_other_numbers_is_begun_anew(tmp_path: Path) -> None:
    before, after = hostile_parts(tmp_path / "a", "a"), assemble(tmp_path / "b", [])
    after.verdict.go_on_from(before.verdict)
    assert before.verdict.trend.points
    assert after.verdict.trend.points == ()


async def test_line_has_words_for_those_who_do_not_see_it(tmp_path: Path) -> None:
    body = (await hostile_parts(tmp_path, "Things").pages.status()).decode()
    assert 'aria-label="Things: from 7 to 7 within 30m, minimum 7, maximum 7"' in body


async def test_plan_shows_each_step_and_what_is_to_come(tmp_path: Path) -> None:
    text = (await _read(_judged_parts(tmp_path, DONE))).text
    assert "Plan Day 2 ○ pending" in text
    assert "Look again Day 2: Look" in text


async def test_queries_that_fail_come_first_with_their_reason(tmp_path: Path) -> None:
    text = (await _read(hostile_parts(tmp_path, "broken by me"))).text
    listed = text[text.index("Queries Query") :]
    assert listed.index("steps broken by me error") < listed.index("fresh not run yet")
    assert listed.index("fresh not run yet") < listed.index(" answered Query")
    assert listed.index(" answered Query") < listed.index("things ok")


async def test_before_the_first_verdict_the_page_says_what_is_missing(tmp_path: Path) -> None:
    parts = assemble(tmp_path, [])
    assert "No verdict yet" in (await _read(parts)).text
    parts.snapshots.fail(parts.verdict.name, State.UNREACHABLE, "no route to host")
    text = (await _read(parts)).text
    assert "The last evaluation failed: unreachable : no route to host" in text


async def test_first_verdict_that_comes_while_the_page_is_made_is_shown_by_the_next(
    tmp_path: Path,
) -> None:
    parts = assemble(tmp_path, [])

    def judged_meanwhile() -> Overview:
        overview = parts.overview()
        judged(parts)
        return overview

    parts.pages.show(parts.snapshots, judged_meanwhile)
    assert "No verdict yet" in (await _read(parts)).text
    assert "INCONCLUSIVE" in (await _read(parts)).text


# ── What it costs ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("clock")
async def test_page_is_made_once_for_all_who_ask_and_off_the_loop(tmp_path: Path) -> None:
    parts = hostile_parts(tmp_path, "text")
    threads: list[int] = []

    def watched() -> Overview:
        threads.append(threading.get_ident())
        return parts.overview()

    parts.pages.show(parts.snapshots, watched)
    bodies = await asyncio.gather(*(parts.pages.status() for _ in range(20)))
    assert len(set(bodies)) == len(threads) == 1
    assert threads[0] != threading.get_ident()
    parts.snapshots.publish("number", State.OK, {"loom_number": {(): 8.0}})
    assert await parts.pages.status()
    assert len(threads) == 2, "what has changed is shown"


async def test_page_is_made_anew_after_some_seconds_because_it_tells_ages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = hostile_parts(tmp_path, "text")
    first = await parts.pages.status()
    now = time.time()
    later = time.monotonic() + KEPT_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    monkeypatch.setattr(time, "time", lambda: now + 30)
    assert await parts.pages.status() != first


async def test_other_subject_is_shown_at_once(tmp_path: Path) -> None:
    parts = hostile_parts(tmp_path / "one", "the old one")
    await parts.pages.status()
    other = hostile_parts(tmp_path / "two", "the new one")
    parts.pages.show(other.snapshots, other.overview)
    assert "the new one" in (await _read(parts)).text


async def test_page_asks_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = hostile_parts(tmp_path, "text")
    pages = Pages(parts.snapshots, parts.overview)
    for form in ("html", "markdown"):  # each template is read once
        await pages.report(form)
    await pages.status()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a page view opens a file")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("os.stat", refuse)
    pages.show(parts.snapshots, parts.overview)
    assert await pages.status()
    assert await pages.report("html")
    assert await pages.report("markdown")
    assert await pages.verdict("json")


def test_policy_names_the_style_by_its_hash_and_no_script_where_there_is_none() -> None:
    policy = page_headers("")["Content-Security-Policy"]
    # SHA-256 of nothing.
    assert "style-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='" in policy
    assert "script-src" not in policy
    assert "connect-src" not in policy
