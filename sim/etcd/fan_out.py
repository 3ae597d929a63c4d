"""Watchers of a prefix in a storm: each has a stream of its own, whose one goroutine sends event after event.

All hear of the same puts in the same order, so one stream stands for all: a queue with one server and a fixed time of service.
What waits is counted, not cut off: where more than a channel's 128 responses wait, the real watcher becomes unsynced and reads its
history from the backend in rounds.

Sources: etcd server/storage/mvcc/watchable_store.go (chanBufLen, notify), server/etcdserver/api/v3rpc/watch.go (sendLoop).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.units import Nanoseconds

CHANNEL: Final = 128
"""Responses that a stream's channel holds."""


@dataclass(slots=True)
class FanOut:
    """What watchers hear. watchers: how many; in_apply: what each takes of an apply, send: what its stream needs for an event, ns.

    puts: heard of so far; beyond: those of them that found the channel full; most: events that waited at a time, the put's own
    included; longest, total: time from an apply until its event had left, ns.
    """

    watchers: int = 0
    in_apply: Nanoseconds = 0
    send: Nanoseconds = 1
    puts: int = 0
    beyond: int = 0
    most: int = 0
    longest: Nanoseconds = 0
    total: Nanoseconds = 0
    _free: Nanoseconds = 0

    def hear(self, times: NDArray[np.int64]) -> None:
        """Puts that were applied at these times, rising, after all that were heard of before."""
        count = len(times)
        if not count or not self.watchers:
            return
        work = np.arange(count, dtype=np.int64) * self.send
        sent = np.maximum(np.maximum.accumulate(times - work), self._free) + work + self.send
        self._free = int(sent[-1])
        lags = sent - times
        waiting = -(-lags // self.send)
        self.puts += count
        self.beyond += int(np.count_nonzero(waiting > CHANNEL))
        self.most = max(self.most, int(waiting.max()))
        self.longest = max(self.longest, int(lags.max()))
        self.total += int(lags.sum())

    @property
    def events(self) -> int:
        """Events for all watchers."""
        return self.puts * self.watchers

    @property
    def applying(self) -> Nanoseconds:
        """Time of the applies that was the watchers'."""
        return self.events * self.in_apply
