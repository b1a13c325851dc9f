"""The answer of an HTTP source as rows: its JSON, by JMESPath, with the types that are needed."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.catalog import HttpQuery
from exporter.jmes import JmesError, is_true, search
from exporter.redaction import redact
from exporter.run_state import RunError, State
from exporter.sources import Rows
from exporter.sources.promql import series_of
from exporter.wording import number, one_line

_NUMBER = re.compile(
    r"[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan|inf(inity)?)", re.ASCII | re.IGNORECASE
)


def rows_of(query: HttpQuery, body: bytes) -> Rows:
    """Return the rows that a question finds in the body of an answer.

    A row without a denominator above 0 is left out: of no requests nothing can be said.

    Raises:
        RunError: `error`, the body is not JSON, says itself that something failed, or has not the
            columns or types that the question needs.
    """
    answer = _parsed(body)
    header = query.header
    if header.fail_if and is_true(failure := _found("fail_if", header.fail_if, answer)):
        told = f": {shown(failure)}" if isinstance(failure, str) else ""
        raise RunError(State.ERROR, f"the answer reports a failure{told}")
    if header.expression:
        answer = series_of(answer)
    rows = _objects(_found("rows", header.rows, answer))
    needed = [*query.columns, *([header.denominator] if header.denominator else [])]
    for column in needed:
        if rows and not any(column in row for row in rows):
            has = shown(", ".join(sorted(set().union(*rows)))) or "none"
            raise RunError(State.ERROR, f"no column `{column}` in the rows; they have {has}")
    kept = [
        tuple(_typed(column, kind, row.get(column)) for column, kind in query.columns.items())
        for row in rows
        if header.denominator is None
        or (_number(header.denominator, row.get(header.denominator)) or 0.0) > 0
    ]
    return Rows(tuple(query.columns), kept[: header.series_limit], len(kept))


def shown(text: str) -> str:
    """Return text from an answer as it may be shown: on one line, short, and without secrets."""
    return one_line(redact(text), 200)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RunError(State.ERROR, "the answer is not JSON") from None


def _found(key: str, expression: str, answer: Any) -> Any:
    try:
        return search(expression, answer)
    except JmesError as error:
        raise RunError(State.ERROR, f"{key}: {error}") from None


def _objects(found: Any) -> Sequence[Mapping[str, Any]]:
    """Return what `rows` has found: a list of objects, one object, or nothing."""
    if found is None:
        return []
    rows = found if isinstance(found, list) else [found]
    if not all(isinstance(row, dict) for row in rows):
        raise RunError(State.ERROR, "rows: must find objects, such as [].{kind: a, value: b}")
    return rows


def _typed(column: str, kind: str, value: Any) -> str | float | None:
    return _text(column, value) if kind == "text" else _number(column, value)


def _text(column: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        # Half of a surrogate pair is JSON, but cannot be served.
        return redact(value).encode(errors="replace").decode()
    raise RunError(State.ERROR, f"column `{column}` is not text")


def _number(column: str, value: Any) -> float | None:
    """Return a number, which some APIs write as text; None for NaN and the infinities."""
    if value is None:
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise RunError(State.ERROR, f"column `{column}` is not a number")
    try:
        converted = float(value)
    except (OverflowError, TypeError):
        raise RunError(State.ERROR, f"column `{column}` is not a number") from None
    return converted if math.isfinite(converted) else None
