"""What the documents name is there: links, files and metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.settings import Settings
from tests.support.contract import ALL

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
FILE = re.compile(r"`((?:exporter|tests|queries|alerts|grafana|deploy)/[\w./-]+)`")
METRIC = re.compile(r"\bloom_[a-z0-9_]+\b(?![*{.(])")
DECLARED = re.compile(r"^ +(loom_\w+):$", re.M)
"""The metrics of a query that a page shows as an example."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_of_a_page_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    missing += [
        file for file in FILE.findall(text) if "NAME" not in file and not (ROOT / file).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_metrics_of_a_page_are_served(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(METRIC.findall(text)) - set(DECLARED.findall(text))
    roles = {"loom_monitor", "loom_probe", "loom_exporter", "loom_"}
    families = {name.removesuffix(suffix) for name in ALL for suffix in ("_total", "_info", "")}
    assert {name for name in named - roles - families if not name.endswith("_")} == set()


def test_settings_are_all_in_their_page() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [
        name for name in Settings.model_fields if f"`LOOM_EXPORTER_{name.upper()}`" not in text
    ]
    assert missing == []
