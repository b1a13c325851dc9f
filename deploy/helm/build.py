"""Write what the chart takes from elsewhere: rules, dashboards, and the names of settings.

`make chart` runs it. Helm reads no file from outside of a chart.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

CHART = Path(__file__).parent / "loom-exporter"
ROOT = CHART.parents[2]

SET_BY_THE_CHART = frozenset(
    {
        *("database_url", "database_url_file", "database_name"),
        *("databases", "databases_from", "server_connections"),  # a release watches one database
        *("probe_database_url", "probe_database_url_file"),
        *("listen", "queries", "state_dir", "web_config_file"),
    }
)
"""Settings that follow from other values of the chart."""


def generated_files() -> Mapping[str, str]:
    """Return the text of each generated file, by its path below the chart."""
    folder = ROOT / "grafana" / "dashboards"
    dashboards = folder.rglob("*.json")
    return {
        **{f"files/{path.name}": _read(path) for path in (ROOT / "alerts").glob("prometheusrule*")},
        **{f"files/dashboards/{path.relative_to(folder)}": _read(path) for path in dashboards},
        "values.schema.json": _schema(json.loads(_read(CHART / "values.schema.json"))),
    }


def _schema(schema: dict[str, Any]) -> str:
    """Return the schema of the values, with the settings of this version; the rest is by hand."""
    schema["properties"]["settings"]["properties"] = {
        name: {
            "type": "object" if field.default_factory is dict else ["string", "number", "boolean"],
            "description": field.description,
        }
        for name, field in sorted(Settings.model_fields.items())
        if name not in SET_BY_THE_CHART
    }
    return json.dumps(schema, indent=2) + "\n"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main() -> None:
    """Write the files, and remove dashboards that are no longer there."""
    files = generated_files()
    for path in (CHART / "files" / "dashboards").rglob("*.json"):
        if str(path.relative_to(CHART)) not in files:
            path.unlink()
    for name, text in files.items():
        (CHART / name).parent.mkdir(exist_ok=True)
        (CHART / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
