"""The structure of the package: its layers, and what only some modules may know."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import importlinter.cli

import exporter

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(exporter.__file__).parent
REPOSITORY = Path(__file__).parents[2]

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


def _outside(path: Path) -> set[str]:
    """Return the packages that a file imports, wherever in it."""
    return {name.partition(".")[0] for name in _imports(path)}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides what is imported"
            yield node.module or ""


def _speaking(*packages: str) -> set[str]:
    """Return the modules that import any of these packages."""
    return {name for name, path in MODULES.items() if _outside(path) & {*packages}}


def test_contracts_between_packages_are_kept() -> None:
    """See `tool.importlinter` in pyproject.toml."""
    config = str(REPOSITORY / "pyproject.toml")
    status = importlinter.cli.lint_imports(config_filename=config, no_cache=True)
    assert status == importlinter.cli.EXIT_STATUS_SUCCESS


def test_only_the_web_package_serves_http_and_it_does_not_query_the_database() -> None:
    serving = _speaking("starlette", "uvicorn")
    assert serving
    assert {name for name in serving if not name.startswith("web.")} == set()
    assert serving & _speaking("psycopg", "psycopg_pool") == set()


def test_only_the_database_package_talks_to_postgresql() -> None:
    # A source of SQL composes it and has it described, probes have a session of their own, and
    # `dsn` lets libpq read connection strings; the demo has a database of its own.
    speaking = _speaking("psycopg", "psycopg_pool")
    assert {name for name in speaking if not name.startswith(("database.", "demo."))} == {
        "dsn",
        "sources.impersonation",
        "sources.insert_check",
        "sources.inspection",
        "sources.sql",
    }


def test_only_settings_reads_the_environment() -> None:
    readers = {
        name
        for name, path in MODULES.items()
        if not name.startswith("demo.")
        and re.search(r"\bos\.(environ|getenv)|import environ", path.read_text(encoding="utf-8"))
    }
    # A health check runs every few seconds, and the settings are too expensive to import for it.
    assert readers == {"settings", "app.healthcheck"}


def test_no_python_module_knows_what_is_watched() -> None:
    # Names of the demo's SQL files are not knowledge: a file is called as it is called.
    texts = {
        name: re.sub(r'"[\w/]+\.sql"', '""', path.read_text(encoding="utf-8"))
        for name, path in MODULES.items()
    }
    found = {name: [match[0] for match in LOOM.finditer(text)] for name, text in texts.items()}
    assert {name: words for name, words in found.items() if words} == {}
