"""Writes the dashboards: `make dashboards`. They are code, so change them here and not in Grafana.

Those in the folder itself are for every pack: titles and phases come from metrics. The one in
`loom/` names what Loom's queries measure, and has the limits of Loom's deployment.yaml.
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
    """Return every dashboard as JSON, by the path of its file in the folder."""
    loom = integrity_security_board(load_catalog(ROOT / "queries" / "loom").deployment)
    boards = (deployment_board(), query_performance_board(), exporter_board())
    return {
        **{f"{board.uid}.json": render(board) for board in boards},
        f"loom/{loom.uid}.json": render(loom),
    }


def main() -> None:
    """Write them all, and remove what is none of them."""
    written = dashboards()
    for path in FOLDER.rglob("*.json"):
        if str(path.relative_to(FOLDER)) not in written:
            path.unlink()
    for name, text in written.items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
