"""Growth laws: fitted, told apart where the points allow it, and extrapolated with a band.

Errors are relative by default (least squares of the logarithms): what is measured from 12 to 1,786 keys is not known to the same
number of keys at both ends. Everything rests on nonlinear regression (Bates and Watts, Nonlinear Regression Analysis, 1988):

  parameters   delta method (1.5), or the profile t where the curve is bent (6.1); residual bootstrap as a check (Efron and
               Tibshirani 1993, ch. 9)
  bands        of the law itself, and of one further observation
  choice       AICc (Hurvich and Tsai 1989, Biometrika 76, 297-307), which exists from p + 3 points on for p parameters; BIC beside
               it

Three points decide nothing: two parameters leave one degree of freedom, and t is 12.7. The points have to be independent: those of
one curve in time are not (a residual is followed by others of its sign). Fits say so in `notes`; use replications
(`sim.analysis.forecast`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

import numpy as np
from scipy import optimize, stats

from sim.analysis.batches import FEWEST_BATCHES, neighbours_agree
from sim.analysis.laws import LAWS, THROUGH_ORIGIN, Law
from sim.analysis.outcome import LEVEL, Floats, Interval, Refused, Values, confidence, finite

Errors = Literal["relative", "absolute"]
DECIDES: Final = 2.0
"""Difference of AICc from which one law is preferred to another (Burnham and Anderson, Model Selection, 2002, 2.6)."""
_FURTHEST: Final = 1e6
_TINY: Final = 1e-12
_LOWEST: Final = 1e-3
"""Share of a point below which a law is continued as a straight line where logarithms are compared, far from any good fit."""


@dataclass(frozen=True, slots=True)
class Band:
    """A curve with its band: all of shape (m,). estimate: the fitted law; low, high: its interval at each x by itself."""

    x: Floats
    estimate: Floats
    low: Floats
    high: Floats
    level: float


@dataclass(frozen=True, eq=False)
class Fit:
    """A law with its parameters. theta: shape (p,), in the order of `law.parameters`; squares: sum of squared residuals.

    Residuals are of the logarithms for relative errors. covariance: of theta, shape (p, p), None where no degree of freedom is
    left.
    """

    law: Law
    theta: Floats
    x: Floats
    y: Floats
    errors: Errors
    squares: float
    notes: tuple[str, ...] = field(default=())

    @property
    def parameters(self) -> dict[str, float]:
        return dict(zip(self.law.parameters, self.theta.tolist(), strict=True))

    @property
    def freedom(self) -> int:
        """Points that the parameters have left over."""
        return len(self.x) - len(self.theta)

    @property
    def sigma(self) -> float | None:
        """Standard deviation of a residual: about a share for relative errors; None without a degree of freedom."""
        return math.sqrt(self.squares / self.freedom) if self.freedom > 0 else None

    @cached_property
    def covariance(self) -> Floats | None:
        if self.sigma is None:
            return None
        slopes = _slopes(self.law, self.x, self.theta, self.errors)
        scale = np.maximum(np.sqrt((slopes**2).sum(axis=0)), 1e-300)
        return np.linalg.pinv((slopes / scale).T @ (slopes / scale)) / np.outer(scale, scale) * self.sigma**2

    @property
    def aicc(self) -> float | None:
        """Akaike's criterion with the correction for few points; None where it does not exist (fewer than p + 3 points)."""
        n, k = len(self.x), len(self.theta) + 1
        return None if n <= k + 1 else self._deviance() + 2 * k + 2 * k * (k + 1) / (n - k - 1)

    @property
    def bic(self) -> float | None:
        """Schwarz's criterion; None where `aicc` is."""
        return None if self.aicc is None else self._deviance() + (len(self.theta) + 1) * math.log(len(self.x))

    def _deviance(self) -> float:
        n = len(self.x)
        size = 1.0 if self.errors == "relative" else float(np.mean(self.y**2)) or 1.0
        return n * math.log(max(self.squares / n, _TINY**2 * size))

    def predict(self, x: Values) -> Floats:
        """The fitted law at x, shape (m,)."""
        return self.law.value(finite(x), self.theta)

    def band(self, x: Values, level: float = LEVEL, *, of: Literal["law", "observation"] = "observation") -> Band | Refused:
        """The band at x, shape (m,), by the delta method: of the law itself, or of one further observation (a new run)."""
        at, sigma = finite(x), self.sigma
        if sigma is None or self.covariance is None:
            return Refused(f"{len(self.x)} points for {len(self.theta)} parameters leave no degree of freedom: no band")
        slopes = _slopes(self.law, at, self.theta, self.errors)
        variance = np.einsum("ij,jk,ik->i", slopes, self.covariance, slopes) + (sigma**2 if of == "observation" else 0.0)
        arm = stats.t.ppf((1 + confidence(level)) / 2, self.freedom) * np.sqrt(variance)
        value = self.law.value(at, self.theta)
        if self.errors == "relative":
            factor = np.exp(np.minimum(arm, 700.0))
            return Band(at, value, value / factor, value * factor, level)
        return Band(at, value, value - arm, value + arm, level)

    def interval(
        self, parameter: str, level: float = LEVEL, *, method: Literal["delta", "profile"] = "delta"
    ) -> Interval | Refused:
        """A parameter's interval. profile: where the residuals grow as t says; slower, and right where the law is bent.

        Refused without a degree of freedom, or where the profile never rises that far. Raises KeyError for another law's parameter.
        """
        if parameter not in self.law.parameters:
            raise KeyError(f"{self.law.name} has no parameter {parameter}: {', '.join(self.law.parameters)}")
        place = self.law.parameters.index(parameter)
        estimate, freedom = float(self.theta[place]), self.freedom
        if self.covariance is None:
            return Refused(
                f"{len(self.x)} points for {len(self.theta)} parameters leave no degree of freedom", estimate, len(self.x)
            )
        t = float(stats.t.ppf((1 + confidence(level)) / 2, freedom))
        error = math.sqrt(float(self.covariance[place, place]))
        if method == "delta":
            return Interval(
                estimate,
                estimate - t * error,
                estimate + t * error,
                len(self.x),
                f"delta method, {freedom} left",
                level,
                self.notes,
            )
        ends = [self._profile_end(place, sign * error, t) for sign in (-1, 1)]
        if ends[0] is None or ends[1] is None:
            return Refused(
                f"the points do not bound {parameter} of {self.law.name} {'below' if ends[0] is None else 'above'}",
                estimate,
                len(self.x),
            )
        return Interval(estimate, ends[0], ends[1], len(self.x), f"profile, {freedom} left", level, self.notes)

    def _profile_end(self, place: int, step: float, t: float) -> float | None:
        target = self.squares * (1 + t * t / self.freedom)
        others = np.delete(self.theta, place)
        latest = others

        def excess(value: float) -> float:
            nonlocal latest
            found = _least(self.law, self.x, self.y, self.errors, latest, (place, value))
            if found is None:
                return math.inf
            latest = found[0]
            return found[1] - target

        start, reach = float(self.theta[place]), step
        if not step:
            return start
        while excess(start + reach) < 0:
            reach *= 2
            if abs(reach) > _FURTHEST * abs(step):
                return None
        latest = others
        bounded = lambda value: min(excess(value), 1e300)  # noqa: E731
        return float(optimize.brentq(bounded, start, start + reach, xtol=1e-6 * abs(step)))

    def bootstrap(self, x: Values, draws: int = 500, seed: int = 1) -> tuple[Floats, Floats]:
        """Parameters, shape (r, p), and the law at x, shape (r, m), refitted to resampled residuals; r <= draws of them converge.

        Raises ValueError without a degree of freedom.
        """
        if self.freedom <= 0:
            raise ValueError("no degree of freedom is left to resample")
        at, rng = finite(x), np.random.default_rng(seed)
        residuals = _residuals(self.law, self.x, self.y, self.theta, self.errors) * math.sqrt(len(self.x) / self.freedom)
        base = self.law.value(self.x, self.theta)
        thetas = []
        for _ in range(draws):
            noise = rng.choice(residuals, len(residuals))
            drawn = base * np.exp(noise) if self.errors == "relative" else base + noise
            found = _best(self.law, self.x, drawn, self.errors, [self.theta])
            if found is not None:
                thetas.append(found[0])
        refitted = np.array(thetas).reshape(-1, len(self.theta))
        return refitted, np.array([self.law.value(at, theta) for theta in refitted]).reshape(len(refitted), len(at))


