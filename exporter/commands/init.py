"""`init`: a pack to begin with, ready for `check`."""

import re
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from exporter.catalog.expected import HistoryKind
from exporter.errors import UsageError

app = typer.Typer()

_FILES = ("deployment.yaml", "orders.sql")

_VERSIONS = {
    "django": "shop.0002_orders_sent_at",
    "alembic": "ae1027a6acf",
    "flyway": "2.1",
    "liquibase": "orders-sent-at",
}
"""An example of a version, by the tool; the others count by date and time."""


@app.command(epilog="Example: loom-exporter init ./shop --history django")
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of the pack; made if needed.")],
    history: Annotated[
        HistoryKind,
        typer.Option(
            "--history",
            help="What keeps the migrations; `probe`: a phase is there when its objects are; "
            "`none`: people say so.",
        ),
    ] = "supabase",
) -> None:
    """Write a commented deployment.yaml and an example query, to be made yours; exit 2 if there."""
    environment = Environment(
        loader=PackageLoader("exporter.commands"),
        autoescape=select_autoescape(),  # of HTML, which this is not
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("._-")
    told = {
        "name": name or "deployment",
        "kind": history,
        "version": _VERSIONS.get(history, "20260101000001"),
    }
    for file in _FILES:
        if (folder / file).exists():
            raise UsageError(f"{folder / file}: is there already", "name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in _FILES:
            text = environment.get_template(file).render(told)
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}") from None
    print(
        f"{folder}: wrote {' and '.join(_FILES)}. Make them yours, then:\n"
        f"  loom-exporter check --queries {folder}\n"
        f"  loom-exporter grants --queries {folder} | psql   # as the owner of the database\n"
        f"  loom-exporter serve --queries {folder}"
    )
