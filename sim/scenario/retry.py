"""How a client without a library of Kubernetes tries again what was refused or not answered."""

from __future__ import annotations

from typing import Annotated

from sim.scenario.quantities import Count, Factor, Fraction, PositiveDuration, no_more_than
from sim.scenario.section import Section, field
from sim.units import MILLISECOND, SECOND


class Retry(Section):
    """Exponential back-off of the caller; etcd's own client never sends again what was refused (ResourceExhausted) or timed out."""

    attempts: Annotated[Count, no_more_than(1000)] = field(
        0, "How often a request is sent again at most.", "etcd: client/v3/retry.go (isSafeRetryMutableRPC): Unavailable only"
    )
    base: PositiveDuration = field(100 * MILLISECOND, "Pause before the first of these.", "assumed")
    factor: Factor = field(2.0, "Each pause over the one before.", "assumed")
    max: PositiveDuration = field(10 * SECOND, "Longest pause, without its jitter.", "assumed")
    jitter: Fraction = field(0.1, "Each is stretched by a uniform share of itself up to this.", "assumed")

    def pause(self, tries: int) -> int:
        """The pause before try number `tries` (from 1) beyond the first, nanoseconds, without jitter."""
        return int(min(self.max, self.base * self.factor ** min(tries - 1, 200)))
