"""Threads that read and write one map in memory, each on a core of its own, until their operations are done."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from sim.controllers.snapshots import SnapshotMap
from sim.processes.events import Clock
from sim.units import Nanoseconds


@dataclass(frozen=True, slots=True)
class MapCosts:
    """Nanoseconds: of a read, of a write in place (None: every write copies), of copying nothing and of copying one entry."""

    read: float
    write: float | None
    copy: float
    copy_entry: float


class MapThreads:
    """What the threads do together. alone: whether one writer waits for the other. uniform: draws from [0, 1).

    Times of all threads summed, nanoseconds: `reading`, and `writing`, waits for other writers included; `ended`: when the last
    operation was done.
    """

    def __init__(
        self, env: Clock, store: SnapshotMap, costs: MapCosts, alone: bool, operations: int, reads_per_write: float,
        uniform: Callable[[], float],
    ):  # fmt: skip
        self._env, self._store, self._costs, self._alone = env, store, costs, alone
        self._left, self._uniform = operations, uniform
        self._stays = reads_per_write / (1 + reads_per_write)  # the chance that an operation is a read
        self._free: Nanoseconds = 0
        self.reads = self.writes = 0
        self.reading = 0.0
        self.writing: Nanoseconds = 0
        self.ended: Nanoseconds = 0

    @property
    def lost(self) -> int:
        """Updates that another put took back."""
        return self._store.lost

    def thread(self) -> Generator[Any, Any, None]:
        """One thread: some reads, one write, and again."""
        env, store, costs = self._env, self._store, self._costs
        while self._left > 0:
            reads = min(self._reads(), self._left)
            self._left -= reads
            self.reads += reads
            self.reading += reads * costs.read
            yield env.timeout(round(reads * costs.read))
            if self._left > 0:
                self._left -= 1
                began = env._now
                ordinal = self.writes
                self.writes += 1
                old = store.newest
                key = ordinal % len(old)
                if costs.write is not None:
                    yield env.timeout(round(costs.write))
                else:
                    took = round(costs.copy + costs.copy_entry * len(old))
                    if self._alone:
                        begins = max(began, self._free)
                        self._free = begins + took
                        yield env.timeout(begins + took - began)
                        old = store.newest  # nobody else has published since it began to copy
                    else:
                        yield env.timeout(took)
                    store.publish(old, key, ordinal + 1)
                self.writing += env._now - began
            self.ended = env._now

    def _reads(self) -> int:
        """Reads before the next write: each operation is a read with the same chance."""
        if not self._stays:
            return 0
        return int(math.log(1.0 - self._uniform()) / math.log(self._stays))
