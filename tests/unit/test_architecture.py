"""The order of the house (CONTRIBUTING): a module knows only what stands below it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import exporter

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(exporter.__file__).parent

# From the ground up. Modules of one row do not know each other.
ORDER: tuple[tuple[str, ...], ...] = (
    ("exporter",),
    ("documents", "durations", "redaction"),
    ("dsn",),
    ("settings",),
    ("logs",),
    ("state.file", "state.lock"),
    ("state.documents", "state.tokens"),
    ("state.store",),
    ("state",),
    ("catalog.requirement", "catalog.select", "catalog.terms"),
    ("catalog.criteria",),
    ("catalog.deployment", "catalog.header"),
    ("catalog.references",),
    ("catalog.query",),
    ("catalog.schema",),
    ("catalog",),
    ("reload",),
    ("database",),
    ("database.connection", "database.conninfo", "database.grants", "database.outcome"),
    ("database.preflight",),
    ("database.transaction",),
    ("database.database", "database.inspection"),
    ("database.facts",),
    ("collect",),
    ("collect.snapshot",),
    ("collect.feed",),
    ("collect.board", "collect.telemetry"),
    ("collect.runner",),
    ("collect.schedule",),
    ("statements",),
    ("statements.counters", "statements.tokens"),
    ("statements.reading", "statements.text"),
    ("statements.classes",),
    ("statements.tally",),
    ("statements.memory", "statements.slowest"),
    ("statements.window",),
    ("statements.samples",),
    ("statements.poller",),
    ("baseline",),
    ("baseline.deployed", "baseline.document", "baseline.files", "baseline.rhythm"),
    ("baseline.buckets", "baseline.encoding", "baseline.description", "baseline.gauges"),
    ("baseline.fit", "baseline.rule", "baseline.tracker"),
    ("baseline.backtest", "baseline.estimate", "baseline.expectations", "baseline.survey"),
    ("baseline.build", "baseline.comparison"),
    ("baseline.samples",),
    ("baseline.keeper",),
    ("baseline.capture",),
    ("verdict",),
    ("verdict.outcome", "verdict.sign_offs", "verdict.wording"),
    ("verdict.evidence",),
    ("verdict.look",),
    ("verdict.conditions",),
    ("verdict.history", "verdict.judged"),
    ("verdict.first_week",),
    ("verdict.assess",),
    ("verdict.machine", "verdict.samples", "verdict.text"),
    ("verdict.report",),
    ("verdict.judge",),
    ("parts",),
    ("web",),
    ("web.collectors", "web.exposition", "web.web_config"),
    ("web.activity", "web.headers", "web.progress", "web.sparkline"),
    ("web.access", "web.numbers", "web.tls"),
    ("web.pages", "web.server", "web.web_files"),
    ("web.app",),
    ("watch",),
    ("daemon", "once", "healthcheck"),
    (
        "demo.database",
        "demo.process",
        "demo.processes",
        "demo.programs",
        "demo.server",
        "demo.story",
        "demo.workload",
    ),
    ("demo.play",),
    ("demo",),
    ("commands",),
    ("commands.common",),
    (
        "commands.baseline",
        "commands.daemon",
        "commands.demo",
        "commands.deployment",
        "commands.queries",
    ),
    ("cli",),
    ("__main__",),
)

# The parts of the demo use each other, and nobody but `cli` uses them.
WITHIN_THE_DEMO = "demo."

LOOM = re.compile(
    r"mfa|resource_(library|collection|client|progress|findings)|security_audit"
    r"|user_mfa|file_(shares|uploads)|search_path_hardening|\bcoach",
    re.IGNORECASE,
)


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name or "exporter"] = path
    return found


MODULES = _modules()
LEVEL = {module: level for level, row in enumerate(ORDER) for module in row}


def _imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, wherever in it, `from` parts included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides what is imported"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _own_imports(path: Path) -> Iterator[str]:
    for name in _imports(path):
        inside = name.removeprefix("exporter.")
        if inside == name and name != "exporter":
            continue
        while inside not in MODULES and "." in inside:
            inside = inside.rpartition(".")[0]
        yield inside if inside in MODULES else "exporter"


def _outside(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imports(path)}


def test_order_lists_every_module_once() -> None:
    listed = [module for row in ORDER for module in row]
    assert len(listed) == len(set(listed))
    assert {module for module in MODULES if module not in LEVEL} == set()


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_from_below(module: str) -> None:
    for imported in _own_imports(MODULES[module]):
        if module.startswith(WITHIN_THE_DEMO) and imported.startswith(WITHIN_THE_DEMO):
            continue
        assert LEVEL[imported] < LEVEL[module], f"{module} imports {imported}"


@pytest.mark.parametrize("module", MODULES)
def test_no_module_queries_the_database_and_serves_http(module: str) -> None:
    outside = _outside(MODULES[module])
    serves = bool(outside & {"starlette", "uvicorn"})
    assert not (serves and outside & {"psycopg"})
    assert not (serves and not module.startswith("web."))


def test_only_the_database_package_talks_to_postgresql() -> None:
    # The commands only name psycopg's error, and `dsn` has libpq read connection strings; the demo
    # has a database of its own.
    speakers = {module for module, path in MODULES.items() if _outside(path) & {"psycopg"}}
    assert speakers
    assert {s for s in speakers if not s.startswith(("database.", "demo."))} == {
        "commands.common",
        "dsn",
    }


def test_only_settings_reads_the_environment() -> None:
    readers = {
        module
        for module, path in MODULES.items()
        if not module.startswith(WITHIN_THE_DEMO)
        and re.search(r"\bos\.(environ|getenv)|import environ", path.read_text(encoding="utf-8"))
    }
    assert readers == {"settings"}


@pytest.mark.parametrize("module", MODULES)
def test_no_python_module_knows_what_is_watched(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    # Names of the demo's SQL files are not knowledge: a file is called as it is called.
    text = re.sub(r'"[\w/]+\.sql"', '""', text)
    assert [match[0] for match in LOOM.finditer(text)] == []
