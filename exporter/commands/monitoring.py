"""`rules`, `runbooks` and `dashboards`: what Prometheus, people and Grafana are given."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from exporter.durations import parse_duration
from exporter.errors import UsageError
from exporter.render.alert_rules import (
    Addresses,
    Evaluator,
    as_one_file,
    as_resource,
    render_alert_rules,
)
from exporter.settings import packaged

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
) -> None:
    """Print the alert rules, with annotations that lead to runbooks and dashboards."""
    addresses = Addresses()
    if runbook_url is not None:
        addresses = replace(addresses, runbooks=_address("--runbook-url", runbook_url))
    if dashboard_url is not None:
        addresses = replace(addresses, grafana=_address("--dashboard-url", dashboard_url))
    try:
        files = render_alert_rules(parse_duration(hour), addresses, evaluator)
    except ValueError as error:
        raise UsageError(f"command line: --hour: {error}") from None
    texts = files.values()
    print(as_one_file(texts) if output == "file" else as_resource(texts, evaluator), end="")


@app.command(epilog="Example: loom-exporter runbooks /srv/runbooks")
def runbooks(folder: Folder) -> None:
    """Write the runbooks of the alerts into a folder, as Markdown."""
    _copy(packaged("alerts") / "runbooks", "*.md", folder)


@app.command(epilog="Example: loom-exporter dashboards /var/lib/grafana/dashboards")
def dashboards(folder: Folder) -> None:
    """Write the dashboards into a folder, as JSON for Grafana."""
    _copy(packaged("grafana") / "dashboards", "*.json", folder)


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