def fit(x: Values, y: Values, law: str, errors: Errors = "relative") -> Fit | Refused:
    """A law fitted to independent points (x, y), each of shape (n,), by (log) least squares.

    Refused with fewer points than parameters, or where it cannot take the points (relative errors need y > 0, a power x > 0).
    Raises ValueError for values that are not finite, for shapes that differ, KeyError for an unknown law.
    """
    at, found = finite(x), finite(y)
    if at.shape != found.shape:
        raise ValueError(f"{len(at)} x and {len(found)} y")
    form = LAWS[law]
    p = len(form.parameters)
    if len(np.unique(at)) < p:
        return Refused(f"{len(np.unique(at))} different points cannot fix the {p} parameters of {law}")
    if errors == "relative" and (found <= 0).any():
        return Refused("relative errors need values above zero: ask for absolute ones")
    if form.positive and (at <= 0).any():
        return Refused(f"{law} needs x above zero")
    weights = 1 / found if errors == "relative" else np.ones_like(found)
    best = _best(form, at, found, errors, form.starts(at, found, weights))
    if best is None:
        return Refused(f"{law} does not follow the points: no parameters make it positive and finite there")
    theta, squares = best
    notes: tuple[str, ...] = ()
    order = np.argsort(at, kind="stable")
    residuals = _residuals(form, at[order], found[order], theta, errors)
    if len(at) >= FEWEST_BATCHES and neighbours_agree(residuals):
        notes = (
            "neighbouring residuals agree: the law does not fit, or the points are one curve in time; intervals are too narrow",
        )
    return Fit(form, theta, at, found, errors, squares, notes)


