"""A network path between two processes: how long one message takes.

Simplified: messages of a stream are kept in order by who receives them; loss and partitions are not modelled yet.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

from sim import distributions
from sim.streams import Delays, Stream
from sim.units import Nanoseconds


def one_way(rtt: Nanoseconds, jitter: Nanoseconds, stream: Stream) -> Callable[[], Nanoseconds]:
    """Draws the time that the next message is under way: half the round trip and an exponential delay of mean `jitter` / 2, ns."""
    if not jitter:
        return repeat(rtt // 2).__next__
    return Delays(stream, rtt // 2 + distributions.exponential(jitter / 2)).draw
