"""The statements as samples."""

from collections import Counter
from collections.abc import Mapping, Sequence

from exporter.catalog import Deployment
from exporter.catalog.deployment import OTHER
from exporter.catalog.own_metrics import fixed_values
from exporter.collect.snapshot import Samples, columns
from exporter.statements.continuity import Break
from exporter.statements.slowest import Slow
from exporter.statements.tally import Tally, Totals

_TOTALS = (
    "loom_statement_calls_total",
    "loom_statement_exec_seconds_total",
    "loom_statement_rows_total",
    "loom_statement_shared_blocks_hit_total",
    "loom_statement_shared_blocks_read_total",
)
"""In the order of `Totals`."""


def statement_samples(
    tally: Tally, deployment: Deployment, slow: Mapping[str, int] | None, slowest: Sequence[Slow]
) -> Samples:
    """Return the samples; each class and role has its totals, even if they are 0.

    But no 0 while there are calls whose text is not read: they may be of that class.

    Args:
        tally: what was counted.
        deployment: its classes and roles are those that are shown.
        slow: slow statements by class; None before the second poll.
        slowest: the slowest statements.
    """
    totals = {place: tally.totals.get(place, Totals()) for place in class_roles(deployment)}
    slow = dict(slow or {})
    if tally.pending:
        totals = {place: total for place, total in totals.items() if total.calls}
        slow = {name: count for name, count in slow.items() if count}
    how = Counter(known.how for known in tally.known.values())
    means: dict[tuple[str, ...], float] = {each.labels: each.mean_seconds for each in slowest}
    return {
        **columns(_TOTALS, totals),
        "loom_statements_classified": {
            (each,): how[each] for each in fixed_values("loom_statements_classified")
        },
        "loom_statements_slow": {(name,): count for name, count in slow.items()},
        "loom_statements_unread": {(): len(tally.pending)},
        "loom_statement_slow_threshold_seconds": {(): deployment.slow_statement},
        "loom_statement_mean_exec_seconds": means,
        "loom_statement_info": {
            (each.labels.statement, each.labels.class_name, each.text): 1.0
            for each in slowest
            if each.text is not None
        },
        "loom_statement_resets_total": {(): tally.resets},
        "loom_statement_evictions_total": {(): tally.evictions},
        "loom_statement_windows_dropped_total": {
            (each,): tally.dropped.get(each, 0) for each in Break
        },
    }


def classes_of(deployment: Deployment) -> list[str]:
    """Return every value of the label `class`."""
    return [*deployment.classes, OTHER]


def class_roles(deployment: Deployment) -> list[tuple[str, str]]:
    """Return every pair of values of the labels `class` and `role`."""
    roles = (*deployment.statement_roles, OTHER)
    return [(name, role) for name in classes_of(deployment) for role in roles]