@dataclass(frozen=True)
class Choice:
    """Which law the points speak for. fits: those with a criterion, best first, then the others; best: None where nothing can be
    chosen.

    decided: whether no other kind of law comes within DECIDES; rivals: names of those that do; statement: all of it, for people.
    """

    fits: tuple[Fit, ...]
    best: Fit | None
    decided: bool
    rivals: tuple[str, ...]
    statement: str

    def predictions(self, x: float, level: float = LEVEL) -> dict[str, Interval | Refused]:
        """What each fitted law says of one further observation at x: how much the choice matters."""
        said: dict[str, Interval | Refused] = {}
        for one in self.fits:
            band = one.band([x], level)
            if isinstance(band, Refused):
                said[one.law.name] = Refused(band.reason, float(one.predict([x])[0]), len(one.x))
                continue
            ends = float(band.estimate[0]), float(band.low[0]), float(band.high[0])
            said[one.law.name] = Interval(*ends, len(one.x), f"prediction, {one.freedom} left", level, one.notes)
        return said


def choose(x: Values, y: Values, laws: Iterable[str] = THROUGH_ORIGIN, errors: Errors = "relative") -> Choice:
    """The laws fitted to independent points, ordered by AICc where it exists. x, y: shape (n,). Raises as `fit`.

    A polynomial of higher degree than the best one is no rival: it contains it.
    """
    tried = [fit(x, y, law, errors) for law in laws]
    fits = [one for one in tried if isinstance(one, Fit)]
    n = len(np.asarray(x))
    judged = sorted((one for one in fits if one.aicc is not None), key=_criterion)
    rest = [one for one in fits if one.aicc is None]
    if len(judged) < 2:
        needed = min((len(LAWS[one.law.name].parameters) + 3 for one in fits if len(one.theta) > 1), default=5)
        close = [one.law.name for one in rest if one.sigma is not None]
        statement = (
            f"{n} points allow no choice: two laws can be compared from {needed} points on"
            + (f"; with a degree of freedom left: {', '.join(close)}" if close else "")
        )  # fmt: skip
        return Choice((*judged, *rest), None, False, tuple(one.law.name for one in fits), statement)
    best = judged[0]
    rivals = tuple(
        one.law.name for one in judged[1:] if _criterion(one) - _criterion(best) < DECIDES and not _contains(one.law, best.law)
    )
    left_out = f"; too few points to judge {', '.join(one.law.name for one in rest)}" if rest else ""
    by_bic = min(judged, key=lambda one: one.bic if one.bic is not None else math.inf).law.name
    other = f"; BIC prefers {by_bic}" if by_bic != best.law.name else ""
    if rivals:
        statement = (
            f"{n} points do not decide: {best.law.name} is best, {', '.join(rivals)} within {DECIDES:g} of AICc{other}{left_out}"
        )
    else:
        ahead = min(
            (_criterion(one) - _criterion(best) for one in judged[1:] if not _contains(one.law, best.law)), default=math.inf
        )
        by = f" by {ahead:.1f} of AICc" if math.isfinite(ahead) else ""
        statement = f"{n} points prefer {best.law.name}{by}{other}{left_out}"
    return Choice((*judged, *rest), best, not rivals, rivals, statement)


