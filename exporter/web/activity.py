"""What the board shows beside the verdict: queries and their states, and the slowest statements."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from exporter.collect.snapshot import Snapshot
from exporter.collect.store import SnapshotStore
from exporter.durations import format_duration
from exporter.redaction import redact
from exporter.verdict.metrics import PENDING
from exporter.wording import age, milliseconds, one_line


class QueryRow(NamedTuple):
    """A query; `status` is how its state looks: pass, fail, inconclusive or pending."""

    name: str
    state: str
    status: str
    detail: str
    answered: str
    every: str
    series: int

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to be said of it."""
        return self.status == "pass"


class SlowStatementRow(NamedTuple):
    """A slow statement, with its mean time over the last quarter of an hour."""

    mean: str
    class_name: str
    role: str
    text: str


def queries(
    board: SnapshotStore, interval_seconds: Mapping[str, float], now: float, ticks: float
) -> list[QueryRow]:
    """Return what feeds the board, the failing first.

    Args:
        board: what is known.
        interval_seconds: by the name of what runs.
        now: Unix time.
        ticks: `time.monotonic()`.
    """
    order = ("fail", "inconclusive", PENDING, "pass")
    rows = [
        QueryRow(
            snapshot.query,
            snapshot.state or "not run yet",
            _status(snapshot),
            one_line(redact(snapshot.detail)),
            f"{age(now - snapshot.last_success_at)} ago" if snapshot.last_success_at else "never",
            format_duration(interval_seconds[snapshot.query]),
            sum(map(len, snapshot.fresh_samples(ticks).values())),
        )
        for snapshot in board.latest()
    ]
    return sorted(rows, key=lambda row: (order.index(row.status), row.name))


def _status(snapshot: Snapshot) -> str:
    state = snapshot.state
    if state is None or not (state.is_success or state.is_failure):
        return PENDING
    if state.is_success:
        return "pass"
    return "inconclusive" if state.keeps_values else "fail"


def slowest(board: SnapshotStore, ticks: float) -> Iterator[SlowStatementRow]:
    """Yield the slowest statements at `ticks` (`time.monotonic()`), the slowest first.

    A statement has no text where `statement_text` is off.
    """
    info = samples(board, "loom_statement_info", ticks)
    texts = {statement: text for statement, _, text in info}
    means = samples(board, "loom_statement_mean_exec_seconds", ticks)
    for (statement, class_name, role), mean in sorted(
        means.items(), key=lambda item: (-item[1], item[0])
    ):
        text = one_line(texts.get(statement, ""))
        yield SlowStatementRow(
            milliseconds(mean), class_name, role, text or f"statement {statement}"
        )


def samples(board: SnapshotStore, metric: str, ticks: float) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric that are fresh at `ticks` (`time.monotonic()`)."""
    return {
        labels: value
        for snapshot in board.of_metric(metric)
        for labels, value in snapshot.fresh_samples(ticks).get(metric, {}).items()
    }
