"""What a key's way through the queue costs, beside the leanest queue that does nothing but keep keys once.

Run with: pytest -m benchmark tests/benchmarks
"""

from __future__ import annotations

import time
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


def nanoseconds(*runs: Callable[[], None]) -> list[float]:
    """CPU of a key in each of the runs. They take turns, so that another load hits all; of each the quietest turn counts."""
    turns = [[timeit.timeit(run, time.process_time, number=2) for run in runs] for _ in range(150)]
    return [min(of_one) / 2 / len(KEYS) * 1e9 for of_one in zip(*turns, strict=True)]


@pytest.mark.benchmark
def test_add_get_done_costs_at_most_four_times_the_leanest() -> None:
    lean, queue, priority = Leanest(), RateLimitingQueue(), PriorityQueue()
    baseline, client_go, controller_runtime = nanoseconds(lambda: leanest(lean), lambda: ours(queue), lambda: ours(priority))
    ratio, other = client_go / baseline, controller_runtime / baseline
    print(f"\nadd+get+done: leanest {baseline:.0f} ns, client-go {ratio:.2f}x, controller-runtime {other:.2f}x")
    assert max(ratio, other) <= 4.0
