"""JMESPath, with two functions that it lacks: a ratio, and the Unix time of a date."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jmespath
from jmespath import exceptions
from jmespath.functions import Functions, signature

from exporter.errors import ExporterError


class JmesError(ExporterError):
    """An expression that cannot be used on this document; `str()` is one line without its data."""


class _OwnFunctions(Functions):
    @signature({"types": ["number", "null"]}, {"types": ["number", "null"]})
    def _func_ratio(self, part: float | None, whole: float | None) -> float | None:
        """Return part / whole; null where the whole is 0, or where one of them is null."""
        return part / whole if part is not None and whole else None

    @signature({"types": ["string", "null"]})
    def _func_unix_time(self, text: str | None) -> float | None:
        """Return the Unix time of an ISO 8601 date, in UTC unless it says otherwise."""
        try:
            moment = datetime.fromisoformat(text or "")
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_OPTIONS = jmespath.Options(custom_functions=_OwnFunctions())


def check_expression(text: str) -> str:
    """Return an expression if it is valid and calls no function that does not exist.

    Raises:
        ValueError: with the reason in one line.
    """
    try:
        parsed = jmespath.compile(text).parsed
    except exceptions.JMESPathError as error:
        reason = str(error).split("\n", maxsplit=1)[0].strip().rstrip(":")
        raise ValueError(f"not JMESPath: {reason}") from None
    unknown = {*_calls(parsed)} - {*_OwnFunctions.FUNCTION_TABLE}
    if unknown:
        raise ValueError(f"not JMESPath: there is no function {', '.join(sorted(unknown))}()")
    return text


def search(expression: str, document: Any) -> Any:
    """Return what an expression finds in a document.

    Raises:
        JmesError: the document does not have the types that the expression needs.
    """
    try:
        return jmespath.search(expression, document, _OPTIONS)
    except exceptions.JMESPathTypeError as error:
        raise JmesError(f"{error.function_name}() was given {error.actual_type}") from None
    except (exceptions.JMESPathError, ArithmeticError, RecursionError) as error:
        raise JmesError(type(error).__name__) from None


def is_true(value: Any) -> bool:
    """Return whether JMESPath takes a value for true: 0 is, unlike what is empty."""
    return value is not False and value not in (None, "", [], {})


def _calls(node: Any) -> Iterator[str]:
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node["children"]:
        yield from _calls(child)
