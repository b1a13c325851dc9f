"""A streaming standby of a server, made as an administrator would: with pg_basebackup."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from exporter.demo.postgres import PostgresServer
from exporter.demo.programs import Programs
from tests.support.observers import HANG_SECONDS
from tests.support.tools import require_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@contextlib.contextmanager
def standby_of(
    primary: PostgresServer, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[PostgresServer]:
    """Run a hot standby that follows `primary`; it has the same roles and passwords."""
    bin_dir = require_postgres(primary.version)
    programs = Programs.in_folder(bin_dir)
    programs.give(folder)
    programs = programs.within_reach(folder)
    log = folder / "basebackup.log"
    with log.open("wb") as output:
        copied = programs.spawn(
            "pg_basebackup",
            f"--dbname={primary.dsn()}",
            f"--pgdata={folder / 'data'}",
            "--checkpoint=fast",
            "--write-recovery-conf",
            folder=folder,
            output=output.fileno(),
        ).wait(HANG_SECONDS)
    assert copied == 0, log.read_text()
    preload = {"shared_preload_libraries": "pg_stat_statements"}
    standby = PostgresServer(
        bin_dir, folder, settings={**primary.settings, **preload, **(settings or {})}
    )
    # Roles were copied with their passwords.
    standby.password = primary.password
    with standby:
        yield standby