def _criterion(one: Fit) -> float:
    assert one.aicc is not None
    return one.aicc


def _contains(larger: Law, smaller: Law) -> bool:
    return 0 < smaller.degree <= larger.degree and larger.constant >= smaller.constant and larger is not smaller


def _residuals(law: Law, x: Floats, y: Floats, theta: Floats, errors: Errors) -> Floats:
    value = law.value(x, theta)
    if errors == "absolute":
        return y - value
    floor = _LOWEST * y  # a law that is not positive there is very wrong, but smoothly so
    return np.log(y) - np.where(value > floor, np.log(np.maximum(value, floor)), np.log(floor) - (floor - value) / floor)


def _slopes(law: Law, x: Floats, theta: Floats, errors: Errors) -> Floats:
    gradient = law.gradient(x, theta)
    return gradient / law.value(x, theta)[:, None] if errors == "relative" else gradient


def _least(
    law: Law, x: Floats, y: Floats, errors: Errors, start: Floats, fixed: tuple[int, float] | None = None
) -> tuple[Floats, float] | None:
    """Least squares from a start: the free parameters and the sum of squares, or None where it leads nowhere.

    fixed: the place of a parameter that is not free, and its value; `start` is then without it.
    """

    def whole(free: Floats) -> Floats:
        return free if fixed is None else np.insert(free, *fixed)

    def residuals(free: Floats) -> Floats:
        return _residuals(law, x, y, whole(free), errors)

    def slopes(free: Floats) -> Floats:
        theta = whole(free)
        gradient = -law.gradient(x, theta)
        if errors == "relative":
            gradient = gradient / np.maximum(law.value(x, theta), _LOWEST * y)[:, None]
        return gradient if fixed is None else np.delete(gradient, fixed[0], axis=1)

    if not len(start):
        return start, float((residuals(start) ** 2).sum())
    try:
        with np.errstate(all="ignore"):
            found = optimize.least_squares(
                residuals, start, slopes, x_scale="jac", xtol=1e-10, ftol=1e-10, gtol=1e-12, max_nfev=200
            )
    except (ValueError, np.linalg.LinAlgError):
        return None
    return (found.x, 2 * float(found.cost)) if np.isfinite(found.x).all() and math.isfinite(found.cost) else None


def _best(law: Law, x: Floats, y: Floats, errors: Errors, starts: Iterable[Floats]) -> tuple[Floats, float] | None:
    if errors == "relative" and law.name in ("power", "exponential"):  # a straight line in the logarithms
        at = np.log(x) if law.name == "power" else x
        basis = np.stack([np.ones_like(at), at], axis=1)
        level, slope = np.linalg.lstsq(basis, np.log(y), rcond=None)[0]
        rest = np.log(y) - level - slope * at
        return np.array([math.exp(level), slope]), float(rest @ rest)
    found = [least for start in starts if np.isfinite(start).all() and (least := _least(law, x, y, errors, start))]
    if errors == "relative":
        found = [one for one in found if (law.value(x, one[0]) > 0).all()]
    return min(found, key=lambda one: one[1]) if found else None
