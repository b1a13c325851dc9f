"""The metrics of statements, and their samples."""

from collections import Counter
from collections.abc import Iterable, Mapping

from exporter.catalog import Deployment, Metric
from exporter.catalog.deployment import OTHER
from exporter.collect.snapshot import Samples
from exporter.statements.slowest import Slow
from exporter.statements.tally import Tally, Totals

HOW = ("parsed", "ambiguous", "pattern", "none")
"""Values of `Known.how`, and `pattern`, which is always 0: it is kept for queries that name it."""

_BY_CLASS = ("class", "role")
_CUMULATIVE = {
    "loom_statement_calls_total": "Calls that ended well, by class of statement and role.",
    "loom_statement_exec_seconds_total": "Time that these calls took to execute, without planning.",
    "loom_statement_rows_total": "Rows that these calls returned or changed.",
    "loom_statement_shared_blocks_hit_total": "Blocks that these calls found in shared buffers.",
    "loom_statement_shared_blocks_read_total": "Blocks that these calls had to read.",
}


def _gauge(text: str, *labels: str) -> Metric:
    return Metric(type="gauge", help=text, labels=labels, value="value")


def _counter(text: str, *labels: str) -> Metric:
    return Metric(type="counter", help=text, labels=labels, value="value")


METRICS: Mapping[str, Metric] = {
    **{name: _counter(text, *_BY_CLASS) for name, text in _CUMULATIVE.items()},
    "loom_statements_classified": _gauge(
        "Statements by how their class was found: parsed, from the text; ambiguous, where a later "
        "class claims it too; none, without a text that parses; pattern is always 0.",
        "how",
    ),
    "loom_statements_slow": _gauge(
        "Statements whose calls between the last two polls took longer than the threshold on "
        "average.",
        "class",
    ),
    "loom_statement_slow_threshold_seconds": _gauge("Mean time above which a statement is slow."),
    "loom_statement_mean_exec_seconds": _gauge(
        "Mean time of the slowest statements over the last 15 minutes.",
        "statement",
        *_BY_CLASS,
    ),
    "loom_statement_info": Metric(
        type="info",
        help="Text of the slowest statements, normalised and without literals.",
        labels=("statement", "class", "text"),
    ),
    "loom_statement_resets_total": _counter(
        "Entries of pg_stat_statements that were reset; their calls since the last poll are lost."
    ),
    "loom_statement_evictions_total": _counter(
        "Times that pg_stat_statements evicted its least used entries; see its setting max."
    ),
}


def statement_samples(
    tally: Tally, deployment: Deployment, slow: Mapping[str, int] | None, slowest: Iterable[Slow]
) -> Samples:
    """Return the samples: of each class and role, also where nothing was called yet.

    Args:
        tally: the counters.
        deployment: names the classes and roles.
        slow: number of slow statements by class; None before the second poll.
        slowest: the slowest statements.
    """
    samples: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in METRICS}
    for labels in class_roles(deployment):
        totals = tally.totals.get(labels, Totals())
        for name, value in zip(_CUMULATIVE, totals, strict=True):
            samples[name][labels] = value
    how = Counter(known.how for known in tally.known.values())
    samples["loom_statements_classified"] = {(each,): how[each] for each in HOW}
    for class_name, count in (slow or {}).items():
        samples["loom_statements_slow"][class_name,] = count
    samples["loom_statement_slow_threshold_seconds"][()] = deployment.slow_statement
    for each in slowest:
        samples["loom_statement_mean_exec_seconds"][each.labels] = each.mean_seconds
        if each.text is not None:
            name, class_name, _ = each.labels
            samples["loom_statement_info"][name, class_name, each.text] = 1.0
    samples["loom_statement_resets_total"][()] = tally.resets
    samples["loom_statement_evictions_total"][()] = tally.evictions
    return samples


def classes_of(deployment: Deployment) -> list[str]:
    """Return every value of the label `class`."""
    return [*deployment.classes, OTHER]


def class_roles(deployment: Deployment) -> list[tuple[str, str]]:
    """Return every pair of values of the labels `class` and `role`."""
    roles = (*deployment.statement_roles, OTHER)
    return [(name, role) for name in classes_of(deployment) for role in roles]
