"""Simulated databases: the traffic of one class of statements, before and after a deployment.

Only what pg_stat_statements would know is kept of each call: how many calls a statement had in a
slot of time, their sum, the sum of their squares, and the rows they returned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SHARES = (0.5, 0.3, 0.15, 0.05)
"""How the calls are divided among the statements, on average."""
MEANS_SECONDS = (0.002, 0.005, 0.010, 0.040)
"""The mean time of a call of each statement: 6 ms over all, times `World.scale`."""
ROWS = (1.0, 3.0, 10.0, 40.0)
"""Rows per call, on average."""

WEEK_HOURS = 7 * 24
WEEK_MINUTES = WEEK_HOURS * 60
INCIDENT_CALLS = (30, 18, 9, 3)
INCIDENT_SECONDS = 20.0

_DAY_SECONDS = 86_400
_SLOT_SECONDS = 300
"""The intensity of traffic is that of five minutes."""

_MIX_CONCENTRATION = 60.0
_TENANTS = 40
_TENANT_LOG_STDDEV = 0.25
_TENANT_HOURS = 3
_TENANT_ACTIVE = 0.35


@dataclass(frozen=True)
class World:
    """How a database behaves."""

    calls: float
    """Calls an hour, on average over a week."""
    log_stddev: float = 1.0
    """σ of the time of a call, including the differences between tenants."""
    scale: float = 10.0
    """Times 6 ms is the mean of a call."""
    hour_log_stddev: float = 0.15
    correlation: float = 0.7
    """Of the noise of an hour with that of the next."""
    day_log_stddev: float = 0.04
    stalls_a_day: float = 0.0
    stall_seconds: float = 20.0
    """How long a stall lasts on average; calls that arrive in it wait for its end."""
    growth: float = 0.0
    """By how much ln of the time of a call grows in a day."""
    baseline_days: int = 7
    is_rhythmic: bool = True
    """Whether there are day and night, bursts, and a mix of statements that drifts."""
    has_tenants: bool = True


class Grid(NamedTuple):
    """Statements by slots of time: their calls, and the sums of their seconds and squares."""

    calls: Floats
    seconds: Floats
    squares: Floats

    def times(self, factor: Floats | float) -> Grid:
        """Return the same calls, each taking `factor` times as long."""
        return Grid(self.calls, self.seconds * factor, self.squares * factor**2)

    def with_incident(self, slot: int) -> Grid:
        """Return the same with 60 calls of 20 s more in one slot."""
        calls, seconds, squares = (each.copy() for each in self)
        more = np.array(INCIDENT_CALLS)
        calls[:, slot] += more
        seconds[:, slot] += more * INCIDENT_SECONDS
        squares[:, slot] += more * INCIDENT_SECONDS**2
        return Grid(calls, seconds, squares)

    def by(self, slots: int) -> Grid:
        """Return the same with as many slots taken together."""
        shape = (self.calls.shape[0], -1, slots)
        return Grid(*(each.reshape(shape).sum(2) for each in self))


class History(NamedTuple):
    """A baseline, hour by hour from a Monday on, and the week after it, minute by minute."""

    baseline: Grid
    baseline_rows: Floats
    week: Grid
    week_rows: Floats
    """By hour, as those of the baseline."""


def draw(world: World, random: np.random.Generator) -> History:
    """Draw a baseline and the week after the deployment, in which nothing changes."""
    days = world.baseline_days + 7
    slot = _arrivals(world, days, random)
    at = (slot + random.random(slot.size)) * _SLOT_SECONDS
    hour = slot * _SLOT_SECONDS // 3600
    statement = _statements(world, hour, days * 24, random)
    logs = _call_logs(world, hour, days * 24, random)
    logs += _levels(world, days, random)[hour]
    seconds = np.exp(logs) * np.array(MEANS_SECONDS)[statement] * world.scale
    _stall(world, at, seconds, days, random)
    ended = at + seconds
    begin = world.baseline_days * _DAY_SECONDS
    baseline = _grid(ended, statement, seconds, world.baseline_days * 24, 3600)
    week = _grid(ended - begin, statement, seconds, WEEK_MINUTES, 60)
    return History(baseline, _rows(baseline.calls, random), week, _rows(week.by(60).calls, random))


def rhythm() -> Floats:
    """Return the intensity of traffic in each five minutes of a week, 1 on average.

    Half a sine from 6 to 21 h to the power 0.7, but at least 0.1; weekends 0.4 of that.
    """
    hours = (np.arange(7 * _DAY_SECONDS // _SLOT_SECONDS) + 0.5) * _SLOT_SECONDS / 3600
    sun = np.sin(np.pi * np.clip((hours % 24 - 6) / 15, 0, 1))
    intensity = np.maximum(np.maximum(sun, 0.0) ** 0.7, 0.1) * np.where(hours < 120, 1.0, 0.4)
    scaled: Floats = intensity / intensity.mean()
    return scaled


def _arrivals(world: World, days: int, random: np.random.Generator) -> Ints:
    """Return the slot of each call, in order; bursts are smoothed over fifteen minutes."""
    slots = days * _DAY_SECONDS // _SLOT_SECONDS
    intensity = np.ones(slots)
    if world.is_rhythmic:
        bursts = random.gamma(2, 0.5, slots + 2)
        intensity = np.resize(rhythm(), slots) * (bursts[:-2] + bursts[1:-1] + bursts[2:]) / 3
    counts = random.poisson(world.calls * _SLOT_SECONDS / 3600 * intensity)
    return np.repeat(np.arange(slots), counts)


def _statements(world: World, hour: Ints, hours: int, random: np.random.Generator) -> Ints:
    """Return the statement of each call; the mix is drawn each hour."""
    shares = np.array(SHARES)
    if not world.is_rhythmic:
        return random.choice(shares.size, hour.size, p=shares)
    return _chosen(random.dirichlet(_MIX_CONCENTRATION * shares, hours), hour, random)


def _call_logs(world: World, hour: Ints, hours: int, random: np.random.Generator) -> Floats:
    """Return the logarithm of each call's time over the mean of its statement."""
    if not world.has_tenants:
        return random.normal(-(world.log_stddev**2) / 2, world.log_stddev, hour.size)
    within = math.sqrt(world.log_stddev**2 - _TENANT_LOG_STDDEV**2)
    factors = random.normal(-(_TENANT_LOG_STDDEV**2) / 2, _TENANT_LOG_STDDEV, _TENANTS)
    runs = -(-hours // _TENANT_HOURS)
    is_active = random.random((runs, _TENANTS)) < _TENANT_ACTIVE
    weights = np.where(is_active, 1 / np.arange(1, _TENANTS + 1), 1e-12)
    tenant = _chosen(weights, hour // _TENANT_HOURS, random)
    logs: Floats = random.normal(-(within**2) / 2, within, hour.size) + factors[tenant]
    return logs


def _levels(world: World, days: int, random: np.random.Generator) -> Floats:
    """Return the logarithm of how slow each hour is, for all statements alike."""
    steps = random.normal(0, world.hour_log_stddev, days * 24)
    steps[1:] *= math.sqrt(1 - world.correlation**2)
    levels = np.empty(steps.size)
    level = 0.0
    for number, step in enumerate(steps):
        level = world.correlation * level + step
        levels[number] = level
    day = np.repeat(random.normal(0, world.day_log_stddev, days), 24)
    grown = world.growth * ((np.arange(days * 24) + 0.5) / 24 - world.baseline_days)
    total: Floats = levels + day + grown
    return total


def _stall(
    world: World, at: Floats, seconds: Floats, days: int, random: np.random.Generator
) -> None:
    """Let the calls that arrive in a stall wait for its end; `at` is sorted by slots only."""
    count = random.poisson(world.stalls_a_day * days)
    begins = random.random(count) * days * _DAY_SECONDS
    for begin, length in zip(begins, random.exponential(world.stall_seconds, count), strict=True):
        first = np.searchsorted(at // _SLOT_SECONDS, begin // _SLOT_SECONDS)
        last = np.searchsorted(at // _SLOT_SECONDS, (begin + length) // _SLOT_SECONDS, "right")
        waits = begin + length - at[first:last]
        seconds[first:last] += np.where((waits > 0) & (waits <= length), waits, 0.0)


def _chosen(weights: Floats, row: Ints, random: np.random.Generator) -> Ints:
    """Return a column for each call, with the probabilities of its row of `weights`."""
    cumulated = np.cumsum(weights, axis=1)
    cumulated /= cumulated[:, -1:]
    flat = (cumulated + np.arange(len(weights))[:, None]).ravel()
    found = np.searchsorted(flat, row + random.random(row.size), "right")
    column: Ints = np.minimum(found - row * weights.shape[1], weights.shape[1] - 1)
    return column


def _grid(ended: Floats, statement: Ints, seconds: Floats, slots: int, width: int) -> Grid:
    """Return the sums by statement and slot of the calls that ended in one of the slots."""
    slot = np.floor(ended / width).astype(np.int64)
    is_in = (slot >= 0) & (slot < slots)
    place, kept = statement[is_in] * slots + slot[is_in], seconds[is_in]

    def summed(weights: Floats) -> Floats:
        sums = np.bincount(place, weights, len(SHARES) * slots).astype(np.float64)
        return sums.reshape(len(SHARES), slots)

    return Grid(summed(np.ones(kept.size)), summed(kept), summed(kept**2))


def _rows(calls: Floats, random: np.random.Generator) -> Floats:
    """Return the rows that calls return: for each call, a Poisson of an exponential."""
    means = np.array(ROWS)[:, None]
    rows: Floats = random.poisson(random.gamma(np.maximum(calls, 1e-12)) * means).astype(float)
    return rows
