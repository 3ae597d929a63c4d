"""A watch stream of etcd: its channel, the goroutine that empties it, and the client at the other end.

    channel   128 responses (1,024 before 3.4.10); who finds it full is told so, and waits for nothing
    sender    takes one response at a time: marshals it and hands it to gRPC, which blocks it while too much is under way
    client    reads event by event, at its own pace, or not at all for a while

gRPC takes a message of any size while less is under way than the client's window and its own write quota hold; so what is under
way is bounded before a message, not after it. All of it is first come, first served: three numbers say when everything that came
so far will have left. Times in nanoseconds; they rise from call to call.

Sources: etcd server/storage/mvcc/watchable_store.go (chanBufLen), server/etcdserver/api/v3rpc/watch.go (sendLoop); grpc-go
internal/transport/flowcontrol.go (writeQuota), defaults.go (initialWindowSize, defaultWriteQuota).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.hardware.disk import NEVER
from sim.units import Bytes, Nanoseconds

UNDER_WAY: Final[Bytes] = 65_535 + 65_536
"""A client's first window and the write quota of a stream: less than this is under way when a message goes."""
_AT_ONCE: Final = 64
"""Fewer puts than these are told one by one."""

Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Client:
    """How fast events leave. send: what the sender needs for a response, further: for each event in it after the first; read: what
    the client needs for an event, at least 1 ns. window: events that may be under way to it before the sender waits. From `stalls`
    to `resumes` it reads nothing."""

    send: Nanoseconds
    further: Nanoseconds = 0
    read: Nanoseconds = 1
    window: int = 1
    stalls: Nanoseconds = NEVER
    resumes: Nanoseconds = NEVER

    def awake(self, at: Nanoseconds) -> Nanoseconds:
        """Time that the client has read in by `at`, without its stall."""
        return at if at <= self.stalls else max(self.stalls, at - (self.resumes - self.stalls))

    def clock(self, awake: Nanoseconds) -> Nanoseconds:
        """When it has read for so long; NEVER where it never goes on."""
        if awake <= self.stalls:
            return awake
        return NEVER if self.resumes >= NEVER else awake + self.resumes - self.stalls


@dataclass(slots=True)
class Heard:
    """What clients were told. events: for all of them; longest, total: from an apply (or from the opening of the watch, where that
    came later) until the client has the event, ns; `total` is over all events that arrive at all, which are `arrived`."""

    events: int = 0
    arrived: int = 0
    longest: Nanoseconds = 0
    total: Nanoseconds = 0

    def lags(self, lags: Array, copies: int) -> None:
        """Events that `copies` clients have so long after they happened."""
        count = len(lags)
        self.events += count * copies
        self.arrived += count * copies
        self.longest = max(self.longest, int(lags.max()))
        self.total += int(lags.sum()) * copies


