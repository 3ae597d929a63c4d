"""Which priority queue a release of controller-runtime has: three sets of rules since it appeared in 0.20."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.priority_queue_020 import PriorityQueue020
from sim.clientgo.priority_queue_022 import PriorityQueue022

PRIORITY_QUEUES: Final[Mapping[str, type[PriorityQueue]]] = {
    "0.20": PriorityQueue020,
    "0.22": PriorityQueue022,
    "0.23": PriorityQueue,
}
"""By the first release with these rules (`Stack.priority_queue`)."""


def priority_queue_for(release: tuple[int, int]) -> type[PriorityQueue]:
    """The queue of this release of controller-runtime, 0.20 or later, given as (0, 20); 0.22 as in its patches from 0.22.2 on."""
    if release < (0, 22):
        return PriorityQueue020
    return PriorityQueue022 if release < (0, 23) else PriorityQueue
