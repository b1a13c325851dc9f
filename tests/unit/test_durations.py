"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.durations import format_duration, parse_duration


@given(st.integers(0, 10**12))
def test_what_is_written_is_read_back_to_the_millisecond(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@given(st.integers(1, 999), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)]))
def test_a_number_and_a_unit_is_their_product(number: int, unit: tuple[str, float]) -> None:
    assert parse_duration(f"{number}{unit[0]}") == pytest.approx(number * unit[1])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1d", 86400), ("1h30m", 5400), ("1.5s", 1.5), ("1m30s", 90), ("2d12h", 216000), ("0s", 0)],
)
def test_parts_add_up(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15",
        "s",
        "15 s",
        " 15s",
        "1m ",
        "15s\n",
        "15S",
        "-15s",
        "1w",
        "15sec",
        ".5s",
        "1,5s",
        "1e3s",
        "PT15S",
        "²s",
        "٣s",
    ],
)
def test_what_is_not_a_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="a number and a unit, such as 250ms, 15s, 1m"):
        parse_duration(text)


@pytest.mark.parametrize("value", [15, 15.0, None, True, ["15s"]])
def test_a_number_without_a_unit_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a number and a unit"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (60, "1m"), (90061.001, "1d1h1m1s1ms"), (604800, "7d")],
)
def test_largest_exact_units_are_used(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
