"""The rows of one run as samples: pure functions, no clock, no network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.catalog import HttpQuery, Query, QueryMetric
from exporter.run_state import RunError, State
from exporter.sources import Rows
from exporter.sources.sql import LONGEST_LABEL
from exporter.state import Observation

NO_ROWS = Rows((), (), 0)

_LARGEST = 1e300
"""A larger number is not known either: a sum of such is not finite."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the rows say: samples, tokens that are still to be dated, and how much was cut."""

    samples: dict[str, dict[tuple[str, ...], float]] = field(default_factory=dict)
    tokens: dict[str, dict[tuple[str, ...], Observation]] = field(default_factory=dict)
    dropped: int = 0


def read_rows(query: Query | HttpQuery, rows: Rows) -> Result:
    """Turn rows into samples, at most `series_limit` of them; the first rows win.

    Raises:
        RunError: `error`, two rows have the same labels, a label is NULL or too long, or a value is
            not known where the header says that this is an error.

    NULL, NaN, the infinities and numbers near them are values that are not known: no sum, no
    baseline and no condition can be made with them.
    """
    result = Result()
    for name, metric in query.metrics.items():
        if metric.type == "change_timestamp":
            result.tokens[name] = {}  # that there is none is an observation as well
    kept = 0
    dropped = (rows.total - len(rows.rows)) * len(query.metrics)
    for row in rows.rows:
        values = dict(zip(rows.columns, row, strict=True))
        for name, metric in query.metrics.items():
            value = 1.0 if metric.value is None else values[metric.value]
            if not _is_known(value):
                if metric.null == "error":
                    told = "NULL" if value is None else "not a finite number"
                    raise RunError(State.ERROR, f"{name}: column `{metric.value}` is {told}")
                continue
            if kept == query.header.series_limit:
                dropped += 1
                continue
            _add(result, name, metric, _labels(name, metric, values), value, values)
            kept += 1
    return Result(result.samples, result.tokens, dropped)


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not abs(value) <= _LARGEST)


def _labels(name: str, metric: QueryMetric, values: Mapping[str, Any]) -> tuple[str, ...]:
    labels = tuple(values[column] for column in metric.labels)
    if None in labels:
        raise RunError(
            State.ERROR,
            f"{name}: label `{metric.labels[labels.index(None)]}` is NULL; use coalesce()",
        )
    if any(len(label) > LONGEST_LABEL for label in labels):
        raise RunError(State.ERROR, f"{name}: a label has more than {LONGEST_LABEL} characters")
    return labels


def _add(
    result: Result,
    name: str,
    metric: QueryMetric,
    labels: tuple[str, ...],
    value: Any,
    values: Mapping[str, Any],
) -> None:
    if metric.type == "change_timestamp":
        tokens = result.tokens[name]
        if labels in tokens:
            raise _duplicate(name, metric)
        at = values[metric.at] if metric.at else None
        tokens[labels] = Observation(labels, value, at if _is_known(at) else None)
        return
    series = result.samples.setdefault(name, {})
    if labels in series:
        raise _duplicate(name, metric)
    series[labels] = value


def _duplicate(name: str, metric: QueryMetric) -> RunError:
    return RunError(
        State.ERROR,
        f"{name}: two rows have the same labels ({', '.join(metric.labels) or 'there are none'})",
    )
