"""Laws of durations as quantile tables: what `sim.streams.Delays` inverts, one uniform a draw.

A table has TABLE entries in nanoseconds, rising; entry i is the quantile at (i + 1/2) / TABLE. Its mean is therefore the
law's mean up to what lies in the outermost 1/8192 of the tail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sim.streams import TABLE

Table = NDArray[np.float64]

_PROBABILITIES: Table = (np.arange(TABLE) + 0.5) / TABLE
_Z99 = float(special.ndtri(0.99))


def constant(value: float) -> Table:
    """Every draw is `value` nanoseconds."""
    return np.full(TABLE, float(value))


def lognormal(median: float, p99: float) -> Table:
    """Lognormal through its median and 99th percentile, nanoseconds; the median alone where both are equal."""
    sigma = np.log(p99 / median) / _Z99
    return np.asarray(median * np.exp(sigma * special.ndtri(_PROBABILITIES)), dtype=np.float64)


def gamma(mean: float, sd: float) -> Table:
    """Gamma law with this mean and standard deviation, nanoseconds."""
    shape = (mean / sd) ** 2
    return np.asarray(special.gammaincinv(shape, _PROBABILITIES) * (mean / shape), dtype=np.float64)


def exponential(mean: float) -> Table:
    """Exponential law, nanoseconds: the M of queueing theory."""
    return np.asarray(-mean * np.log1p(-_PROBABILITIES), dtype=np.float64)


def empirical(quantiles: Mapping[float, float]) -> Table:
    """Measured quantiles (probability -> nanoseconds), linear between the points."""
    points = sorted(quantiles.items())
    return np.interp(_PROBABILITIES, [p for p, _ in points], [float(v) for _, v in points])


def mixture(parts: Sequence[tuple[float, Table]]) -> Table:
    """A draw from one of several laws, chosen by weight: the quantiles of the weighted sample of all tables."""
    values = np.concatenate([table for _, table in parts])
    weights = np.concatenate([np.full(TABLE, weight / TABLE) for weight, _ in parts])
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    cumulative /= cumulative[-1]
    return values[order][np.searchsorted(cumulative, _PROBABILITIES)]
