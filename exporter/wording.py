"""Numbers, times and series in words, the same everywhere."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from exporter.durations import format_duration

UNKNOWN = "—"

_SHOWN = 3


def number(value: float) -> str:
    """Return a number, to twelve digits.

    >>> number(17.0), number(0.25), number(1234567.0)
    ('17', '0.25', '1234567')
    """
    return f"{value:.12g}"


def milliseconds(seconds: float) -> str:
    """Return a duration in seconds as milliseconds.

    >>> milliseconds(0.0123456), milliseconds(2.5)
    ('12.3 ms', '2500 ms')
    """
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


def quantity(value: float | None, *, is_time: bool) -> str:
    """Return a number, or a duration in seconds, as text; a dash if it is not known.

    >>> quantity(None, is_time=True), quantity(17.0, is_time=False), quantity(0.25, is_time=True)
    ('—', '17', '250 ms')
    """
    if value is None:
        return UNKNOWN
    return milliseconds(value) if is_time else number(value)


def moment(unix_seconds: float) -> str:
    """Return a Unix time in UTC, to the second; PostgreSQL also knows infinite times.

    >>> moment(1761055200.7), moment(math.inf)
    ('2025-10-21 14:00:00 UTC', 'Unix time inf')
    """
    try:
        return datetime.fromtimestamp(int(unix_seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):
        return f"Unix time {unix_seconds:g}"


def age(seconds: float) -> str:
    """Return an age in seconds as text, in two units at most.

    >>> age(3723.4), age(-5.0), age(math.inf)
    ('1h2m', '0s', 'forever')
    """
    if seconds == math.inf:
        return "forever"
    seconds = max(seconds, 0.0)
    step = 1 if seconds < 3600 else 60 if seconds < 86400 else 3600
    return format_duration(seconds // step * step)


def series_name(metric: str, names: Sequence[str], values: Sequence[str]) -> str:
    r"""Return a series in PromQL, on one line.

    >>> series_name("up", ["job"], ['a"b'])
    'up{job="a\\"b"}'
    """
    labels = ",".join(
        f'{name}="{_quoted(value)}"' for name, value in zip(names, values, strict=True)
    )
    return f"{metric}{{{labels}}}" if labels else metric


def selector(metric: str, wanted: Mapping[str, Sequence[str]]) -> str:
    """Return the PromQL selector of a metric with these accepted label values.

    >>> selector("up", {"job": ["a"], "env": ["b", "c"]})
    'up{job="a",env=~"b|c"}'
    """
    labels = ",".join(
        f'{name}{"=" if len(values) == 1 else "=~"}"{_quoted("|".join(values))}"'
        for name, values in wanted.items()
    )
    return f"{metric}{{{labels}}}" if labels else metric


def listed(texts: Sequence[str]) -> str:
    """Return the first three texts, and how many more there are.

    >>> listed(["a", "b", "c", "d"])
    'a; b; c; and 1 more'
    """
    shown = list(texts[:_SHOWN])
    if len(texts) > _SHOWN:
        shown.append(f"and {len(texts) - _SHOWN} more")
    return "; ".join(shown)


def share(ratio: float) -> str:
    """Return a ratio in percent.

    >>> share(0.01), share(0.025)
    ('1 %', '2.5 %')
    """
    return f"{100 * ratio:.3g} %"


def one_line(text: str, longest: int = 300) -> str:
    r"""Return untrusted text on one line, without control characters, cut to `longest`.

    >>> one_line("a\n b\x1b[1m")
    'a b?[1m'
    """
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _quoted(value: str) -> str:
    return one_line(value.replace("\\", r"\\").replace('"', r"\""))


def times(ratio: float) -> str:
    """Return how many times one is the other.

    >>> times(1.5), times(1234.5)
    ('1.50 times', '1,234 times')
    """
    return f"{ratio:.2f} times" if ratio < 10 else f"{ratio:,.0f} times"
