"""Laws fitted to histograms: maximum likelihood on censored intervals, with the exact sum as one more observation.

The likelihood of a histogram has two factors. The counts are multinomial with the law's probability of each bucket: nothing
is assumed about where in its bucket an observation lay. Given the counts, the sum of many observations is normal around what
the law expects in each bucket; its variance is taken for observations spread evenly over their bucket. Maximising both is
least squares of signed deviance residuals, one a bucket and one for the sum, so Gauss-Newton applies and its Jacobian says
which parameters the histogram cannot tell (directions that change no residual).

Large samples refuse every law: 18.8 million fsyncs tell a probability to 0.001 percentage points. What is kept is therefore
the law with the lowest BIC among those that either a chi-square test does not refuse, or whose misfit is too small to matter
(ADEQUATE); where none is left, the empirical law: the histogram's own probabilities at the bounds, and the best smooth law's
shape inside the buckets.

Source of the method: Lindsey, "Fitting parametric counting processes ... using censored intervals" and the textbook deviance
of grouped data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import optimize, special, stats

from sim.calibration.histogram import Floats, Histogram
from sim.calibration.laws import GammaLaw, Law, Lognormals, Points, mixture, quantile

CDF_ADEQUATE: Final = 0.001
"""Largest misfit of the distribution function at a bound that counts as none: 0.1 percentage points."""
MEAN_ADEQUATE: Final = 0.02
TAIL_ADEQUATE: Final = 1.25
"""Largest factor by which the share above a bound may be off, where at least so many were above it:"""
_TAIL_SEEN: Final = 100
_NOT_REFUSED: Final = 0.01
FEWEST: Final = 20
"""Observations below which nothing is fitted."""
_LOWEST_P: Final = 1e-13
_SIGMAS: Final = (0.03, 3.0)
_MOST_PARTS: Final = 4
_STARTS: Final = 10
ASSUMED_SIGMA: Final = 0.5
"""Spread of a lognormal, where all observations lie in one bucket."""
_POOLED: Final = 5
_INNER: Final = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_FINE: Final = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
_SINGULAR: Final = 1e-6


@dataclass(frozen=True)
class Fit:
    """One law fitted to one histogram, and how well.

    parameters: how many the law has; deviance: twice the loss of log-likelihood against a law that reproduces every bucket,
    the sum's term included; p_value: chi-square on buckets pooled to at least 5 expected; ks: largest misfit of the
    distribution function at a bound; tail: largest factor by which the share above a bound is off, where 100 or more were
    above it; free: number of directions in which the parameters can move without changing what was observed.
    """

    law: Law
    histogram: Histogram
    parameters: int
    deviance: float
    chi2: float
    degrees: int
    p_value: float
    ks: float
    ks_p: float
    mean_error: float
    tail: float
    free: int
    spread: dict[float, float]
    """Relative standard error of quantiles: probability to share; nan where the histogram cannot tell."""

    @property
    def aic(self) -> float:
        """Akaike's criterion, against the law that reproduces every bucket."""
        return self.deviance + 2 * self.parameters

    @property
    def bic(self) -> float:
        """Schwarz' criterion, against the law that reproduces every bucket."""
        return self.deviance + self.parameters * float(np.log(self.histogram.count))

    @property
    def adequate(self) -> bool:
        """Whether the misfit is too small to matter, whatever a test says of it."""
        return self.ks <= CDF_ADEQUATE and abs(self.mean_error) <= MEAN_ADEQUATE and self.tail <= TAIL_ADEQUATE

    @property
    def accepted(self) -> bool:
        """Whether the law may stand for the sample: adequate, or not refused by the test."""
        return self.adequate or (self.p_value >= _NOT_REFUSED and abs(self.mean_error) <= MEAN_ADEQUATE)

    def quantile(self, probability: float) -> float:
        """Seconds."""
        return quantile(self.law, probability)


@dataclass(frozen=True)
class Fitted:
    """The law that was chosen for a histogram, and the ones it was chosen from."""

    best: Fit
    candidates: tuple[Fit, ...]

    def __getitem__(self, name: str) -> Fit:
        """The candidate of that name, such as "lognormal". Raises KeyError."""
        for one in self.candidates:
            if str(one.law) == name:
                return one
        raise KeyError(name)


