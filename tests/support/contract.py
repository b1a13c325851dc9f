"""What /metrics promises to dashboards, alerts and people: names, types and labels."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parents[1] / "unit" / "metrics_contract.txt"


class Promise(NamedTuple):
    type: str
    labels: frozenset[str]


def _read() -> dict[str, Promise]:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {
        name: Promise(kind, frozenset(labels[0].split(",") if labels else ()))
        for name, kind, *labels in rows
    }


ALL = _read()
"""By name. A counter and an info have the suffix of their type; `le` of a histogram is left out."""
