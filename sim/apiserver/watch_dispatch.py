"""How an event gets from the watch cache to its watchers, and what becomes of a watcher that cannot keep up.

    dispatcher -> input channel -> goroutine that filters -> result channel -> writer to the connection

Both channels of a watcher hold about one second of events. The dispatcher, one for each resource, first hands an event
to everybody who has room. For those who have none it waits, all of them together, at most for its time budget, and
then closes the watches that still have none: what their clients have not been sent is lost to them, and they come back
from their last version. While it waits, nobody of that resource is told anything.

A watcher that is still being sent its initial events reads nothing new meanwhile: its input channel alone must hold
what happens.

Source: k8s.io/apiserver v0.35.0, pkg/storage/cacher/cacher.go (dispatchEvent), cache_watcher.go, time_budget.go,
watch_cache.go (suggestedWatchChannelSize). Simplified: a watcher that has been handed but not yet sent the bookmark that
ends its initial events is closed like any other (really: drained first); the dispatcher's own work takes no time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sim.apiserver.watch_history import EVENT_WINDOW
from sim.units import MILLISECOND, SECOND, Nanoseconds

Who = TypeVar("Who", bound=Hashable)

MIN_CHANNEL: Final = 10
MAX_CHANNEL_TRIGGERED: Final = 10
MAX_CHANNEL_INDEXED: Final = 1000
MAX_CHANNEL_PLAIN: Final = 100
"""minWatchChanSize, maxWatchChanSizeWithIndexAndTrigger, ...WithIndexWithoutTrigger, ...WithoutIndex, events."""

BUDGET_PER_SECOND: Final[Nanoseconds] = 50 * MILLISECOND
"""refreshPerSecond of time_budget.go."""
MAX_BUDGET: Final[Nanoseconds] = 100 * MILLISECOND
"""maxBudget."""

INCOMING: Final = 100
"""Events between the cache and its dispatcher; when that is full, the cache's own watch of etcd is not read (cacher.go)."""


def channel_size(capacity: int, window: Nanoseconds = EVENT_WINDOW, indexed: bool = False, triggered: bool = False) -> int:
    """Slots of each channel of a new watcher: about a second of the ring's `capacity` events in `window` ns.

    indexed: the resource has an index for watchers (pods by node, secrets by name, ...); triggered: the watch asks by it.
    """
    size = max(MIN_CHANNEL, math.ceil(capacity / (window / SECOND)))
    if not indexed:
        return min(size, MAX_CHANNEL_PLAIN)
    return min(size, MAX_CHANNEL_TRIGGERED if triggered else MAX_CHANNEL_INDEXED)


