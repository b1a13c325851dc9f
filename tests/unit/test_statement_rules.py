"""Classes and roles of statements in deployment.yaml: what is wrong is said in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.catalog.deployment import StatementClass
from exporter.catalog.partial import Partial, right_part
from exporter.yaml_source import read_document

if TYPE_CHECKING:
    from pathlib import Path

DEPLOYMENT = """\
name: things
title: Things
warmup: 30m
phases: {}
statement_roles: [anon]
classes:
  big:
    relations: [app.things, Anything]
    functions: [app.count]
  small:
    relations: [app.parts]
"""


def _load(folder: Path, old: str = "", new: str = "") -> Partial:
    assert old in DEPLOYMENT
    path = folder / "deployment.yaml"
    path.write_text(DEPLOYMENT.replace(old, new, 1) if old else DEPLOYMENT)
    return right_part(read_document(path))


def test_classes_are_read_in_their_order(tmp_path: Path) -> None:
    part = _load(tmp_path)
    assert part.faults == {}
    assert part.deployment
    classes = part.deployment.classes
    assert list(classes) == ["big", "small"]
    assert classes["big"] == StatementClass(
        relations=("app.things", "Anything"), functions=("app.count",)
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("app.parts", "app.things", ":11: classes.small.relations.0: app.things stands in two"),
        ("  small:", "  other:", ":10: classes.other: `other` stands for what is in none"),
        ("[anon]", "[other]", ":5: statement_roles.0: `other` stands for what is in none"),
        ("relations: [app.parts]", "relations: []", ":10: classes.small: must name relations"),
        ("app.parts", "a.b.c", ":11: classes.small.relations.0: must be schema.name"),
        ("[app.parts]", "['Pa\"rts']", "in quotation marks"),
        ("functions: [app.count]", "identities: [abc]", "16 hexadecimal digits"),
        ("functions: [app.count]", f"identities: [{'0a' * 32}]", "16 hexadecimal digits"),
        ("functions", "function", ":9: classes.big.function: unknown key"),
        ("  small:", "  Small class:", "lower case"),
        ("phases: {}", "phases: {}\nslow_statement: 100", ":5: slow_statement: a duration is"),
    ],
)
def test_wrong_rule_is_told_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    (error,) = _load(tmp_path, old, new).errors()
    assert said in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM WHERE", 'not SQL: syntax error at or near "WHERE"'),
        ("SELECT 1; SELECT 2", "must be one statement"),
        ("-- SELECT 1", "must be one statement"),
    ],
)
def test_replacement_that_could_never_be_found_is_told(tmp_path: Path, sql: str, said: str) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(f"{DEPLOYMENT}replacements:\n  - old: SELECT 1\n    new: {sql}\n")
    (error,) = right_part(read_document(path)).errors()
    assert f":14: replacements.0.new: {said}" in str(error)
