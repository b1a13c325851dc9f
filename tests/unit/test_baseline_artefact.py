"""A baseline is read back as it was written, or refused with a reason; never half of it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.baseline.artefact import Baseline, Cell
from exporter.baseline.codec import Refusal, RefusedError, dumps, loads
from tests.support.baselines import BASELINE, baselines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENT = dumps(BASELINE)


def _refusal(text: str) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        loads(text)
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 200
    return refused.value


def _signed(**changes: Any) -> str:
    """Return a document with other values at its top, and the checksum that they need."""
    body = {**json.loads(DOCUMENT), **changes}
    del body["sha256"]
    return _sign(body)


def _sign(body: dict[str, Any]) -> str:
    """Give a document its checksum, as anybody could who has read how it is made."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return json.dumps({**body, "sha256": hashlib.sha256(canonical.encode()).hexdigest()})


@given(baselines)
@settings(max_examples=60, deadline=None)
def test_document_is_read_back_as_it_was_written(baseline: Baseline) -> None:
    text = dumps(baseline)
    again = loads(text)
    assert again == baseline
    assert dumps(again) == text, "to the last digit"


def test_document_is_one_line_of_plain_json() -> None:
    assert DOCUMENT.endswith("}\n")
    assert DOCUMENT.count("\n") == 1
    written = json.loads(DOCUMENT)
    assert written["schema"] == "loom-exporter.baseline/2"
    assert written["window"]["start"] == "2025-10-13T00:00:00Z"
    assert written["classes"][0]["class"] == "invoices"
    assert written["statements"][0]["hours_of_week"]["9"] == [700, 1.7, 1e-05]
    assert "NaN" not in DOCUMENT
    assert json.loads(_signed())["sha256"] == written["sha256"], "as anybody can recompute it"


def test_white_space_and_order_of_keys_mean_nothing() -> None:
    written = json.loads(DOCUMENT)
    assert loads(json.dumps(dict(reversed(written.items())), indent=2)) == BASELINE


def _changes(content: bytes) -> Iterator[bytes]:
    """Yield the content with each of its bytes changed in several ways, dropped or doubled."""
    for at, byte in enumerate(content):
        head, tail = content[:at], content[at + 1 :]
        yield head + tail
        yield head + bytes([byte, byte]) + tail
        for bit in (1, 4, 32, 128):
            yield head + bytes([byte ^ bit]) + tail


def test_change_of_any_byte_is_refused_or_changes_nothing() -> None:
    refused = harmless = 0
    for changed in _changes(DOCUMENT.encode()):
        try:
            assert loads(changed.decode()) == BASELINE
            harmless += 1
        except (RefusedError, UnicodeDecodeError):
            refused += 1
    assert refused > 100 * harmless


@given(st.integers(0, len(DOCUMENT) - 2))
@settings(max_examples=300, deadline=None)
def test_document_that_is_cut_off_anywhere_is_refused(length: int) -> None:
    assert _refusal(DOCUMENT[:length]).reason in (Refusal.TRUNCATED, Refusal.MALFORMED)


