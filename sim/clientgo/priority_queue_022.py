"""controller-runtime's priority queue as it was in 0.22, where a controller had to ask for it: one tree instead of two.

It differs from that of 0.23 (`priority_queue.py`) in what order and metrics make of delays and re-adds:

- Within a priority, keys added to run at once come before those that became ready by their delay, the latter by ready time.
- A key keeps the number of its first add: raising its priority puts it among its new class in that old order.
- A key that becomes ready while a worker holds it is counted in `adds` and `depth` only when the worker lets go of it.
- `len()` stops counting at the first key that is not ready, although ready ones of lower priority may follow.

Every `get` looks at every key: made for comparing, and for small queues. Releases 0.20 and 0.21 differ once more and are
not modelled.

Source: sigs.k8s.io/controller-runtime v0.22.5, pkg/controller/priorityqueue/priorityqueue.go (AddWithOpts, spin, less).
"""

from __future__ import annotations

from collections.abc import Hashable

from sim.clientgo.limiters import RateLimiter
from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.queue_metrics import Sink
from sim.units import Nanoseconds


class PriorityQueue022(PriorityQueue):
    """The interface of `PriorityQueue` with the rules of 0.22."""

    __slots__ = ("_items", "_now")

    def __init__(
        self,
        limiter: RateLimiter | None = None,
        on_queue_duration: Sink | None = None,
        on_work_duration: Sink | None = None,
    ):
        super().__init__(limiter, on_queue_duration, on_work_duration)
        self._items: dict[Hashable, _Item] = {}
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
        self._now = now
        ready = [
            (item.order(), key)
            for key, item in self._items.items()
            if item.is_ready(now) and key not in self._locked and not self.shutting_down
        ]
        if not ready:
            return None
        key = min(ready, key=lambda entry: entry[0])[1]
        item = self._items.pop(key)
        self._count(now, item)
        self.gets += 1
        self._locked[key] = now
        if item.priority:
            self._priorities[key] = item.priority
        if self.on_queue_duration is not None and item.added is not None:
            self.on_queue_duration(now - item.added)
        return key

    def done(self, now: Nanoseconds, key: Hashable) -> bool:
        """The worker lets go of `key`. True if it is ready again, so that a waiting worker may have it."""
        super().done(now, key)
        item = self._items.get(key)
        if item is None or not item.is_ready(now):
            return False
        if not self.shutting_down:
            self._count(now, item)
        return True

    def next_due(self) -> Nanoseconds | None:
        """When the next key becomes ready; None if none waits or, shutting down, will ever be."""
        if self.shutting_down:
            return None
        times = (item.ready_at for item in self._items.values() if item.ready_at is not None)
        return min((time for time in times if time > self._now), default=None)

    def advance(self, now: Nanoseconds) -> int:
        """Count the keys whose time has come and that nobody holds; return how many."""
        before = self.adds
        self._now = max(now, self._now)
        if not self.shutting_down:
            for key, item in self._items.items():
                if item.ready_at is not None and item.ready_at <= now and key not in self._locked:
                    self._count(item.ready_at, item)
        return self.adds - before

    def __len__(self) -> int:
        """Ready keys before the first that is not ready, in the tree's order (Len)."""
        unready = [item.order() for item in self._items.values() if not item.is_ready(self._now)]
        first = min(unready, default=None)
        return sum(
            item.is_ready(self._now) and (first is None or item.order() < first) for item in self._items.values()
        )

    @property
    def waiting(self) -> int:
        """Keys whose time has not come."""
        return sum(not item.is_ready(self._now) for item in self._items.values())

    def _put(self, now: Nanoseconds, key: Hashable, ready_at: Nanoseconds | None, priority: int) -> bool:
        if self.shutting_down:
            return False
        self._now = now
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = _Item(priority, self._counter, ready_at)
            self._counter += 1
        else:
            item.priority = max(item.priority, priority)
            if item.ready_at is not None and (ready_at is None or ready_at < item.ready_at):
                item.ready_at = ready_at
        if item.ready_at is None and item.added is None:
            self._count(now, item)
            return key not in self._locked
        return False

    def _count(self, now: Nanoseconds, item: _Item) -> None:
        if item.added is None:
            item.added = now
            self.adds += 1


class _Item:
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

    def order(self) -> tuple[int, bool, Nanoseconds, int]:
        """Sorts as `less`: priority, at once before delayed, ready time, number."""
        return -self.priority, self.ready_at is not None, self.ready_at or 0, self.counter
