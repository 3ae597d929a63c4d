"""controller-runtime's priority queue as it was in its first releases, 0.20 and 0.21: readiness goes before priority.

It differs from that of 0.22 (`priority_queue_022.py`) in two things:

- Keys added to run at once come before all that became ready by their delay, whatever the priorities; of the latter the one
  that became ready first. Priority decides between keys that were added to run at once, and between equal ready times. So a
  failed key, which comes back by a delay, waits behind every key of the initial list, although those have priority -100.
- A key that becomes ready while a worker holds it is counted in `adds` and `depth` at once, as in 0.23; and as keys that are
  not ready stand at the end, `len()` counts all that are.

0.22.0 and 0.22.1 still had this order; 0.20.0 and 0.20.1 counted a key twice in `adds` that had become ready by its delay and
was then added to run at once. 0.21 differs from 0.20 in the priority label of `depth` alone.

Simplified: after a shutdown these releases go on counting adds, and their Get never returns (the workers of a controller hang
until the grace period of the manager is over); here adds are refused and `get` gives None, as from 0.22.2 on.

Source: sigs.k8s.io/controller-runtime v0.20.4 and v0.21.0, pkg/controller/priorityqueue/priorityqueue.go (AddWithOpts, spin, less).
"""

from __future__ import annotations

from sim.clientgo.priority_queue_022 import Item, PriorityQueue022


class PriorityQueue020(PriorityQueue022):
    """The interface of `PriorityQueue` with the rules of 0.20 and 0.21."""

    __slots__ = ()

    COUNTS_HELD = True

    @staticmethod
    def _order(item: Item) -> tuple[int, int, int, int]:
        """At once before delayed, ready time, priority, number."""
        return item.ready_at is not None, item.ready_at or 0, -item.priority, item.counter
