"""controller-runtime's priority queue as it was in 0.22, where a controller had to ask for it: one tree instead of two.

It differs from that of 0.23 (`priority_queue.py`) in what order and metrics make of delays and re-adds:

- Within a priority, keys added to run at once come before those that became ready by their delay, the latter by ready time.
- A key keeps the number of its first add: raising its priority puts it among its new class in that old order.
- A key that becomes ready while a worker holds it is counted in `adds` and `depth` only when the worker lets go of it.
- `len()` stops counting at the first key that is not ready, although ready ones of lower priority may follow.

The tree is a map of keys and two heaps, of the ready keys that nobody holds in the tree's order, and of the others by ready
time; an entry of a heap that the map has outdated is passed over. `len()` and `waiting` look at every key.

0.20 and 0.21 differ once more (`priority_queue_020.py`); 0.22.0 and 0.22.1 have the order of 0.20.

Source: sigs.k8s.io/controller-runtime v0.22.5, pkg/controller/priorityqueue/priorityqueue.go (AddWithOpts, spin, less).
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from itertools import count

from sim.clientgo.limiters import RateLimiter
from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.queue_metrics import Sink
from sim.units import Nanoseconds

_Order = tuple[int, int, int, int]
"""Sorts as the release's `less`; the number in it makes it unique."""


