"""YAML that knows where each of its values stands, so that an error can name the line.

Stricter than YAML 1.1 where that bites: a key given twice is an error, only `true` and `false`
are booleans (not `no`, `on` or `y`), a key is always text (`null:` is a key named "null"), and
there are no anchors, so that no document unfolds into a larger one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import BeforeValidator, ValidationError

Path = tuple[str | int, ...]
"""Where a value stands inside a document: keys and list indexes from the root."""


class YamlError(Exception):
    """A document that cannot be used; `str()` is one line: `place:line: key: what is wrong`."""

    def __init__(self, place: str, line: int | None, path: Path, reason: str) -> None:
        self.place = place
        self.line = line
        key = ".".join(str(part) for part in path)
        where = f"{place}:{line}" if line else place
        super().__init__(": ".join(part for part in (where, key, reason) if part))


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """Plain data (dicts, lists, scalars) with the line of each key and item."""

    place: str
    data: Any
    lines: dict[Path, int]

    def error(self, path: Path, reason: str) -> YamlError:
        """Return an error at `path`, or at the nearest thing above it that has a line."""
        for length in range(len(path), -1, -1):
            if line := self.lines.get(path[:length]):
                return YamlError(self.place, line, path, reason)
        return YamlError(self.place, None, path, reason)

    def errors(self, invalid: ValidationError) -> YamlError:
        """Return the most telling complaint of pydantic about this document as one line."""
        complaints = invalid.errors(include_url=False, include_input=False)
        # A misspelt key is told both as unknown and as missing: the first leads to the mistake.
        first = min(complaints, key=lambda complaint: complaint["type"] != "extra_forbidden")
        return self.error(
            _own_path(self.data, first["loc"]), plain_reason(first["type"], first["msg"])
        )


def parse_document(text: str, place: str, *, first_line: int = 1) -> YamlDocument:
    """Parse one YAML document.

    Args:
        text: the YAML.
        place: what to call it in errors, usually the path of its file.
        first_line: the line of `place` on which `text` begins.

    Raises:
        DocumentError: `text` is not YAML, or holds a key twice.
    """
    lines: dict[Path, int] = {}
    try:
        node = yaml.compose(text, Loader=_StrictLoader)
        data = None if node is None else _Builder(place, first_line, lines).build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + mark.line if mark else None
        raise YamlError(
            place,
            line,
            (),
            f"not YAML: {error.problem or error.context}; indent with spaces, and put text that "
            "begins with a sign or holds a colon in quotes",
        ) from None
    except yaml.reader.ReaderError as error:  # an unprintable character
        line = first_line + text.count("\n", 0, error.position)
        raise YamlError(place, line, (), f"not YAML: {str(error).splitlines()[0]}") from None
    return YamlDocument(place, data, lines)


def plain_reason(kind: str, message: str) -> str:
    """Return pydantic's complaint in the words of somebody who writes YAML."""
    if kind == "extra_forbidden":
        return "unknown key; check its spelling and its place"
    if kind == "missing":
        return "this key is required"
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


def told_as(pattern: str, rule: str) -> BeforeValidator:
    """Tell whoever writes a value that does not match `pattern` the rule, and not the pattern."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and not re.search(pattern, value):
            raise ValueError(rule)
        return value

    return BeforeValidator(check)


def _own_path(data: Any, loc: tuple[str | int, ...]) -> Path:
    """Drop from pydantic's `loc` the steps that are its own, such as the branch of a union."""
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


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema."""


_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _starts in (
    ("tag:yaml.org,2002:bool", r"^(?:true|false)$", "tf"),
    ("tag:yaml.org,2002:null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("tag:yaml.org,2002:float", r"^[-+]?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?$", "-+0123456789"),
):
    _StrictLoader.add_implicit_resolver(_tag, re.compile(_pattern), list(_starts))


@dataclass(frozen=True, slots=True)
class _Builder:
    place: str
    first_line: int
    lines: dict[Path, int]
    built: set[int] = field(default_factory=set)

    def build(self, node: yaml.Node, path: Path) -> Any:
        line = self.first_line + node.start_mark.line
        if id(node) in self.built:
            raise YamlError(self.place, line, path, "anchors and aliases are not supported")
        self.built.add(id(node))
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, index)) for index, child in enumerate(node.value)]
        try:
            return _StrictLoader("").construct_object(node)
        except (AttributeError, LookupError, ValueError):  # as for !!int abc
            raise YamlError(
                self.place, line, path, f"not a value of the type {node.tag}; leave the tag away"
            ) from None

    def _items(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            line = self.first_line + key_node.start_mark.line
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError(self.place, line, path, "a key must be plain text")
            key = key_node.value
            if key in seen:
                raise YamlError(self.place, line, (*path, key), "this key stands here twice")
            seen.add(key)
            self.lines[(*path, key)] = line
            yield key, self.build(value_node, (*path, key))
