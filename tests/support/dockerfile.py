"""A Dockerfile as stages of steps: as much of the format as ours uses, an error for the rest."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")


@dataclass(frozen=True)
class Step:
    """One instruction: `COPY --from=build /a /b` has a flag and the text `/a /b`."""

    instruction: str
    flags: Mapping[str, str]
    text: str

    @property
    def is_exec_form(self) -> bool:
        """Whether it is a JSON list, which runs without a shell."""
        return self.text.startswith("[")

    def words(self, variables: Mapping[str, str]) -> list[str]:
        """Return its words, with variables put in for `${NAME}`."""
        if self.is_exec_form:
            return [str(word) for word in json.loads(self.text)]
        return shlex.split(Template(self.text).substitute(variables))

    def pairs(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return what an ENV or a LABEL sets."""
        return dict(word.split("=", 1) for word in self.words(variables))


@dataclass(frozen=True)
class Stage:
    """What stands from one FROM to the next."""

    name: str
    base: str
    steps: tuple[Step, ...]

    def only(self, instruction: str) -> Step:
        """Return the one step with this instruction."""
        (step,) = (step for step in self.steps if step.instruction == instruction)
        return step


@dataclass(frozen=True)
class Dockerfile:
    """The arguments before the first FROM, with their defaults, and the stages."""

    arguments: Mapping[str, str]
    stages: tuple[Stage, ...]


def read_dockerfile(path: Path) -> Dockerfile:
    """Read a Dockerfile."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    steps: list[Step] = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        instruction, rest = line.split(None, 1)
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            steps = []
            stages.append(Stage(name, Template(base).substitute(arguments), ()))
        elif not stages:
            assert instruction == "ARG", f"{line}: not before the first FROM"
            arguments |= dict([rest.split("=", 1)])
        else:
            flags, rest = dict(_FLAG.findall(rest)), _FLAG.sub("", rest)
            steps.append(Step(instruction, flags, rest.strip()))
            stages[-1] = Stage(stages[-1].name, stages[-1].base, tuple(steps))
    return Dockerfile(arguments, tuple(stages))
