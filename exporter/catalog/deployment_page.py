"""Prints docs/deployment-yaml.md: `python -m exporter.catalog.deployment_page`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from exporter.catalog.schema import schema_of

_REFERENCE = "#/$defs/"
_DURATION = "ms|s|m|h|d"
_TITLES = {"DeployedObject": "Objects", "StatementClass": "Classes", "SignOffItem": "Sign-offs"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what it holds, as Markdown, and what it means."""

    name: str
    kind: str
    meaning: str
    is_required: bool


@dataclass(frozen=True, slots=True)
class Part:
    """The keys of one mapping in the file."""

    title: str
    about: str
    keys: tuple[Key, ...]


def deployment_page() -> str:
    """Return the reference of deployment.yaml, as Markdown."""
    environment = Environment(
        loader=PackageLoader("exporter.catalog"),
        autoescape=select_autoescape(),  # of HTML, which this is not
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("deployment-yaml.md").render(parts=list(_parts()))


def _parts() -> Iterator[Part]:
    """Yield the file itself, and then each mapping after the one that names it first."""
    schema = schema_of("deployment")
    waiting = {"The whole file": schema}
    seen: set[str] = set()
    while waiting:
        title = next(iter(waiting))
        model = waiting.pop(title)
        seen.add(title)
        required = model.get("required", ())
        keys = [
            Key(name, _kind(each), _cell(each.get("description", "")), name in required)
            for name, each in model["properties"].items()
        ]
        yield Part(title, " ".join(model["description"].split()), tuple(keys))
        for name in re.findall(rf"{re.escape(_REFERENCE)}(\w+)", str(model["properties"])):
            if _title(name) not in seen:
                waiting.setdefault(_title(name), schema["$defs"][name])


def _title(model: str) -> str:
    return _TITLES.get(model, re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model).capitalize())


def _kind(schema: Mapping[str, Any]) -> str:
    """Return in words what a value may be."""
    if "$ref" in schema:
        title = _title(schema["$ref"].removeprefix(_REFERENCE))
        return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"
    if "anyOf" in schema:
        kinds = [_kind(each) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{value}`" for value in values)
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    if schema["type"] == "object":
        inside = next(iter(schema.get("patternProperties", {}).values()), None)
        return f"{_kind(inside or schema['additionalProperties'])} by name"
    if _DURATION in schema.get("pattern", ""):
        return "duration"
    if schema.get("pattern", "").endswith("%$"):
        return "percentage"
    kind = str(schema["type"])
    return {"boolean": "`true` or `false`", "string": "text"}.get(kind, kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(deployment_page(), end="")
