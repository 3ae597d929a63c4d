"""`analysis: steady`: where the warm-up of a run ends.

MSER-5 (`sim.metrics.warmup`) looks at what has to settle in a steady state: puts, work that waits, and apply latency, as 240
means over the run, so that its batches of five are the run's 48 windows: what a controller does every few seconds happens in each
of them. The latest of the cuts counts; distributions without the warm-up are then exact sums of windows. Latency is looked at in
its logarithm: it has rare values a hundred times the others, and the least squared error otherwise lies behind the last of them
(of a stationary run's latencies in shuffled order, two of three "had not settled"; in the logarithm none).

What grows by bursts is the more variable the later it is: leaving out its beginning gains nothing, and MSER sees no growth. So
what is left is also asked whether its eighths rise or fall one after the other. A run that has not settled has no steady state to
speak of: nothing is cut, and no interval of it is given.
"""

from __future__ import annotations

import math
import warnings
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.metrics.warmup import mser5

WARM_UP: Final = "run.warm_up_seconds"
"""The figure that says how much was left out; without a value, and with the status `never`, where the run has not settled."""
_MEANS: Final = 240
_ENOUGH: Final = 100
"""Means of a series below which it says nothing."""
_LEAST: Final = 1e-9
"""A nanosecond, the least latency that there is."""
_PARTS: Final = 8
_SWAPPED: Final = 2
"""Of the 28 pairs of eight parts so many may be the wrong way round in what drifts (Kendall; by chance 2 runs of 1,000 do)."""


def settled_after(series: pd.DataFrame, windows: int) -> int | None:
    """How many of the run's equal windows are warm-up; None where the run has not settled. series: a row a step of the run."""
    cuts = [_cut(values) for signal in _signals(series) if np.isfinite(values := _means(signal)).sum() >= _ENOUGH]
    if not cuts or any(cut is None for cut in cuts):
        return None
    left_out = math.ceil(max(cut for cut in cuts if cut is not None) * windows / _MEANS)
    return left_out if 2 * left_out <= windows else None


def _signals(series: pd.DataFrame) -> list[NDArray[np.float64]]:
    """What has to settle, a value a step; NaN where there was nothing to measure."""
    puts = np.diff(series["etcd.puts"].to_numpy(dtype=np.float64), prepend=0.0)
    latency = np.log(np.maximum(series["etcd.apply_seconds.p50"].to_numpy(dtype=np.float64), _LEAST))
    return [puts, series["workqueue.depth"].to_numpy(dtype=np.float64), latency]


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of equal parts of the run, NaN where a part has no value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a part without values
        return np.array([np.nanmean(part) for part in np.array_split(values, _MEANS)])


def _cut(values: NDArray[np.float64]) -> int | None:
    """How many of the means MSER-5 leaves out, None where they do not settle."""
    present = np.flatnonzero(np.isfinite(values))
    cut = mser5(values[present]).cut
    if cut is None or _drifts(values[present[cut:]]):
        return None
    return int(present[cut]) if cut else 0


def _drifts(values: NDArray[np.float64]) -> bool:
    """Whether eight parts of the values rise or fall one after the other."""
    means = [part.mean() for part in np.array_split(values, _PARTS)]
    pairs = [float(np.sign(later - earlier)) for at, earlier in enumerate(means) for later in means[at + 1 :]]
    return abs(sum(pairs)) >= len(pairs) - 2 * _SWAPPED
