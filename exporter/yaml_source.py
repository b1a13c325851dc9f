"""YAML with line numbers, so that an error can name the line.

Stricter than YAML 1.2 where a document is easily misread: a key given twice is an error, only
`true` and `false` are booleans, only decimal numbers are numbers, a key is always text (`null:` is
a key named "null"), and there are neither tags nor anchors, so that no document grows when it is
read.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BeforeValidator, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from exporter.errors import UsageError
from exporter.wording import one_line

KeyPath = tuple[str | int, ...]
"""The position of a value inside a document: keys and list indexes from the root."""

_REMEDY = "indent with spaces, and put text that begins with a sign or holds a colon in quotes"

_UNKNOWN = "unknown key; check its spelling and its place"
_MISSING = "this key is required"

_DEEPEST = 50
"""Levels of nesting; more of them is a mistake or an attack on the stack."""


class YamlError(UsageError):
    """A document that cannot be used; `str()` has a line for each of its `faults`.

    A line is `place:line: key: what is wrong`.
    """

    def __init__(self, place: str, line: int | None, path: KeyPath, reason: str) -> None:
        where = f"{place}:{line}" if line else place
        key = ".".join(one_line(str(part)) for part in path)
        self.line_number = line or 0
        self.faults: tuple[str, ...] = (": ".join(part for part in (where, key, reason) if part),)
        super().__init__(self.faults[0])

    def and_also(self, others: Iterable["YamlError"]) -> "YamlError":
        """Return one error with the faults of this one and of others."""
        every = (self, *others)
        self.faults = tuple(dict.fromkeys(fault for error in every for fault in error.faults))
        self.message = "\n".join(self.faults)
        self.args = (self.message,)
        return self


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """Plain data (dicts, lists, scalars) with the line of each key and item."""

    place: str
    data: Any
    lines: dict[KeyPath, int]

    def error(self, path: KeyPath, reason: str) -> YamlError:
        """Return an error at `path`, with the line of the nearest ancestor that has one."""
        for length in range(len(path), -1, -1):
            if line := self.lines.get(path[:length]):
                return YamlError(self.place, line, path, reason)
        return YamlError(self.place, None, path, reason)

    def errors(self, invalid: ValidationError) -> YamlError:
        """Return pydantic's errors about this document, a line for each place that has one."""
        first, *others = sorted(
            (self.error(path, reason) for path, reason in self.complaints(invalid).items()),
            key=lambda error: error.line_number,
        )
        return first.and_also(others)

    def complaints(self, invalid: ValidationError) -> dict[KeyPath, str]:
        """Return pydantic's errors by their places; a place that has several keeps the first."""
        found: dict[KeyPath, str] = {}
        for complaint in invalid.errors(include_url=False, include_input=False):
            path = _own_path(self.data, complaint["loc"])
            found.setdefault(path, plain_reason(complaint["type"], complaint["msg"]))
        # A misspelt key is reported as unknown and as missing; one fault is enough.
        for path in [each for each, reason in found.items() if reason == _UNKNOWN]:
            missing = {
                str(other[-1]): other
                for other, reason in found.items()
                if reason == _MISSING and other[:-1] == path[:-1]
            }
            for near in difflib.get_close_matches(str(path[-1]), missing, n=1):
                found[path] = f"unknown key; check its spelling: did you mean {near}?"
                del found[missing[near]]
        return found


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises:
        YamlError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise YamlError(str(path), None, (), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise YamlError(str(path), None, (), "not UTF-8 text; save it as UTF-8") from None


def read_document(path: Path) -> YamlDocument:
    """Parse a file that holds one YAML document.

    Raises:
        YamlError: the file cannot be read, or is not YAML as this module defines it.
    """
    return parse_document(read_text(path), str(path))


def parse_document(text: str, place: str, *, first_line: int = 1) -> YamlDocument:
    """Parse one YAML document.

    Args:
        text: the YAML.
        place: its name in errors, usually the path of its file.
        first_line: the line of `place` on which `text` begins.

    Raises:
        YamlError: `text` is not YAML as this module defines it.
    """
    builder = _Builder(place, first_line, YAML(typ="safe", pure=True).parse(text), {})
    path: KeyPath = ()
    try:
        return YamlDocument(place, builder.document(), builder.lines)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + mark.line
        reason = f"not YAML: {one_line(error.problem or error.context)}; {_REMEDY}"
    except ReaderError as error:
        line = first_line + text.count("\n", 0, error.position)
        reason = f"not YAML: the character U+{error.character:04X} is not allowed; remove it"
    except (OverflowError, ValueError):
        path, line = next(reversed(builder.lines.items()), ((), first_line))
        reason = (
            "an escape that is no character, or a number with too many digits; write it as text"
        )
    raise YamlError(place, line, path, reason)


def plain_reason(kind: str, message: str) -> str:
    """Return pydantic's error in the words of somebody who writes YAML."""
    if kind == "extra_forbidden":
        return _UNKNOWN
    if kind == "missing":
        return _MISSING
    if kind == "tuple_type":
        return "must be a list, such as [a, b]"
    if kind in ("dict_type", "model_type"):
        return "must hold `key: value` pairs"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    if kind == "string_type":
        return "must be text; put it in quotes"
    message = message.removeprefix("Value error, ")
    return message.replace("Input should be", "must be").replace("String should", "must")


def rule_in_words(pattern: str, rule: str) -> BeforeValidator:
    """Return a validator that answers text which does not match `pattern` with `rule`.

    It stands beside pydantic's own `pattern`, whose error would show the regular expression.
    """

    def check(value: Any) -> Any:
        if isinstance(value, str) and not re.search(pattern, value):
            raise ValueError(rule)
        return value

    return BeforeValidator(check)


def _own_path(data: Any, loc: tuple[str | int, ...]) -> KeyPath:
    """Return pydantic's `loc` without the steps that are its own, such as the branch of a union."""
    path: list[str | int] = []
    for step in loc:
        if isinstance(data, dict) and (step != "[key]" or step in data):
            path.append(step)
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            path.append(step)
            data = data[step]
        else:
            break
    return tuple(path)


_PLAIN_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"true|false"), "true".__eq__),
    (re.compile(r"null|~|"), lambda _: None),
    (re.compile(r"[-+]?(0|[1-9][0-9]*)"), int),
    (re.compile(r"[-+]?[0-9]+\.[0-9]+([eE][-+]?[0-9]+)?"), float),
)
"""The values of scalars without quotes; one that matches no pattern is text."""


