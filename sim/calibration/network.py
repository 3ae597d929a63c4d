"""The link of a scenario from the histogram of round trips: `rtt` and `jitter` as `sim.hardware.link` draws them.

A message takes half of `rtt` and an exponential delay of half of `jitter` on average, so a round trip is `rtt` and an Erlang
law of two phases. These two parameters are fitted to the buckets as any other law; what they cannot follow (a probe that
waited 100 ms) the misfit tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import special

from sim.calibration.fit import Fit, fit_form
from sim.calibration.histogram import Floats, Histogram
from sim.calibration.laws import written

_SHARES: Final = (0.3, 0.6, 0.8, 0.95)


@dataclass(frozen=True)
class RoundTrip:
    """A round trip over two links: `rtt` and `jitter` in seconds."""

    rtt: float
    jitter: float

    def cdf(self, at: Floats) -> Floats:
        """Probability of at most `at` seconds."""
        return np.asarray(special.gammainc(2, np.maximum(at - self.rtt, 0) / (self.jitter / 2)))

    def below(self, at: Floats) -> Floats:
        """Contribution of durations up to `at` to the mean, seconds."""
        beyond = np.maximum(at - self.rtt, 0) / (self.jitter / 2)
        return np.asarray(self.rtt * special.gammainc(2, beyond) + self.jitter * special.gammainc(3, beyond))

    @property
    def mean(self) -> float:
        """Seconds."""
        return self.rtt + self.jitter

    def declared(self) -> Any:
        """As a scenario's `network` says it."""
        return {"rtt": written(self.rtt), "jitter": written(self.jitter)}

    def __str__(self) -> str:
        return "round trip of two links"


def fit_link(trips: Histogram) -> Fit:
    """The link whose round trips are most like these."""
    begin = [np.log([share * trips.mean, (1 - share) * trips.mean]) for share in _SHARES]
    low, high = np.full(2, np.log(trips.mean / 1e4)), np.full(2, np.log(trips.mean * 2))
    return fit_form(trips, begin, low, high, lambda at: RoundTrip(float(np.exp(at[0])), float(np.exp(at[1]))))
