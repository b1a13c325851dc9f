"""What a repeated scrape costs: 5,000 series, against a constant body of the same size.

Both come from one server in one process, asked in turn over one connection each, so that whatever
else the machine does slows both alike. The claim of design.md: at most 1.5 times the constant.
"""

from __future__ import annotations

import asyncio
import http.client
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from exporter.app.components import assemble
from exporter.app.monitored import overview_of
from exporter.catalog import Catalog, load_catalog
from exporter.catalog.query import parse_query
from exporter.database.database import Database
from exporter.run_state import State
from exporter.settings import Settings, packaged_queries
from exporter.state import StateStore
from exporter.web.collectors import Process, Served, Sources
from exporter.web.database_pages import DatabasePages
from exporter.web.exposition import Exposition
from exporter.web.pages import Pages
from exporter.web.routes import Health, build_app
from exporter.web.server import bind, serving

if TYPE_CHECKING:
    from exporter.catalog import Query
    from exporter.collect.store import SnapshotStore

SERIES = 5_000
QUERIES = 25
ROUNDS = 300
LIMIT = 1.5


def make_query(number: int) -> Query:
    """Return a query that feeds a metric of its own."""
    return parse_query(
        Path(f"bench_{number}.sql"),
        f"""/*
description: Series of the benchmark.
phase: all
interval: 1m
series_limit: 10000
metrics:
  loom_bench_{number}_rows:
    type: gauge
    help: Rows of the benchmark.
    labels: [table, check]
    value: n
*/
SELECT 'a' AS "table", 'b' AS "check", 1 AS n
""",
    )


def publish(snapshots: SnapshotStore, query: Query, count: int) -> None:
    """Publish `count` series."""
    (metric,) = query.metrics
    series: dict[tuple[str, ...], float] = {
        (f"table_{n % 20}", f"check_number_{n}"): n * 1.1 for n in range(count)
    }
    snapshots.publish(query.name, State.OK, {metric: series})


def time_requests(ports_path: list[tuple[int, str]], rounds: int) -> list[list[float]]:
    """Ask for each path in turn, `rounds` times; return the seconds that each answer took."""
    connections = [http.client.HTTPConnection("127.0.0.1", port) for port, _ in ports_path]
    seconds: list[list[float]] = [[] for _ in ports_path]
    for _ in range(rounds):
        for number, (connection, (_, path)) in enumerate(zip(connections, ports_path, strict=True)):
            started = time.perf_counter()
            connection.request("GET", path)
            connection.getresponse().read()
            seconds[number].append(time.perf_counter() - started)
    return seconds


async def main() -> int:
    """Run the benchmark; return 1 if the claim does not hold."""
    queries = tuple(make_query(number) for number in range(QUERIES))
    catalog = Catalog(load_catalog(packaged_queries()).deployment, queries)
    database = Database("bench", lambda: "")
    settings = Settings()
    parts = assemble(settings, catalog, database, StateStore(Path("unused"), read_only=True))
    snapshots = parts.snapshots
    for query in queries:
        publish(snapshots, query, SERIES // QUERIES)
    sources = Sources(snapshots, parts.telemetry, database, parts.interval_seconds)
    exposition = Exposition(Served(Process(parts.store), [sources]))
    pages = Pages(parts.snapshots, partial(overview_of, parts))
    app = build_app(exposition, Health(lambda: True, lambda: True), DatabasePages({"loom": pages}))
    page = await exposition.page("", "")

    async def constant(_: object) -> Response:
        return Response(page.body, headers={"Content-Type": page.content_type})

    app.router.routes.append(Route("/constant", constant))
    listener = bind("127.0.0.1:0")
    port = listener.getsockname()[1]
    paths = [(port, "/constant"), (port, "/metrics")]
    with listener:
        async with serving(app, listener):
            await asyncio.to_thread(time_requests, paths, 20)
            constant_s, metrics_s = await asyncio.to_thread(time_requests, paths, ROUNDS)
            fresh: list[float] = []
            for _ in range(20):
                publish(snapshots, queries[0], SERIES // QUERIES)
                ((first,),) = await asyncio.to_thread(time_requests, paths[1:], 1)
                fresh.append(first)
    ratio = statistics.median(metrics_s) / statistics.median(constant_s)
    print(f"{SERIES} series, {len(page.body) / 1e6:.2f} MB, median of {ROUNDS} requests")
    print(f"  constant body     {statistics.median(constant_s) * 1e3:7.2f} ms")
    print(f"  repeated scrape   {statistics.median(metrics_s) * 1e3:7.2f} ms   ratio {ratio:.2f}")
    print(f"  after a snapshot  {statistics.median(fresh) * 1e3:7.2f} ms   rendered once, for all")
    print(f"claim: ratio at most {LIMIT}: {'holds' if ratio <= LIMIT else 'DOES NOT HOLD'}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
