"""Warm-up is known, over, or not known at all; and what is not known is no 0."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from exporter.database.outcome import State
from exporter.web.collectors import DEPLOYMENT_TIMESTAMP
from tests.queries import make_query
from tests.unit.parts import Parts, assemble

if TYPE_CHECKING:
    from pathlib import Path

QUERY = make_query(
    "phases",
    {DEPLOYMENT_TIMESTAMP: {"type": "change_timestamp", "labels": ["phase"], "value": "token"}},
)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return assemble(tmp_path, [QUERY])


def _warmup(parts: Parts) -> float | None:
    return parts.registry.get_sample_value("loom_deployment_warmup_active", {"database": "loom"})


def _applied(parts: Parts, *seconds_ago: float) -> None:
    now = time.time()
    times: dict[tuple[str, ...], float] = {(f"phase_{ago:g}",): now - ago for ago in seconds_ago}
    parts.board.publish("phases", State.OK, {DEPLOYMENT_TIMESTAMP: times})


def test_nothing_is_known_before_the_first_run(parts: Parts) -> None:
    assert _warmup(parts) is None


def test_phase_that_was_just_applied_is_warming_up(parts: Parts) -> None:
    warmup = parts.catalog.deployment.warmup
    _applied(parts, warmup + 10, warmup - 10)
    assert _warmup(parts) == 1
    _applied(parts, warmup + 10, warmup + 20)
    assert _warmup(parts) == 0
    _applied(parts)
    assert _warmup(parts) == 0, "no phase is applied"


@pytest.mark.parametrize("state", [state for state in State if not state.is_success])
def test_failure_makes_it_unknown_and_never_over(parts: Parts, state: State) -> None:
    _applied(parts, 1.0)
    parts.board.fail("phases", state, "")
    assert _warmup(parts) == (1 if state.keeps_values else None)
