"""The forms in which something grows, each with its gradient and a first guess.

constant-free polynomials   linear, quadratic, cubic through the origin: no controllers, no keys: K(n) = 8 n + 4 n^2 is
                            `quadratic`
polynomials                 the same with a constant: `linear+c`, `quadratic+c`, `cubic+c`
power                       a x^b
exponential                 a exp(b x): growth that feeds on itself
logistic                    top / (1 + exp(-k (x - middle))): exponential until a limit holds
michaelis-menten            top x / (half + x): each further one adds less
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.analysis.outcome import Floats

_MOST: Final = 500.0
"""Exponents beyond it are cut: a fit may pass there, none ends there."""


@dataclass(frozen=True, slots=True)
class Law:
    """A form y = f(x; theta). parameters: their names, in the order of theta, shape (p,).

    value(x, theta) -> (n,); gradient(x, theta) -> (n, p); starts(x, y, weights) -> first guesses, weights multiply residuals of y.
    degree: of a polynomial, else 0. positive: whether it needs x > 0.
    """

    name: str
    parameters: tuple[str, ...]
    value: Callable[[Floats, Floats], Floats]
    gradient: Callable[[Floats, Floats], Floats]
    starts: Callable[[Floats, Floats, Floats], list[Floats]]
    degree: int = 0
    constant: bool = False
    positive: bool = False


def _polynomial(name: str, degree: int, constant: bool) -> Law:
    powers = np.arange(0 if constant else 1, degree + 1)
    letters = ("c", "b1", "b2", "b3")

    def basis(x: Floats) -> Floats:
        return np.asarray(x[:, None] ** powers, dtype=np.float64)

    def starts(x: Floats, y: Floats, weights: Floats) -> list[Floats]:
        scale = np.max(np.abs(x)) ** powers
        found = np.linalg.lstsq(basis(x) / scale * weights[:, None], y * weights, rcond=None)[0]
        straight = np.zeros(len(powers))  # positive everywhere, where the best polynomial by y alone is not
        straight[1 if constant else 0] = np.median(y / np.where(x == 0, 1, x))
        return [found / scale, straight]

    return Law(
        name, tuple(letters[power] for power in powers), lambda x, theta: basis(x) @ theta, lambda x, theta: basis(x), starts,
        degree, constant,
    )  # fmt: skip


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept by least squares."""
    slope = float((x - x.mean()) @ (y - y.mean()) / max(float((x - x.mean()) @ (x - x.mean())), 1e-300))
    return slope, float(y.mean() - slope * x.mean())


def _power_value(x: Floats, theta: Floats) -> Floats:
    return np.asarray(theta[0] * np.exp(np.clip(theta[1] * np.log(x), -_MOST, _MOST)))


def _power_gradient(x: Floats, theta: Floats) -> Floats:
    unit = _power_value(x, np.array([1.0, theta[1]]))
    return np.stack([unit, theta[0] * unit * np.log(x)], axis=1)


def _power_starts(x: Floats, y: Floats, weights: Floats) -> list[Floats]:
    slope, level = _line(np.log(x), np.log(_positive(y)))
    return [np.array([np.exp(level), slope])]


def _exponential_value(x: Floats, theta: Floats) -> Floats:
    return np.asarray(theta[0] * np.exp(np.clip(theta[1] * x, -_MOST, _MOST)))


def _exponential_gradient(x: Floats, theta: Floats) -> Floats:
    unit = _exponential_value(x, np.array([1.0, theta[1]]))
    return np.stack([unit, theta[0] * unit * x], axis=1)


def _exponential_starts(x: Floats, y: Floats, weights: Floats) -> list[Floats]:
    slope, level = _line(x, np.log(_positive(y)))
    return [np.array([np.exp(level), slope])]


def _logistic_value(x: Floats, theta: Floats) -> Floats:
    return np.asarray(theta[0] / (1 + np.exp(np.clip(-theta[1] * (x - theta[2]), -_MOST, _MOST))))


def _logistic_gradient(x: Floats, theta: Floats) -> Floats:
    unit = _logistic_value(x, np.array([1.0, theta[1], theta[2]]))
    slope = theta[0] * unit * (1 - unit)
    return np.stack([unit, slope * (x - theta[2]), -slope * theta[1]], axis=1)


def _logistic_starts(x: Floats, y: Floats, weights: Floats) -> list[Floats]:
    guesses = []
    for top in (1.02, 1.3, 4.0):
        share = np.clip(y / (top * np.max(y)), 1e-6, 1 - 1e-6)
        slope, level = _line(x, np.log(share / (1 - share)))
        slope = slope if abs(slope) > 1e-300 else 1 / max(float(np.ptp(x)), 1e-300)
        guesses.append(np.array([top * np.max(y), slope, -level / slope]))
    return guesses


def _saturating_value(x: Floats, theta: Floats) -> Floats:
    return np.asarray(theta[0] * x / (theta[1] + x), dtype=np.float64)


def _saturating_gradient(x: Floats, theta: Floats) -> Floats:
    return np.asarray(np.stack([x / (theta[1] + x), -theta[0] * x / (theta[1] + x) ** 2], axis=1), dtype=np.float64)


def _saturating_starts(x: Floats, y: Floats, weights: Floats) -> list[Floats]:
    middle, top = float(np.median(x)), float(np.max(y))
    return [np.array([top * (1 + half / middle), half]) for half in (middle / 10, middle, 10 * middle)]


def _positive(y: Floats) -> Floats:
    return np.asarray(np.maximum(y, 1e-9 * np.max(np.abs(y))), dtype=np.float64)


LAWS: Final[dict[str, Law]] = {
    law.name: law
    for law in (
        _polynomial("linear", 1, False), _polynomial("quadratic", 2, False), _polynomial("cubic", 3, False),
        _polynomial("linear+c", 1, True), _polynomial("quadratic+c", 2, True), _polynomial("cubic+c", 3, True),
        Law("power", ("a", "b"), _power_value, _power_gradient, _power_starts, positive=True),
        Law("exponential", ("a", "b"), _exponential_value, _exponential_gradient, _exponential_starts),
        Law("logistic", ("top", "k", "middle"), _logistic_value, _logistic_gradient, _logistic_starts),
        Law("michaelis-menten", ("top", "half"), _saturating_value, _saturating_gradient, _saturating_starts),
    )
}  # fmt: skip

THROUGH_ORIGIN: Final = ("linear", "quadratic", "cubic", "power", "exponential", "logistic", "michaelis-menten")
"""The laws that are compared unless others are asked for."""
