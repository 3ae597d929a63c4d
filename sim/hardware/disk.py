"""A disk as its users see it: when will this write be durable?

The time of one write + fdatasync is drawn from the device's law, plus the bytes at its sequential bandwidth. A stall freezes the
device: work in progress keeps its drawn cost and ends later by the frozen time that it overlaps. Stalls are a calendar known
beforehand, so a computed end is never wrong later.

A device flushes its cache for one caller at a time: a log whose fdatasync finds one of the backend in flight begins when that
has ended (`SharedLog`). So each submission of the log first lets the backend catch up.

Source: Linux block/blk-flush.c (one flush in flight, later ones wait). Simplified: the other way round a commit does not wait for
the log's fdatasync, because a commit is computed before it is known which saves will meet it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from sim.hardware.iops import Iops
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

    def after(self, at: Nanoseconds) -> Nanoseconds:
        """`at`, or the end of the stall that holds then."""
        index = bisect_right(self._ends, at)
        return self._ends[index] if index < len(self._starts) and self._starts[index] <= at else at

    def finish(self, at: Nanoseconds, end: Nanoseconds) -> Nanoseconds:
        """When work that would take from `at` to `end` on a healthy device is done."""
        index = bisect_right(self._ends, at)
        while index < len(self._starts) and self._starts[index] < end:
            end += self._ends[index] - max(self._starts[index], at)
            index += 1
        return end


class Disk:
    """One user's view of a device: its own draws, the device's bandwidth, stalls and operations per second.

    fdatasync: draws the time of a small write + fdatasync, nanoseconds; bandwidth: bytes per second.
    """

    __slots__ = ("draw", "iops", "ns_per_byte", "stalls")

    def __init__(self, fdatasync: Callable[[], Nanoseconds], bandwidth: float, stalls: Stalls, iops: Iops | None = None):
        self.draw = fdatasync
        self.ns_per_byte = SECOND / bandwidth
        self.stalls = stalls if stalls.next_start(0) != NEVER else None
        self.iops = iops

    def freeze(self, stalls: Stalls) -> None:
        """These are its stalls; those up to now stay what they were."""
        self.stalls = stalls if stalls.next_start(0) != NEVER else None

    def sync(self, at: Nanoseconds, size: Bytes) -> Nanoseconds:
        """Time at which `size` bytes written at `at` are durable."""
        if self.iops is not None:
            at = self.iops.take(at, size)
        end = at + self.draw() + int(size * self.ns_per_byte)
        return end if self.stalls is None else self.stalls.finish(at, end)


class SharedFile(Disk):
    """The backend's view of a device that it shares with a log: it notes when each fdatasync is in flight."""

    __slots__ = ("in_flight",)

    def __init__(self, fdatasync: Callable[[], Nanoseconds], bandwidth: float, stalls: Stalls, iops: Iops | None = None):
        super().__init__(fdatasync, bandwidth, stalls, iops)
        self.in_flight: deque[tuple[Nanoseconds, Nanoseconds]] = deque(maxlen=4096)  # from, to

    def sync(self, at: Nanoseconds, size: Bytes) -> Nanoseconds:
        """As `Disk.sync`."""
        end = Disk.sync(self, at, size)
        self.in_flight.append((at, end))
        return end


class SharedLog(Disk):
    """A log's view of the device on which a backend lies, too. catch_up: replays what the backend does up to a time."""

    __slots__ = ("_beside", "catch_up")

    def __init__(
        self, fdatasync: Callable[[], Nanoseconds], bandwidth: float, stalls: Stalls, beside: SharedFile, iops: Iops | None = None
    ):
        super().__init__(fdatasync, bandwidth, stalls, iops)
        self._beside = beside.in_flight
        self.catch_up: Callable[[Nanoseconds], None] = lambda _: None

    def sync(self, at: Nanoseconds, size: Bytes) -> Nanoseconds:
        """As `Disk.sync`, behind the fdatasync of the backend that is in flight."""
        self.catch_up(at)
        beside = self._beside
        while beside and beside[0][1] <= at:
            beside.popleft()
        if beside and beside[0][0] <= at:
            at = beside[0][1]
        return Disk.sync(self, at, size)
