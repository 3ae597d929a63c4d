"""Who made the slow ones wait: the holds of the batch lock, charged to the requests that waited behind them.

A request's wait, from hand-over to the lock, is made of other holds: other entries (each has a writer), commits, compaction
batches. Waits are charged by the latency of the request that waited, so that at the end the part of the requests above the
p99 can be read off. A commit's share is then split by the puts that writers had pending in it, a compaction's by the live
keys that it walked. Charged are requests above `threshold` (a low quantile, set by whoever reads the latencies); in a long
queue every n-th one with weight n.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from sim.units import Nanoseconds

COMMIT: Final = -1
COMPACTION: Final = -2
_BUCKETS_PER_OCTAVE: Final = 8
_QUEUE: Final = 64


class Tail:
    """Charges of waits by cause and by the latency of who waited. Times in nanoseconds."""

    __slots__ = ("_by_commit", "_by_compaction", "_charged", "_live", "_skipped", "_writers", "holds", "threshold")

    def __init__(self, writers: int):
        self._writers = writers
        self.holds: deque[tuple[Nanoseconds, Nanoseconds, int]] = deque(maxlen=8192)
        self.threshold: Nanoseconds = 0
        self._skipped = 0
        self._charged: dict[int, list[float]] = {}
        self._by_commit = [0.0] * writers
        self._by_compaction = [0.0] * writers
        self._live: list[float] = [0.0] * writers

    def waited(self, handed: Nanoseconds, begins: Nanoseconds, latency: Nanoseconds, weight: int = 1) -> None:
        """A request handed over at `handed` got the lock at `begins`: charge the holds in between; for `weight` like it."""
        if weight == 1 and begins - handed > latency * 0.9 and len(self.holds) > _QUEUE and self.holds[-_QUEUE][0] > handed:
            weight = 16
            self._skipped += 1
            if self._skipped % weight:
                return
        bucket = int(latency.bit_length() * _BUCKETS_PER_OCTAVE + (latency << 3 >> (latency.bit_length() - 1) & 7))
        charges = self._charged.get(bucket)
        if charges is None:
            charges = self._charged[bucket] = [0.0] * (self._writers + 2)
        for ended, began, cause in reversed(self.holds):
            if ended <= handed:
                break
            overlap = min(ended, begins) - max(began, handed)
            if overlap > 0:
                charges[cause] += overlap * weight

    def committed(self, held: Nanoseconds, pending_by_writer: list[int]) -> None:
        """A commit held the lock for the pending puts of these writers; clears the counts."""
        total = sum(pending_by_writer)
        if total:
            for writer, count in enumerate(pending_by_writer):
                if count:
                    self._by_commit[writer] += held * count / total
                    pending_by_writer[writer] = 0

    def compacting(self, live_by_writer: Sequence[int]) -> None:
        """A compaction begins to walk these live keys."""
        total = sum(live_by_writer) or 1
        self._live = [count / total for count in live_by_writer]

    def compaction_held(self, held: Nanoseconds) -> None:
        """A compaction batch held the lock."""
        for writer, share in enumerate(self._live):
            self._by_compaction[writer] += held * share

    def shares(self, above: Nanoseconds) -> tuple[list[float], dict[str, float]]:
        """Of the waits of requests slower than `above`: each writer's share, and the share behind each kind of hold.

        Both sum to 1, or are all 0 where nobody waited.
        """
        bound = above.bit_length() * _BUCKETS_PER_OCTAVE + (above << 3 >> (above.bit_length() - 1) & 7 if above else 0)
        total = [0.0] * (self._writers + 2)
        for bucket, charges in self._charged.items():
            if bucket >= bound:
                total = [a + b for a, b in zip(total, charges, strict=True)]
        waits = sum(total)
        if not waits:
            return [0.0] * self._writers, {"entries": 0.0, "commits": 0.0, "compaction": 0.0}
        commit, compaction = total[COMMIT], total[COMPACTION]
        commits, compactions = sum(self._by_commit) or 1.0, sum(self._by_compaction) or 1.0
        by_writer = [
            (total[w] + commit * self._by_commit[w] / commits + compaction * self._by_compaction[w] / compactions) / waits
            for w in range(self._writers)
        ]
        kinds = {
            "entries": sum(total[: self._writers]) / waits, "commits": commit / waits, "compaction": compaction / waits,
        }  # fmt: skip
        return by_writer, kinds