def fit(histogram: Histogram) -> Fitted:
    """The best of: lognormal, gamma, mixtures of two and three lognormals, and the empirical law.

    Raises ValueError for fewer than 20 observations.
    """
    if histogram.count < FEWEST:
        raise ValueError(f"{histogram.count} observations are too few to fit a law; at least {FEWEST}")
    if _occupied(histogram) == 1:
        return _mean_only(histogram)
    smooth = [_fit_lognormals(histogram, 1), _fit_gamma(histogram)]
    for size in range(2, _MOST_PARTS + 1):
        if not worth_more(smooth, size) or (size == _MOST_PARTS and _occupied(histogram) < 3 * size - 1):
            break
        smooth.append(_fit_lognormals(histogram, size))
    basis = min(smooth, key=lambda one: one.bic)
    candidates = (*smooth, judge(empirical(histogram, basis.law), histogram, _occupied(histogram)))
    standing = [one for one in smooth if one.accepted and _identified(one)] or [one for one in smooth if one.accepted]
    best = min(standing, key=lambda one: one.bic) if standing else candidates[-1]
    return Fitted(best, candidates)


def worth_more(found: Sequence[Fit], size: int) -> bool:
    """Whether a mixture of so many could be preferred: even one that reproduces every bucket pays for its parameters."""
    best_possible = (3 * size - 1) * float(np.log(found[0].histogram.count))
    return not any(one.accepted and not one.free and one.bic <= best_possible for one in found)


def _mean_only(histogram: Histogram) -> Fitted:
    """All in one bucket: only the mean is known. A lognormal through it whose spread is assumed, and keeps inside the bucket."""
    at = next(at for at, count in enumerate(histogram.counts) if count)
    high = float(histogram.upper[at])
    sigma = ASSUMED_SIGMA
    while sigma > _SIGMAS[0]:
        law = mixture([1.0], [histogram.mean * float(np.exp(-(sigma**2) / 2))], [sigma])
        if high == float("inf") or (1 - law.cdf(np.array([high]))[0]) * histogram.count < 0.5:
            break
        sigma *= 0.8
    one = replace(judge(law, histogram, 2), free=1, spread=dict.fromkeys((0.5, 0.9, 0.99, 0.999), float("nan")))
    return Fitted(one, (one,))


def residuals(law: Law, histogram: Histogram) -> Floats:
    """Signed roots of each bucket's deviance, then the sum's distance in standard deviations. Shape (len(counts) + 1,)."""
    counts = np.array(histogram.counts, dtype=float)
    edges = np.array([0.0, *histogram.bounds])
    p, inside = _buckets(law, edges)
    expected = p * histogram.count
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(counts > 0, counts * np.log(counts / expected), 0.0)
    deviance = 2 * np.maximum(logs - counts + expected, 0)
    means = np.maximum(inside / p, edges)
    means[:-1] = np.minimum(means[:-1], edges[1:])
    return np.append(np.sign(counts - expected) * np.sqrt(deviance), (histogram.sum - counts @ means) / _sum_deviation(histogram))


def _buckets(law: Law, edges: Floats) -> tuple[Floats, Floats]:
    """Probability of each bucket, and its contribution to the mean in seconds; the last is open."""
    p = np.diff(np.append(law.cdf(edges), 1.0))
    inside = np.diff(np.append(law.below(edges), law.mean))
    return np.maximum(p, _LOWEST_P), np.maximum(inside, 0)


def _sum_deviation(histogram: Histogram) -> float:
    """Standard deviation of the sum given the counts, for observations spread evenly over their bucket, seconds."""
    widths = np.append(np.diff(histogram.lower), histogram.bounds[-1])
    return float(np.sqrt(np.array(histogram.counts) @ widths**2 / 12))


def _fit_lognormals(histogram: Histogram, size: int) -> Fit:
    return fit_form(histogram, starts(histogram, size), *limits(histogram, size), unpacked)


def limits(histogram: Histogram, size: int) -> tuple[Floats, Floats]:
    """Least and greatest parameters of a mixture of so many lognormals, in the order of `unpacked`."""
    low = np.array([np.log(1e-7)] * size + [np.log(_SIGMAS[0])] * size + [-25.0] * (size - 1))
    high = np.array([np.log(histogram.bounds[-1] * 4)] * size + [np.log(_SIGMAS[1])] * size + [25.0] * (size - 1))
    return low, high


def _fit_gamma(histogram: Histogram) -> Fit:
    mean = histogram.mean
    begin = [np.array([np.log(shape), np.log(mean / shape)]) for shape in (0.3, 1.0, 3.0, 10.0, 30.0)]
    bounds = np.array([np.log(1e-3), np.log(1e-9)]), np.array([np.log(1e4), np.log(1e3)])
    return fit_form(histogram, begin, *bounds, lambda at: GammaLaw(float(np.exp(at[0])), float(np.exp(at[1]))))


