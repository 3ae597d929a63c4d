"""controller-runtime's priority queue as it was in its first releases, 0.20 and 0.21: readiness goes before priority.

It differs from that of 0.22 (`priority_queue_022.py`) in two things:

- Keys added to run at once come before all that became ready by their delay, whatever the priorities; of the latter the one
  that became ready first. Priority decides between keys that were added to run at once, and between equal ready times. So a
  failed key, which comes back by a delay, waits behind every key of the initial list, although those have priority -100.
- A key that becomes ready while a worker holds it is counted in `adds` and `depth` at once, as in 0.23; and as keys that are
  not ready stand at the end, `len()` counts all that are.

0.22.0 and 0.22.1 still had this order; 0.20.0 and 0.20.1 counted a key twice in `adds` that had become ready by its delay and
was then added to run at once. 0.21 differs from 0.20 in the priority label of `depth` alone.

After a shutdown these releases go on taking adds and counting them: nobody hands anything out any more, so nothing that becomes
ready by its delay is counted. Their Get then never returns (the workers of a controller hang until the grace period of the manager
is over). Simplified: here `get` gives None.

Source: sigs.k8s.io/controller-runtime v0.20.4 and v0.21.0, pkg/controller/priorityqueue/priorityqueue.go (AddWithOpts, spin, less).
"""

from __future__ import annotations

from collections.abc import Hashable

from sim.clientgo.priority_queue_022 import Item, PriorityQueue022
from sim.units import Nanoseconds


class PriorityQueue020(PriorityQueue022):
    """The interface of `PriorityQueue` with the rules of 0.20 and 0.21."""

    __slots__ = ()

    COUNTS_HELD = True

    def add(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> bool:
        """`key` needs a run now, also if it was to wait. True if it may now be handed out and could not before."""
        return self._late(now, key, None, priority) if self.shutting_down else super().add(now, key, priority)

    def add_after(self, now: Nanoseconds, key: Hashable, delay: Nanoseconds, priority: int = 0) -> bool:
        """`key` needs a run when `delay` has passed, or at its earlier ready time; at once if `delay` is 0 or less."""
        if not self.shutting_down:
            return super().add_after(now, key, delay, priority)
        self.retries += delay > 0
        return self._late(now, key, now + delay if delay > 0 else None, priority)

    def add_rate_limited(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> bool:
        """`key` needs a run when the limiter says so; counts as a failure."""
        return self.add_after(now, key, self._when(now, key), priority)

    def add_with_opts(
        self, now: Nanoseconds, key: Hashable, after: Nanoseconds = 0, rate_limited: bool = False, priority: int = 0
    ) -> bool:
        """AddWithOpts: `after` and the limiter's delay together mean the smaller of the two."""
        if rate_limited:
            limited = self._when(now, key)
            if after == 0 or limited < after:
                after = limited
        return self.add_after(now, key, after, priority)

    def _late(self, now: Nanoseconds, key: Hashable, ready_at: Nanoseconds | None, priority: int) -> bool:
        """An add after the shutdown: a place in the tree, counted if the key is to run at once."""
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = Item(priority, self._counter, ready_at)
            self._counter += 1
        else:
            item.priority = max(item.priority, priority)
            if item.ready_at is None or (ready_at is not None and ready_at >= item.ready_at):
                return False
            item.ready_at = ready_at
        if ready_at is None:
            self._count(now, item)
        return False

    @staticmethod
    def _order(item: Item) -> tuple[int, int, int, int]:
        """At once before delayed, ready time, priority, number."""
        return item.ready_at is not None, item.ready_at or 0, -item.priority, item.counter
