"""Independent slow fsyncs, or stalls of the device? A series of scrapes tells what one histogram cannot.

Between two scrapes k observations of n were slower than a threshold. Three laws of k are compared by likelihood:

    each fsync     k is Poisson with mean q n: each fsync is slow by itself, whatever the time
    stalls         k is Poisson with mean r t: the device freezes at rate r in time, and each freeze is met by one fsync
    episodes       k is Polya-Aeppli: episodes come at rate r in time, and each makes a geometric number (mean c) of fsyncs slow

The first two differ only where the load varies; the third leaves more variance than mean (2 c - 1 times). The length of a
stall is what its slow fsyncs lasted beyond the usual; of an episode the sum of them, for the log of etcd saves one batch at a
time, back to back.

Sources: Johnson, Kemp and Kotz, Univariate Discrete Distributions, 9.7 (Polya-Aeppli and its recursion); Cox and Lewis on the
index of dispersion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from scipy import optimize, special, stats

from sim.calibration.fit import FEWEST, fit
from sim.calibration.histogram import Floats, Histogram
from sim.calibration.laws import Lognormals
from sim.calibration.scrape import WAL_FSYNC, Scrape
from sim.errors import InputError

Kind = Literal["each fsync", "stalls", "episodes"]
_FEWEST: Final = 8
"""Slow fsyncs below which nothing is said about when they came."""
_RARE: Final = 0.01
_MIXED: Final = 0.1
"""Share of usual fsyncs among the slow ones that is let in by the threshold."""
_DECIDES: Final = 2.0
"""Difference of AIC from which one law is preferred."""
_MOST_SLOW: Final = 5000


@dataclass(frozen=True)
class Stalls:
    """When slow fsyncs came. Times in seconds, rates per second.

    aic: of each law; kind: the preferred one, decided: by enough; rate: of stalls (or slow fsyncs), with its 95% interval;
    per_episode: slow fsyncs of one episode; length: mean of a stall or episode; slow_seconds: mean of one slow fsync; share:
    of the time that the device was slow; dispersion: variance over mean of the slow fsyncs in an interval, p_value: that it
    is 1.
    """

    intervals: int
    seconds: float
    observations: int
    slow: int
    threshold: float
    aic: dict[Kind, float]
    kind: Kind
    decided: bool
    rate: float
    rate_interval: tuple[float, float]
    per_episode: float
    length: float
    slow_seconds: float
    share: float
    dispersion: float
    p_value: float
    q: float


def differences(series: Sequence[Scrape]) -> tuple[Floats, list[Histogram]]:
    """Seconds between neighbours, and what was observed of the WAL's fsyncs in each. Raises InputError."""
    spans, observed = [], []
    for before, after in pairwise(series):
        if before.taken is None or after.taken is None or after.taken <= before.taken:
            raise InputError(f"{after.called}: when it was taken is not known, or not after {before.called}")
        histogram = after.since(before).histogram(WAL_FSYNC)
        if histogram is None:
            raise InputError(f"{after.called}: {WAL_FSYNC} is missing")
        spans.append(after.taken - before.taken)
        observed.append(histogram)
    return np.array(spans), observed


def fit_stalls(spans: Floats, observed: Sequence[Histogram], threshold: float | None = None) -> Stalls | None:
    """When slow fsyncs came: from the length of each interval (seconds) and what was observed in it.

    threshold: a bound of the histogram above which an fsync is slow; when None, the lowest that 1% or fewer exceed, nine in
    ten of them slower than the body of the law explains. None if fewer than 8 were slow. Raises InputError for a threshold
    that is no bound.
    """
    whole = observed[0]
    for one in observed[1:]:
        whole = whole.plus(one)
    if whole.count < FEWEST or not whole.sum:
        return None
    at = _threshold(whole, threshold)
    slow = np.array([sum(one.counts[at + 1 :]) for one in observed], dtype=float)
    counts = np.array([one.count for one in observed], dtype=float)
    if slow.sum() < _FEWEST or slow.max() > _MOST_SLOW:
        return None
    q, rate = float(slow.sum() / counts.sum()), float(slow.sum() / spans.sum())
    theta, spread = _episodes(spans, slow)
    likelihood: dict[Kind, float] = {
        "each fsync": poisson(slow, q * counts),
        "stalls": poisson(slow, rate * spans),
        "episodes": polya_aeppli(slow, theta[0] * spans, theta[1]),
    }
    aic: dict[Kind, float] = {kind: 2 * (2 if kind == "episodes" else 1) - 2 * value for kind, value in likelihood.items()}
    order = sorted(aic, key=lambda kind: aic[kind])
    kind = order[0]
    # Single stalls are episodes of one: what is to be decided is whether time or each fsync makes them slow.
    rival = aic[order[1]] if kind == "each fsync" else aic["each fsync"]
    typical, lasted = _lasting(observed, slow, counts)
    per_episode = 1 / (1 - theta[1]) if kind == "episodes" else 1.0
    centre = theta[0] if kind == "episodes" else rate
    error = spread if kind == "episodes" else slow.sum() ** -0.5
    interval = (centre * float(np.exp(-1.96 * error)), centre * float(np.exp(1.96 * error)))
    length = per_episode * max(lasted - (typical if kind != "each fsync" else 0.0), 0.0)
    expected = q * counts
    chi2 = float(((slow - expected) ** 2 / np.maximum(expected, 1e-12))[expected > 0].sum())
    freedom = max(int((expected > 0).sum()) - 1, 1)
    return Stalls(
        len(observed), float(spans.sum()), whole.count, int(slow.sum()), whole.bounds[at], aic, kind,
        rival - aic[kind] >= _DECIDES, centre, interval, per_episode, length, lasted,
        min(centre * length, 1.0), chi2 / freedom, float(stats.chi2.sf(chi2, freedom)), q,
    )  # fmt: skip


