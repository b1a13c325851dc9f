"""What docs/operations.md shows of sources and suites can be used as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from exporter.catalog.deployment import Suite
from exporter.catalog.http_query import Placeholder, parse_http_query
from exporter.run_state import State
from exporter.settings import load_settings
from tests.support.watching import shipped

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def _block(beginning: str) -> str:
    block: str
    (block,) = (each for each in BLOCKS if each.startswith(beginning))
    return block


def test_sources_are_settings_and_those_of_the_shipped_questions(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(_block("sources:"), encoding="utf-8")
    sources = load_settings(config).sources
    asked = {query.header.source for query in shipped().http_queries}
    assert asked == set(sources)
    for query in shipped().http_queries:
        kind = sources[query.header.source].kind
        assert (kind == "json") == (query.header.path is not None), query.name


def test_table_of_sources_names_every_shipped_question() -> None:
    for query in shipped().http_queries:
        (row,) = re.findall(rf"^\| `{query.header.source}` \|.*$", PAGE, re.MULTILINE)
        assert f"`{query.name}`" in row


def test_question_is_one() -> None:
    query = parse_http_query(Path("tickets.http.yaml"), _block("# Why:"))
    assert query.placeholders == {"deployment_start"}


def test_suite_is_one() -> None:
    found: dict[str, Any] = yaml.safe_load(_block("suites:"))
    assert Suite.model_validate(found["suites"]["rls"]).planned == 11


@pytest.mark.parametrize("name", get_args(Placeholder))
def test_placeholder_is_explained(name: str) -> None:
    assert f"`{{{name}}}`" in PAGE


def test_states_of_a_source_are_explained() -> None:
    of_the_database_alone = {State.LOCKED, State.OUTDATED}
    table = PAGE[PAGE.index("| what the source does |") :]
    for state in set(State) - of_the_database_alone:
        assert f"`{state}`" in table
