"""What a key's way through the queue costs, beside the leanest queue that does nothing but keep keys once.

Run with: pytest -m benchmark tests/benchmarks
"""

from __future__ import annotations

import timeit
from collections import deque
from collections.abc import Callable

import pytest

from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.rate_limiting import RateLimitingQueue

KEYS = [f"ns/pod-{i}" for i in range(1000)]


class Leanest:
    """A deque and a set: no time, no metrics, no rule for keys that are added while they run."""

    __slots__ = ("queue", "queued")

    def __init__(self) -> None:
        self.queue: deque[str] = deque()
        self.queued: set[str] = set()

    def add(self, key: str) -> None:
        if key not in self.queued:
            self.queued.add(key)
            self.queue.append(key)

    def get(self) -> str:
        key = self.queue.popleft()
        self.queued.discard(key)
        return key

    def done(self, key: str) -> None:
        pass


def leanest(queue: Leanest) -> None:
    for key in KEYS:
        queue.add(key)
    for _ in KEYS:
        queue.done(queue.get())


def ours(queue: RateLimitingQueue | PriorityQueue) -> None:
    for key in KEYS:
        queue.add(0, key)
    for _ in KEYS:
        queue.done(0, queue.get(0))


def nanoseconds(run: Callable[[], None]) -> float:
    return min(timeit.repeat(run, number=20, repeat=9)) / 20 / len(KEYS) * 1e9


@pytest.mark.benchmark
def test_add_get_done_costs_at_most_four_times_the_leanest() -> None:
    lean, queue, priority = Leanest(), RateLimitingQueue(), PriorityQueue()
    baseline = nanoseconds(lambda: leanest(lean))
    ratio = nanoseconds(lambda: ours(queue)) / baseline
    other = nanoseconds(lambda: ours(priority)) / baseline
    print(f"\nadd+get+done: leanest {baseline:.0f} ns, client-go {ratio:.2f}x, controller-runtime {other:.2f}x")
    assert max(ratio, other) <= 4.0
