"""When something that grows reaches a level, such as the quota: from the curves of several replications.

One curve has no honest interval: its points are not independent of each other, and what it does next is one draw. So each
replication says its own time (seen, or extrapolated from its own curve), and the replications give

  the median, by order statistics: a replication that never gets there counts as infinity
  the mean, by t, where all get there
  where one further run falls: the answer to "when will mine?"

Extrapolation is a model (the growth goes on as it has been changing): no interval across replications knows whether it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize, stats

from sim.analysis.growth import Fit
from sim.analysis.outcome import LEVEL, Floats, Interval, Refused, Values, finite
from sim.analysis.replications import mean_of_replications, next_replication, quantile_of_replications

Extrapolate = Callable[[Floats, Floats, float], float | None]
_BLOCKS: Final = 12
_SURE: Final = 0.05
_GRID: Final = 400


@dataclass(frozen=True, slots=True)
class Reached:
    """When a level is reached, seconds since the start. times: of each replication, infinity where never; extrapolated: how many
    were.
    """

    times: Floats
    extrapolated: int
    median: Interval | Refused
    mean: Interval | Refused
    next: Interval | Refused


def time_to_grow(times: Floats, sizes: Floats, by: float) -> float | None:
    """Seconds until the last size has grown by so much more; None where it does not grow. times, sizes: shape (m,), at least 24
    points.

    Least squares on the rates of twelve blocks, which (unlike the sizes themselves) do not inherit each other's errors: a straight
    line where its slope is significant at 5%, else the mean rate of the last half.
    """
    edges = np.linspace(0, len(sizes) - 1, _BLOCKS + 1).astype(np.int64)
    rates = np.diff(sizes[edges]) / np.diff(times[edges])
    middles = (times[edges[1:]] + times[edges[:-1]]) / 2
    line = stats.linregress(middles, rates)
    now, acceleration = float(rates[_BLOCKS // 2 :].mean()), 0.0
    if line.pvalue < _SURE or not line.stderr:
        now, acceleration = float(line.intercept + line.slope * times[-1]), float(line.slope)
    if abs(acceleration) * by < 1e-12 * now * now:
        return by / now if now > 0 else None
    under = now * now + 2 * acceleration * by
    if under < 0 or (now <= 0 and acceleration <= 0):
        return None
    return float((math.sqrt(under) - now) / acceleration)


def time_to_level(
    curves: Sequence[tuple[Values, Values]], level_of_size: float, level: float = LEVEL, extrapolate: Extrapolate = time_to_grow
) -> Reached:
    """When each replication reaches a size, with intervals. curves: (times in seconds, sizes) of each replication, of shapes (m,),
    times rising.

    extrapolate(times, sizes, by) -> seconds or None: for those that have not yet; `sim.summary.time_to_grow` is another one. Raises
    ValueError for shapes that differ, or fewer than 24 points.
    """
    found, extrapolated = [], 0
    for one in curves:
        times, sizes = finite(one[0]), finite(one[1])
        if times.shape != sizes.shape or len(times) < 2 * _BLOCKS or (np.diff(times) <= 0).any():
            raise ValueError(f"a curve needs at least {2 * _BLOCKS} points at rising times")
        over = np.flatnonzero(sizes >= level_of_size)
        if len(over):
            found.append(_crossed(times, sizes, int(over[0]), level_of_size))
            continue
        left = extrapolate(times, sizes, level_of_size - float(sizes[-1]))
        extrapolated += left is not None
        found.append(math.inf if left is None else float(times[-1]) + left)
    reached = np.array(found)
    return Reached(
        reached, extrapolated, quantile_of_replications(reached, 0.5, level), mean_of_replications(reached, level),
        next_replication(reached, level),
    )  # fmt: skip


def crossing(law: Fit, size: float, furthest: float, level: float = LEVEL) -> Interval | Refused:
    """Where a fitted law reaches `size`: x with the interval on which the law's band holds it. furthest: the largest x to look at.

    Refused where law or band do not get there, or where the fit's residuals are correlated. For independent points, such as runs
    with different numbers of controllers: "how many controllers fill the quota?"
    """
    if law.notes:
        return Refused(law.notes[0])
    if isinstance(refused := law.band([furthest], level, of="law"), Refused):
        return refused

    grid = np.linspace(float(law.x.min()), furthest, _GRID)

    def above(x: Floats) -> dict[str, Floats]:
        band = law.band(x, level, of="law")
        assert not isinstance(band, Refused)
        return {"estimate": band.estimate - size, "high": band.high - size, "low": band.low - size}

    coarse = above(grid)

    def place(side: str) -> float | None:
        over = np.flatnonzero(coarse[side] >= 0)
        if not len(over):
            return None
        first = int(over[0])
        if not first:
            return float(grid[0])
        return float(optimize.brentq(lambda x: float(above(np.array([x]))[side][0]), grid[first - 1], grid[first]))

    at, early, late = place("estimate"), place("high"), place("low")
    if at is None or early is None:
        return Refused(f"{law.law.name} does not reach {size:g} before {furthest:g}")
    if late is None:
        return Refused(f"{law.law.name} reaches {size:g} at {at:.4g}, but its band may not before {furthest:g}", at, len(law.x))
    return Interval(at, early, late, len(law.x), f"inverted band of {law.law.name}", level)


def _crossed(times: Floats, sizes: Floats, at: int, size: float) -> float:
    if not at:
        return float(times[0])
    share = (size - sizes[at - 1]) / (sizes[at] - sizes[at - 1])
    return float(times[at - 1] + share * (times[at] - times[at - 1]))
