"""Laws of durations as quantile tables: what `sim.streams.Delays` inverts, one uniform a draw.

A table holds the quantiles at `sim.streams.PROBABILITIES` in nanoseconds, rising, and finely where a day's maxima come from.
Its mean is the law's mean but for rounding within a slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sim.streams import PROBABILITIES, WEIGHTS

Table = NDArray[np.float64]

_Z99 = float(special.ndtri(0.99))


def constant(value: float) -> Table:
    """Every draw is `value` nanoseconds."""
    return np.full(len(PROBABILITIES), float(value))


def lognormal(median: float, p99: float) -> Table:
    """Lognormal through its median and 99th percentile, nanoseconds; the median alone where both are equal."""
    sigma = np.log(p99 / median) / _Z99
    return np.asarray(median * np.exp(sigma * special.ndtri(PROBABILITIES)), dtype=np.float64)


@lru_cache(64)
def gamma(mean: float, sd: float) -> Table:
    """Gamma law with this mean and standard deviation, nanoseconds; read-only, for its inversion is dear and each run asks anew."""
    shape = (mean / sd) ** 2
    found: Table = np.asarray(special.gammaincinv(shape, PROBABILITIES) * (mean / shape), dtype=np.float64)
    found.flags.writeable = False
    return found


def exponential(mean: float) -> Table:
    """Exponential law, nanoseconds: the M of queueing theory."""
    return np.asarray(-mean * np.log1p(-PROBABILITIES), dtype=np.float64)


def empirical(quantiles: Mapping[float, float]) -> Table:
    """Measured quantiles (probability -> nanoseconds), linear between the points."""
    points = sorted(quantiles.items())
    return np.interp(PROBABILITIES, [p for p, _ in points], [float(v) for _, v in points])


def mixture(parts: Sequence[tuple[float, Table]]) -> Table:
    """A draw from one of several laws, chosen by weight: the quantiles of the weighted sample of all tables."""
    values = np.concatenate([table for _, table in parts])
    weights = np.concatenate([WEIGHTS * weight for weight, _ in parts])
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    cumulative /= cumulative[-1]
    return values[order][np.searchsorted(cumulative, PROBABILITIES)]
