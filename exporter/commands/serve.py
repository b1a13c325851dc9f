"""`serve` and `healthcheck`: the daemon, and whether it is alive."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from exporter.app import daemon, databases
from exporter.app.healthcheck import ask_health
from exporter.commands.common import Config, Listen, Queries
from exporter.errors import ExporterError
from exporter.logs import configure_logging
from exporter.settings import config_file, load_settings

app = typer.Typer()


@app.command(epilog="Example: LOOM_EXPORTER_DATABASE_URL_FILE=/run/secrets/url loom-exporter serve")
def serve(
    config: Config = None,
    queries: Queries = None,
    listen: Listen = None,
    web_config_file: Annotated[
        Path | None,
        typer.Option(
            "--web.config.file",
            help="TLS, users, headers and rate limit of the web server, in the format that "
            "Prometheus exporters share. Health paths stay open.",
            show_default=False,
            metavar="FILE",
        ),
    ] = None,
    log_format: Annotated[
        Literal["console", "json"] | None, typer.Option(help="Form of the log lines.")
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Least level that is logged."),
    ] = None,
) -> None:
    """Run the queries on their schedule and serve /metrics until SIGTERM."""
    options = {
        "queries": queries,
        "listen": listen,
        "web_config_file": web_config_file,
        "log_format": log_format,
        "log_level": log_level,
    }
    settings = load_settings(config, options)
    configure_logging(settings.log_format, settings.log_level)
    file = config_file(config)
    read_again = partial(load_settings, config, options)
    daemon.serve(databases.Config(settings, [file] if file else [], read_again))


@app.command(epilog='Example: HEALTHCHECK CMD ["loom-exporter", "healthcheck"]')
def healthcheck(config: Config = None, listen: Listen = None) -> None:
    """Ask the daemon on this machine whether it is alive; exit 0 if so, else 1."""
    settings = load_settings(config, {"listen": listen})
    reason = ask_health(settings.listen)
    if reason:
        raise ExporterError(f"healthcheck: {settings.listen}: {reason}")
