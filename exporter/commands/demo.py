"""`demo`: a deployment to look at."""

from typing import Annotated, Literal

import typer

from exporter.errors import UsageError

app = typer.Typer()


@app.command(epilog="Example: loom-exporter demo --scenario regression --fast")
def demo(
    scenario: Annotated[
        Literal["healthy", "published", "regression", "rollback", "errors"],
        typer.Option(
            help="healthy: as it should go; published: with the defects of the originals; "
            "regression: an index is lost afterwards; rollback: the last phase is rolled back; "
            "errors: one call in ten fails afterwards."
        ),
    ] = "healthy",
    port: Annotated[
        int, typer.Option(help="Port of /metrics on 127.0.0.1; 0 takes a free one.")
    ] = 10187,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Tell the story in two minutes rather than in three: 30 s under load before the "
            "deployment and after it, not 60, and hours of 3 s, not 5, for baseline and warm-up.",
        ),
    ] = False,
    sources: Annotated[
        bool,
        typer.Option(
            "--sources",
            help="Also start what lies beyond the database: HTTP sources, suites with results, and "
            "probes as users of the API. Then a healthy deployment needs no signature.",
        ),
    ] = False,
    before: Annotated[
        float | None, typer.Option(help="Seconds under load before the deployment.", min=1)
    ] = None,
    after: Annotated[
        float | None, typer.Option(help="Seconds under load after it, before the verdict.", min=1)
    ] = None,
    hold: Annotated[
        float | None,
        typer.Option(help="End by itself, this many seconds after the story is told.", min=0),
    ] = None,
) -> None:
    """Take a Loom database on a PostgreSQL of its own through its deployment, and watch it."""
    try:
        from exporter.demo.play import CALM, FAST, Plan, play
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"the demo needs {missing.name}", "pip install 'loom-exporter[demo]'"
        ) from None
    pace = FAST if fast else CALM
    pace = pace._replace(
        before_seconds=before or pace.before_seconds, after_seconds=after or pace.after_seconds
    )
    play(Plan(scenario, port, pace, hold, sources))
