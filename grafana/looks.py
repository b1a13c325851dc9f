"""Colours, and the words that stand for numbers: the same on every dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GREEN, ORANGE, RED, PLAIN = "green", "orange", "red", "text"


class Step(NamedTuple):
    """The colour of values from `value` on; None is where all begin."""

    value: float | None
    colour: str


class Word(NamedTuple):
    """What is shown instead of a value, and perhaps in which colour."""

    text: str
    colour: str | None = None


UNJUDGED = (Step(None, PLAIN),)
"""A number that is neither good nor bad by itself."""

STATUS = {
    "0": Word("pass", GREEN),
    "1": Word("inconclusive", ORANGE),
    "2": Word("fail", RED),
}
STATUS_STEPS = (Step(None, GREEN), Step(1, ORANGE), Step(2, RED))


def bad_from(red: float, orange: float | None = None) -> Sequence[Step]:
    """Return the colours of what should stay below `red`."""
    middle = () if orange is None else (Step(orange, ORANGE),)
    return (Step(None, GREEN), *middle, Step(red, RED))


def bad_below(green: float) -> Sequence[Step]:
    """Return the colours of what should be at least `green`."""
    return (Step(None, RED), Step(green, GREEN))


def thresholds(steps: Sequence[Step]) -> build.ThresholdsConfig:
    """Return the colours as Grafana has them."""
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=step.value, color=step.colour) for step in steps])
    )


def mappings(words: Mapping[str, Word]) -> list[model.ValueMapping]:
    """Return the words as Grafana has them."""
    return [
        model.ValueMap(
            options={
                value: model.ValueMappingResult(text=word.text, color=word.colour, index=index)
                for index, (value, word) in enumerate(words.items())
            }
        )
    ]
