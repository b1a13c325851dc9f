"""Whether two polls can be compared: the same server answered, and its clock was not set."""

from enum import StrEnum

from exporter.statements.counters import Poll, is_older_copy

CLOCK_TOLERANCE_SECONDS = 10.0
"""How far the server's clock and ours may differ in the time between two polls."""


class Break(StrEnum):
    """Why two polls cannot be compared; the values are those of the label `reason`."""

    OTHER_SERVER = "other_server"
    CLOCK_STEP = "clock_step"


BREAKS = {
    Break.OTHER_SERVER: "another server answered",
    Break.CLOCK_STEP: "the server's clock was set",
}
"""The same in words."""


def break_between(previous: Poll, poll: Poll, elapsed_seconds: float | None) -> Break | None:
    """Return why two polls cannot be compared, or None if they can.

    After a failover, or where a pooler has several servers, the statistics are those of another
    server, with calls that were made long before. The hour of a call is not known where the clock
    was set.

    Args:
        previous: the poll before.
        poll: the later one.
        elapsed_seconds: time between the two by our own clock that is never set; None if the
            exporter was started in between.
    """
    if _is_other_server(previous, poll) or is_older_copy(previous, poll):
        return Break.OTHER_SERVER
    passed = (poll.ended_at - previous.ended_at).total_seconds()
    if passed < 0:
        return Break.CLOCK_STEP
    if elapsed_seconds is not None and abs(passed - elapsed_seconds) > CLOCK_TOLERANCE_SECONDS:
        return Break.CLOCK_STEP
    return None


def _is_other_server(previous: Poll, poll: Poll) -> bool:
    """Return whether something was there before the previous poll, which did not see it.

    That is another start of the server, another reset, or an entry. What the server itself has
    started, reset or added since then is later than the previous poll.
    """
    began = previous.started_at
    for before, now in (
        (previous.postmaster_start, poll.postmaster_start),
        (previous.stats_reset, poll.stats_reset),
    ):
        if before is not None and now is not None and now != before and now < began:
            return True
    if previous.hidden:
        return False  # any of the entries may have been there
    for key, reading in poll.readings.items():
        if reading.since is not None and reading.since < began:
            known = previous.readings.get(key)
            if known is None or (known.since is not None and known.since != reading.since):
                return True
    return False