@pytest.mark.parametrize("length", [0, 1, len(DOCUMENT) // 2, len(DOCUMENT) - 2])
def test_document_that_is_cut_off_is_told_from_one_that_is_no_json(length: int) -> None:
    assert _refusal(DOCUMENT[:length]).reason is Refusal.TRUNCATED
    assert _refusal(DOCUMENT.replace(":", ";", 1)).reason is Refusal.MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "7",
        "null",
        "schema: loom-exporter.baseline/2",
        "<html>not found</html>",
        '{"schema": 1}',
        '{"schema": "something.else/1"}',
        '{"schema": "loom-exporter.baseline/0"}',
        '{"schema": "loom-exporter.baseline/one"}',
        "{" * 100_000 + "}",
        "[" * 100_000 + "{}",
        '{"a": ' * 100_000 + "{}" + "}" * 100_000,
        f'{{"a": {"9" * 5_000}}}',
        '{"schema": "loom-exporter.baseline/2", "a": NaN}',
        '{"schema": "loom-exporter.baseline/2", "a": 1e999}',
        '{"schema": "loom-exporter.baseline/2", "a": "\\ud800"}',
        '{"schema": "loom-exporter.baseline/2", "a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=range(18),
)
def test_what_is_no_baseline_is_refused(text: str) -> None:
    assert _refusal(text).reason is Refusal.MALFORMED


def test_checksum_that_is_missing_or_not_that_of_the_content_is_refused() -> None:
    written = json.loads(DOCUMENT)
    for forged in (
        {**written, "left_out": written["left_out"] + 1},
        {**written, "sha256": "00" * 32},
        {**written, "sha256": None},
        {key: value for key, value in written.items() if key != "sha256"},
    ):
        assert _refusal(json.dumps(forged)).reason is Refusal.TAMPERED


def test_newer_major_version_is_refused_whatever_else_it_says() -> None:
    for schema in ("loom-exporter.baseline/3", "loom-exporter.baseline/17.3"):
        assert _refusal(_signed(schema=schema)).reason is Refusal.NEWER_VERSION
        assert _refusal(json.dumps({"schema": schema})).reason is Refusal.NEWER_VERSION


def test_older_major_version_is_refused_with_what_it_lacks() -> None:
    body = json.loads(DOCUMENT)
    body["schema"] = "loom-exporter.baseline/1.4"
    refused = _refusal(json.dumps(body))
    assert refused.reason is Refusal.OLDER_VERSION
    assert "no calls by hour" in str(refused)


def test_what_a_minor_version_adds_is_ignored() -> None:
    body = json.loads(DOCUMENT)
    del body["sha256"]
    body["schema"] = "loom-exporter.baseline/2.4"
    for place in (body, body["identity"], body["window"], body["statements"][0], body["backtest"]):
        place["something_new"] = {"nested": [1, 2.5, "three"]}
    assert loads(_sign(body)) == BASELINE


@pytest.mark.parametrize("algorithm", ["tok-1", "pg_query-18", "a" * 5_000, "a\nb"])
def test_other_way_of_naming_statements_is_refused(algorithm: str) -> None:
    written = json.loads(DOCUMENT)
    identity = {**written["identity"], "id_algorithm": algorithm}
    # As the names were before: the reason comes first, and not that they have another length.
    statements = [{**each, "id": "0f" * 32} for each in written["statements"]]
    refused = _refusal(_signed(identity=identity, statements=statements))
    assert refused.reason is Refusal.OTHER_ALGORITHM
    assert re.fullmatch(r"baseline: it names statements by the algorithm '.{1,200}", str(refused))
    assert "this loom-exporter by 'pg_query-17'" in str(refused)
    assert "capture a baseline again" in str(refused)


def _set(place: tuple[Any, ...], value: object) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        *path, last = place
        node: Any = body
        for step in path:
            node = node[step]
        node[last] = value

    return change


SECRET = "hunter2\nin two lines"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_set(("statements", 0, "calls"), -1), "statements.0.calls"),
        (_set(("statements", 0, "calls"), SECRET), "statements.0.calls"),
        (_set(("statements", 0, "id"), SECRET), "statements.0.id"),
        (_set(("statements", 0, "hours_of_week", "168"), [1, 1.0, 1.0]), "hours_of_week"),
        (_set(("statements", 0, "hours_of_day", "48"), [1, 1.0, 1.0]), "hours_of_day"),
        (_set(("statements", 0, "hours_of_day", "9"), [1, 1.0, -1.0]), "hours_of_day"),
        (_set(("statements", 0, "hours_of_day", SECRET), [1, 1.0, 1.0]), "hours_of_day"),
        (_set(("identity", "settings", SECRET), 7), "identity.settings"),
        (_set(("identity", "system_identifier"), SECRET), "identity.system_identifier"),
        (_set(("window", "start"), "2025-10-13T00:00:00"), "window.start"),
        (_set(("window", "start"), SECRET), "window.start"),
        (_set(("window", "bucket_seconds"), 0), "window.bucket_seconds"),
        (_set(("source",), SECRET), "source"),
        (_set(("gauges", 0, "series", 0, "value"), SECRET), "gauges.0.series.0.value"),
        (_set(("classes", 0), SECRET), "classes.0"),
    ],
)
def test_wrong_value_is_told_by_its_place_and_not_by_what_it_is(
    change: Callable[[dict[str, Any]], None], place: str
) -> None:
    body = json.loads(DOCUMENT)
    del body["sha256"]
    change(body)
    refused = _refusal(_sign(body))
    assert refused.reason is Refusal.MALFORMED
    assert place in str(refused)
    assert "hunter2" not in str(refused)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -0.1])
def test_no_baseline_holds_a_number_that_is_none(number: float) -> None:
    statement = BASELINE.statements[0]
    with pytest.raises(ValidationError):
        type(statement)(**{**dict(statement), "seconds": number})
    with pytest.raises(ValidationError):
        type(statement)(**{**dict(statement), "hours_of_day": {1: Cell(1, number, 0.0)}})


def test_times_are_utc_however_they_are_written() -> None:
    window = {**json.loads(DOCUMENT)["window"], "start": "2025-10-13T02:00:00+02:00"}
    assert loads(_signed(window=window)) == BASELINE
