"""`pg_cron >= 1.4` and `>= 15`: what a query needs of the server."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_EXTENSION = r"^[a-z_][a-z0-9_-]*( *>= *[0-9]+(\.[0-9]+)*)?$"
_SERVER = r"^>= *[0-9]+$"


def parse_version(text: str) -> tuple[int, ...]:
    """Return the numbers of a dotted version; what follows them is ignored.

    >>> parse_version("1.10") > parse_version("1.9")
    True
    """
    return tuple(int(part) for part in re.findall(r"\d+", text.split("-", maxsplit=1)[0]))


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension, at least of version `at_least` if that is not empty."""

    name: str
    at_least: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.at_least:
            return f"extension {self.name}"
        return f"extension {self.name} >= {'.'.join(map(str, self.at_least))}"


def _extension(text: Any) -> Extension:
    if not isinstance(text, str) or not re.match(_EXTENSION, text):
        raise ValueError(
            "must be an extension and perhaps a least version, such as `pg_cron >= 1.4`"
        )
    name, _, least = text.partition(">=")
    return Extension(name.strip(), parse_version(least))


def _server(text: Any) -> int:
    if not isinstance(text, str) or not re.match(_SERVER, text):
        raise ValueError('must be a least major version in quotes, such as ">= 15"')
    return int(text.removeprefix(">="))


ExtensionRequirement = Annotated[
    Extension,
    BeforeValidator(_extension),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": _EXTENSION}),
]

ServerRequirement = Annotated[
    int,
    BeforeValidator(_server),
    WithJsonSchema({"type": "string", "pattern": _SERVER}),
]
"""The least major version of the server."""
