"""The status page as people see it: in a browser, on a phone and on a wall, by day and by night.

LOOM_TEST_SCREENSHOTS names a folder that keeps the pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from exporter.run_state import State
from exporter.web.routes import Health, build_app
from exporter.web.server import bind, serving
from tests.support.demo_process import STORY_SECONDS, Demo
from tests.support.hostile import HOSTILE, hostile_parts
from tests.support.marks import plays_the_demo
from tests.support.observers import eventually
from tests.support.tools import require_postgres, require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.support.components import Parts

expect.set_options(timeout=20_000)

SIZES = {"phone": (360, 640), "desk": (1280, 900), "wall": (1920, 1080)}
SCHEMES = ("light", "dark")
EACH_SCREEN = [(size, scheme) for size in SIZES for scheme in SCHEMES]


class Site(NamedTuple):
    """A web server on a loop of its own; whatever the daemon does, happens on that loop."""

    url: str
    loop: asyncio.AbstractEventLoop


@contextlib.contextmanager
def _site(parts: Parts) -> Iterator[Site]:
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    with bind("127.0.0.1:0") as listener:

        async def serve() -> None:
            app = build_app(
                parts.exposition,
                Health(lambda: True, lambda: True),
                parts.database_pages,
            )
            async with serving(app, listener):
                loops.append(asyncio.get_running_loop())
                await stop.wait()

        thread = threading.Thread(target=asyncio.run, args=[serve()])
        thread.start()
        loop = eventually("the server serves", lambda: loops and loops[0])
        assert loop
        try:
            yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}/", loop)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)


def _hurried(parts: Parts) -> Parts:
    """Let the page look for news five times a second."""
    hurried = {**parts.interval_seconds, parts.verdict.name: 0.2}
    overview = parts.overview
    parts.pages.show(parts.snapshots, lambda: replace(overview(), interval_seconds=hurried))
    return parts


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = require_tool("chromium", "LOOM_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


@contextlib.contextmanager
def _open(
    browser: Browser, url: str, size: str = "desk", scheme: str = "light", *, script: bool = True
) -> Iterator[Page]:
    """Open the page; fail if anything on it was refused by its own policy or went wrong."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=script,
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.goto(url)
    yield page
    assert wrong == []
    context.close()


