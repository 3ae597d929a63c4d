"""Intervals across replications: independent runs of one scenario with different seeds, one value each.

mean       Student's t
quantile   order statistics with binomial ranks: exact whatever the distribution is (David and Nagaraja, Order Statistics, 2003,
           7.1). Here, and only here, the values are independent. Absent values ("never" reached) may stand as infinity
next one   where one further run will fall: what a user's own day looks like, not the mean of all days
paired     two variants on common random numbers: t of the differences, run by run
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy import stats

from sim.analysis.outcome import LEVEL, Floats, Interval, Refused, Values, confidence, finite

FEWEST: Final = 3
"""Replications below which a mean gets no interval: with two, t is 12.7 and says nothing of skewness."""
_TELLS: Final = 8
_SKEWED: Final = 1.0
_SKEWED_NOTE: Final = (
    "the replications are skewed: t covers less than it says (exponential values, 10 of them: 89%); the median does not mind"
)


def mean_of_replications(values: Values, level: float = LEVEL) -> Interval | Refused:
    """The mean over replications, Student's t. values: one a replication, shape (n,).

    Refused below 3, or where a value is not finite (it has no mean then: ask for the median).
    """
    return _t(values, level, "t over {n} replications", 0.0)


def next_replication(values: Values, level: float = LEVEL) -> Interval | Refused:
    """Where one further replication falls: mean and t with the spread of a single run, shape and refusals as the mean.

    Holds for values that are about normal; it is a prediction interval, wider than the mean's.
    """
    return _t(values, level, "prediction from {n} replications", 1.0)


def paired(first: Values, second: Values, level: float = LEVEL) -> Interval | Refused:
    """second - first over replications on common random numbers: two values a seed, each of shape (n,), in the same order.

    A note says by which factor pairing has reduced the variance. Raises ValueError where the lengths differ.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape:
        raise ValueError(f"{len(one)} and {len(other)} values are no pairs")
    found = _t(other - one, level, "paired t over {n} replications", 0.0)
    if isinstance(found, Refused):
        return found
    apart, together = float(one.var() + other.var()), float((other - one).var())
    note = (
        f"pairing divides the variance by {apart / together:.3g}" if together else "the difference is the same in every replication"
    )
    return Interval(found.estimate, found.low, found.high, found.n_eff, found.method, level, (note, *found.notes))


def quantile_of_replications(values: Values, q: float = 0.5, level: float = LEVEL) -> Interval | Refused:
    """The q-quantile of what one replication gives, by order statistics. values: one a replication, shape (n,); infinity is
    allowed.

    Of all pairs of ranks that hold at least `level` the closest; its real confidence is in `method`. Refused where no pair does:
    the median needs 6 replications at 95%, p90 needs 29. Raises ValueError for NaN.
    """
    found = np.sort(np.asarray(values, dtype=np.float64))
    confidence(level)
    if np.isnan(found).any():
        raise ValueError("a value is not a number")
    n = len(found)
    if not n:
        return Refused("there is no replication")
    estimate = float(found[min(max(math.ceil(q * n) - 1, 0), n - 1)]) if q != 0.5 else _median(found)
    below = stats.binom.cdf(np.arange(n), n, q)  # below[i]: at most i values under the quantile
    best: tuple[int, float, int, int] | None = None
    for low in range(1, n + 1):  # ranks from 1: the quantile lies between ranks low and high unless < low or >= high are below
        reached = below - (below[low - 1])
        high = int(np.searchsorted(reached, level - 1e-12)) + 1
        if high > n:
            break
        candidate = (high - low, -float(reached[high - 1]), low, high)
        best = min(best, candidate) if best else candidate
    if best is None:
        needed = _needed(q, level)
        return Refused(
            f"{n} replications have no {level:.0%} interval of p{100 * q:g} by order statistics: {needed} are needed", estimate, n
        )
    _, negative, low, high = best
    method = f"ranks {low} and {high} of {n} replications ({-negative:.1%})"
    return Interval(estimate, float(found[low - 1]), float(found[high - 1]), n, method, level)


def _median(ordered: Floats) -> float:
    n = len(ordered)
    low, high = float(ordered[(n - 1) // 2]), float(ordered[n // 2])
    return high if math.isinf(high) else (low + high) / 2


def _needed(q: float, level: float) -> int:
    """The fewest replications whose extremes hold the quantile with that confidence."""
    n = 2
    while 1 - q**n - (1 - q) ** n < level:
        n += 1
    return n


def _t(values: Values, level: float, method: str, single: float) -> Interval | Refused:
    confidence(level)
    raw = np.asarray(values, dtype=np.float64)
    n = len(raw)
    if n and not np.isfinite(raw).all():
        missing = int((~np.isfinite(raw)).sum())
        return Refused(f"{missing} of {n} replications have no value: ask for the median, which needs none from them", None, n)
    found = finite(raw)
    estimate = float(found.mean()) if n else None
    if n < FEWEST or estimate is None:
        return Refused(f"{n} replications are too few: at least {FEWEST} are needed", estimate, n)
    spread = float(found.std(ddof=1))
    arm = float(stats.t.ppf((1 + level) / 2, n - 1)) * spread * math.sqrt(single + 1 / n)
    skewed = n >= _TELLS and spread > 0 and abs(float(np.mean((found - estimate) ** 3))) > _SKEWED * float(found.std()) ** 3
    notes = (_SKEWED_NOTE,) if skewed else ()
    return Interval(estimate, estimate - arm, estimate + arm, n, method.format(n=n), level, notes)
