"""Windows of calls as the poller hands them on, with every call known to the test."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from exporter.catalog import Deployment
from exporter.database.facts import ServerFacts
from exporter.database.identity import DatabaseIdentity
from exporter.statements.counters import Delta
from exporter.statements.tally import Counted, Known, PollWindow
from exporter.statements.text import identity

if TYPE_CHECKING:
    from collections.abc import Iterable

MONDAY = datetime(2025, 10, 13, tzinfo=UTC).timestamp()
HOUR = 3600.0
OWNER = DatabaseIdentity("loom", 5, "7000")
FACTS = ServerFacts(
    system_identifier="7000",
    database_oid=5,
    database_name="loom",
    server_version_num=150018,
    postmaster_start=datetime(2025, 10, 1, tzinfo=UTC),
    settings={"pg_stat_statements.max": "5000", "pg_stat_statements.track": "top"},
    planner_sha256="a1" * 32,
    extension_version="1.10",
    extension_schema="extensions",
)
DEPLOYMENT = Deployment.model_validate(
    {
        "name": "orders",
        "title": "Orders",
        "warmup": "30m",
        "phases": {
            "one": {
                "title": "One",
                "migrations": [{"version": "1", "name": "a"}],
                "rollback": {"risk": "low", "advice": "Roll back."},
            }
        },
        "statement_roles": ["anon"],
        "classes": {
            "invoices": {"relations": ["public.invoices"]},
            "refunds": {"relations": ["public.refunds"]},
        },
        "replacements": [{"new": "SELECT * FROM bills", "old": "SELECT * FROM invoices"}],
    }
)


def called(
    *times: float,
    text: str | None = "select * from invoices",
    class_name: str = "invoices",
    role: str = "anon",
    rows: int = 0,
) -> Counted:
    """Return calls of one statement that took so many seconds each, and returned rows together."""
    known = Known(identity(text), class_name, role, text)
    return Counted(known, delta_of(times, rows))


def delta_of(times: Iterable[float], rows: int = 0) -> Delta:
    """Return calls that took so many seconds each, as they are counted."""
    each = tuple(times)
    total = math.fsum(each)
    mean = total / len(each)
    return Delta(len(each), total, math.fsum((time - mean) ** 2 for time in each), rows, 0, 0)


def window(at: float, *counted: Counted, seconds: float = 30.0, **befallen: Any) -> PollWindow:
    """Return what was called in so many seconds from a Unix time on."""
    return PollWindow(moment(at), moment(at + seconds), counted, **befallen)


def moment(at: float) -> datetime:
    """Return a Unix time as the server tells it."""
    return datetime.fromtimestamp(at, UTC)
