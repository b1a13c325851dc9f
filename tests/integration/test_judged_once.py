"""A command judges by what the daemon remembers, and leaves that as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.app.once import judge_once
from exporter.deployment.history import SEEN
from exporter.errors import UsageError
from exporter.settings import load_settings
from exporter.state import StateStore
from exporter.verdict.assess import Verdict
from tests.support.marks import only_18
from tests.support.state import opened
from tests.support.watching import MONITOR, shipped

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.settings import Settings
    from tests.support.loom_database import LoomDatabase


def _settings(loom: LoomDatabase, folder: Path) -> Settings:
    return load_settings(None, {"database_url": loom.dsn(MONITOR), "state_dir": folder})


@only_18
async def test_without_a_daemon_it_cannot_be_told_yet(
    watched: LoomDatabase, tmp_path: Path
) -> None:
    opinion = await judge_once(_settings(watched, tmp_path / "none"), shipped())
    assert opinion.assessment.verdict is Verdict.INCONCLUSIVE
    assert opinion.refusal is None
    assert not (tmp_path / "none").exists()


@only_18
async def test_what_is_seen_for_the_first_time_is_not_written_down(
    deployed: LoomDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "state.sqlite3"
    StateStore(file).close()
    opinion = await judge_once(_settings(deployed, tmp_path), shipped())
    assert opinion.assessment.deployed.is_complete
    with opened(file) as store:
        assert store.elsewhere(store.scope("loom", shipped().deployment.name), SEEN.name) == {}


@only_18
async def test_state_that_cannot_be_read_is_an_error(watched: LoomDatabase, tmp_path: Path) -> None:
    (tmp_path / "state.sqlite3").write_text("no database at all")
    with pytest.raises(UsageError, match=r"state: .*state\.sqlite3"):
        await judge_once(_settings(watched, tmp_path), shipped())