class PriorityQueue022(PriorityQueue):
    """The interface of `PriorityQueue` with the rules of 0.22."""

    __slots__ = ("_due", "_entries", "_items", "_now", "_offered")

    COUNTS_HELD = False
    """Whether a key that becomes ready while a worker holds it counts at once."""

    def __init__(
        self,
        limiter: RateLimiter | None = None,
        on_queue_duration: Sink | None = None,
        on_work_duration: Sink | None = None,
    ):
        super().__init__(limiter, on_queue_duration, on_work_duration)
        self._items: dict[Hashable, Item] = {}
        self._offered: list[tuple[_Order, Hashable, Item]] = []
        self._due: list[tuple[Nanoseconds, int, Hashable, Item]] = []
        self._entries = count()  # tells equal ready times apart
        self._now: Nanoseconds = 0  # of the last call: whether a key is ready depends on it

    def add(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> bool:
        """`key` needs a run now, also if it was to wait. True if it may now be handed out and could not before."""
        return self._put(now, key, None, priority)

    def add_after(self, now: Nanoseconds, key: Hashable, delay: Nanoseconds, priority: int = 0) -> bool:
        """`key` needs a run when `delay` has passed, or at its earlier ready time; at once if `delay` is 0 or less."""
        if delay <= 0:
            return self._put(now, key, None, priority)
        if self.shutting_down:
            return False
        self.retries += 1
        return self._put(now, key, now + delay, priority)

    def get(self, now: Nanoseconds) -> Hashable | None:
        """The first ready key in the tree's order that nobody holds, now held by the caller; None would block."""
        self.advance(now)
        while self._offered and not self.shutting_down:
            order, key, item = heappop(self._offered)
            if self._items.get(key) is not item or key in self._locked or self._order(item) != order:
                continue
            del self._items[key]
            self._count(now, item)
            self.gets += 1
            self._locked[key] = now
            if item.priority:
                self._priorities[key] = item.priority
            if self.on_queue_duration is not None and item.added is not None:
                self.on_queue_duration(now - item.added)
            return key
        return None

    def done(self, now: Nanoseconds, key: Hashable) -> bool:
        """The worker lets go of `key`. True if it is ready again, so that a waiting worker may have it."""
        super().done(now, key)
        item = self._items.get(key)
        if item is None or not item.is_ready(now):
            return False
        if not self.shutting_down:
            self._count(now, item)
            self._offer_item(key, item)
        return True

    def next_due(self) -> Nanoseconds | None:
        """When the next key becomes ready; None if none waits or, shutting down, will ever be."""
        while self._due and not self.shutting_down:
            due, _, key, item = self._due[0]
            if self._items.get(key) is item and item.ready_at == due and due > self._now:
                return due
            self._pop_due()
        return None

    def advance(self, now: Nanoseconds) -> int:
        """Make ready every key whose time has come; return how many of them nobody holds."""
        self._now = max(now, self._now)
        available = 0
        while self._due and self._due[0][0] <= now and not self.shutting_down:
            available += self._pop_due()
        return available

    def __len__(self) -> int:
        """Ready keys before the first that is not ready, in the tree's order (Len)."""
        order = self._order
        unready = [order(item) for item in self._items.values() if not item.is_ready(self._now)]
        first = min(unready, default=None)
        return sum(item.is_ready(self._now) and (first is None or order(item) < first) for item in self._items.values())

    @property
    def waiting(self) -> int:
        """Keys whose time has not come."""
        return sum(not item.is_ready(self._now) for item in self._items.values())

    def _put(self, now: Nanoseconds, key: Hashable, ready_at: Nanoseconds | None, priority: int) -> bool:
        if self.shutting_down:
            return False
        self.advance(now)
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = Item(priority, self._counter, ready_at)
            self._counter += 1
            moved = True
        else:
            earlier = item.ready_at is not None and (ready_at is None or ready_at < item.ready_at)
            moved = earlier or priority > item.priority
            item.priority = max(item.priority, priority)
            if earlier:
                item.ready_at = ready_at
        if item.ready_at is not None and not item.is_ready(now):
            if moved:
                self._delay(item.ready_at, key, item)
            return False
        new = item.added is None and item.ready_at is None
        if new:
            self._count(now, item)
        if moved and key not in self._locked:
            self._offer_item(key, item)
        return new and key not in self._locked

    def _delay(self, ready_at: Nanoseconds, key: Hashable, item: Item) -> None:
        heap = self._due
        heappush(heap, (ready_at, next(self._entries), key, item))
        if len(heap) > 2 * len(self._items) + 64:  # keys pulled forward again and again leave far-off stale entries
            live = [(item.ready_at, key, item) for key, item in self._items.items() if item.ready_at is not None]
            heap[:] = [(due, next(self._entries), key, item) for due, key, item in live if due > self._now]
            heapify(heap)

    def _pop_due(self) -> int:
        """Take the earliest entry; 1 if it made a key ready that nobody holds."""
        due, _, key, item = heappop(self._due)
        if self._items.get(key) is not item or item.ready_at != due or item.added is not None:
            return 0
        held = key in self._locked
        if self.COUNTS_HELD or not held:
            self._count(due, item)
        if held:
            return 0
        self._offer_item(key, item)
        return 1

    def _offer_item(self, key: Hashable, item: Item) -> None:
        """Put a ready key that nobody holds where its order says."""
        heap = self._offered
        heappush(heap, (self._order(item), key, item))
        if len(heap) > 2 * len(self._items) + 64:
            heap[:] = [entry for entry in heap if self._items.get(entry[1]) is entry[2] and self._order(entry[2]) == entry[0]]
            heapify(heap)

    def _count(self, now: Nanoseconds, item: Item) -> None:
        if item.added is None:
            item.added = now
            self.adds += 1

    @staticmethod
    def _order(item: Item) -> _Order:
        """Priority, at once before delayed, ready time, number."""
        return -item.priority, item.ready_at is not None, item.ready_at or 0, item.counter


class Item:
    """One key's place in the tree; `added`: when it was counted as ready, None: not yet."""

    __slots__ = ("added", "counter", "priority", "ready_at")

    def __init__(self, priority: int, counter: int, ready_at: Nanoseconds | None):
        self.priority = priority
        self.counter = counter
        self.ready_at = ready_at
        self.added: Nanoseconds | None = None

    def is_ready(self, now: Nanoseconds) -> bool:
        """Whether the key may run at `now`."""
        return self.ready_at is None or self.ready_at <= now
