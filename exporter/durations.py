"""Durations as people write them: `250ms`, `15s`, `1h30m`."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

_UNITS_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"


def parse_duration(text: object) -> float:
    """Return the seconds that `text` stands for.

    >>> parse_duration("250ms"), parse_duration("1h30m"), parse_duration("2d")
    (0.25, 5400.0, 172800.0)

    Raises:
        ValueError: `text` is not a duration. A bare number is refused, because its unit
            would be a guess.
    """
    if not isinstance(text, str) or not re.fullmatch(_WHOLE, text, re.ASCII):
        raise ValueError("a duration is a number and a unit, such as 250ms, 15s, 1m, 1h30m or 7d")
    return sum(float(number) * _UNITS_SECONDS[unit] for number, unit in _PART.findall(text))


def format_duration(seconds: float) -> str:
    """Return `seconds` in the largest units that are exact to the millisecond.

    >>> format_duration(90), format_duration(0.25), format_duration(86400)
    ('1m30s', '250ms', '1d')
    """
    left = round(seconds * 1000)
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        size = round(_UNITS_SECONDS[unit] * 1000)
        count, left = divmod(left, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"


Duration = Annotated[
    float,
    Field(gt=0, le=366 * 86400),
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": _WHOLE, "examples": ["15s", "1m", "250ms"]}),
]
"""Seconds, written as text with a unit; for pydantic models."""
