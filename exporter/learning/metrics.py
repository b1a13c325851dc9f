"""The baseline, and the comparison with it, as metrics and samples."""

from collections.abc import Mapping
from enum import StrEnum

from exporter.baseline.artefact import Baseline
from exporter.baseline.codec import Refusal
from exporter.catalog import Catalog, Metric
from exporter.catalog.own_metrics import one_hot, own_metrics
from exporter.collect.snapshot import Samples, columns, unlabelled
from exporter.comparison.calls import ClassRole
from exporter.comparison.class_verdict import ClassResult
from exporter.comparison.sums import Sums


class BaselineState(StrEnum):
    """The state of the baseline; the values are those of the label `state`."""

    COLLECTING = "collecting"
    FROZEN = "frozen"
    MISSING = "missing"
    REFUSED = "refused"


_RULE_SUMS = (
    "loom_statement_matched_calls_total",
    "loom_statement_matched_exec_seconds_total",
    "loom_statement_expected_exec_seconds_total",
    "loom_statement_expected_exec_seconds_squared_total",
    "loom_statement_expected_variance_seconds_squared_total",
    "loom_statement_deviation_seconds_squared_total",
)
"""In the order of `Sums`."""
_OF_CLASS_ROLE = (
    "loom_baseline_calls",
    "loom_baseline_mean_exec_seconds",
    "loom_baseline_relative_error",
    "loom_baseline_moved_ratio",
)
_CHANGE = (
    "loom_statement_change_ratio",
    "loom_statement_change_ratio_lower",
    "loom_statement_change_ratio_upper",
)


def metrics(catalog: Catalog) -> dict[str, Metric]:
    """Return what is said of the baseline: own metrics, and each gauge as it was before."""
    return {
        **own_metrics("learning", "baseline", "comparison"),
        **{
            remembered(name): Metric(
                type="gauge",
                help=f"What {name} was before the deployment.",
                labels=metric.labels,
            )
            for name, metric in catalog.metrics().items()
            if metric.baseline
        },
    }


def remembered(metric: str) -> str:
    """Return the name under which a gauge is served as it was before the deployment."""
    return f"{metric}_baseline"


def matched_samples(sums: Mapping[ClassRole, Sums]) -> Samples:
    """Return the sums of the decision rule, by class and role."""
    return columns(_RULE_SUMS, sums)


def condition_samples(
    condition: BaselineState, refusal: Refusal | None, collected_seconds: float
) -> Samples:
    """Return the samples that are served with a baseline and without."""
    collected = collected_seconds if condition is BaselineState.COLLECTING else None
    return {
        "loom_baseline_state": one_hot("loom_baseline_state", condition),
        "loom_baseline_refused": one_hot("loom_baseline_refused", refusal),
        "loom_baseline_collected_seconds": unlabelled(collected),
    }


def gauges_before(baseline: Baseline, catalog: Catalog) -> Samples:
    """Return the remembered gauges, by metric; without those whose labels are others now."""
    now = catalog.metrics()
    return {
        gauge.metric: {each.labels: each.value for each in gauge.series}
        for gauge in baseline.gauges
        if (metric := now.get(gauge.metric))
        and metric.baseline
        and all(len(each.labels) == len(metric.labels) for each in gauge.series)
    }


def baseline_samples(baseline: Baseline, catalog: Catalog) -> Samples:
    """Return the samples of a baseline, and the gauges that it remembers."""
    window = baseline.window
    by_class_role = {
        (each.class_name, each.role): (
            each.calls,
            each.seconds / each.calls if each.calls else None,
            each.relative_error,
            each.moved,
        )
        for each in baseline.classes
    }
    noise: dict[tuple[str, ...], float] = {
        (each.class_name, each.role, window): value
        for each in baseline.classes
        for window, value in (
            ("1h", each.hour_log_stddev),
            ("6h", each.six_hours_log_stddev),
            ("24h", each.day_log_stddev),
        )
    }
    return {
        "loom_baseline_captured_timestamp_seconds": {(): baseline.created_at.timestamp()},
        "loom_baseline_window_seconds": {(): window.buckets * window.bucket_seconds},
        "loom_baseline_backtest_windows": {(): baseline.backtest.windows},
        "loom_baseline_backtest_pages": {(): baseline.backtest.pages},
        "loom_baseline_backtest_tickets": {(): baseline.backtest.tickets},
        "loom_baseline_window_log_stddev": noise,
        **columns(_OF_CLASS_ROLE, by_class_role),
        **{
            remembered(metric): series
            for metric, series in gauges_before(baseline, catalog).items()
        },
    }


def change_samples(results: Mapping[str, ClassResult]) -> Samples:
    """Return how the classes compare with the baseline; nothing of those without a call."""
    changes = {name: each.whole.change for name, each in results.items()}
    known = {name: change for name, change in changes.items() if change}
    return columns(
        _CHANGE, {(name,): (each.ratio, each.lower, each.upper) for name, each in known.items()}
    )
