"""`init`: a pack to begin with, ready for `check`."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from exporter.app.outline import Outline, read_outline
from exporter.catalog.expected import HistoryKind
from exporter.catalog.relation_name import RelationName
from exporter.commands.common import Config
from exporter.databases import each_database, pick
from exporter.errors import UsageError
from exporter.logs import configure_logging
from exporter.settings import load_settings

app = typer.Typer()

_VERSIONS = {
    "django": "shop.0002_orders_sent_at",
    "alembic": "ae1027a6acf",
    "flyway": "2.1",
    "liquibase": "orders-sent-at",
}
"""An example of a version, by the tool; the others count by date and time."""

_MANY_ROWS = 1_000_000
"""Counting more of them takes too long for every minute."""

_EXAMPLE: Mapping[str, Any] = {
    "phase": "orders",
    "phase_title": "Orders are sent by a worker",
    "advice": "Stop the worker first.",
    "owns": "orders*",
    "tables": (),
    "schemas": (),
    "history_schema": None,
    "roles": ("app",),
    "classes": (
        {"name": "orders", "about": "", "relations": ("public.orders", "public.order_lines")},
    ),
    "table": "public.orders",
    "table_sql": "public.orders",
    "query": "orders",
    "interval": "1m",
}


@app.command(
    epilog="Example: loom-exporter init ./shop --history django; of a database that is there, "
    "loom-exporter init ./shop --database"
)
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of the pack; made if needed.")],
    history: Annotated[
        HistoryKind | None,
        typer.Option(
            "--history",
            help="What keeps the migrations; `probe`: a phase is there when its objects are; "
            "`none`: people say so. Supabase unless set, or what --database finds.",
            show_default=False,
        ),
    ] = None,
    database: Annotated[
        bool,
        typer.Option(
            "--database",
            help="Begin with what the database has: schemas, tables, history, and the largest "
            "statements as classes.",
        ),
    ] = False,
    config: Config = None,
) -> None:
    """Write a commented deployment.yaml and an example query, to be made yours; exit 2 if there."""
    told = dict(_EXAMPLE)
    kind: str = history or "supabase"
    if database:
        settings = pick(each_database(load_settings(config)), None)
        configure_logging(settings.log_format, "error")
        outline = asyncio.run(read_outline(settings))
        kind = history or outline.history
        told |= _told(outline)
        if history and history != outline.history:
            told["history_schema"] = None
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("._-")
    told |= {
        "name": name or "deployment",
        "kind": kind,
        "version": _VERSIONS.get(kind, "20260101000001"),
    }
    files = {"deployment.yaml": "deployment.yaml", f"{told['query']}.sql": "rows.sql"}
    _write(folder, {file: _rendered(template, told) for file, template in files.items()})
    print(
        f"{folder}: wrote {' and '.join(files)}. Make them yours, then:\n"
        f"  loom-exporter check --queries {folder}\n"
        f"  loom-exporter grants --queries {folder} | psql   # as the owner of the database\n"
        f"  loom-exporter serve --queries {folder}"
    )


def _told(outline: Outline) -> dict[str, Any]:
    """Return what the templates say of a database that is there.

    Raises:
        UsageError: it has no table.
    """
    if not outline.tables:
        raise UsageError("the database has no table of its own", "leave --database out")
    classes: dict[str, dict[str, Any]] = {}
    for table, share in outline.classes:
        name = _identifier(table, classes)
        about = f"{share:.0%} of the time of all statements"
        classes[name] = {"name": name, "about": about, "relations": (str(table),)}
    largest = outline.tables[0]
    return {
        "phase": "first",
        "phase_title": "Say what this phase changes",
        "advice": "Say what to do before and after a rollback.",
        "owns": f"{largest.name}*",
        "tables": [str(table) for table in outline.tables],
        "schemas": sorted(
            {str(table.schema) for table in outline.tables},
            key=lambda schema: (schema != "public", schema),
        ),
        "history_schema": outline.history_schema,
        "roles": outline.roles,
        "classes": list(classes.values()),
        "table": str(largest),
        "table_sql": ".".join(_quoted(part) for part in largest if part is not None),
        "query": _identifier(largest, ()),
        "interval": "15m" if outline.rows[largest] > _MANY_ROWS else "1m",
    }


def _identifier(table: RelationName, taken: Any) -> str:
    """Return a name for a class, a file or a metric: lower case, digits and _."""
    name = re.sub(r"[^a-z0-9]+", "_", table.name.lower()).strip("_")
    if not name[:1].isalpha():
        name = f"table_{name}".rstrip("_")
    if name in taken or name == "other":
        name = f"{re.sub(r'[^a-z0-9]+', '_', str(table.schema).lower()).strip('_')}_{name}"
    return name


def _quoted(part: str) -> str:
    return part if re.fullmatch(r"[a-z_][a-z0-9_]*", part) else '"' + part.replace('"', '""') + '"'


def _yaml(text: str) -> str:
    """Return a text as a scalar of YAML, in quotation marks only where it needs them."""
    plain = re.fullmatch(r"[A-Za-z_][\w. -]*\w", text)
    return text if plain else json.dumps(text, ensure_ascii=False)


def _rendered(template: str, told: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("exporter.commands"),
        autoescape=select_autoescape(),  # of HTML, which this is not
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["yaml"] = _yaml
    return environment.get_template(template).render(told)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    for file in texts:
        if (folder / file).exists():
            raise UsageError(f"{folder / file}: is there already", "name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}") from None
