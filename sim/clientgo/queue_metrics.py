"""What client-go reports of the runs in progress, and how late.

Two gauges say how old unfinished work is: the sum over all held keys and the age of the oldest. client-go computes
both every 500 ms, so a scrape reads the value of the last tick, not of the moment; at shutdown the updater stops and
the last value stays for good.

Source: k8s.io/client-go v0.35.0, util/workqueue/metrics.go (updateUnfinishedWork), queue.go (updateUnfinishedWorkLoop).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from sim.units import MILLISECOND, SECOND, Nanoseconds

Sink = Callable[[Nanoseconds], object]
"""Takes one duration in nanoseconds, such as `list.append` or `histogram.observe`."""

UPDATE_PERIOD: Final[Nanoseconds] = 500 * MILLISECOND
"""defaultUnfinishedWorkUpdatePeriod of queue.go; controller-runtime borrows it."""


def summed_age(started: Iterable[Nanoseconds], now: Nanoseconds) -> float:
    """Seconds from each start to `now`, summed."""
    return sum((now - start) / SECOND for start in started)


def oldest_age(started: Iterable[Nanoseconds], now: Nanoseconds) -> float:
    """Seconds from the earliest start to `now`; 0 if there is none."""
    return (now - min(started, default=now)) / SECOND


class Processing(Protocol):
    """A queue whose runs in progress can be aged."""

    shutting_down: bool

    def unfinished(self, now: Nanoseconds) -> float:
        """Summed age of the runs in progress, seconds."""

    def longest_running(self, now: Nanoseconds) -> float:
        """Age of the oldest run in progress, seconds."""


class UnfinishedWorkGauges:
    """The two gauges as a scrape reads them: the values of the last tick of `UPDATE_PERIOD`, counted from time 0.

    Whoever changes the queue calls `advance` first, so that each tick sees the runs of its own moment.
    """

    __slots__ = ("_next_tick", "_queue", "longest_running_seconds", "unfinished_seconds")

    def __init__(self, queue: Processing):
        self._queue = queue
        self._next_tick: Nanoseconds = UPDATE_PERIOD
        self.unfinished_seconds = 0.0
        self.longest_running_seconds = 0.0

    def advance(self, now: Nanoseconds) -> None:
        """Take the ticks up to and including `now`; none after shutdown."""
        if now < self._next_tick or self._queue.shutting_down:
            return
        tick = now - now % UPDATE_PERIOD
        self._next_tick = tick + UPDATE_PERIOD
        self.unfinished_seconds = self._queue.unfinished(tick)
        self.longest_running_seconds = self._queue.longest_running(tick)
