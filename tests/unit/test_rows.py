"""Rows become samples; what cannot is a failure or is counted, and never a zero."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collect.rows import read_rows
from exporter.run_state import RunError, State
from exporter.state import Observation
from tests.support.queries import make_query, rows

if TYPE_CHECKING:
    from exporter.catalog import Query

BY_KIND = {"labels": ["kind"], "value": "things"}
CHANGED = "loom_things_timestamp_seconds"


def _by_kind(**header: Any) -> Query:
    return make_query("things", {"loom_things": BY_KIND}, **header)


def _failure(query: Query, *values: tuple[Any, ...]) -> str:
    with pytest.raises(RunError) as raised:
        read_rows(query, rows(query, *values))
    assert raised.value.state is State.ERROR
    return str(raised.value)


def test_each_row_is_a_sample_of_each_metric() -> None:
    query = make_query(
        "things",
        {"loom_things": BY_KIND, "loom_weight": {"labels": ["kind"], "value": "weight"}},
    )
    assert list(query.columns) == ["kind", "things", "weight"]
    result = read_rows(query, rows(query, ("a", 1.0, 10.0), ("b", 0.0, 20.0)))
    assert result.samples == {
        "loom_things": {("a",): 1.0, ("b",): 0.0},
        "loom_weight": {("a",): 10.0, ("b",): 20.0},
    }
    assert (result.dropped, result.tokens) == (0, {})


def test_no_rows_are_no_samples() -> None:
    result = read_rows(_by_kind(), rows(_by_kind()))
    assert (result.samples, result.tokens, result.dropped) == ({}, {}, 0)


def test_null_value_is_no_sample_and_not_zero() -> None:
    result = read_rows(_by_kind(), rows(_by_kind(), ("a", None), ("b", 0.0)))
    assert result.samples == {"loom_things": {("b",): 0.0}}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_value_that_is_not_finite_is_not_known(value: float) -> None:
    lax = read_rows(_by_kind(), rows(_by_kind(), ("a", value), ("b", 0.0)))
    assert lax.samples == {"loom_things": {("b",): 0.0}}
    query = make_query("things", {"loom_things": {**BY_KIND, "null": "error"}})
    assert _failure(query, ("a", value)) == "loom_things: column `things` is not a finite number"
    metric = {"type": "change_timestamp", "labels": ["kind"], "value": "token", "at": "exact"}
    query = make_query("things", {CHANGED: metric})
    tokens = read_rows(query, rows(query, ("a", value, "t"))).tokens
    assert tokens == {CHANGED: {("a",): Observation(("a",), "t", None)}}


def test_null_of_one_metric_leaves_the_others_of_the_row() -> None:
    query = make_query("things", {"loom_a": {"value": "a"}, "loom_b": {"value": "b"}})
    assert read_rows(query, rows(query, (None, 2.0))).samples == {"loom_b": {(): 2.0}}


def test_null_value_is_a_failure_where_the_header_says_so() -> None:
    query = make_query("things", {"loom_things": {**BY_KIND, "null": "error"}})
    assert _failure(query, ("a", 1.0), ("b", None)) == "loom_things: column `things` is NULL"


def test_label_that_is_a_document_is_a_failure() -> None:
    assert "more than 1024 characters" in _failure(_by_kind(), ("x" * 1025, 1.0))


def test_null_label_is_a_failure() -> None:
    query = make_query("things", {"loom_things": {"labels": ["kind", "colour"], "value": "n"}})
    assert _failure(query, ("a", None, 1.0)) == (
        "loom_things: label `colour` is NULL; use coalesce()"
    )


def test_empty_label_is_a_label() -> None:
    assert read_rows(_by_kind(), rows(_by_kind(), ("", 1.0))).samples == {
        "loom_things": {("",): 1.0}
    }


def test_two_rows_with_the_same_labels_are_a_failure() -> None:
    assert _failure(_by_kind(), ("a", 1.0), ("a", 1.0)) == (
        "loom_things: two rows have the same labels (kind)"
    )


def test_two_rows_without_labels_are_a_failure() -> None:
    query = make_query("things", {"loom_things": {"value": "things"}})
    assert _failure(query, (1.0,), (2.0,)) == (
        "loom_things: two rows have the same labels (there are none)"
    )


def test_two_tokens_with_the_same_labels_are_a_failure() -> None:
    query = make_query(
        "things", {CHANGED: {"type": "change_timestamp", "labels": ["kind"], "value": "token"}}
    )
    assert "two rows have the same labels (kind)" in _failure(query, ("a", "1"), ("a", "2"))


def test_info_is_one() -> None:
    query = make_query("things", {"loom_things_info": {"type": "info", "labels": ["kind"]}})
    assert read_rows(query, rows(query, ("a",))).samples == {"loom_things_info": {("a",): 1.0}}


def test_counter_is_what_the_database_counts() -> None:
    query = make_query("things", {"loom_things_total": {"type": "counter", "value": "n"}})
    assert read_rows(query, rows(query, (7.0,))).samples == {"loom_things_total": {(): 7.0}}


def test_tokens_are_left_to_be_dated() -> None:
    metric = {"type": "change_timestamp", "labels": ["kind"], "value": "token", "at": "exact"}
    query = make_query("things", {CHANGED: metric})
    assert list(query.columns) == ["kind", "exact", "token"]
    result = read_rows(query, rows(query, ("a", 5.0, "t1"), ("b", None, "t2"), ("c", None, None)))
    assert result.samples == {}
    assert result.tokens == {
        CHANGED: {
            ("a",): Observation(("a",), "t1", 5.0),
            ("b",): Observation(("b",), "t2", None),
        }
    }


def test_series_beyond_the_limit_are_counted_and_the_first_rows_win() -> None:
    query = _by_kind(series_limit=2)
    result = read_rows(query, rows(query, ("a", 1.0), ("b", 2.0), ("c", 3.0)))
    assert result.samples == {"loom_things": {("a",): 1.0, ("b",): 2.0}}
    assert result.dropped == 1


def test_limit_is_that_of_the_query_and_not_of_each_metric() -> None:
    metrics = {f"loom_{name}": {"labels": ["kind"], "value": name} for name in ("one", "two")}
    query = make_query("things", metrics, series_limit=3)
    result = read_rows(query, rows(query, ("a", 1.0, 2.0), ("b", 3.0, 4.0)))
    assert sum(map(len, result.samples.values())) == 3
    assert result.dropped == 1


def test_rows_that_the_server_cut_are_counted_for_every_metric() -> None:
    metrics = {f"loom_{name}": {"labels": ["kind"], "value": name} for name in ("one", "two")}
    query = make_query("things", metrics, series_limit=2)
    result = read_rows(query, rows(query, ("a", 1.0, 2.0), ("b", 3.0, 4.0), total=10_000))
    assert sum(map(len, result.samples.values())) == 2
    assert result.dropped == 2 * 9_998 + 2


def test_null_does_not_use_up_the_limit() -> None:
    query = _by_kind(series_limit=1)
    result = read_rows(query, rows(query, ("a", None), ("b", 2.0)))
    assert (result.samples, result.dropped) == ({"loom_things": {("b",): 2.0}}, 0)


@given(
    st.lists(
        st.tuples(st.text(max_size=3), st.none() | st.floats(-1e300, 1e300)),
        unique_by=lambda row: row[0],
    ),
    st.integers(1, 10),
    st.integers(0, 100),
)
def test_nothing_is_lost_without_being_counted(
    values: list[tuple[str, float | None]], limit: int, cut: int
) -> None:
    query = _by_kind(series_limit=limit)
    result = read_rows(query, rows(query, *values, total=len(values) + cut))
    known = {(kind,): number for kind, number in values if number is not None}
    samples = result.samples.get("loom_things", {})
    assert len(samples) <= limit
    assert samples.items() <= known.items()
    assert len(samples) + result.dropped == len(known) + cut


@pytest.mark.timing
def test_time_to_read_tokens_grows_with_their_number_and_not_with_its_square() -> None:
    """The event loop waits for this."""
    metric = {"type": "change_timestamp", "labels": ["kind"], "value": "token"}
    query = make_query("things", {CHANGED: metric}, series_limit=10_000)

    def seconds(count: int) -> float:
        many = rows(query, *((str(number), "t") for number in range(count)))
        started = time.perf_counter()
        assert len(read_rows(query, many).tokens[CHANGED]) == count
        return time.perf_counter() - started

    few, many = (min(seconds(count) for _ in range(5)) for count in (1_000, 10_000))
    assert many < 30 * few
