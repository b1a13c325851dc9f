"""How uncertain a baseline is: the error of its expectations, and the noise of a window.

What makes an hour slow goes on into the next hour, so six hours are quieter than one, but less so
than six independent hours would be. Therefore the noise of each length of window is estimated from
the baseline's own blocks of that length, and not derived from that of an hour.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from exporter.clock import HOURS_OF_A_DAY
from exporter.comparison.robust import stddev_between
from exporter.comparison.rule import LEAST_CALLS, LEVEL_DAYS
from exporter.comparison.sums import Sums, relative_variance

DEFAULT_LOG_STDDEV = 0.1
"""τ of an hour where no two hours can be compared, and its least value where few can: 10 % is
usual."""

# With fewer hours, chance alone makes some baselines look so even that noise pages later.
_ENOUGH_HOURS = 10
# Blocks that are taken to be as noisy as a shorter one. They matter where there are few others.
_PRIOR_BLOCKS = 2
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class BaselineNoise:
    """How uncertain a baseline is. All of it is relative, on a logarithmic scale."""

    relative_error: float = 0.0
    """ε, the standard error of the expected time."""
    hour: float = 0.0
    """τ(1h), how much an hour differs from the expectation although nothing has changed."""
    six_hours: float = 0.0
    """τ(6h), the same for six hours."""
    day: float = 0.0
    """τ(24h), the same for a day."""

    def log_stddev(self, hours: float) -> float:
        """Return τ of a window of this many hours.

        That of the longest block that fits into the window, as it is: it is not divided by √h. An
        hour's stands for parts of an hour too, because what makes an hour slow does not average out
        within it. Beyond a day it is τ(24h)/√days, for up to seven days: blocks a day apart are
        nearly independent, whatever the autocorrelation from hour to hour.
        """
        if hours < 6:
            return self.hour
        if hours < HOURS_OF_A_DAY:
            return self.six_hours
        return self.day / math.sqrt(min(hours / HOURS_OF_A_DAY, LEVEL_DAYS))


def pooled_noise(parts: Iterable[tuple[float, BaselineNoise]]) -> BaselineNoise:
    """Return the noise of several roles, or classes, taken together.

    The errors of their expectations are independent, but an hour that is slow is slow for all:

        ε² = Σ(E·ε)² / (ΣE)²        τ = ΣE·τ / ΣE

    Args:
        parts: E, the expected seconds of each, and its noise.
    """
    known = [(expected, noise) for expected, noise in parts if expected > 0]
    total = math.fsum(expected for expected, _ in known)
    if not known:
        return BaselineNoise()
    squared = math.fsum((expected * noise.relative_error) ** 2 for expected, noise in known)

    def mean(values: Iterable[float]) -> float:
        weighted = (expected * value for (expected, _), value in zip(known, values, strict=True))
        return math.fsum(weighted) / total

    return BaselineNoise(
        math.sqrt(squared) / total,
        mean(noise.hour for _, noise in known),
        mean(noise.six_hours for _, noise in known),
        mean(noise.day for _, noise in known),
    )


def window_noise(
    hours: Mapping[float, Sums],
    mean_error: float,
    *,
    bucket_seconds: float = 3600.0,
    hour_seconds: float = 3600.0,
) -> BaselineNoise:
    """Return how uncertain the baseline of a class, as one role, is.

        τ(L)² = (k·τ_own² + 2·τ_shorter²) / (k + 2)    not below τ_shorter²·L_shorter/L
        ε²    = mean_error² + τ(H)²                    H the hours of the baseline, a week at most

    τ_own comes from the k blocks of length L (`stddev_between`), averaged over all hours at which
    the first block can begin; each block has at least five calls. Two further blocks are taken to
    be as noisy as one of the shorter length, so that few blocks, which may look even by chance,
    give a conservative value, and no block at all gives that of the shorter length. A longer block
    is not quieter than if its parts were independent.

    Args:
        hours: by the Unix time of their beginning, the sums of their calls against the expectations
            of this baseline; those that were left out of the expectations may be missing.
        mean_error: the relative standard error of the expected time by the spread of calls alone.
        bucket_seconds: how long each of these hours really is: a captured baseline has shorter
            ones. The noise between minutes tells little about that between hours.
        hour_seconds: how long an hour is; shorter in a rehearsal.
    """
    seen = len(hours) * bucket_seconds / hour_seconds
    squared = DEFAULT_LOG_STDDEV**2
    if bucket_seconds < hour_seconds:
        squared = max(squared, _own_variance(hours, bucket_seconds, bucket_seconds)[0])
    own, count = _own_variance(hours, bucket_seconds, hour_seconds)
    if not count:
        own = squared
    found = [max(own, squared) if seen < _ENOUGH_HOURS else own]
    for shorter, length in pairwise((1, 6, HOURS_OF_A_DAY)):
        own, count = _own_variance(hours, bucket_seconds, hour_seconds, length)
        shared = (count * own + _PRIOR_BLOCKS * found[-1]) / (count + _PRIOR_BLOCKS)
        found.append(max(shared, found[-1] * shorter / length))
    noise = BaselineNoise(0.0, *map(math.sqrt, found))
    return replace(noise, relative_error=math.hypot(mean_error, noise.log_stddev(seen)))


def _own_variance(
    hours: Mapping[float, Sums], bucket_seconds: float, hour_seconds: float, length: int = 1
) -> tuple[float, float]:
    """Return τ_own², and from how many blocks it comes."""
    squares, counts = [], []
    for offset in range(length):
        compared = [
            (math.log(sums.seconds / sums.expected_seconds), relative_variance(sums))
            for sums in _blocks(hours, bucket_seconds, length * hour_seconds, offset * hour_seconds)
            if sums.calls >= LEAST_CALLS and sums.seconds > 0 and sums.expected_seconds > 0
        ]
        if len(compared) > 1:
            values, variances = zip(*compared, strict=True)
            squares.append(stddev_between(values, variances) ** 2)
            counts.append(len(compared))
    return (statistics.fmean(squares), statistics.fmean(counts)) if squares else (0.0, 0.0)


def _blocks(
    hours: Mapping[float, Sums], bucket_seconds: float, width: float, offset: float
) -> list[Sums]:
    """Return the sums of all whole blocks; the first begins `offset` after the first hour."""
    if not hours:
        return []
    first, last = min(hours) + offset, max(hours) + bucket_seconds
    count = math.floor((last - first) / width + _ROUNDING)
    blocks = [Sums()] * max(count, 0)
    for start, sums in hours.items():
        number = math.floor((start - first) / width + _ROUNDING)
        if 0 <= number < count:
            blocks[number] = blocks[number].plus(sums)
    return blocks