def _picture(page: Page, name: str) -> None:
    if folder := os.environ.get("LOOM_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def _assert_fits(page: Page) -> None:
    """Fail if one has to scroll sideways, or for the verdict and what it rests on."""
    lowest, greatest_width = page.evaluate(
        """() => [
            Math.max(...["h1", ".lead"].map(
                each => document.querySelector(each).getBoundingClientRect().bottom + scrollY
            )) / innerHeight,
            document.documentElement.scrollWidth / innerWidth,
        ]"""
    )
    assert lowest <= 1
    assert greatest_width <= 1


def _assert_words_are_whole(page: Page) -> None:
    """Fail if a word in the head of a table, in a number or in a status is on two lines."""
    broken = page.evaluate(
        """() => [...document.querySelectorAll("th, .number, .pill, .word, h3")].flatMap(each => {
            const texts = document.createTreeWalker(each, NodeFilter.SHOW_TEXT);
            const found = [];
            for (let text; text = texts.nextNode();) {
                for (const word of text.data.matchAll(/\\w+/g)) {
                    const range = document.createRange();
                    range.setStart(text, word.index);
                    range.setEnd(text, word.index + word[0].length);
                    const tops = [...range.getClientRects()].map(rect => Math.round(rect.top));
                    if (new Set(tops).size > 1) found.push(word[0]);
                }
            }
            return found;
        })"""
    )
    assert broken == []


def _assert_accessible(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize(("size", "scheme"), EACH_SCREEN)
def test_page_fits_each_screen_and_is_accessible(
    browser: Browser, tmp_path: Path, size: str, scheme: str
) -> None:
    with (
        _site(hostile_parts(tmp_path, "Some text of others")) as site,
        _open(browser, site.url, size, scheme) as page,
    ):
        expect(page.locator("h1")).to_contain_text("NO-GO")
        _assert_fits(page)
        _assert_words_are_whole(page)
        _picture(page, f"{size}-{scheme}")
        _assert_accessible(page)
        _assert_fits(page)  # unfolded as well


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_runs_nothing_and_fits_a_phone(
    browser: Browser, tmp_path: Path, text: str
) -> None:
    with _site(hostile_parts(tmp_path, text)) as site, _open(browser, site.url, "phone") as page:
        assert page.title() == f"NO-GO · {' '.join(text.split())}"
        shown = page.locator(".blamed .what").first.inner_text()
        assert shown == " ".join(text.split())
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]
        assert page.locator("img, iframe, object, embed, form, input, [onload]").count() == 0


@pytest.mark.parametrize(("size", "scheme"), EACH_SCREEN)
def test_report_fits_each_screen_and_is_accessible(
    browser: Browser, tmp_path: Path, size: str, scheme: str
) -> None:
    with (
        _site(hostile_parts(tmp_path, "Some text of others")) as site,
        _open(browser, f"{site.url}report", size, scheme) as page,
    ):
        expect(page.locator("h1 .fail")).to_have_text("NO-GO")
        assert page.evaluate("document.styleSheets.length") == 1, (
            "the policy lets it have its style"
        )
        _assert_fits(page)
        _assert_words_are_whole(page)
        _picture(page, f"report-{size}-{scheme}")
        _assert_accessible(page)


def test_report_fits_on_paper(browser: Browser, tmp_path: Path) -> None:
    with (
        _site(hostile_parts(tmp_path, "Some text of others")) as site,
        _open(browser, f"{site.url}report") as page,
    ):
        page.set_viewport_size({"width": 680, "height": 960})  # A4 without its margins
        page.emulate_media(media="print")
        _assert_fits(page)
        _assert_words_are_whole(page)


def test_page_without_script_is_whole(browser: Browser, tmp_path: Path) -> None:
    with (
        _site(hostile_parts(tmp_path, "Some text of others")) as site,
        _open(browser, site.url, "phone", script=False) as page,
    ):
        expect(page.locator("h1")).to_contain_text("NO-GO")
        page.locator("#criterion-things summary").click()
        expect(page.locator("#criterion-things .evidence")).to_be_visible()


def test_policy_stops_a_script_that_is_not_of_the_page(browser: Browser, tmp_path: Path) -> None:
    with _site(hostile_parts(tmp_path, "Some text")) as site:
        page = browser.new_page()
        page.goto(site.url)
        page.evaluate(
            "document.body.append(Object.assign("
            "document.createElement('script'), {textContent: 'window.isHacked = true'}))"
        )
        assert page.evaluate("window.isHacked") is None
        page.close()


def test_page_follows_without_a_reload_and_leaves_the_reader_alone(
    browser: Browser, tmp_path: Path
) -> None:
    parts = _hurried(hostile_parts(tmp_path, "Number"))
    with _site(parts) as site, _open(browser, site.url, "phone") as page:
        page.evaluate("window.isSame = true")
        page.locator("#quiet summary").click()
        page.locator("#quiet summary").scroll_into_view_if_needed()
        position = page.evaluate("scrollY")
        expect(page.locator("#quiet")).to_contain_text("number")
        site.loop.call_soon_threadsafe(parts.snapshots.fail, "number", State.ERROR, "it broke")
        expect(page.locator("table.queries").first).to_contain_text("it broke")
        assert page.evaluate("window.isSame")
        assert page.locator("#quiet").get_attribute("open") is not None
        assert page.evaluate("document.activeElement.parentElement.id") == "quiet"
        assert abs(page.evaluate("scrollY") - position) < 100


def test_server_that_is_gone_is_told_and_the_page_stays(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    with _site(_hurried(hostile_parts(tmp_path, "Some text"))) as site:
        page.goto(site.url)
        expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator("h1")).to_contain_text("NO-GO")
    page.close()


@plays_the_demo
def test_demo_is_told_before_and_after_without_a_reload(browser: Browser) -> None:
    require_postgres(18)
    times = ("--before", "30", "--after", "15", "--hold", "60")
    with Demo("--scenario", "published", *times) as demo:
        url = demo.until_told(r"(http://127\.0\.0\.1:\d+)/metrics")[1]
        patience = STORY_SECONDS * 1000
        with _open(browser, url) as page:
            # The first verdict, if it was still to come, is shown by a reload.
            expect(page.locator(".lead")).to_contain_text("has not begun", timeout=patience)
            page.evaluate("window.isSame = true")
            _picture(page, "demo-before")
            expect(page.locator("h1")).to_contain_text("NO-GO", timeout=patience)
            expect(page.locator(".blamed").first).to_contain_text("rollback risk")
            assert page.evaluate("window.isSame"), "it was reloaded"
            expect(page.locator("svg.spark").first).to_be_visible()
            _picture(page, "demo-after")
            _assert_accessible(page)
            for size in SIZES.values():
                page.set_viewport_size({"width": size[0], "height": size[1]})
                _assert_fits(page)
        assert demo.process.wait(STORY_SECONDS) == 0, "it ends by itself"
