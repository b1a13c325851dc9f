"""What is exposed of the baseline: metrics, and their samples."""

from collections.abc import Mapping
from enum import StrEnum

from exporter.baseline.artefact import Baseline
from exporter.baseline.codec import Refusal
from exporter.catalog import Catalog, Metric
from exporter.collect.snapshot import Samples
from exporter.comparison.comparison import ClassResult, ClassRole
from exporter.comparison.rule import Sums


class BaselineState(StrEnum):
    """Where things stand with the baseline; the values are those of the label `state`."""

    COLLECTING = "collecting"
    FROZEN = "frozen"
    MISSING = "missing"
    REFUSED = "refused"


def _metric(kind: str, text: str, *labels: str) -> Metric:
    return Metric.model_validate({"type": kind, "help": text, "labels": labels, "value": "value"})


_PLACE = ("class", "role")

MATCHED: Mapping[str, Metric] = {
    name: _metric("counter", text, *_PLACE)
    for name, text in {
        "loom_statement_matched_calls_total": "Calls of statements that have a baseline (N).",
        "loom_statement_matched_exec_seconds_total": "Time that these calls took to execute (T).",
        "loom_statement_expected_exec_seconds_total": "Time that these calls would have taken at "
        "the means of the baseline (E).",
        "loom_statement_expected_exec_seconds_squared_total": "Sum of the squared means of the "
        "baseline over these calls (S).",
        "loom_statement_expected_variance_seconds_squared_total": "Sum of the variances of the "
        "baseline over these calls (W).",
        "loom_statement_deviation_seconds_squared_total": "Sum of the squared deviations of these "
        "calls from the means of the baseline (D).",
    }.items()
}
"""In the order of `Sums`."""

_BY_PLACE = {
    "loom_baseline_calls": "Calls in the baseline.",
    "loom_baseline_mean_exec_seconds": "Mean time of a call in the baseline.",
    "loom_baseline_relative_error": "Relative standard error of the time that calls are expected "
    "to take.",
    "loom_baseline_hour_log_stddev": "Standard deviation of the logarithm of an hour's actual over "
    "expected time, though nothing changes.",
}

_CHANGES = {
    "loom_statement_change_ratio": "Actual over expected time of the calls since the deployment "
    "and its warm-up.",
    "loom_statement_change_ratio_lower": "Lower end of the interval of that ratio.",
    "loom_statement_change_ratio_upper": "Upper end of the interval of that ratio.",
}

_OWN: Mapping[str, Metric] = {
    "loom_baseline_state": _metric("gauge", "Where things stand with the baseline.", "state"),
    "loom_baseline_refused": _metric("gauge", "Why the baseline is not used, if so.", "reason"),
    "loom_baseline_collected_seconds": _metric(
        "gauge", "Time of which a baseline has been collected, while it is."
    ),
    "loom_baseline_captured_timestamp_seconds": _metric(
        "gauge", "Unix time at which the baseline was made."
    ),
    "loom_baseline_window_seconds": _metric("gauge", "Time that the baseline rests on."),
    "loom_baseline_backtest_windows": _metric(
        "gauge", "Hours of the baseline itself on which the decision rule was tried."
    ),
    "loom_baseline_backtest_pages": _metric(
        "gauge", "How often the decision rule would have paged there, where nothing had changed."
    ),
    **{name: _metric("gauge", text, *_PLACE) for name, text in _BY_PLACE.items()},
    **{name: _metric("gauge", text, "class") for name, text in _CHANGES.items()},
}


def metrics(catalog: Catalog) -> dict[str, Metric]:
    """Return the metrics of the baseline: its own, and each gauge as it was."""
    return {
        **_OWN,
        **{
            remembered(name): Metric(
                type="gauge",
                help=f"What {name} was before the deployment.",
                labels=metric.labels,
                value="value",
            )
            for name, metric in catalog.metrics().items()
            if metric.baseline
        },
    }


def remembered(metric: str) -> str:
    """Return the name under which a gauge is shown as it was."""
    return f"{metric}_baseline"


def matched_samples(sums: Mapping[ClassRole, Sums]) -> Samples:
    """Return the samples of `MATCHED`."""
    return {
        name: {place: float(values[number]) for place, values in sums.items()}
        for number, name in enumerate(MATCHED)
    }


def condition_samples(
    condition: BaselineState, refusal: Refusal | None, collected_seconds: float
) -> Samples:
    """Return what is shown with a baseline and without."""
    is_collecting = condition is BaselineState.COLLECTING
    return {
        "loom_baseline_state": {(each,): float(each is condition) for each in BaselineState},
        "loom_baseline_refused": {(each,): float(each is refusal) for each in Refusal},
        "loom_baseline_collected_seconds": {(): collected_seconds} if is_collecting else {},
    }


def gauges_before(baseline: Baseline, catalog: Catalog) -> Samples:
    """Return the gauges as they were, by metric; none that has other labels by now."""
    now = catalog.metrics()
    return {
        gauge.metric: {each.labels: each.value for each in gauge.series}
        for gauge in baseline.gauges
        if (metric := now.get(gauge.metric))
        and metric.baseline
        and all(len(each.labels) == len(metric.labels) for each in gauge.series)
    }


def baseline_samples(baseline: Baseline, catalog: Catalog) -> Samples:
    """Return what a baseline says."""
    window = baseline.window
    by_place = {
        (each.class_name, each.role): (
            each.calls,
            each.seconds / each.calls if each.calls else None,
            each.relative_error,
            each.hour_log_stddev,
        )
        for each in baseline.classes
    }
    return {
        "loom_baseline_captured_timestamp_seconds": {(): baseline.created_at.timestamp()},
        "loom_baseline_window_seconds": {(): window.buckets * window.bucket_seconds},
        "loom_baseline_backtest_windows": {(): baseline.backtest.windows},
        "loom_baseline_backtest_pages": {(): baseline.backtest.pages},
        **{
            name: {
                place: value
                for place, values in by_place.items()
                if (value := values[number]) is not None
            }
            for number, name in enumerate(_BY_PLACE)
        },
        **{
            remembered(metric): series
            for metric, series in gauges_before(baseline, catalog).items()
        },
    }


def change_samples(changes: Mapping[str, ClassResult]) -> Samples:
    """Return how the classes compare with the baseline; nothing of those without a call."""
    known = {name: each.change for name, each in changes.items() if each.change}
    return {
        "loom_statement_change_ratio": {(name,): each.ratio for name, each in known.items()},
        "loom_statement_change_ratio_lower": {(name,): each.lower for name, each in known.items()},
        "loom_statement_change_ratio_upper": {(name,): each.upper for name, each in known.items()},
    }
