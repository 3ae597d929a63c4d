"""How much of a steady run's beginning to leave out: MSER-5.

Batches of five; leaving out the first d of them, the squared standard error that the rest would have if its batches were
independent is g(d) = sum (Y_i - mean)^2 / (n - d)^2. The cut is where g is least: what is left out is then worth less than
the bias it brings. White (1997), "An effective truncation heuristic for bias reduction in simulation output", Simulation 69;
batches of five: White, Cobb and Spratt (2000), Winter Simulation Conference, 755-760.

Guards: the last five batches are no candidates (a few values that happen to agree would always win), and a minimum in the second
half says that the run has not settled, whatever it is. A run that grows without end never settles: it is terminating.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BATCH: Final = 5
_SPARED: Final = 5
_ROUNDING: Final = 1e-9
_FEWEST: Final = 20
"""Batches below which nothing is said."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """cut: how many leading values to leave out, None where the run has not settled; reason: why, empty where it has."""

    cut: int | None
    reason: str = ""

    @property
    def settled(self) -> bool:
        return self.cut is not None


def mser5(values: ArrayLike, batch: int = _BATCH) -> WarmUp:
    """The warm-up of a run by MSER. values: in order of time, equally spaced or one a customer, shape (n,).

    batch: 5 for single values; 1 where each value is itself a mean of many (windows). Raises ValueError for values that are not
    finite.
    """
    found: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError("values have to be finite and of one dimension")
    n = len(found) // batch
    if n < _FEWEST:
        return WarmUp(None, f"{len(found)} values are too few to tell a warm-up: at least {_FEWEST * batch} are needed")
    means = found[: n * batch].reshape(n, batch).mean(axis=1)
    means -= means.mean()  # or the difference of two large sums is mostly rounding
    left = np.arange(n, 0, -1)
    rest = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum(means[::-1] ** 2)[::-1]
    least = left * (_ROUNDING * float(np.abs(found).max())) ** 2  # of constant values only rounding is left, which says nothing
    error = np.maximum(squares - rest**2 / left, least) / left**2
    cut = int(np.argmin(error[: n - _SPARED]))
    if cut > n // 2:
        return WarmUp(
            None, f"not settled: the best cut is at {cut / n:.0%} of the run, in its second half; run longer, or is it growing?"
        )
    return WarmUp(cut * batch)
