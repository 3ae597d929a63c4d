"""A disk as its users see it: when will this write be durable?

The time of one write + fdatasync is drawn from the device's law, plus the bytes at its sequential bandwidth. A stall freezes the
device: work in progress keeps its drawn cost and ends later by the frozen time that it overlaps. Stalls are a calendar known
beforehand, so a computed end is never wrong later.

Simplified: WAL and backend on one device meet the same stalls but do not slow each other otherwise.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from sim.units import SECOND, Bytes, Nanoseconds

NEVER: Final[Nanoseconds] = 1 << 62


class Stalls:
    """The times at which a device is frozen: disjoint (start, end) pairs in nanoseconds, rising."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, frozen: Sequence[tuple[Nanoseconds, Nanoseconds]] = ()):
        merged: list[tuple[Nanoseconds, Nanoseconds]] = []
        for start, end in sorted(frozen):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        self._starts = [start for start, _ in merged]
        self._ends = [end for _, end in merged]

    def next_start(self, at: Nanoseconds) -> Nanoseconds:
        """Start of the first stall that is not over at `at`; NEVER if none is left."""
        index = bisect_right(self._ends, at)
        return self._starts[index] if index < len(self._starts) else NEVER

    def finish(self, at: Nanoseconds, end: Nanoseconds) -> Nanoseconds:
        """When work that would take from `at` to `end` on a healthy device is done."""
        index = bisect_right(self._ends, at)
        while index < len(self._starts) and self._starts[index] < end:
            end += self._ends[index] - max(self._starts[index], at)
            index += 1
        return end


class Disk:
    """One user's view of a device: its own draws, the device's bandwidth and stalls.

    fdatasync: draws the time of a small write + fdatasync, nanoseconds; bandwidth: bytes per second.
    """

    __slots__ = ("draw", "ns_per_byte", "stalls")

    def __init__(self, fdatasync: Callable[[], Nanoseconds], bandwidth: float, stalls: Stalls):
        self.draw = fdatasync
        self.ns_per_byte = SECOND / bandwidth
        self.stalls = stalls if stalls.next_start(0) != NEVER else None

    def sync(self, at: Nanoseconds, size: Bytes) -> Nanoseconds:
        """Time at which `size` bytes written at `at` are durable."""
        end = at + self.draw() + int(size * self.ns_per_byte)
        return end if self.stalls is None else self.stalls.finish(at, end)
