"""The time of the exporter, and how long its hour is: 3600 s, less only in a rehearsal."""

import time
from dataclasses import dataclass

HOURS_OF_A_DAY = 24
HOURS_OF_A_WEEK = 7 * HOURS_OF_A_DAY

_EPOCH_HOUR_OF_WEEK = 3 * HOURS_OF_A_DAY
"""The Unix epoch was the beginning of a Thursday."""

_WEEKEND = 5 * HOURS_OF_A_DAY


@dataclass(frozen=True, slots=True)
class Clock:
    """Reads the time, and divides it into hours of `hour_seconds`; days and weeks follow."""

    hour_seconds: float = 3600.0

    def now(self) -> float:
        """Return the Unix time, in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return the seconds of a clock that is never set."""
        return time.monotonic()

    @property
    def minute_seconds(self) -> float:
        """Length of a minute, in seconds."""
        return self.hour_seconds / 60

    @property
    def day_seconds(self) -> float:
        """Length of a day, in seconds."""
        return HOURS_OF_A_DAY * self.hour_seconds

    def scaled(self, seconds: float) -> float:
        """Return how long a planned time takes by this clock, in seconds.

        >>> Clock(36.0).scaled(1800.0)
        18.0
        """
        return seconds * self.hour_seconds / 3600

    def start_of_hour(self, at: float) -> float:
        """Return the Unix time at which the hour of the Unix time `at` began."""
        return at - at % self.hour_seconds

    def hour_of_week(self, at: float) -> int:
        """Return the hours since Monday began, 0 to 167, in UTC, at the Unix time `at`.

        >>> clock = Clock()
        >>> [clock.hour_of_week(at) for at in (0, 4 * 86400, 4 * 86400 - 1)]
        [72, 0, 167]
        """
        return (int(at // self.hour_seconds) + _EPOCH_HOUR_OF_WEEK) % HOURS_OF_A_WEEK


def hour_of_day(hour_of_week: int) -> int:
    """Return the hour of the day, 0 to 23 on a weekday and 24 to 47 on a weekend.

    >>> hour_of_day(25), hour_of_day(5 * 24)
    (1, 24)
    """
    return hour_of_week % HOURS_OF_A_DAY + (HOURS_OF_A_DAY if hour_of_week >= _WEEKEND else 0)
