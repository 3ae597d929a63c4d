"""The laws that a histogram is fitted with: distribution function, moments inside a bucket, and the scenario's own words for
them.

All durations are seconds; `declared` turns to what a scenario file says (`sim.scenario.distribution`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from scipy import optimize, special

from sim.calibration.histogram import Floats
from sim.units import format_duration

Z99: Final = float(special.ndtri(0.99))
_DIGITS: Final = 6
_TINY: Final = 1e-300


class Law(Protocol):
    """A law of durations."""

    def cdf(self, at: Floats) -> Floats:
        """Probability of at most `at` seconds."""
        ...

    def below(self, at: Floats) -> Floats:
        """Contribution of durations up to `at` to the mean, seconds: the integral of x f(x)."""
        ...

    @property
    def mean(self) -> float:
        """Seconds."""
        ...

    def declared(self) -> Any:
        """As a scenario writes it."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Component:
    """One lognormal of a mixture: its share, its median in seconds, and the standard deviation of its logarithm."""

    weight: float
    median: float
    sigma: float

    @property
    def mean(self) -> float:
        """Seconds."""
        return float(self.median * np.exp(self.sigma**2 / 2))

    @property
    def p99(self) -> float:
        """Seconds."""
        return float(self.median * np.exp(Z99 * self.sigma))


@dataclass(frozen=True)
class Lognormals:
    """A lognormal, or a mixture of them, components by rising median."""

    parts: tuple[Component, ...]

    def cdf(self, at: Floats) -> Floats:
        """Probability of at most `at` seconds."""
        log = np.log(np.maximum(at, _TINY))
        return self._over(lambda part: special.ndtr((log - np.log(part.median)) / part.sigma))

    def below(self, at: Floats) -> Floats:
        """Contribution of durations up to `at` to the mean, seconds."""
        log = np.log(np.maximum(at, _TINY))
        return self._over(lambda part: part.mean * special.ndtr((log - np.log(part.median)) / part.sigma - part.sigma))

    @property
    def mean(self) -> float:
        """Seconds."""
        return sum(part.weight * part.mean for part in self.parts)

    def scaled(self, factor: float) -> Lognormals:
        """The law of `factor` times such a duration."""
        return Lognormals(tuple(Component(part.weight, part.median * factor, part.sigma) for part in self.parts))

    def declared(self) -> Any:
        """`{median, p99}`, or `{mixture: [...]}`."""
        if len(self.parts) == 1:
            return _lognormal(self.parts[0])
        weights = [float(f"{part.weight:.{_DIGITS}g}") for part in self.parts]
        heaviest = max(range(len(weights)), key=weights.__getitem__)
        weights[heaviest] = round(1 - sum(weights[:heaviest]) - sum(weights[heaviest + 1 :]), 15)
        return {"mixture": [{"weight": weight, **_lognormal(part)} for weight, part in zip(weights, self.parts, strict=True)]}

    def _over(self, of: Any) -> Floats:
        total: Floats = sum(part.weight * of(part) for part in self.parts)
        return total

    def __str__(self) -> str:
        return "lognormal" if len(self.parts) == 1 else f"mixture of {len(self.parts)} lognormals"


@dataclass(frozen=True)
class GammaLaw:
    """A gamma law: shape, and scale in seconds."""

    shape: float
    scale: float

    def cdf(self, at: Floats) -> Floats:
        """Probability of at most `at` seconds."""
        return np.asarray(special.gammainc(self.shape, at / self.scale))

    def below(self, at: Floats) -> Floats:
        """Contribution of durations up to `at` to the mean, seconds."""
        return np.asarray(self.mean * special.gammainc(self.shape + 1, at / self.scale))

    @property
    def mean(self) -> float:
        """Seconds."""
        return self.shape * self.scale

    def declared(self) -> Any:
        """`{mean, sd}`."""
        return {"mean": written(self.mean), "sd": written(self.scale * self.shape**0.5)}

    def __str__(self) -> str:
        return "gamma"


@dataclass(frozen=True)
class Points:
    """An empirical law: quantiles, straight between the points. Probabilities from 0 to 1, values in seconds."""

    probabilities: tuple[float, ...]
    values: tuple[float, ...]

    def cdf(self, at: Floats) -> Floats:
        """Probability of at most `at` seconds."""
        return np.interp(at, self.values, self.probabilities, left=0.0, right=1.0)

    def below(self, at: Floats) -> Floats:
        """Contribution of durations up to `at` to the mean, seconds."""
        values, weights = np.array(self.values), np.diff(self.probabilities)
        upper = np.clip(np.atleast_1d(at)[:, None], values[:-1], values[1:])
        width = np.maximum(np.diff(values), _TINY)
        return np.asarray((weights * (upper - values[:-1]) / width * (upper + values[:-1]) / 2).sum(axis=1))

    @property
    def mean(self) -> float:
        """Seconds."""
        values = np.array(self.values)
        return float(np.diff(self.probabilities) @ (values[1:] + values[:-1]) / 2)

    def declared(self) -> Any:
        """`{quantiles: {probability: duration}}`."""
        return {"quantiles": {at: written(value) for at, value in zip(self.probabilities, self.values, strict=True)}}

    def __str__(self) -> str:
        return "empirical"


def quantile(law: Law, probability: float, most: float = 1e7) -> float:
    """The duration (seconds) below which this share of the law lies."""
    least = 1e-12

    def over(log: float) -> float:
        return float(law.cdf(np.array([np.exp(log)]))[0]) - probability

    low, high = float(np.log(least)), float(np.log(most))
    if over(low) >= 0:
        return least
    return most if over(high) <= 0 else float(np.exp(optimize.brentq(over, low, high)))


def written(value: float) -> str:
    """A duration in seconds as a scenario writes it, with six digits: more would be noise."""
    nanoseconds = value * 1e9
    digits = 0 if nanoseconds <= 0 else max(int(np.floor(np.log10(nanoseconds))) + 1 - _DIGITS, 0)
    whole = round(nanoseconds / 10**digits) * 10**digits
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if whole >= size:
            return f"{float(whole / size):.10g}{unit}"
    return format_duration(whole)


def mixture(weights: Sequence[float], medians: Sequence[float], sigmas: Sequence[float]) -> Lognormals:
    """A mixture from shares (made to add up to 1), medians in seconds, and standard deviations of the logarithm."""
    total = sum(weights)
    parts = [Component(w / total, m, s) for w, m, s in zip(weights, medians, sigmas, strict=True)]
    return Lognormals(tuple(sorted(parts, key=lambda part: part.median)))


def _lognormal(part: Component) -> dict[str, str]:
    return {"median": written(part.median), "p99": written(part.p99)}
