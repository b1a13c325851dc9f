"""What the daemon has in memory, with 5,000 statements of 2 kB text, before a deployment and after.

A real daemon beside an application that calls each statement again and again, so that a poll finds
all of them changed. An hour of its baseline is a few seconds. The claim, for every moment, be it
the first look at the texts or the freeze of the baseline: less than 120 MiB resident.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.application import application, call, calling, connect, learn, loom_database
from bench.exporting import memory, wait, wait_for_polls
from bench.telling import claim, progress
from exporter.catalog import load_catalog
from exporter.database.roles import ROLE
from exporter.demo.database import migrations
from exporter.demo.process import ExporterProcess
from exporter.demo.processes import free_port
from exporter.settings import packaged_queries

STATEMENTS = 5_000
LIMIT_MIB = 120.0
HOUR_SECONDS = 4.0
INTERVAL_SECONDS = 2.0


def main() -> int:
    """Run the benchmark; return 1 if the claim does not hold."""
    catalog = load_catalog(packaged_queries())
    statements = application(catalog, STATEMENTS)
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as name:
        folder = Path(name)
        progress("starting PostgreSQL")
        with loom_database(folder, catalog) as loom:

            def exporter(state: str) -> ExporterProcess:
                (folder / state).mkdir(mode=0o700)
                return ExporterProcess(
                    loom.dsn(ROLE),
                    folder / state,
                    free_port(),
                    max_interval_seconds=INTERVAL_SECONDS,
                    hour_seconds=HOUR_SECONDS,
                )

            with connect(loom) as connection:
                call(connection, statements)
            print(f"MiB resident, with {STATEMENTS} statements", flush=True)
            peaks = []
            with exporter("new") as new:
                wait_for_polls(new, 3)
                peaks.append(memory(new, "all texts are read"))
            exporting = exporter("old")
            learn(loom, folder / "old" / "state" / "state.sqlite3", catalog)
            with calling(loom, statements, INTERVAL_SECONDS / 2), exporting as old:
                wait_for_polls(old, 3)
                peaks.append(memory(old, "texts come from the state"))
                wait(old, 6 * HOUR_SECONDS, "loom_baseline_collected_seconds")
                peaks.append(memory(old, "collecting the baseline"))
                for path in migrations("healthy"):
                    loom.run_file(path)
                wait(old, 1, "loom_baseline_state", state="frozen")
                peaks.append(memory(old, "freezing it"))
                wait(old, 0.01, "loom_statement_change_ratio", **{"class": "other"})
                wait_for_polls(old, 10)
                peaks.append(memory(old, "comparing with it"))
    holds = claim(
        f"less than {LIMIT_MIB:g} MiB (at most {max(peaks):.1f})", holds=max(peaks) < LIMIT_MIB
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
