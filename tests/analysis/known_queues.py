"""Waiting times of queues whose answer is known: simulated by a vectorised Lindley recursion, and computed. Service time is 1 on
average.

W(n+1) = max(0, W(n) + S(n) - A(n)): with the partial sums X of S - A that is X(n) - min(-W(0), min X(i), i <= n), so many trials at
once cost two cumulative passes. The first wait is drawn from the stationary law (or is 0, for what is about warm-up).
"""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Floats = NDArray[np.float64]


def waits(rng: np.random.Generator, law: str, load: float, n: int, trials: int, *, empty: bool = False) -> Floats:
    """Waiting times of n customers in a row, shape (trials, n). law: M/M/1 or M/D/1; empty: the first finds nobody."""
    steps = rng.exponential(1.0, (trials, n)) if law == "M/M/1" else np.ones((trials, n))
    steps -= rng.exponential(1 / load, (trials, n))
    np.cumsum(steps, axis=1, out=steps)
    if empty:
        first = np.zeros(trials)
    elif law == "M/M/1":
        first = np.where(rng.random(trials) < load, rng.exponential(1 / (1 - load), trials), 0.0)
    else:  # Pollaczek-Khinchine: a geometric number of residual services, each uniform
        first = np.array([rng.random(number).sum() for number in rng.geometric(1 - load, trials) - 1])
    least = np.minimum.accumulate(steps, axis=1)
    np.minimum(least, -first[:, None], out=least)
    steps -= least
    return steps


def mean(law: str, load: float) -> float:
    """Mean wait, Pollaczek-Khinchine."""
    return load / (1 - load) * (1.0 if law == "M/M/1" else 0.5)


def quantile(law: str, load: float, q: float) -> float:
    """The wait that a share q of the customers do not exceed."""
    if law == "M/M/1":
        return max(0.0, math.log(load / (1 - q)) / (1 - load))
    return float(optimize.brentq(lambda t: _erlang(t, load) - q, 1e-9, 100.0))


def _erlang(at: float, load: float) -> float:
    """P(W <= at) in M/D/1 (Erlang 1909): an alternating sum, hence 80 digits."""
    getcontext().prec = 80
    time, rate, total = Decimal(repr(at)), Decimal(repr(load)), Decimal(0)
    for k in range(int(at) + 1):
        z = rate * (time - k)
        total += ((-z) ** k if k else Decimal(1)) / math.factorial(k) * z.exp()
    return float((1 - rate) * total)
