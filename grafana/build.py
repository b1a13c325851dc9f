"""Writes the dashboards: `make dashboards`. They are code, so change them here and not in Grafana.

Another team that watches another deployment gets the first one right by its own deployment.yaml;
the others name what Loom's queries measure.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exporter.catalog import load_catalog
from grafana.board import render
from grafana.deployment import deployment_board
from grafana.exporter_itself import exporter_board
from grafana.integrity_security import integrity_security_board
from grafana.query_performance import query_performance_board

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "grafana" / "dashboards"


def dashboards() -> Mapping[str, str]:
    """Return every dashboard as JSON, by the name of its file."""
    deployment = load_catalog(ROOT / "queries" / "loom").deployment
    boards = (
        deployment_board(deployment),
        query_performance_board(deployment),
        integrity_security_board(deployment),
        exporter_board(),
    )
    return {f"{board.uid}.json": render(board) for board in boards}


def main() -> None:
    """Write them all, and remove what is none of them."""
    written = dashboards()
    for path in FOLDER.glob("*.json"):
        if path.name not in written:
            path.unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
