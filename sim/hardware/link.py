"""A network path between two processes: how long one message takes.

A segment that is lost is sent again by TCP after a timeout of 200 ms, which doubles each time; all that comes behind it on the
same connection waits for it (whoever receives a stream keeps its messages in order).

Source: Linux net/ipv4/tcp_timer.c, include/net/tcp.h (TCP_RTO_MIN). Simplified: a message is one segment, and there is neither
a fast retransmission nor a tail loss probe: pessimistic where many messages are under way.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Final

from sim import distributions
from sim.streams import Delays, Stream
from sim.units import MILLISECOND, Nanoseconds

RTO: Final[Nanoseconds] = 200 * MILLISECOND
"""Until a lost segment is sent again for the first time."""
_LOSSES: Final = 5
"""More losses in a row are counted as so many: the connection would be given up."""


def one_way(rtt: Nanoseconds, jitter: Nanoseconds, stream: Stream, loss: float = 0.0) -> Callable[[], Nanoseconds]:
    """Draws the time that the next message is under way, ns.

    Half the round trip, an exponential delay of mean `jitter` / 2, and, with the probability `loss`, the time until it is sent
    again.
    """
    if not jitter and not loss:
        return repeat(rtt // 2).__next__
    table = rtt // 2 + distributions.exponential(jitter / 2) if jitter else distributions.constant(rtt // 2)
    return Delays(stream, with_loss(table, loss)).draw


def with_loss(table: distributions.Table, loss: float) -> distributions.Table:
    """The law of a message's time where that share of segments is lost."""
    if not loss:
        return table
    weights = [(1 - loss) * loss**losses for losses in range(_LOSSES)] + [loss**_LOSSES]
    return distributions.mixture([(weight, table + waited(losses)) for losses, weight in enumerate(weights)])


def waited(losses: int) -> Nanoseconds:
    """Time from the first transmission of a segment to the one after so many losses."""
    return RTO * ((1 << losses) - 1)
