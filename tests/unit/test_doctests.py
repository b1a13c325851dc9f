"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import TYPE_CHECKING

import pytest

import exporter

if TYPE_CHECKING:
    from collections.abc import Iterator


def _examples() -> Iterator[doctest.DocTest]:
    for module in pkgutil.walk_packages(exporter.__path__, "exporter."):
        if not module.name.endswith("__main__"):
            found = doctest.DocTestFinder().find(importlib.import_module(module.name))
            yield from (test for test in found if test.examples)


EXAMPLES = {test.name: test for test in _examples()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_true(name: str) -> None:
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    assert runner.run(EXAMPLES[name], out=said.append).failed == 0, "".join(said)


def test_there_are_examples() -> None:
    assert EXAMPLES.keys() >= {
        "exporter.durations.parse_duration",
        "exporter.catalog.requirement.parse_version",
    }
