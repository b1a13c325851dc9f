"""The login of the probes on the demo's database, and the test users that it speaks for."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from exporter.catalog.probe import PROBE_OK
from exporter.collect.runner import Runner
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database
from exporter.database.probe_grants import PROBE_ROLE, probe_grants_sql
from exporter.sources.http import HttpSources
from exporter.sources.impersonation import Probes
from exporter.state import StateStore
from tests.support.watching import MONITOR, PATIENCE_SECONDS, shipped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from exporter.catalog import Catalog, Probe
    from exporter.run_state import State
    from tests.support.loom_database import LoomDatabase


def user(number: int) -> str:
    """Return the id of a person of the demo; see seed.sql."""
    return str(UUID(md5(f"user-{number}".encode()).hexdigest()))


SUBJECTS = {"coach": user(4), "client": user(41), "other_coach": user(5)}
"""Client 41 is one of coach 4's."""


def install_probe_role(loom: LoomDatabase, catalog: Catalog | None = None) -> None:
    """Install the role of the probes as its owner would, and give it a password."""
    loom.run(probe_grants_sql(catalog or shipped()))
    loom.set_passwords()


@dataclass(frozen=True)
class Impersonator:
    """Probes on a database, run when a test says so."""

    catalog: Catalog
    database: Database
    probes: Probes
    runner: Runner
    snapshots: SnapshotStore

    async def look(self, *names: str) -> dict[str, float | State]:
        """Run the probes, or those that are named; return the value of each, or its state."""
        chosen = [probe for probe in self.catalog.probes if not names or probe.name in names]
        for probe in chosen:
            await self.runner.run(probe)
        return {probe.name: self.value(probe.name) for probe in chosen}

    def value(self, name: str) -> float | State:
        """Return the sample of a probe, or the state of its last run."""
        snapshot = self.snapshots[name]
        assert snapshot.state is not None
        if not snapshot.state.is_success:
            assert snapshot.state.keeps_values or PROBE_OK not in snapshot.samples
            return snapshot.state
        (value,) = snapshot.samples[PROBE_OK].values()
        return value


def _patient(probe: Probe) -> Probe:
    """Give a probe more time."""
    header = probe.header.model_copy(update={"timeout": PATIENCE_SECONDS})
    return replace(probe, header=header)


@contextlib.asynccontextmanager
async def impersonating(
    loom: LoomDatabase,
    catalog: Catalog | None = None,
    *,
    conninfo: Callable[[], str] | None = None,
    subjects: dict[str, str] = SUBJECTS,
) -> AsyncIterator[Impersonator]:
    """Ask the probes of a catalog, by default the shipped ones."""
    catalog = catalog or shipped()
    probes_in_peace = tuple(map(_patient, catalog.probes))
    catalog = replace(catalog, queries=(), http_queries=(), probes=probes_in_peace)
    dsn = loom.dsn(PROBE_ROLE)
    async with Database("loom", lambda: loom.dsn(MONITOR)) as database:
        store = StateStore(Path("/nonexistent/state.sqlite3"), read_only=True)
        snapshots = SnapshotStore(catalog.probes, {each.name: 900.0 for each in catalog.probes})
        probes = Probes(catalog, database, conninfo or (lambda: dsn), subjects)
        runner = Runner(
            database,
            snapshots,
            store,
            Telemetry(catalog.probes),
            dict.fromkeys((each.name for each in catalog.probes), 0.0),
            HttpSources({}),
            probes=probes,
        )
        yield Impersonator(catalog, database, probes, runner, snapshots)
