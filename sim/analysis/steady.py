"""Intervals for a mean and for a quantile from ONE steady run: of its samples in order, or of the windows that a run keeps.

Order statistics of a run's own samples are no interval: the samples are correlated, and for M/M/1 at a load of 0.9 such a "95%"
interval holds the truth 5 to 8% of the time (tests/analysis/test_coverage.py measures it). What is used instead (see
`sim.analysis.batches`):

  mean      batch means, Student's t, arms corrected for the skewness of the batches (Willink 2005, Communications in Statistics:
            Theory and Methods 34; the same correction as in Skart, Tafazzoli et al. 2011)
  quantile  inversion: the share of samples beyond the estimated quantile has a standard error over batches; the interval is what
            the run's own distribution has at p minus and plus t times that error (Woodruff 1952, Journal of the American
            Statistical Association 47, 635-646). It is as lopsided as the tail is, needs no quantile of a short section, and works
            on histograms as well
  sectioning  the usual alternative: the spread of the sections' own quantiles about the whole run's (Asmussen and Glynn, Stochastic
            Simulation, 2007, III.5a). Kept for comparison: near the refusal it covers less (docs/statistics.md)

A quantile is refused below 30 effective samples beyond it (on its rarer side): for p99 an effective sample of 3,000, for p99.9 of
30,000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import stats

from sim.analysis.batches import FEWEST_EFFECTIVE, Batched, batched, cell_edges
from sim.analysis.outcome import LEVEL, Floats, Interval, Refused, Values, confidence, finite
from sim.result import BUCKETS_PER_OCTAVE, Distribution

FEWEST_BEYOND: Final = 30
"""Effective samples beyond a quantile below which its interval is refused."""
_COARSE: Final = "from logarithmic buckets: each end is known to 2.2%"


def mean_of_run(values: Values, level: float = LEVEL) -> Interval | Refused:
    """The mean of a stationary run. values: its samples in order of time, warm-up left out, shape (n,).

    Refused below an effective sample of 300 or where batches stay correlated. Raises ValueError for values that are not finite.
    """
    found = finite(values)
    if len(found) < FEWEST_EFFECTIVE:
        return _few(len(found), float(found.mean()) if len(found) else None)
    edges = cell_edges(len(found))
    sums = np.add.reduceat(found, edges[:-1])
    return _mean(batched(sums, np.diff(edges).astype(np.float64), float(found.var())), level)


def mean_of_windows(windows: Sequence[Distribution], level: float = LEVEL) -> Interval | Refused:
    """The mean of a stationary run, seconds, from its consecutive windows: `run.windows[figure]` without the warm-up.

    The windows need not hold equally many samples. Refused as `mean_of_run`, and below 8 windows.
    """
    whole = Distribution.empty().merge(*windows)
    if whole.count < FEWEST_EFFECTIVE:
        return _few(whole.count, whole.mean)
    middles = whole.upper_seconds * 2 ** (-0.5 / BUCKETS_PER_OCTAVE)
    share = whole.counts / whole.count
    variance = float(share @ middles**2 - (share @ middles) ** 2)
    sums = np.array([window.sum_seconds for window in windows])
    counts = np.array([window.count for window in windows], dtype=np.float64)
    return _mean(batched(sums, counts, variance), level)


def quantile_of_run(values: Values, q: float, level: float = LEVEL) -> Interval | Refused:
    """The q-quantile of a stationary run by inversion. values: its samples in order of time, warm-up left out, shape (n,).

    Refused below 30 effective samples beyond it, below an effective sample of 300, or where batches stay correlated. Raises
    ValueError for values that are not finite or q outside of (0, 1).
    """
    found = finite(values)
    _share(q)
    n = len(found)
    if n * min(q, 1 - q) < FEWEST_BEYOND:
        return _few_beyond(n, min(q, 1 - q) * n, q, _order(found, q))
    estimate = _order(found, q)
    assert estimate is not None
    edges = cell_edges(n)
    counts = np.diff(edges).astype(np.float64)
    above = np.add.reduceat((found > estimate).astype(np.float64), edges[:-1])
    equal = np.add.reduceat((found == estimate).astype(np.float64), edges[:-1])
    beyond = above + equal * max(0.0, ((1 - q) * n - above.sum()) / equal.sum())  # of equal samples so many that the share is 1 - q
    spread = batched(beyond, counts, q * (1 - q), min(q, 1 - q))
    reach = _reach(spread, q, estimate, level)
    if isinstance(reach, Refused):
        return reach
    ends = np.partition(found, _ranks(n, [q - reach[0], q + reach[0]]))
    low, high = (float(ends[rank]) for rank in _ranks(n, [q - reach[0], q + reach[0]]))
    return Interval(estimate, low, high, reach[1].n_eff, f"inversion over {reach[1].batches} batches", level)


def quantile_of_windows(
    windows: Sequence[Distribution], q: float, level: float = LEVEL, *, independent: bool = False
) -> Interval | Refused:
    """The q-quantile of the samples of consecutive windows, seconds, by inversion.

    independent: they are whole replications, each a batch of its own (at least 3): nothing is then tested for correlation.
    """
    _share(q)
    kept = [window for window in windows if window.count]
    whole = Distribution.empty().merge(*kept)
    estimate = whole.quantile(q)
    if estimate is None or whole.count * min(q, 1 - q) < FEWEST_BEYOND:
        return _few_beyond(whole.count, min(q, 1 - q) * whole.count, q, estimate)
    counts = np.array([window.count for window in kept], dtype=np.float64)
    beyond = np.array([_beyond(window, estimate) for window in kept])
    if independent:
        if len(kept) < 3:
            return Refused(f"{len(kept)} replications are too few: at least 3 are needed", estimate)
        residuals = beyond - beyond.sum() / counts.sum() * counts
        error = math.sqrt(float(residuals @ residuals) * len(kept) / (len(kept) - 1)) / whole.count
        n_eff = min(q * (1 - q) / error**2, whole.count) if error else float(whole.count)
        spread: Batched | Refused = Batched(1 - q, error, 0.0, n_eff, np.arange(len(kept) + 1))
    else:
        spread = batched(beyond, counts, q * (1 - q), min(q, 1 - q))
    reach = _reach(spread, q, estimate, level)
    if isinstance(reach, Refused):
        return reach
    low, high = whole.quantile(q - reach[0]), whole.quantile(q + reach[0])
    assert low is not None
    assert high is not None
    over = "replications" if independent else "batches"
    return Interval(estimate, low, high, reach[1].n_eff, f"inversion over {reach[1].batches} {over}", level, (_COARSE,))


def quantile_by_sectioning(values: Values, q: float, level: float = LEVEL) -> Interval | Refused:
    """The q-quantile of a stationary run by sectioning: its estimate, and the spread of the sections' quantiles about it.

    Arguments, refusals and errors as `quantile_of_run`, whose intervals are the better ones.
    """
    found = finite(values)
    inverted = quantile_of_run(found, q, level)
    if isinstance(inverted, Refused):
        return inverted
    batches = 16 if inverted.n_eff * min(q, 1 - q) >= 80 else 8
    edges = np.linspace(0, len(found), batches + 1).astype(np.int64)
    own = np.array([_order(section, q) for section in np.split(found, edges[1:-1])])
    error = math.sqrt(float(np.sum((own - inverted.estimate) ** 2)) / (batches * (batches - 1)))
    arm = float(stats.t.ppf((1 + level) / 2, batches - 1)) * error
    estimate = inverted.estimate
    return Interval(estimate, estimate - arm, estimate + arm, inverted.n_eff, f"sectioning over {batches} sections", level)


def _mean(spread: Batched | Refused, level: float) -> Interval | Refused:
    if isinstance(spread, Refused):
        return spread
    if spread.n_eff < FEWEST_EFFECTIVE:
        return _few(spread.n_eff, spread.estimate)
    t = float(stats.t.ppf((1 + confidence(level)) / 2, spread.batches - 1))
    bend = spread.skewness / (6 * math.sqrt(spread.batches))
    low = spread.estimate - _bent(t, bend) * spread.error
    high = spread.estimate - _bent(-t, bend) * spread.error
    return Interval(spread.estimate, low, high, spread.n_eff, f"batch means over {spread.batches} batches", level)


def _bent(t: float, bend: float) -> float:
    """Willink's correction of a t quantile for skewness: bend is the skewness over 6 sqrt(n)."""
    if abs(bend) < 1e-3:
        return t
    return (math.cbrt(1 + 6 * bend * (t - bend)) - 1) / (2 * bend)


