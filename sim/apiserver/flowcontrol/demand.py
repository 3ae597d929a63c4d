"""How many seats a priority level could use: what the borrowing between levels goes by.

Demand is the seats in use plus those of waiting requests, integrated over time. Every adjustment period its peak, mean
and standard deviation are taken, and the sum of the latter two is smoothed: up at once, down with a half-life of 5 min.

Source: k8s.io/apiserver v0.35.0, pkg/util/flowcontrol/fairqueuing/integrator.go; apf_controller.go (seatDemandStats).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from sim.units import Nanoseconds

SMOOTHING: Final = 0.977
"""seatDemandSmoothingCoefficient: what remains of the smoothed demand after a period without any."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Demand in one period of `duration` ns: peak, mean and standard deviation in seats."""

    duration: Nanoseconds
    peak: int
    average: float
    deviation: float


class Demand:
    """Moments of the demand since they were last taken. Sums are whole numbers: nothing is lost over long periods.

    peak: the highest; time, seats_time, squares_time: sums of ns, of demand times ns, of its square times ns.
    """

    __slots__ = ("peak", "seats_time", "squares_time", "time")

    def __init__(self) -> None:
        self.peak = 0
        self.time: Nanoseconds = 0
        self.seats_time = 0
        self.squares_time = 0

    def add(self, seats: int, elapsed: Nanoseconds) -> None:
        """Demand was `seats` for `elapsed` ns."""
        self.time += elapsed
        work = seats * elapsed
        self.seats_time += work
        self.squares_time += seats * work

    def note(self, seats: int) -> None:
        """Demand is now `seats`, be it for no time at all: the peak counts it."""
        if seats > self.peak:
            self.peak = seats

    def take(self, seats: int) -> Observed:
        """What was observed; begin anew, with `seats` now."""
        duration, first, second = self.time, self.seats_time, self.squares_time
        observed = Observed(
            duration,
            self.peak,
            first / duration if duration else 0.0,
            math.sqrt(second * duration - first * first) / duration if duration else 0.0,
        )
        self.peak = seats
        self.time = self.seats_time = self.squares_time = 0
        return observed


class DemandStatistics:
    """What a level remembers of its demand from one adjustment to the next (seatDemandStats).

    peak: of the last period; smoothed: mean plus deviation, in seats, that falls by 2.3% of the difference per period.
    """

    __slots__ = ("peak", "smoothed")

    def __init__(self) -> None:
        self.peak = 0
        self.smoothed = 0.0

    def update(self, observed: Observed) -> None:
        """One more period; of one without length only the peak counts."""
        self.peak = observed.peak
        if observed.duration <= 0:
            return
        envelope = observed.average + observed.deviation
        self.smoothed = max(envelope, SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope)
