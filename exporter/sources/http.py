"""Questions to the HTTP sources that the operator has configured."""

import asyncio
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from exporter.catalog import HttpQuery
from exporter.run_state import RunError, State
from exporter.source_settings import SourceSettings
from exporter.sources import Rows
from exporter.sources.http_client import HttpClient
from exporter.sources.json_rows import rows_of

_INSTANT_QUERY = {"prometheus": "/api/v1/query", "loki": "/loki/api/v1/query"}
"""The path that answers an expression, by kind of source."""


class HttpSources:
    """Asks HTTP sources; each has limits of its own, so that one that hangs delays no other."""

    def __init__(self, sources: Mapping[str, SourceSettings]) -> None:
        self._clients = {name: HttpClient(settings) for name, settings in sources.items()}
        self._running: set[asyncio.Task[Rows]] = set()

    async def fetch(self, query: HttpQuery, deployment_start: float | None) -> Rows:
        """Ask a question once and return at most `series_limit` of its rows.

        Args:
            query: the question.
            deployment_start: Unix time; None while nobody knows of one.

        Raises:
            RunError: with the state in which the run ended.
        """
        client = self._clients.get(query.header.source)
        if client is None:
            raise RunError(
                State.UNCONFIGURED, f"no source {query.header.source} in the settings (`sources`)"
            )
        task = asyncio.create_task(_ask(client, query, deployment_start))
        self._running.add(task)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            self._running.discard(task)
        if task.cancelled():
            raise RunError(State.UNREACHABLE, "cancelled, because the exporter stops asking")
        return task.result()

    def cancel(self) -> None:
        """Cancel all questions that wait for an answer."""
        for task in self._running:
            task.cancel()


async def _ask(client: HttpClient, query: HttpQuery, deployment_start: float | None) -> Rows:
    header = query.header
    filled = query.filled(_values(query, deployment_start))
    if header.expression is None:
        if client.kind != "json":
            raise RunError(
                State.ERROR,
                f"source {header.source} is of kind {client.kind}, which answers an `expression`",
            )
        body = await client.get(header.path or "/", filled, header.timeout)
    else:
        path = _INSTANT_QUERY.get(client.kind)
        if path is None:
            raise RunError(
                State.ERROR,
                f"source {header.source} is of kind {client.kind}; an `expression` needs "
                "prometheus or loki",
            )
        body = await client.get(path, {"query": filled["expression"]}, header.timeout)
    # In a thread: an answer may have megabytes.
    return await asyncio.to_thread(rows_of, query, body)


def _values(query: HttpQuery, deployment_start: float | None) -> dict[str, str]:
    """Return the value of each placeholder at this moment.

    Raises:
        RunError: `absent`, the question is about a deployment that has not begun.
    """
    now = time.time()
    values = {"now": _iso(now), "hour_ago": _iso(now - 3600), "day_ago": _iso(now - 86400)}
    if deployment_start is not None:
        seconds = max(1, math.ceil(now - deployment_start))
        values |= {"deployment_start": _iso(deployment_start), "since_deployment": f"{seconds}s"}
    if unknown := query.placeholders - values.keys():
        raise RunError(
            State.ABSENT, f"{{{min(unknown)}}} is not known: no deployment has been seen to begin"
        )
    return values


def _iso(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