def poisson(counts: Floats, means: Floats) -> float:
    """Log-likelihood of independent counts with these means."""
    return float(np.sum(special.xlogy(counts, means) - means - special.gammaln(counts + 1)))


def polya_aeppli(counts: Floats, means: Floats, again: float) -> float:
    """Log-likelihood of counts that are sums of geometric clusters.

    means: episodes expected in each interval; again: probability that an episode makes one more (its mean number is 1 / (1 -
    again)).
    """
    most = int(counts.max())
    # One interval's probabilities by recursion over the count, all intervals at once, on a scale that does not underflow.
    last = np.zeros(len(counts))
    scale = -means.copy()
    now = np.ones(len(counts))
    found = np.where(counts == 0, scale, np.nan)
    for k in range(1, most + 1):
        following = ((means * (1 - again) + 2 * again * (k - 1)) * now - again**2 * max(k - 2, 0) * last) / k
        last, now = now, following
        grown = np.maximum(np.abs(now), 1e-300)
        last, now, scale = last / grown, now / grown, scale + np.log(grown)
        found = np.where(counts == k, scale, found)
    return float(found.sum())


def _episodes(spans: Floats, slow: Floats) -> tuple[tuple[float, float], float]:
    """Rate of episodes and the probability of one more, and the relative standard error of the rate."""
    total = slow.sum() / spans.sum()

    def loss(at: Floats) -> float:
        again = float(special.expit(at[1]))
        value = polya_aeppli(slow, np.exp(at[0]) * spans, again)
        return -value if np.isfinite(value) else 1e12

    starts = [(np.log(total / c), special.logit(1 - 1 / c)) for c in (1.05, 2.0, 6.0)]
    found = [optimize.minimize(loss, np.array(start), method="Nelder-Mead", options={"maxiter": 400}) for start in starts]
    best = min(found, key=lambda one: float(one.fun))
    rate, again = float(np.exp(best.x[0])), float(special.expit(best.x[1]))
    # Clusters of mean c: the number of episodes is known to about the root of their number, and c adds its own part.
    hessian = _hessian(loss, best.x)
    try:
        variance = float(np.linalg.inv(hessian)[0, 0])
    except np.linalg.LinAlgError:
        variance = float("nan")
    error = variance**0.5 if variance > 0 else (rate * float(spans.sum())) ** -0.5
    return (rate, again), error


def _hessian(of: Callable[[Floats], float], at: Floats, step: float = 1e-2) -> Floats:
    size = len(at)
    found = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            e, f = np.eye(size)[i] * step, np.eye(size)[j] * step
            found[i, j] = (of(at + e + f) - of(at + e - f) - of(at - e + f) + of(at - e - f)) / (4 * step**2)
    return found


def _threshold(whole: Histogram, given: float | None) -> int:
    if given is not None:
        for at, bound in enumerate(whole.bounds):
            if abs(bound - given) < 1e-9:
                return at
        raise InputError(f"slow: {given:g} s is not a bound of the histogram; one of {', '.join(f'{b:g}' for b in whole.bounds)} s")
    above = 1 - whole.cumulative
    usual = _usual_above(whole)
    for at, share in enumerate(above):
        if share <= _RARE and usual[at] <= _MIXED * share:
            return at
    return len(whole.bounds) - 1


def _usual_above(whole: Histogram) -> Floats:
    """Share of the usual fsyncs above each bound: of the law's body, the components within four times the heaviest one's
    median."""
    mixtures = [one for one in fit(whole).candidates if isinstance(one.law, Lognormals)]
    best = min(mixtures, key=lambda one: one.bic).law
    assert isinstance(best, Lognormals)
    heaviest = max(best.parts, key=lambda part: part.weight)
    body = Lognormals(tuple(part for part in best.parts if part.median <= 4 * heaviest.median))
    return sum(part.weight for part in body.parts) - body.cdf(np.array(whole.bounds))


def _lasting(observed: Sequence[Histogram], slow: Floats, counts: Floats) -> tuple[float, float]:
    """Mean seconds of a usual fsync, and of a slow one: what the sums say of intervals without and with slow ones."""
    sums = np.array([one.sum for one in observed])
    quiet = (slow == 0) & (counts > 0)
    whole = observed[0]
    for one in observed[1:]:
        whole = whole.plus(one)
    if counts[quiet].sum() > 0:
        typical = float(sums[quiet].sum() / counts[quiet].sum())
    else:
        typical = min(whole.mean, whole.bounds[0])
    busy = slow > 0
    lasted = float((sums[busy] - typical * (counts[busy] - slow[busy])).sum() / slow.sum())
    return typical, max(lasted, typical)
