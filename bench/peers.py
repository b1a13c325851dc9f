"""Other exporters as processes of their own, asked for the same: Debian's packages of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from exporter.demo.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from exporter.catalog import Query

FOLDER_SETTING = "LOOM_BENCH_PEERS"
"""Names the folder of the programs, where they are not in PATH."""

PROGRAMS = ("prometheus-postgres-exporter", "prometheus-sql-exporter")
"""The programs, and the names of their packages."""

PATIENCE_SECONDS = 60.0

_OWN_LABELS = ("driver", "host", "database", "user", "col")

# What a statement has done, by role: sql_exporter has no classes of statements.
_STATEMENTS = """
SELECT r.rolname::text AS role, sum(s.calls)::float8 AS calls,
       sum(s.total_exec_time)::float8 AS seconds, sum(s.rows)::float8 AS rows,
       sum(s.shared_blks_hit)::float8 AS hit, sum(s.shared_blks_read)::float8 AS read
FROM extensions.pg_stat_statements(false) AS s JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid
GROUP BY 1
"""


def programs() -> dict[str, str]:
    """Return the path of each program by name.

    Raises:
        SystemExit: one is missing; the message says what to install.
    """
    found = {name: shutil.which(name, path=os.environ.get(FOLDER_SETTING)) for name in PROGRAMS}
    if missing := [name for name, path in found.items() if path is None]:
        raise SystemExit(
            f"bench_peers needs {', '.join(missing)}, not found in PATH. On Debian:"
            f" apt-get install {' '.join(PROGRAMS)}; or unpack the packages (dpkg-deb -x) and set"
            f" {FOLDER_SETTING} to the folder of their programs."
        )
    return {name: path for name, path in found.items() if path}


def sql_exporter_config(queries: Iterable[Query], dsn: str, interval: str) -> str:
    """Return the file that has sql_exporter ask what these queries ask, as JSON, which is YAML.

    Tokens, whose changes we date, are left out: sql_exporter takes numbers only.
    """
    asked = [each for query in queries if (each := _asked(query))]
    asked.append(
        {
            "name": "statements",
            "help": "Statements by role.",
            "labels": ["role"],
            "values": ["calls", "seconds", "rows", "hit", "read"],
            "query": _STATEMENTS,
        }
    )
    job = {"name": "loom", "interval": interval, "connections": [dsn], "queries": asked}
    return json.dumps({"jobs": [job]}, indent=1)


def _asked(query: Query) -> Mapping[str, object] | None:
    numbers = [each for each in query.metrics.values() if each.type != "change_timestamp"]
    if not numbers:
        return None
    labels = list(dict.fromkeys(label for each in numbers for label in each.labels))
    values = list(dict.fromkeys(each.value for each in numbers if each.value))
    names = {label: f"{label}_" if label in _OWN_LABELS else label for label in labels}
    columns = [f'coalesce(a."{label}"::text, \'\') AS "{names[label]}"' for label in labels]
    columns += [f'coalesce(a."{value}"::float8, \'NaN\') AS "{value}"' for value in values]
    if not values:
        columns.append("1::float8 AS one")
    return {
        "name": query.name,
        "help": query.header.description,
        "labels": list(names.values()),
        "values": values or ["one"],
        "query": f"SELECT {', '.join(columns)} FROM ({query.select}) AS a",
    }


@dataclass
class PeerProcess:
    """An exporter that runs until the block ends; it is ended by its process id."""

    command: Sequence[str]
    environment: Mapping[str, str]
    port: int
    log: Path
    expected: Sequence[str]
    """What stands in its first full page."""

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                env={"PATH": os.defpath, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while missing := self._missing():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.__exit__()
                tail = self.log.read_text(errors="replace")[-2_000:]
                raise SystemExit(f"{self.command[0]} does not show {missing}; its log:\n{tail}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Where the page is, without its path."""
        return f"http://127.0.0.1:{self.port}"

    def _missing(self) -> list[str]:
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=5.0) as answer:
                page = answer.read().decode()
        except OSError:
            return list(self.expected)
        return [each for each in self.expected if each not in page]


def postgres_exporter(path: str, dsn: str, folder: Path) -> PeerProcess:
    """Return postgres_exporter with what it shows by default."""
    port = free_port()
    command = [path, f"--web.listen-address=127.0.0.1:{port}"]
    environment = {"DATA_SOURCE_NAME": dsn}
    return PeerProcess(
        command,
        environment,
        port,
        folder / "postgres_exporter.log",
        ["pg_up 1", "pg_stat_database"],
    )


def sql_exporter(path: str, config: str, folder: Path, expected: Sequence[str]) -> PeerProcess:
    """Return sql_exporter with this configuration; `expected` are queries that have rows."""
    port = free_port()
    file = folder / "sql_exporter.yml"
    file.touch(mode=0o600)
    file.write_text(config)
    command = [path, f"-config.file={file}", f"-web.listen-address=127.0.0.1:{port}"]
    names = [f"sql_{name}{{" for name in expected]
    return PeerProcess(command, {}, port, folder / "sql_exporter.log", names)