def fit_form(histogram: Histogram, begin: Sequence[Floats], low: Floats, high: Floats, law_at: Callable[[Floats], Law]) -> Fit:
    """The most likely parameters of a form, from several places to start from."""

    def distance(at: Floats) -> Floats:
        return residuals(law_at(at), histogram)

    found = []
    for start in begin:
        inside = np.clip(start, low + 1e-9, high - 1e-9)
        found.append(optimize.least_squares(distance, inside, bounds=(low, high), max_nfev=40, ftol=1e-6, xtol=1e-6))
    best = min(found, key=lambda one: float(one.cost))
    final = optimize.least_squares(distance, best.x, bounds=(low, high), jac="3-point", max_nfev=200, ftol=1e-11, xtol=1e-10)
    return judge(law_at(final.x), histogram, len(final.x), (final.x, np.asarray(final.jac), law_at))


def unpacked(at: Floats) -> Lognormals:
    """The mixture with these parameters: logarithms of medians (seconds) and of sigmas, then of weights against the last."""
    size = (len(at) + 1) // 3
    weights = special.softmax(np.append(at[2 * size :], 0.0))
    return mixture(weights.tolist(), np.exp(at[:size]).tolist(), np.exp(at[size : 2 * size]).tolist())


def starts(histogram: Histogram, size: int) -> list[Floats]:
    """Places to start from: components at quantiles of the histogram, body to tail; the same for the same histogram."""
    random = np.random.Generator(np.random.PCG64(1))
    found = []
    for turn in range(1 if size == 1 else _STARTS):
        tails = [0.0] if size == 1 else np.sort(random.uniform(0.3, np.log10(histogram.count) + 0.5, size - 1))
        shares = np.array([10.0**-tail for tail in tails]) if size > 1 else np.array([])
        at = [0.4, *(1 - shares / 2)]
        medians = [max(_rough_quantile(histogram, p), 1e-6) * np.exp(random.normal(0, 0.2 if turn else 0)) for p in at]
        sigmas = np.exp(random.uniform(np.log(0.15), np.log(1.0), size)) if turn else np.full(size, 0.5)
        weights = np.append(1 - shares.sum() if shares.sum() < 1 else 0.5, shares)
        logits = np.log(weights / weights[-1])
        found.append(np.concatenate([np.log(medians), np.log(sigmas), logits[:-1]]))
    return found


def _rough_quantile(histogram: Histogram, probability: float) -> float:
    """A quantile by straight lines over the logarithm; in the first bucket no lower than its mean allows."""
    low, high = histogram.bracket(probability)
    if low == 0:
        return min(high / 2, histogram.mean)
    return low * 1.5 if high == float("inf") else float(np.sqrt(low * high))


def _occupied(histogram: Histogram) -> int:
    return sum(count > 0 for count in histogram.counts)


def _identified(one: Fit) -> bool:
    return one.free == 0


def judge(law: Law, histogram: Histogram, parameters: int, at: tuple[Floats, Floats, Callable[[Floats], Law]] | None = None) -> Fit:
    """How well a law fits; `at`: its parameters, the Jacobian of its residuals, and the law at other parameters, where there
    are any."""
    misfit = residuals(law, histogram)
    bounds = np.array(histogram.bounds)
    fitted, seen = law.cdf(bounds), histogram.cumulative
    ks = float(np.max(np.abs(fitted - seen)))
    chi2, cells = _pearson(law, histogram)
    degrees = max(cells - parameters, 0)  # one lost to the total, one won by the sum
    chi2 += float(misfit[-1] ** 2)
    above = histogram.count - np.cumsum(histogram.counts)[:-1]
    counted = above >= _TAIL_SEEN
    ratios = np.abs(np.log(np.maximum(1 - fitted[counted], _LOWEST_P) / (above[counted] / histogram.count)))
    free, spread = _told(*at) if at is not None else (0, {})
    return Fit(
        law, histogram, parameters, float(misfit @ misfit), chi2, degrees,
        float(stats.chi2.sf(chi2, max(degrees, 1))),
        ks, float(special.kolmogorov(ks * histogram.count**0.5)), law.mean / histogram.mean - 1,
        float(np.exp(ratios.max())) if len(ratios) else 1.0, free, spread,
    )  # fmt: skip


def _pearson(law: Law, histogram: Histogram) -> tuple[float, int]:
    """Pearson's chi-square and its number of cells, neighbours pooled until each expects five."""
    p, _ = _buckets(law, np.array([0.0, *histogram.bounds]))
    cells: list[list[float]] = []
    for seen, expected in zip(histogram.counts, p * histogram.count, strict=True):
        if cells and cells[-1][1] < _POOLED:
            cells[-1][0] += seen
            cells[-1][1] += float(expected)
        else:
            cells.append([seen, float(expected)])
    if len(cells) > 1 and cells[-1][1] < _POOLED:
        rest = cells.pop()
        cells[-1] = [mine + its for mine, its in zip(cells[-1], rest, strict=True)]
    return sum((seen - expected) ** 2 / expected for seen, expected in cells), len(cells)


