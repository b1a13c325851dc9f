"""Statements of a server whose data is replaced by an older copy of it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support.statements import own_loom
from tests.support.watching import MONITOR, install_grants, watching

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import NewServer
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

PLACE = ("resource_library", "other")


def _work(loom: LoomDatabase, times: int) -> None:
    with loom.connect("postgres") as owner:
        for _ in range(times):
            owner.execute("SELECT id FROM public.resource_collections LIMIT 3")


async def _calls(watch: Watch) -> float:
    watch.parts.poller._texts._read_at = float("-inf")  # texts of many new entries are due again
    seen = await watch.poll()
    return seen.samples["loom_statement_calls_total"][PLACE]


async def test_cold_copy_that_is_restored_counts_no_call_twice(
    new_server: NewServer, tmp_path: Path
) -> None:
    loom = own_loom(new_server, 18)
    server = loom.server
    install_grants(loom)
    async with watching(loom.dsn(MONITOR), state=tmp_path / "state.sqlite3") as watch:
        await watch.poll()
        _work(loom, 150)
        assert await _calls(watch) == 150
        server.stop()
        copy = server.folder / "copy"
        subprocess.run(["cp", "-a", server.data, copy], check=True)  # noqa: ASYNC221
        server.start()
        await watch.look()
        _work(loom, 50)
        assert await _calls(watch) == 200
        server.stop()
        shutil.rmtree(server.data)
        copy.rename(server.data)
        server.start()
        await watch.look()
        assert await _calls(watch) == 200
        _work(loom, 7)
        assert await _calls(watch) == 207
