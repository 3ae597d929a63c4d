"""`analysis: steady`: where the warm-up of a run ends.

MSER-5 (`sim.metrics.warmup`) looks at what has to settle in a steady state: puts in each step, work that waits, apply latency. The
latest of their cuts counts, rounded up to the edge of a window, so that distributions without the warm-up are exact sums of
windows. Latency is looked at in its logarithm: it has rare values a hundred times the others, and a minimum of the squared error
otherwise lies behind the last of them (of a stationary run's latencies in shuffled order, two of three "had not settled"; in the
logarithm none). A run in which one of them does not settle has no steady state to speak of: nothing is cut, and no interval of it
is given.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.metrics.warmup import mser5

WARM_UP: Final = "run.warm_up_seconds"
"""The figure that says how much was left out; without a value, and with the status `never`, where the run has not settled."""
_LEAST: Final = 1e-9
"""A nanosecond, the least latency that there is."""
_ENOUGH: Final = 100
"""Values of a series below which it says nothing."""


def settled_after(series: pd.DataFrame, windows: int) -> int | None:
    """How many of the run's equal windows are warm-up; None where the run has not settled. series: a row a step of the run."""
    steps = len(series)
    cuts = [_cut(values) for values in _signals(series) if np.isfinite(values).sum() >= _ENOUGH]
    if not cuts or any(cut is None for cut in cuts):
        return None
    latest = max(cut for cut in cuts if cut is not None)
    left_out = math.ceil(latest * windows / steps)
    return left_out if 2 * left_out <= windows else None


def _signals(series: pd.DataFrame) -> list[NDArray[np.float64]]:
    """What has to settle, a value a step; NaN where there was nothing to measure."""
    puts = np.diff(series["etcd.puts"].to_numpy(dtype=np.float64), prepend=0.0)
    latency = np.log(np.maximum(series["etcd.apply_seconds.p50"].to_numpy(dtype=np.float64), _LEAST))
    return [puts, series["workqueue.depth"].to_numpy(dtype=np.float64), latency]


def _cut(values: NDArray[np.float64]) -> int | None:
    """How many steps MSER-5 leaves out, None where the values do not settle."""
    present = np.flatnonzero(np.isfinite(values))
    cut = mser5(values[present]).cut
    return None if cut is None else int(present[cut]) if cut else 0
