"""YAML that knows its lines, and takes nothing for what it does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from exporter.yaml_source import YamlDocument, YamlError, parse_document, read_document

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
name: loom

tables:
  - users
  - {name: files, rows: 3}
nested:
  deep: {deeper: true}
"""

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text("abc- :#'\"é\n", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def test_document_is_plain_data() -> None:
    assert parse_document(TEXT, "a.yaml").data == {
        "name": "loom",
        "tables": ["users", {"name": "files", "rows": 3}],
        "nested": {"deep": {"deeper": True}},
    }


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("name",), 1),
        (("tables",), 3),
        (("tables", 0), 4),
        (("tables", 1, "rows"), 5),
        (("nested", "deep", "deeper"), 7),
        (("nested", "missing"), 6),
        (("elsewhere", "entirely"), 1),
    ],
)
def test_error_names_the_line_of_the_nearest_thing(path: tuple[str | int, ...], line: int) -> None:
    error = parse_document(TEXT, "a.yaml").error(path, "is wrong")
    key = ".".join(map(str, path))
    assert str(error) == f"a.yaml:{line}: " + (f"{key}: " if key else "") + "is wrong"


def test_lines_count_from_where_the_document_stands_in_its_file() -> None:
    document = parse_document(TEXT, "a.sql", first_line=11)
    assert str(document.error(("tables", 0), "is wrong")) == "a.sql:14: tables.0: is wrong"
    with pytest.raises(YamlError, match=r"^a\.sql:12: not YAML: "):
        parse_document("a: b\n\tc: d", "a.sql", first_line=11)


def test_error_without_a_line_names_the_place_alone() -> None:
    assert str(YamlDocument("a.yaml", None, {}).error((), "is empty")) == "a.yaml: is empty"


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "~"])
def test_empty_document_is_none(text: str) -> None:
    assert parse_document(text, "a.yaml").data is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("Yes", "Yes"),
        ("true", True),
        ("True", "True"),
        ("false", False),
        ("null", None),
        ("~", None),
        ("15", 15),
        ("-3", -3),
        ("015", "015"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        ("2025-10-21", "2025-10-21"),
        ("20251021000001", 20251021000001),
        ("'20251021000001'", "20251021000001"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_scalar_is_what_yaml_1_2_says(text: str, value: object) -> None:
    found = parse_document(f"a: {text}", "a.yaml").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert parse_document("null: 1\n5: 2\ntrue: 3", "a.yaml").data == {
        "null": 1,
        "5": 2,
        "true": 3,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "a.yaml:3: a: this key stands here twice"),
        ("a:\n  b: 1\n  b: 2", "a.yaml:3: a.b: this key stands here twice"),
        ("[{a: 1, a: 2}]", "a.yaml:1: 0.a: this key stands here twice"),
        ("a: &x 1\nb: *x", "a.yaml:1: a: anchors and aliases are not supported"),
        ("a: 1\nb: *x", "a.yaml:2: b: anchors and aliases are not supported"),
        ("? {a: b}\n: c", "a.yaml:1: a key must be plain text"),
        ("b:\n  &x a: 1", "a.yaml:2: b: a key must be plain text"),
        ("a: !!int x", "a.yaml:1: a: the tag tag:yaml.org,2002:int is not supported"),
        ("a: !x [b]", "a.yaml:1: a: the tag !x is not supported"),
        ("!!str a: b", "a.yaml:1: a key must be plain text"),
        (f"b: 1\na: {'9' * 5000}", "a.yaml:2: a: an escape that is no character, or a number"),
        ('b: 1\na: "\\U00110000"', "a.yaml:2: a: an escape that is no character"),
        ('b: 1\na: "\\ud83d"', "a.yaml:2: a: an escape that is no character"),
        (f"a:\n  b: {'[' * 60}", "a.yaml:2: a.b: nested more than 50 levels deep"),
        (f"a:\n  b: {'{c: ' * 30_000}", "a.yaml:2: a.b: nested more than 50 levels deep"),
        ("a: b\n\tc: d", "a.yaml:2: not YAML: found character '\\t'"),
        ("a: b\n c: d", "a.yaml:2: not YAML: mapping values are not allowed here"),
        ("a: [1, 2", "a.yaml:1: not YAML: "),
        ("a: b\nc: \x07", "a.yaml:2: not YAML: the character U+0007 is not allowed"),
        ("a: b\n---\nc: d", "a.yaml:2: a second document begins here"),
    ],
)
def test_what_could_be_misread_is_an_error(text: str, message: str) -> None:
    with pytest.raises(YamlError) as raised:
        parse_document(text, "a.yaml")
    assert str(raised.value).startswith(message)
    assert len(str(raised.value).splitlines()) == 1


def test_value_of_a_key_that_stands_twice_is_not_shown() -> None:
    with pytest.raises(YamlError) as raised:
        parse_document("key: secret\nkey: hidden", "a.yaml")
    assert str(raised.value) == "a.yaml:2: key: this key stands here twice"


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_file_may_come_from_windows(tmp_path: Path, mark: bytes, ends: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(mark + TEXT.replace("\n", ends).encode())
    document = read_document(path)
    assert (document.data, document.lines) == (
        parse_document(TEXT, "a.yaml").data,
        parse_document(TEXT, "a.yaml").lines,
    )
    assert parse_document(path.read_bytes().decode(), "a.yaml").data == document.data


@given(plain)
def test_what_yaml_writes_is_read_as_it_was(data: object) -> None:
    text = yaml.safe_dump({"a": data}, sort_keys=False, allow_unicode=True)
    assert parse_document(text, "a.yaml").data == {"a": data}


@given(st.text())
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_document(text, "a.yaml")
        return
    except YamlError as error:
        message = str(error)
    assert message.startswith("a.yaml:")
    assert len(message.splitlines()) == 1


class _Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    rows: int = 0


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: dict[str, _Item]
    union: int | list[int] = 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("items:\n  a: {nam: x}", "a.yaml:2: items.a.nam: unknown key; check its spelling"),
        ("items:\n  a: {}", "a.yaml:2: items.a.name: this key is required"),
        ("items: []", "a.yaml:1: items: must hold `key: value` pairs"),
        ("items:\n  a: {name: 5}", "a.yaml:2: items.a.name: must be text; put it in quotes"),
        ("items: {}\nunion:\n  - x", "a.yaml:2: union: must be a valid integer"),
    ],
)
def test_complaints_of_a_model_lead_to_the_line(text: str, message: str) -> None:
    document = parse_document(text, "a.yaml")
    with pytest.raises(ValidationError) as raised:
        _Model.model_validate(document.data)
    assert str(document.errors(raised.value)).startswith(message)
