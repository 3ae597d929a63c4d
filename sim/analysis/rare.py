"""Rare events. The maximum and the p99.9 of a day are one draw of something: no interval of theirs comes from one day.

What can be said instead, over replications:

  the rate of episodes beyond a bound, with the exact Poisson interval (Garwood 1936, Biometrika 28, 437-442), and whether they are
  as evenly spread over the replications as a Poisson process would have them
  the probability that one day passes a bound, with the exact binomial interval (Clopper and Pearson 1934, Biometrika 26, 404-413)
  the quantiles of the day's maximum: `quantile_of_replications`

each with and without what the scenario has declared: a disk that stalls by calendar passes every bound, and says nothing of the
rest. Both intervals are exact: they hold the truth at least 95% of the time and, for rare events, more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from sim.analysis.outcome import LEVEL, Floats, Interval, Refused, Values, confidence, finite

_UNEVEN: Final = 0.01
DAY: Final = 86_400.0
"""Seconds."""


def rate(count: int, exposure: float, level: float = LEVEL) -> Interval:
    """Events per unit of exposure, Poisson, exact. exposure: the total over replications, such as days.

    Without an event the lower end is 0 and the upper one -ln((1 - level) / 2) / exposure. Raises ValueError for a negative count or
    no exposure.
    """
    tail = (1 - confidence(level)) / 2
    if count < 0 or not exposure > 0:
        raise ValueError(f"{count} events in {exposure}: a count from 0 on and a positive exposure are expected")
    low = float(stats.chi2.ppf(tail, 2 * count)) / 2 / exposure if count else 0.0
    high = float(stats.chi2.ppf(1 - tail, 2 * count + 2)) / 2 / exposure
    return Interval(count / exposure, low, high, count, f"exact Poisson, {count} events in {exposure:g}", level)


def probability(passed: int, trials: int, level: float = LEVEL) -> Interval:
    """The probability that one trial passes, Clopper-Pearson. Raises ValueError where passed is not between 0 and trials, or
    without a trial.
    """
    tail = (1 - confidence(level)) / 2
    if not 0 <= passed <= trials or not trials:
        raise ValueError(f"{passed} of {trials}: a count between 0 and at least one trial is expected")
    low = float(stats.beta.ppf(tail, passed, trials - passed + 1)) if passed else 0.0
    high = float(stats.beta.ppf(1 - tail, passed + 1, trials - passed)) if passed < trials else 1.0
    return Interval(passed / trials, low, high, trials, f"Clopper-Pearson, {passed} of {trials}", level)


def passes(maxima: Values, bound: float, level: float = LEVEL) -> Interval | Refused:
    """The probability that one replication's maximum exceeds `bound`; maxima: one a replication, shape (n,), e.g. of a day each."""
    found = finite(maxima)
    if not len(found):
        return Refused("there is no replication")
    return probability(int((found > bound).sum()), len(found), level)


def episodes(times: Values, values: Values, beyond: float, gap: float) -> Floats:
    """When episodes beyond a bound began: exceedances no more than `gap` apart are one episode, not many.

    times: rising, seconds, shape (n,); values: at these times. One stalled fsync delays hundreds of requests: counted one by one
    they would be taken for hundreds of independent events. Raises ValueError where the shapes differ or times fall.
    """
    at, found = finite(times), finite(values)
    if at.shape != found.shape or (np.diff(at) < 0).any():
        raise ValueError("times and values have to be of one length, times rising")
    over = at[found > beyond]
    return over[np.concatenate([[True], np.diff(over) > gap])] if len(over) else over


@dataclass(frozen=True, slots=True)
class Stalls:
    """Episodes beyond a bound, per day: of all, and of those that did not begin in a declared stall.

    dispersion: variance over mean of the undeclared counts of the replications, None for one replication; p_value: that it is 1.
    """

    everything: Interval
    undeclared: Interval
    dispersion: float | None
    p_value: float | None

    @property
    def evenly_spread(self) -> bool:
        """Whether a Poisson process could have spread them so; if not, the intervals are too narrow: use `mean_of_replications` of
        counts.
        """
        return self.p_value is None or self.p_value >= _UNEVEN


def stalls_per_day(
    began: Sequence[Values], seconds: float, declared: Sequence[Sequence[tuple[float, float]]] = (), level: float = LEVEL
) -> Stalls:
    """The rate of episodes over replications. began: their times in each replication, seconds (see `episodes`); seconds: of one
    replication.

    declared: for each replication the (start, end) of stalls that the scenario declares, to be taken out with the time that they
    last. Raises ValueError without a replication, or where `declared` is given for another number of them.
    """
    if not began or not seconds > 0:
        raise ValueError("at least one replication of positive length is needed")
    if declared and len(declared) != len(began):
        raise ValueError(f"{len(declared)} lists of declared stalls for {len(began)} replications")
    of_all, of_rest, out = 0, [], 0.0
    for number, times in enumerate(began):
        at = finite(times)
        spans = _joined(declared[number], seconds) if declared else []
        inside = np.zeros(len(at), dtype=bool)
        for start, end in spans:
            inside |= (at >= start) & (at <= end)
            out += end - start
        of_all += len(at)
        of_rest.append(int((~inside).sum()))
    left = seconds * len(began) - out
    if left <= 0:
        raise ValueError("the declared stalls leave no time")
    mean, dispersion, p_value = float(np.mean(of_rest)), None, None
    if len(began) > 1 and mean:
        dispersion = float(np.var(of_rest, ddof=1)) / mean
        p_value = float(stats.chi2.sf(dispersion * (len(began) - 1), len(began) - 1))
    return Stalls(
        rate(of_all, seconds * len(began) / DAY, level), rate(sum(of_rest), left / DAY, level), dispersion, p_value
    )  # fmt: skip


def _joined(spans: Sequence[tuple[float, float]], horizon: float) -> list[tuple[float, float]]:
    """The spans within the horizon without overlap. Raises ValueError for one that ends before it starts."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if end < start or math.isnan(start) or math.isnan(end):
            raise ValueError(f"a stall from {start} to {end}")
        start, end = max(start, 0.0), min(end, horizon)
        if end <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined
