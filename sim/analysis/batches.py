"""The one estimate on which the intervals of a single run rest: a ratio of sums over consecutive batches.

The samples of a run are correlated: one that waited long is followed by others that wait long. So the run is cut into cells, in
order of time, each with a sum and a count of samples. The figure is the ratio of the totals R = sum s / sum c: a mean where s sums
values, a share where s counts. Cells need not hold equally many samples (windows of time do not): the residuals s - R c take care
of it (Cochran, Sampling Techniques, 1977, ch. 6; with equal counts this is batch means).

  correlation  what the variance of R is if all correlations are counted: the residuals' autocovariances, summed in pairs until a
               pair is no longer positive, and never rising (Geyer 1992, Statistical Science 7, 473-483, section 3.3)
  n_eff        the variance of one sample over that variance: so many independent samples would tell as much
  batches      8, 16 or 32, so that each holds some 40 effective samples or more: more batches bring nothing (Schmeiser 1982,
               Operations Research 30, 556-568: 10 to 30), and short ones hide correlation
  check        the batches' von Neumann ratio, one-sided at 1%: where neighbours still agree, half as many; at 8 no interval

What remains is Student's t over the batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.analysis.outcome import Floats, Refused

FEWEST_EFFECTIVE: Final = 300
"""Effective samples below which an interval of one run is refused."""
MOST_CELLS: Final = 512
FEWEST_BATCHES: Final = 8
_PER_BATCH: Final = 25
_FEWEST_PER_CELL: Final = 4
_MOST_BATCHES: Final = 32
_CORRELATED: Final = 2.326
"""One-sided 1% of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Batched:
    """A ratio of sums with its standard error over `batches` batches.

    skewness: of the batches' residuals; edges: first cell of each batch and the number of cells, shape (batches + 1,).
    """

    estimate: float
    error: float
    skewness: float
    n_eff: float
    edges: NDArray[np.int64]

    @property
    def batches(self) -> int:
        return len(self.edges) - 1


def cell_edges(n: int) -> NDArray[np.int64]:
    """Where to cut n values into at most MOST_CELLS cells, shape (cells + 1,); the cells differ by at most one value."""
    cells = max(1, min(MOST_CELLS, n // _FEWEST_PER_CELL))
    return np.linspace(0, n, cells + 1).astype(np.int64)


def long_run_variance(residuals: Floats) -> float:
    """Variance of the sum of residuals, per residual, with all their correlations. residuals: of mean zero, shape (n,)."""
    n = len(residuals)
    transformed = np.fft.rfft(residuals, 2 * n)
    covariances = np.fft.irfft(transformed * np.conj(transformed))[:n] / n
    pairs = covariances[0 : n - 1 : 2] + covariances[1:n:2]
    positive = len(pairs) if (pairs > 0).all() else int(np.argmin(pairs > 0))
    total = 2 * float(np.minimum.accumulate(pairs[:positive]).sum()) - float(covariances[0])
    return max(total, float(covariances[0]) / 2)


def neighbours_agree(batches: Floats) -> bool:
    """Whether neighbouring batches are more alike than independent ones would be, by the von Neumann ratio at 1%.

    batches: residuals, shape (b,). Von Neumann (1941), Annals of Mathematical Statistics 12, 367-395: 1 - ratio / 2 has mean 0 and
    variance (b - 2) / (b^2 - 1) for independent normal values.
    """
    b = len(batches)
    centred = batches - batches.mean()
    squares = float(centred @ centred)
    if not squares:
        return False
    likeness = 1 - float(np.sum(np.diff(centred) ** 2)) / (2 * squares)
    return likeness > _CORRELATED * math.sqrt((b - 2) / (b * b - 1))


def batched(sums: Floats, counts: Floats, variance: float, events: float = 1.0) -> Batched | Refused:
    """The ratio of the totals with its standard error over batches, or why there is none.

    sums, counts: of consecutive cells, shape (k,); variance: of one sample. events: the share of samples that carry the information
    (the exceedances of a quantile): fewer of them, fewer batches. The caller decides whether `n_eff` is enough.
    """
    cells, total = len(counts), float(counts.sum())
    if cells < FEWEST_BATCHES or not total:
        return Refused(f"{cells} sections of the run are too few: at least {FEWEST_BATCHES} are needed")
    estimate = float(sums.sum()) / total
    residuals = sums - estimate * counts
    if variance <= 0 or not residuals.any():
        return Batched(estimate, 0.0, 0.0, total, np.linspace(0, cells, FEWEST_BATCHES + 1).astype(np.int64))
    n_eff = min(variance * total**2 / (cells * long_run_variance(residuals)), total)
    wanted = min(10 * events, 1) * n_eff / _PER_BATCH
    batches = FEWEST_BATCHES
    while 2 * batches <= min(wanted, _MOST_BATCHES, cells / 2):
        batches *= 2
    while True:
        edges = np.linspace(0, cells, batches + 1).astype(np.int64)
        grouped = np.add.reduceat(residuals, edges[:-1])
        if not neighbours_agree(grouped):
            break
        if batches == FEWEST_BATCHES:
            return Refused(
                "neighbouring batches are still correlated at the longest batch that the run allows: run longer", estimate, n_eff
            )
        batches //= 2
    squares = float(grouped @ grouped)
    error = math.sqrt(squares * batches / (batches - 1)) / total
    skewness = float(np.sum(grouped**3)) * batches / ((batches - 1) * (batches - 2)) / (squares / (batches - 1)) ** 1.5
    return Batched(estimate, error, skewness, n_eff, edges)
