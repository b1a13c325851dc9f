"""A baseline as a page of text for a person."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from exporter.baseline.artefact import Baseline, BaselineClass, Provenance
from exporter.durations import format_duration

_SOURCES = {
    "automatic": "collected hour by hour before the deployment",
    "captured": "captured on demand",
    "since_reset": "everything in pg_stat_statements",
}

_LEGEND = """\
known within: standard error of the mean
1 h, 6 h, 24 h: standard deviation between windows of this length while nothing changes
left out: how much hours of incidents would have raised the mean
"""


def baseline_text(baseline: Baseline) -> str:
    """Return the page that `baseline show` prints; times are UTC."""
    parts = [
        _printable([f"Baseline of {baseline.deployment} (times in UTC)"]),
        _printable(_aligned(_facts(baseline), left=2)),
    ]
    if baseline.classes:
        noise = ("known within", "1 h", "6 h", "24 h")
        heading = ("class", "role", "calls", "mean ms", *noise, "left out")
        rows = [heading, *(_class_row(each) for each in baseline.classes)]
        parts += [_printable(_aligned(rows, left=2)), _LEGEND]
    if baseline.gauges:
        rows = [("gauge", "taken", "series")]
        rows += [
            (each.metric, _time(each.taken_at), f"{len(each.series):,}") for each in baseline.gauges
        ]
        parts.append(_printable(_aligned(rows, left=2)))
    return "\n".join(parts)


def _facts(baseline: Baseline) -> list[tuple[str, str]]:
    window, identity = baseline.window, baseline.identity
    calls = sum(statement.calls for statement in baseline.statements)
    bucket = format_duration(window.bucket_seconds)
    facts = [
        ("source", f"{baseline.source}: {_SOURCES[baseline.source]}"),
        ("window", f"{_time(window.start)} to {_time(window.end)}"),
        ("kept", f"{window.buckets:,} buckets of {bucket}"),
    ]
    for excluded in window.excluded:
        times = f"{_time(excluded.start)} to {_time(excluded.end)}"
        facts.append(("excluded", f"{times}: {excluded.reason}"))
    too_many = f"; {baseline.left_out:,} more left out by the limit" if baseline.left_out else ""
    tried = baseline.backtest
    facts += [
        ("statements", f"{len(baseline.statements):,} with {calls:,} calls{too_many}"),
        ("evicted", f"{window.evictions:,} entries of pg_stat_statements"),
        (
            "backtest",
            f"{tried.pages:,} pages and {tried.tickets:,} tickets for noise in {tried.windows:,} "
            "hours that could be judged",
        ),
        ("created", f"{_time(baseline.created_at)} by loom-exporter {baseline.tool_version}"),
    ]
    return facts + _identity_facts(identity)


def _identity_facts(identity: Provenance) -> list[tuple[str, str]]:
    major, minor = divmod(identity.server_version_num, 10_000)
    settings = ", ".join(
        f"{name.removeprefix('pg_stat_statements.')} {value}"
        for name, value in sorted(identity.settings.items())
    )
    extension = (
        f"{identity.extension_version} in schema {identity.extension_schema}"
        if identity.extension_version
        else "not installed"
    )
    return [
        ("database", f"{identity.database_name} (OID {identity.database_oid})"),
        (
            "server",
            f"{identity.system_identifier or 'unknown'}, PostgreSQL {major}.{minor}, "
            f"running since {_time(identity.postmaster_start)}",
        ),
        ("extension", f"pg_stat_statements {extension}"),
        ("settings", settings or "unknown"),
    ]


def _class_row(each: BaselineClass) -> tuple[str, ...]:
    if not each.calls:
        return (each.class_name, each.role, "0", *[""] * 6)
    return (
        each.class_name,
        each.role,
        f"{each.calls:,}",
        f"{1000 * each.seconds / each.calls:,.3f}",
        f"± {each.relative_error:.1%}",
        f"± {each.hour_log_stddev:.1%}",
        f"± {each.six_hours_log_stddev:.1%}",
        f"± {each.day_log_stddev:.1%}",
        f"{each.moved - 1:+.0%}",
    )


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _aligned(rows: Sequence[tuple[str, ...]], *, left: int) -> Iterable[str]:
    """Yield the rows as aligned columns: the first `left` to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _printable(lines: Iterable[str]) -> str:
    """Return the lines without control characters: a name must not move the cursor."""
    return "".join(
        "".join(each if each.isprintable() else "?" for each in line) + "\n" for line in lines
    )