class TimeBudget:
    """How long a dispatcher may wait for slow watchers: empty at first, 50 ms more each second, at most 100 ms."""

    __slots__ = ("_budget", "_last")

    def __init__(self, now: Nanoseconds):
        self._budget, self._last = 0, now

    def take(self, now: Nanoseconds) -> Nanoseconds:
        """All of it (takeAvailable)."""
        elapsed = now - self._last
        grown = (elapsed // SECOND + (elapsed % SECOND) / SECOND) * (BUDGET_PER_SECOND / SECOND)
        budget = min(self._budget + int(max(0.0, grown) * 1e9), MAX_BUDGET)
        self._budget, self._last = 0, now
        return budget

    def give_back(self, unused: Nanoseconds) -> None:
        """What was not needed of it; a negative rest is forgiven (returnUnused)."""
        if unused > 0:
            self._budget = min(self._budget + unused, MAX_BUDGET)


@dataclass(frozen=True, slots=True)
class Closed:
    """A watch that the server ended at `at`: the last `lost` deliveries do not happen.

    ends: when its client has read the rest and sees the end.
    """

    at: Nanoseconds
    ends: Nanoseconds
    lost: int


class WatcherChannels:
    """The station of one watcher: two channels of `size` events, and a writer that takes time for each event.

    Deliveries are known when an event is admitted; only a close takes the last ones back.
    """

    __slots__ = ("_forwards", "_initial", "_on_the_way", "_reads", "_sent", "_size", "_starts", "_written")

    def __init__(self, size: int):
        self._size = size
        self._reads: deque[Nanoseconds] = deque()  # when each event in the input channel leaves it, rising
        self._forwards: Nanoseconds = 0  # when the goroutine in the middle has put the newest into the result channel
        self._starts: deque[Nanoseconds] = deque(maxlen=size)  # when the writer takes the newest `size` events
        self._written: Nanoseconds = 0  # when the writer is through with the newest
        self._on_the_way: deque[tuple[Nanoseconds, Nanoseconds]] = deque()  # (in the result channel, delivered)
        self._sent: Nanoseconds = 0  # delivery of the newest that was in the result channel when last looked at
        self._initial: tuple[Nanoseconds, int, Nanoseconds] = (0, 0, 0)

    def prime(self, now: Nanoseconds, count: int, cost: Nanoseconds) -> Nanoseconds:
        """The watch starts with `count` initial events of `cost` ns each; returns when the last is delivered.

        They do not pass through the input channel, but nothing else leaves it before they have.
        """
        if count > 0:
            self._forwards = now + max(0, count - 1 - self._size) * cost
            self._starts.extend(now + i * cost for i in range(max(0, count - self._size), count))
            self._written = self._sent = now + count * cost
            self._initial = (now, count, cost)
        return max(now, self._written)

    def room_at(self, now: Nanoseconds) -> Nanoseconds:
        """When the input channel takes another event: `now`, or when its oldest leaves it. `now` must not fall."""
        reads = self._reads
        while reads and reads[0] <= now:
            reads.popleft()
        return now if len(reads) < self._size else reads[0]

    def admit(self, now: Nanoseconds, cost: Nanoseconds | None) -> Nanoseconds | None:
        """Put an event into the input channel, where there is room; returns when it is delivered.

        cost: what the writer spends on it, nanoseconds; None for one that the watcher did not ask for: it takes a slot
        until it is read, and returns None.
        """
        read = max(now, self._forwards)
        if read > now:
            self._reads.append(read)
        if cost is None:
            return None
        full = len(self._starts) == self._size
        self._forwards = max(read, self._starts[0]) if full else read
        start = max(self._forwards, self._written)
        self._starts.append(start)
        self._written = start + cost
        self._settle(now)
        self._on_the_way.append((self._forwards, self._written))
        return self._written

    def close(self, now: Nanoseconds) -> Closed:
        """The server ends the watch: what is in the result channel is still sent, the rest is not."""
        self._settle(now)
        began, count, cost = self._initial
        if cost:
            forwarded = min(count, (now - began) // cost + self._size + 1)
            if forwarded < count:
                return Closed(now, began + forwarded * cost, count - forwarded + len(self._on_the_way))
        return Closed(now, max(now, self._sent), len(self._on_the_way))

    def _settle(self, now: Nanoseconds) -> None:
        way = self._on_the_way
        while way and way[0][0] <= now:
            self._sent = way.popleft()[1]


@dataclass(frozen=True, slots=True)
class Dispatched(Generic[Who]):
    """done: when the dispatcher is free again; deliveries: when each watcher gets the event; closed: whose watch ended."""

    done: Nanoseconds
    deliveries: dict[Who, Nanoseconds]
    closed: dict[Who, Closed]


class Dispatcher(Generic[Who]):
    """The dispatcher of one resource, one event at a time; its budget is shared by all watchers."""

    __slots__ = ("_budget", "_free_at")

    def __init__(self, now: Nanoseconds):
        self._budget = TimeBudget(now)
        self._free_at = now

    def dispatch(self, now: Nanoseconds, offers: Iterable[tuple[Who, WatcherChannels, Nanoseconds | None]]) -> Dispatched[Who]:
        """Hand an event that arrives at `now` to each watcher with its cost (None: it passes the watcher's filter by).

        Serial: an event that comes while the dispatcher waits is dispatched after that. Those that have no room are waited
        for in the order given (Go: any). Where a slot becomes free at the very instant at which the budget ends, the watcher
        is kept (Go: either).
        """
        clock = start = max(now, self._free_at)
        deliveries: dict[Who, Nanoseconds] = {}
        closed: dict[Who, Closed] = {}
        blocked = []
        for who, channels, cost in offers:
            if channels.room_at(start) <= start:
                _note(deliveries, who, channels.admit(start, cost))
            else:
                blocked.append((who, channels, cost))
        if blocked:
            budget = self._budget.take(start)
            for who, channels, cost in blocked:
                room = channels.room_at(clock)
                if room <= start + budget:
                    clock = max(clock, room)
                    _note(deliveries, who, channels.admit(clock, cost))
                else:
                    clock = start + budget
                    closed[who] = channels.close(clock)
            self._budget.give_back(budget - (clock - start))
        self._free_at = clock
        return Dispatched(clock, deliveries, closed)

    def bookmark(self, now: Nanoseconds, offers: Iterable[tuple[Who, WatcherChannels, Nanoseconds]]) -> dict[Who, Nanoseconds]:
        """Hand out a bookmark to those who are due: when each gets it. Who has no room gets none; nobody waits for that."""
        start = max(now, self._free_at)
        deliveries: dict[Who, Nanoseconds] = {}
        for who, channels, cost in offers:
            if channels.room_at(start) <= start:
                _note(deliveries, who, channels.admit(start, cost))
        return deliveries


def _note(deliveries: dict[Who, Nanoseconds], who: Who, delivered: Nanoseconds | None) -> None:
    if delivered is not None:
        deliveries[who] = delivered
