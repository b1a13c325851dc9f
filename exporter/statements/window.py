"""What happened between two polls, for those who make more of it than counters by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from exporter.catalog import Metric
from exporter.collect.snapshot import Samples
from exporter.database.identity import DatabaseIdentity
from exporter.statements.tally import Counted


@dataclass(frozen=True, slots=True)
class PollWindow:
    """New calls from one poll to the next, by the server's clock.

    Calls are in it whose statement became known by now, as a rule all of them. `lost` names the
    classes of which an entry ended: calls of theirs may be missing. `resets` counts the entries
    that were reset, `evictions` how often others were thrown out; `stats_reset` is when all of them
    last were.
    """

    started_at: datetime
    ended_at: datetime
    counted: Sequence[Counted]
    lost: frozenset[str] = frozenset()
    resets: int = 0
    evictions: int = 0
    stats_reset: datetime | None = None

    @property
    def seconds(self) -> float:
        """How long the window is; 0 if the server's clock was set back in it."""
        return max((self.ended_at - self.started_at).total_seconds(), 0.0)


class Follower(Protocol):
    """Somebody who is told of each window, in a thread, and has metrics to add to the poll's."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by name."""

    def on_poll(self, owner: DatabaseIdentity, window: PollWindow | None) -> Samples:
        """Take a window in, None for the first poll ever, and return the samples of the metrics.

        Called when the poll is counted and written down: who is killed before that loses it.
        """
