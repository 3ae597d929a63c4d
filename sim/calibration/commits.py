"""The backend's fdatasync from the backend's commits: the law of one of two equal parts.

A commit writes its pages and calls fdatasync twice (bbolt: tx.go). Its histogram is therefore that of a sum; what a device
profile needs is the law of one. The law is found by maximum likelihood like any other, with the distribution function of the
sum of two independent draws and a constant, by Gauss-Hermite quadrature over one of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sim.calibration.fit import Fit, fit_form, limits, starts, unpacked, worth_more
from sim.calibration.histogram import Floats, Histogram
from sim.calibration.laws import Lognormals

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_MOST_PARTS: Final = 3
_MANY: Final = 1000
"""Commits from which a third component may be told."""


@dataclass(frozen=True)
class Twice:
    """The sum of two independent draws of a law and a constant, seconds."""

    of: Lognormals
    constant: float

    def cdf(self, at: Floats) -> Floats:
        """Probability of at most `at` seconds."""
        return self._over(self.of.cdf, at)

    def below(self, at: Floats) -> Floats:
        """Contribution of durations up to `at` to the mean, seconds: each of the two draws gives as much."""
        return 2 * self._over(self.of.below, at) + self.constant * self.cdf(at)

    @property
    def mean(self) -> float:
        """Seconds."""
        return 2 * self.of.mean + self.constant

    def declared(self) -> Any:
        """As a scenario writes one of the two."""
        return self.of.declared()

    def _over(self, function: Any, at: Floats) -> Floats:
        total = np.zeros(len(at))
        for part in self.of.parts:
            other = part.median * np.exp(part.sigma * _NODES)
            rest = np.maximum(at[:, None] - self.constant - other, 0)
            total += part.weight * function(rest.ravel()).reshape(rest.shape) @ _WEIGHTS
        return total

    def __str__(self) -> str:
        return f"twice a {self.of}"


def fit_half(commits: Histogram, constant: float) -> Fit:
    """The law of one fdatasync whose sum with another and `constant` seconds is most like the commits."""
    found: list[Fit] = []
    for size in range(1, _MOST_PARTS + 1 if commits.count >= _MANY else _MOST_PARTS):
        begin = []
        for start in starts(commits, size):
            halved = start.copy()
            halved[:size] = np.log(np.maximum((np.exp(start[:size]) - constant) / 2, 1e-6))
            begin.append(halved)
        found.append(fit_form(commits, begin[:3], *limits(commits, size), lambda at: Twice(unpacked(at), constant)))
        if not worth_more(found, size + 1):
            break
    standing = [one for one in found if one.accepted and not one.free] or found
    return min(standing, key=lambda one: one.bic)