def _told(at: Floats, jacobian: Floats, law_at: Callable[[Floats], Law]) -> tuple[int, dict[float, float]]:
    """How many directions the histogram cannot tell, and the relative standard error of quantiles (delta method)."""
    _, singular, directions = np.linalg.svd(jacobian, full_matrices=True)
    values = np.zeros(len(at))
    values[: len(singular)] = singular
    told = values > _SINGULAR * values.max()
    spread = {}
    for probability in (0.5, 0.9, 0.99, 0.999):

        def log_quantile(x: Floats, at_probability: float = probability) -> float:
            return float(np.log(quantile(law_at(x), at_probability)))

        slope = optimize.approx_fprime(at, log_quantile, 1e-5)
        along = directions @ slope
        lost = bool(np.any(np.abs(along[~told]) > 1e-3 * np.linalg.norm(slope)))
        error = float(np.sqrt(np.sum((along[told] / values[told]) ** 2)))
        spread[probability] = float("nan") if lost else error
    return int(np.sum(~told)), spread


def empirical(histogram: Histogram, shape: Law, lowest: Points | None = None) -> Points:
    """The histogram's own probabilities at its bounds, inside the buckets a smooth law's shape, tilted so that the mean is right.

    Inside a bucket the smooth law's conditional share u is raised to one common power, found by the sum. lowest: the law whose
    shape the lowest bucket gets, where another measurement saw it; then that law is scaled in time until the mean is right.
    """

    def off(log: float) -> float:
        return at(log).mean / histogram.mean - 1

    def at(log: float) -> Points:
        factor = float(np.exp(log))
        if lowest is None:
            return _pieces(histogram, shape, shape, factor)
        return _pieces(histogram, shape, Points(lowest.probabilities, tuple(factor * value for value in lowest.values)), 1.0)

    reach = 3.0 if lowest is None else 1.5
    if off(-reach) * off(reach) < 0:
        return at(float(optimize.brentq(off, -reach, reach, xtol=1e-6)))
    return at(0.0)


def _pieces(histogram: Histogram, shape: Law, lowest: Law, power: float) -> Points:
    edges = np.array([0.0, *histogram.bounds])
    cumulative = np.append(0.0, np.cumsum(histogram.counts) / histogram.count)
    placed: dict[float, float] = {}
    for at, count in enumerate(histogram.counts):
        if not count:
            continue
        law, inner = (lowest, _FINE) if at == 0 and lowest is not shape else (shape, _INNER)
        low, high = float(cumulative[at]), float(cumulative[at + 1])
        under, over = float(law.cdf(edges[at : at + 1])[0]), _reach(law, histogram, at)
        for share in (0.0, *inner, 1.0):
            p = under + (over - under) * share ** (1 / power)
            placed[float(f"{low + (high - low) * share:.12g}")] = _between(law, p, edges, at, histogram, share)
    pairs = sorted(placed.items())
    values = np.maximum.accumulate([value for _, value in pairs])
    return Points(tuple(p for p, _ in pairs), tuple(float(value) for value in values))


def _reach(shape: Law, histogram: Histogram, at: int) -> float:
    """How far up a bucket goes, as the smooth law's probability; the open one ends where half an observation is expected
    beyond."""
    if at < len(histogram.bounds):
        return float(shape.cdf(np.array([histogram.bounds[at]]))[0])
    under = float(shape.cdf(np.array([histogram.bounds[-1]]))[0])
    return under + (1 - under) * (1 - 0.5 / histogram.counts[-1])


def _between(shape: Law, p: float, edges: Floats, at: int, histogram: Histogram, share: float) -> float:
    low = float(edges[at])
    if at == len(histogram.bounds):
        if 1 - shape.cdf(np.array([low]))[0] < _LOWEST_P * 100:
            return low * (1 + share)  # the smooth law does not reach here: as far again as the last bound
        return max(quantile(shape, p), low) if share else low
    high = histogram.bounds[at]
    if share in (0.0, 1.0) and not (at == 0 and share == 0):
        return low if share == 0 else high
    if shape.cdf(np.array([high]))[0] - shape.cdf(np.array([low]))[0] < _LOWEST_P:
        return low + (high - low) * share
    return float(np.clip(quantile(shape, max(p, 1e-6)), low, high))
