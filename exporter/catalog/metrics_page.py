"""Prints docs/metrics.md: `python -m exporter.catalog.metrics_page`."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from exporter.catalog import Catalog, QueryMetric, load_catalog
from exporter.catalog.own_metrics import own_metrics, own_sections
from exporter.settings import packaged_queries

_ALL_PHASES = "The whole deployment"


def metrics_page(catalog: Catalog) -> str:
    """Return the reference of all metrics, own ones and those of the queries, as Markdown."""
    environment = Environment(
        loader=PackageLoader("exporter.catalog"),
        autoescape=select_autoescape(),  # of HTML, which this is not
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    page = environment.get_template("metrics.md")
    return page.render(sections=own_sections(), phases=_by_phase(catalog))


def _by_phase(catalog: Catalog) -> dict[str, dict[str, tuple[QueryMetric, list[str]]]]:
    """Return the metrics and the files that feed them, by the title of the phase and by name."""
    titles = {name: phase.title for name, phase in catalog.deployment.phases.items()}
    found: dict[str, dict[str, tuple[QueryMetric, list[str]]]]
    found = {title: {} for title in (*titles.values(), _ALL_PHASES)}
    for name, metric in sorted(catalog.metrics().items()):
        if name in own_metrics():
            continue
        queries = [query for query in catalog.all_queries if name in query.metrics]
        title = titles.get(queries[0].header.phase, _ALL_PHASES)
        found[title][name] = metric, [query.path.name for query in queries]
    return {title: metrics for title, metrics in found.items() if metrics}


if __name__ == "__main__":
    print(metrics_page(load_catalog(packaged_queries())), end="")
