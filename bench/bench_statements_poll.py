"""What a poll of pg_stat_statements costs the server, with 5,000 statements of 2 kB text.

Beside it, on the same connection: a bare select of the same columns from the function without
texts, and the same select from the view, which loads the file of all texts. The time is until the
whole result has arrived, as bytes; each round asks in another order, because what came before
leaves its traces in both processes. The claims: at most 1.2 times the first, 0.4 times the second.
A poll is read in the binary format; what it costs as text, like the other two, stands beside it.
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from bench.application import CHARACTERS, SETTINGS, text_of
from exporter.demo.postgres import PostgresServer
from exporter.demo.programs import embedded_bin_dir
from exporter.statements.classes import classify
from exporter.statements.counters import advance
from exporter.statements.reading import (
    EXTENSION,
    StatementsExtension,
    poll_sql,
    read_poll,
    read_texts,
    text_parameters,
    texts_sql,
)
from exporter.statements.text import parse_statement

if TYPE_CHECKING:
    from collections.abc import Callable

STATEMENTS = 5_000
ROUNDS = 60
LIMIT_BARE = 1.2
LIMIT_VIEW = 0.4

COLUMNS = "userid, queryid, calls, total_exec_time, stddev_exec_time, rows, shared_blks_hit, "


def fill(connection: psycopg.Connection[Any]) -> None:
    """Run statements that differ in their operators, each with a text of `CHARACTERS`."""
    for number in range(STATEMENTS):
        connection.execute(text_of(number).encode())


def timed(act: Callable[[], object]) -> float:
    """Return the milliseconds that something takes."""
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    act()
    taken = time.perf_counter() - started
    gc.enable()
    return taken * 1e3


def measure(connection: psycopg.Connection[Any]) -> int:
    """Run the benchmark as the monitor; return 1 if a claim does not hold."""
    with connection.cursor(row_factory=dict_row) as found:
        extension = StatementsExtension(**(found.execute(EXTENSION).fetchone() or {}))
    columns = COLUMNS + "shared_blks_read"
    has_since = "stats_since" in extension.columns
    columns += ", stats_since" if has_since else ", min_exec_time, max_exec_time"
    poll = sql.SQL(poll_sql(extension))
    ways = {
        "a poll": poll,
        "a poll, as text": poll,
        "bare, without texts": sql.SQL(f"SELECT {columns} FROM {extension.function}(false)"),
        "from the view": sql.SQL(f"SELECT {columns}, query FROM {extension.function}"),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    order = random.Random(1)
    for _ in range(ROUNDS):
        for name in order.sample(sorted(ways), len(ways)):
            cursor = connection.cursor(binary=name == "a poll")
            taken[name].append(timed(partial(cursor.execute, ways[name])))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    rows = connection.execute(poll, binary=True).fetchall()
    first = read_poll(rows)
    print(f"  {len(first.readings)} statements of {CHARACTERS} characters, {ROUNDS} rounds")
    for name, milliseconds in medians.items():
        print(f"  {name:21} {milliseconds:7.1f} ms   ratio {medians['a poll'] / milliseconds:.2f}")

    print(f"  rows into readings    {timed(lambda: read_poll(rows)):7.1f} ms")
    print(f"  what is new in them   {timed(lambda: advance(first, read_poll(rows))):7.1f} ms")
    tracemalloc.start()
    kept = read_poll(rows)
    print(f"  kept between polls    {tracemalloc.get_traced_memory()[0] / 2**20:7.1f} MiB")
    tracemalloc.stop()
    query, parameters = sql.SQL(texts_sql(extension)), text_parameters(kept.readings)
    texts: list[str | None] = []

    def fetch_texts() -> None:
        found = read_texts(connection.execute(query, parameters).fetchall())
        texts.extend(text.text for text in found.values())

    print(f"  all texts, once       {timed(fetch_texts):7.1f} ms")
    naming = timed(lambda: [classify(parse_statement(text), {}) for text in texts])
    print(f"  named and classified  {naming:7.1f} ms")

    bare = medians["a poll"] / medians["bare, without texts"]
    view = medians["a poll"] / medians["from the view"]
    holds = bare <= LIMIT_BARE and view <= LIMIT_VIEW
    print(
        f"claim: at most {LIMIT_BARE} of a bare select, {LIMIT_VIEW} of the view: "
        f"{'holds' if holds else 'DOES NOT HOLD'}"
    )
    return 0 if holds else 1


def main() -> int:
    """Run the benchmark; `sys.argv[1]` may name the folder of another PostgreSQL's programs."""
    bin_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else embedded_bin_dir()
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as name:
        Path(name).chmod(0o711)
        with PostgresServer(bin_dir, Path(name) / "postgres", settings=SETTINGS) as server:
            with psycopg.connect(server.dsn(), autocommit=True, prepare_threshold=None) as owner:
                owner.execute("CREATE EXTENSION pg_stat_statements")
                owner.execute("CREATE ROLE monitor LOGIN IN ROLE pg_read_all_stats")
                owner.execute(f"ALTER ROLE monitor PASSWORD '{server.password}'")
                print(f"PostgreSQL {server.version}: running {STATEMENTS} statements", flush=True)
                fill(owner)
            dsn = server.dsn(user="monitor", password=server.password)
            with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
                return measure(connection)


if __name__ == "__main__":
    sys.exit(main())