def _reach(spread: Batched | Refused, q: float, estimate: float, level: float) -> tuple[float, Batched] | Refused:
    """How far the interval reaches on either side of q, as a probability."""
    if isinstance(spread, Refused):
        return Refused(spread.reason, estimate, spread.n_eff)
    rarer = min(q, 1 - q)
    if spread.n_eff < FEWEST_EFFECTIVE or spread.n_eff * rarer < FEWEST_BEYOND:
        return _few_beyond(spread.n_eff, spread.n_eff * rarer, q, estimate)
    reach = float(stats.t.ppf((1 + confidence(level)) / 2, spread.batches - 1)) * spread.error
    if reach >= rarer:
        return Refused(f"the interval of {_named(q)} reaches beyond the most extreme sample: run longer", estimate, spread.n_eff)
    return reach, spread


def _beyond(window: Distribution, at: float) -> float:
    """How many samples of a window lie beyond `at` seconds, spread within a bucket as `Distribution.quantile` spreads them."""
    place = int(np.searchsorted(window.upper_seconds, at * (1 - 1e-12)))
    if place == len(window.counts):
        return 0.0
    above = float(window.counts[place + 1 :].sum())
    edge = float(window.upper_seconds[place])
    share = min(1.0, BUCKETS_PER_OCTAVE * math.log2(edge / at)) if at > 0 else 1.0
    return above + share * float(window.counts[place])


def _ranks(n: int, at: Sequence[float]) -> list[int]:
    return [min(max(math.ceil(q * n - 1e-9) - 1, 0), n - 1) for q in at]


def _order(values: Floats, q: float) -> float | None:
    """The smallest value that a share q of the values does not exceed."""
    if not len(values):
        return None
    (rank,) = _ranks(len(values), [q])
    return float(np.partition(values, rank)[rank])


def _share(q: float) -> None:
    if not 0 < q < 1:
        raise ValueError(f"quantile {q} is not between 0 and 1")


def _named(q: float) -> str:
    return f"p{100 * q:g}".replace(".", "")


def _few(n_eff: float, estimate: float | None) -> Refused:
    return Refused(f"the effective sample is {n_eff:.0f}: below {FEWEST_EFFECTIVE} no interval is given", estimate, n_eff)


def _few_beyond(n_eff: float, beyond: float, q: float, estimate: float | None) -> Refused:
    return Refused(
        f"an effective sample of {n_eff:.0f} has {beyond:.0f} {'above' if q >= 0.5 else 'below'} {_named(q)}: "
        f"{FEWEST_BEYOND} are needed, and {FEWEST_EFFECTIVE} in all",
        estimate, n_eff,
    )  # fmt: skip
