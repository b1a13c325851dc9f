"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import TYPE_CHECKING

import pytest

import exporter

if TYPE_CHECKING:
    from types import ModuleType

NAMES = sorted(
    module.name
    for module in pkgutil.walk_packages(exporter.__path__, "exporter.")
    if not module.name.endswith("__main__")
)


def _examples(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_true(name: str) -> None:
    runner = doctest.DocTestRunner(verbose=False)
    said: list[str] = []
    for test in _examples(importlib.import_module(name)):
        runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


def test_there_are_examples() -> None:
    found = [test.name for name in NAMES for test in _examples(importlib.import_module(name))]
    assert "exporter.durations.parse_duration" in found
    assert "exporter.catalog.requirement.parse_version" in found