class WatchStream:
    """One stream, or `copies` that are all alike. opened: when; heard: where to count."""

    __slots__ = ("_events", "_free", "_read_until", "_taken", "capacity", "client", "copies", "heard", "opened")

    def __init__(self, client: Client, capacity: int, heard: Heard, opened: Nanoseconds = 0, copies: int = 1):
        self.client, self.capacity, self.heard, self.opened, self.copies = client, capacity, heard, opened, copies
        self._taken: deque[tuple[Nanoseconds, int]] = deque()  # of what is in the channel: when it leaves it, and its events
        self._events = 0  # in the channel
        self._free: Nanoseconds = 0  # when the sender has sent everything
        self._read_until: Nanoseconds = 0  # when the client has read everything, by its own clock

    def split(self, copies: int) -> WatchStream:
        """Take so many of the copies out, as a stream of their own."""
        other = WatchStream(self.client, self.capacity, self.heard, self.opened, copies)
        self.copies -= copies
        other._taken, other._events = deque(self._taken), self._events
        other._free, other._read_until = self._free, self._read_until
        return other

    def room(self, now: Nanoseconds) -> int:
        """Responses that the channel has room for."""
        taken = self._taken
        while taken and taken[0][0] <= now:
            self._events -= taken.popleft()[1]
        return self.capacity - len(taken)

    def room_at(self, now: Nanoseconds) -> Nanoseconds:
        """When it has room for one, if nothing comes meanwhile."""
        return now if self.room(now) > 0 else self._taken[-self.capacity][0]

    def pending(self, now: Nanoseconds) -> int:
        """Events in the channel."""
        self.room(now)
        return self._events

    def put(self, now: Nanoseconds, happened: Array) -> None:
        """A response with the events that happened at these times goes into the channel, which has room."""
        client, count = self.client, len(happened)
        taken = max(now, self._free)
        self._taken.append((taken, count))
        self._events += count
        if taken >= NEVER:
            self.heard.events += count * self.copies
            return
        sent = taken + client.send + max(0, count - 1) * client.further
        if not count:
            self._free = sent
            return
        begins = client.clock(self._read_until - (client.window - 1) * client.read)
        self._free = sent = max(sent, begins)
        if sent >= NEVER:
            self.heard.events += count * self.copies
            return
        reads = max(self._read_until, client.awake(sent))
        self._read_until = reads + count * client.read
        self._tell(reads, sent, happened)

    def _tell(self, reads: Nanoseconds, sent: Nanoseconds, happened: Array) -> None:
        """Events of a response that was sent at `sent` are read one after the other from `reads` on, by the client's clock."""
        client, count = self.client, len(happened)
        awake = reads + client.read * np.arange(1, count + 1, dtype=np.int64)
        if awake[-1] > client.stalls:
            if client.resumes >= NEVER:
                self.heard.events += count * self.copies
                left = int(np.count_nonzero(awake <= client.stalls))
                self.heard.events -= left * self.copies
                if not left:
                    return
                awake, happened = awake[:left], happened[:left]
            else:
                awake = np.where(awake > client.stalls, awake + (client.resumes - client.stalls), awake)
        self.heard.lags(np.maximum(awake, sent) - np.maximum(happened, self.opened), self.copies)

    def put_many(self, times: Array, each: int = 1) -> int:
        """At each of these times `each` responses come, of one event: how many of the times found room before the first that
        found too little. What comes with that one and after it is the caller's."""
        count = len(times)
        if count >= _AT_ONCE and each == 1 and not self._stalled(int(times[-1])):
            return self._put_all(times)
        return self._one_by_one(times, each)

    def _stalled(self, last: Nanoseconds) -> bool:
        client = self.client
        return client.stalls < NEVER and max(self._free, self._read_until, last + client.send) + client.send >= client.stalls

    def _put_all(self, times: Array) -> int:
        """As one by one, for many at once, where the sender never waits for its client; else one by one."""
        client = self.client
        work = np.arange(len(times), dtype=np.int64) * client.send
        sent = np.maximum(np.maximum.accumulate(times - work), self._free) + work + client.send
        self.room(int(times[0]))
        taken = np.concatenate([np.array([at for at, _ in self._taken], dtype=np.int64), sent - client.send])
        waiting = len(self._taken) + np.arange(len(times)) - np.searchsorted(taken, times, side="right").clip(
            max=len(self._taken) + np.arange(len(times))
        )
        full = np.flatnonzero(waiting >= self.capacity)
        room = int(full[0]) if len(full) else len(times)
        if not room:
            return 0
        times, sent = times[:room], sent[:room]
        reading = np.arange(room, dtype=np.int64) * client.read
        read = np.maximum(np.maximum.accumulate(sent - reading), self._read_until) + reading + client.read
        before = np.concatenate([[self._read_until], read[:-1]])
        if (before - (client.window - 1) * client.read > sent).any() or read[-1] > client.stalls:
            return self._one_by_one(times, 1)
        self._taken.extend((int(at), 1) for at in (sent - client.send)[-self.capacity :])
        self._events = sum(events for _, events in self._taken)
        self._free, self._read_until = int(sent[-1]), int(read[-1])
        self.heard.lags(read - np.maximum(times, self.opened), self.copies)
        return room

    def _one_by_one(self, times: Array, each: int) -> int:
        for place in range(len(times)):
            at = int(times[place])
            if self.room(at) < each:
                return place
            for _ in range(each):
                self.put(at, times[place : place + 1])
        return len(times)