@dataclass(frozen=True, slots=True)
class _Builder:
    """Builds plain data from the events of ruamel.yaml's parser.

    Its own constructor reports a key that is given twice with both values, which may be secrets,
    and without the path to it.
    """

    place: str
    first_line: int
    events: Iterator[Any]
    lines: dict[KeyPath, int]

    def document(self) -> Any:
        """Return the value of the only document; None if there is none."""
        data = None
        for event in self.events:
            if isinstance(event, DocumentStartEvent) and self.lines:
                raise self._error(event, (), "a second document begins here (`---`); keep only one")
            if isinstance(event, NodeEvent):
                data = self._value(event, ())
        return data

    def _value(self, event: Any, path: KeyPath) -> Any:
        self.lines.setdefault(path, self._line(event))
        if event.anchor:  # of an alias too
            raise self._error(event, path, "anchors and aliases are not supported; write it out")
        if event.ctag:
            raise self._error(
                event, path, f"the tag {one_line(event.tag)} is not supported; leave it out"
            )
        if len(path) > _DEEPEST:
            raise self._error(event, path[:2], f"nested more than {_DEEPEST} levels deep")
        if isinstance(event, MappingStartEvent):
            return dict(self._items(path))
        if isinstance(event, SequenceStartEvent):
            items = self._until(SequenceEndEvent)
            return [self._value(item, (*path, index)) for index, item in enumerate(items)]
        return self._scalar(event)

    def _items(self, path: KeyPath) -> Iterator[tuple[str, Any]]:
        for event in self._until(MappingEndEvent):
            if not isinstance(event, ScalarEvent) or event.ctag or event.anchor:
                raise self._error(event, path, "a key must be plain text")
            at = (*path, event.value)
            if at in self.lines:
                raise self._error(event, at, "this key stands here twice")
            self.lines[at] = self._line(event)
            yield event.value, self._value(next(self.events), at)

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        text.encode()  # fails on an escape that is half a character
        without_quotes, _ = event.implicit
        if without_quotes:
            for pattern, convert in _PLAIN_SCALARS:
                if pattern.fullmatch(text):
                    return convert(text)
        return text

    def _until(self, end: type[Event]) -> Iterator[Any]:
        return itertools.takewhile(lambda event: not isinstance(event, end), self.events)

    def _line(self, event: Event) -> int:
        return self.first_line + int(event.start_mark.line)

    def _error(self, event: Event, path: KeyPath, reason: str) -> YamlError:
        return YamlError(self.place, self._line(event), path, reason)
