"""`rules`, `runbooks` and `dashboards`: what Prometheus, people and Grafana are given."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from exporter.commands.common import Config, Queries
from exporter.durations import parse_duration
from exporter.errors import UsageError
from exporter.render.alert_rules import (
    Addresses,
    Evaluator,
    as_one_file,
    as_resource,
    render_alert_rules,
)
from exporter.settings import load_settings, packaged, packaged_queries

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to.")]


@app.command(
    epilog="Example: loom-exporter rules --dashboard-url https://grafana.example.org "
    "> loom-exporter.rules.yaml"
)
def rules(
    runbook_url: Annotated[
        str | None,
        typer.Option(
            help="Address of the folder that holds the runbooks.",
            show_default=False,
            metavar="URL",
        ),
    ] = None,
    dashboard_url: Annotated[
        str | None, typer.Option(help="Address of Grafana.", show_default=False, metavar="URL")
    ] = None,
    evaluator: Annotated[Evaluator, typer.Option("--for", help="What evaluates the rules.")] = (
        "prometheus"
    ),
    output: Annotated[
        Literal["file", "resource"],
        typer.Option("--format", help="A rule file, or a PrometheusRule (VMRule) of Kubernetes."),
    ] = "file",
    hour: Annotated[
        str, typer.Option(help="Length of an hour; shorter only to rehearse a deployment.")
    ] = "1h",
    config: Config = None,
    queries: Queries = None,
) -> None:
    """Print the alert rules, with annotations that lead to runbooks and dashboards.

    With a pack of your own (--queries) those that the shipped pack has for itself are left out.
    """
    addresses = Addresses()
    if runbook_url is not None:
        addresses = replace(addresses, runbooks=_address("--runbook-url", runbook_url))
    if dashboard_url is not None:
        addresses = replace(addresses, grafana=_address("--dashboard-url", dashboard_url))
    try:
        files = render_alert_rules(parse_duration(hour), addresses, evaluator)
    except ValueError as error:
        raise UsageError(f"command line: --hour: {error}") from None
    pack = _pack(config, queries)
    texts = [text for name, text in files.items() if Path(name).parent.name in ("", pack)]
    print(as_one_file(texts) if output == "file" else as_resource(texts, evaluator), end="")


@app.command(epilog="Example: loom-exporter runbooks /srv/runbooks")
def runbooks(folder: Folder) -> None:
    """Write the runbooks of the alerts into a folder, as Markdown."""
    _copy(packaged("alerts") / "runbooks", "*.md", folder)


@app.command(epilog="Example: loom-exporter dashboards /var/lib/grafana/dashboards")
def dashboards(folder: Folder, config: Config = None, queries: Queries = None) -> None:
    """Write the dashboards into a folder, as JSON for Grafana.

    With a pack of your own (--queries) those that the shipped pack has for itself are left out.
    """
    source = packaged("grafana") / "dashboards"
    _copy(source, "*.json", folder)
    if pack := _pack(config, queries):
        _copy(source / pack, "*.json", folder)


def _pack(config: Path | None, queries: Path | None) -> str | None:
    """Return the name of the folder that holds what is the shipped pack's own; None for others."""
    shipped = packaged_queries()
    used = load_settings(config, {"queries": queries}).queries
    return shipped.name if used.resolve() == shipped.resolve() else None


def _address(option: str, text: str) -> str:
    """Return an address of a site or folder without a slash at its end."""
    if not re.fullmatch(r"https?://[^/\s'\"#?]+(/[^\s'\"#?]*)?", text):
        raise UsageError(
            f"command line: {option}: must be an address such as https://host.example.org/folder"
        )
    return text.rstrip("/")


def _copy(source: Path, pattern: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.glob(pattern)):
            (folder / path.name).write_bytes(path.read_bytes())
            print(folder / path.name)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from None
