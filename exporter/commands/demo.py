"""`demo`: a deployment to look at."""

from typing import Annotated, Literal

import typer

from exporter.commands.common import Exit, fail, told_in_one_line

app = typer.Typer()


@app.command(epilog="Example: loom-exporter demo --scenario published --port 10187")
def demo(
    scenario: Annotated[
        Literal["healthy", "published", "rollback"],
        typer.Option(
            help="healthy: as it should go; published: with the defects of the originals; "
            "rollback: the last phase is rolled back."
        ),
    ] = "healthy",
    port: Annotated[
        int, typer.Option(help="Port of /metrics on 127.0.0.1; 0 takes a free one.")
    ] = 10187,
    before: Annotated[
        float, typer.Option(help="Seconds under load before the deployment.", min=1)
    ] = 15.0,
    hold: Annotated[
        float | None,
        typer.Option(help="End by itself, this many seconds after the deployment.", min=0),
    ] = None,
) -> None:
    """Take a Loom database on a PostgreSQL of its own through its deployment, and watch it."""
    with told_in_one_line():
        try:
            from exporter.demo.play import DemoError, Plan, play
        except ModuleNotFoundError as missing:
            fail(f"the demo needs {missing.name}: pip install 'loom-exporter[demo]'", Exit.USAGE)
        try:
            play(Plan(scenario=scenario, port=port, before_seconds=before, hold_seconds=hold))
        except DemoError as error:
            fail(str(error), Exit.FAILED)
