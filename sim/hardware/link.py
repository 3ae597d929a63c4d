"""A network path between two processes: how long one message takes."""

from __future__ import annotations

from sim.streams import Delays
from sim.units import Nanoseconds


class Link:
    """One direction of a path: half the round trip, plus jitter drawn from its own stream. All in nanoseconds.

    Simplified: messages of a stream are kept in order by who receives them; loss and partitions are not modelled yet.
    """

    __slots__ = ("_base", "_jitter")

    def __init__(self, rtt: Nanoseconds, jitter: Delays | None = None):
        self._base = rtt // 2
        self._jitter = None if jitter is None else jitter.draw

    def delay(self) -> Nanoseconds:
        """Time that the next message is under way."""
        return self._base if self._jitter is None else self._base + self._jitter()
