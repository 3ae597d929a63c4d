"""The cores of a machine, as the Go runtime hands them to goroutines.

    run      first come, first served: a piece of work gets the core that is free first (Kiefer and Wolfowitz, G/G/n). So wait
             request handlers and answers
    back     whoever comes back from a system call waits like them, but not for long: the Ready loop after its fdatasync
    urge     whoever is woken through a channel runs next: it does not wait, what comes later waits for it. So run the Ready
             loop that a proposal wakes, the applier and its commits
    foreign  other processes on the machine: so many cores' worth of work, in pieces of `PIECE`

A piece is told when it asks, so asks come in the order of simulated time, but for what a station computes ahead (an applier's
batch is charged as it is handed over). Work is conserved whatever the order: over any time no more than `cores` seconds of
it are done a second, which is where throughput saturates.

Sources: Go runtime proc.go (ready puts a woken goroutine in `runnext`; exitsyscall without an idle P goes to the global run queue,
schedule looks into that every 61st time and whenever a P has nothing else).
Simplified: pieces are not preempted (Go: after 10 ms); a core is as fast under load as alone. A garbage collection comes after
so much work, whoever did it, and holds up for a fixed time what waits in turn.
"""

from __future__ import annotations

from heapq import heapreplace
from math import inf
from typing import Final

from sim.units import MICROSECOND, MILLISECOND, Nanoseconds

PIECE: Final[Nanoseconds] = 50 * MICROSECOND
"""Work of others comes in pieces of this size: assumed, some system calls of a busy client."""
BACK_WITHIN: Final[Nanoseconds] = 400 * MICROSECOND
"""So long at most who comes back from a system call waits, half of it on average: measured, 0.2 ms a turn of the Ready loop of
etcd 3.5.33 with 64 clients on two cores (scheduler latencies of a runtime trace); some 61 slices of 8 us."""
_GOLDEN: Final = 0.6180339887498949
_FORGOTTEN: Final[Nanoseconds] = 20 * MILLISECOND
"""What others did longer ago than this is over, or keeps every core busy anyway."""


class Cpu:
    """A machine's cores. foreign: how many of them others keep busy on average. until_collection: work between two garbage
    collections, none with 0; collection: how long one takes, ns.

    free: a heap of the times at which each core is free; the hot path looks at its first place and replaces it.
    """

    __slots__ = ("_collection", "_collects_at", "_every", "_foreign_told", "_tick", "_until_collection", "foreign", "free", "used")

    def __init__(
        self, cores: int, foreign: float = 0.0, until_collection: Nanoseconds = 0, collection: Nanoseconds = 0
    ):  # fmt: skip
        self.free: list[Nanoseconds] = [0] * cores
        self.foreign = foreign
        self._every = round(PIECE / foreign) if foreign else 0
        self._foreign_told: Nanoseconds = 0
        self.used: Nanoseconds = 0
        self._tick = 0.0
        self._until_collection, self._collection = until_collection, collection
        self._collects_at: float = until_collection or inf

    @property
    def cores(self) -> int:
        """How many there are."""
        return len(self.free)

    def run(self, now: Nanoseconds, work: Nanoseconds) -> Nanoseconds:
        """A piece of work asks for a core: when it is done."""
        if self._every:
            self._others(now)
        free = self.free
        begins = free[0]
        if begins < now:
            begins = now
        heapreplace(free, begins + work)
        self.used += work
        if self.used >= self._collects_at:
            self._collect(now)
        return begins + work

    def _collect(self, now: Nanoseconds) -> None:
        """A garbage collection begins: no core is free before its end."""
        self._collects_at = self.used + self._until_collection
        self.free = [max(free, now) + self._collection for free in self.free]  # the order stays

    def back(self, now: Nanoseconds, work: Nanoseconds) -> Nanoseconds:
        """A piece of work comes back from a system call: when it begins."""
        self._tick = (self._tick + _GOLDEN) % 1  # where the count to 61 stands: evenly spread, without a draw
        most = int(self._tick * BACK_WITHIN)
        if self.wait(now) <= most:
            return self.run(now, work) - work
        self.urge(now, work)
        return now + most

    def urge(self, now: Nanoseconds, work: Nanoseconds) -> None:
        """A piece of work runs at once, on the core that others would have had first."""
        free = self.free
        begins = free[0]
        heapreplace(free, (now if begins < now else begins) + work)
        self.used += work

    def wait(self, now: Nanoseconds) -> Nanoseconds:
        """How long a piece of work that asks now would wait."""
        if self._every:
            self._others(now)
        return max(0, self.free[0] - now)

    def _others(self, now: Nanoseconds) -> None:
        """The pieces of others up to now, one every `_every`."""
        free, every = self.free, self._every
        told = max(self._foreign_told, now - max(_FORGOTTEN, every))
        while (told := told + every) <= now:
            begins = free[0]
            heapreplace(free, (told if begins < told else begins) + PIECE)
        self._foreign_told = told - every
