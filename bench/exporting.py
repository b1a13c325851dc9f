"""A daemon that is watched by what it shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from bench.memory import anonymous_mib, peak_mib, resident_mib
from bench.telling import progress

if TYPE_CHECKING:
    from exporter.demo.process import ExporterProcess

PATIENCE_SECONDS = 150.0

_PAUSE_SECONDS = 0.5


def shown(exporter: ExporterProcess, name: str, **labels: str) -> float:
    """Return the value of a series, 0 if it is not there."""
    for family in text_string_to_metric_families(exporter.metrics()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0.0


def wait(exporter: ExporterProcess, least: float, name: str, **labels: str) -> None:
    """Wait until a series has this value at least."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (value := shown(exporter, name, **labels)) < least:
        progress(f"{name} is {value:.5g}, {least:.5g} to come")
        if time.monotonic() > deadline:
            raise SystemExit(f"{name} did not get to {least}; {exporter.log.read_text()}")
        time.sleep(_PAUSE_SECONDS)
    progress("")


def wait_for_polls(exporter: ExporterProcess, count: int) -> None:
    """Wait until so many more polls are over."""
    name, query = "loom_exporter_query_runs_total", "pg_stat_statements"
    wait(exporter, shown(exporter, name, query=query) + count, name, query=query)


def memory(exporter: ExporterProcess, moment: str) -> float:
    """Print what the daemon has in memory; return the most that it had since the last look."""
    peak = peak_mib(exporter.pid)
    print(
        f"  {moment:28} {peak:7.1f} at most {resident_mib(exporter.pid):7.1f} now"
        f" {anonymous_mib(exporter.pid):7.1f} anonymous",
        flush=True,
    )
    return peak
