"""What client-go reports of the runs in progress, and how late.

Two gauges say how old unfinished work is: the sum over all held keys and the age of the oldest. client-go computes
both every 500 ms, so a scrape reads the value of the last tick, not of the moment; at shutdown the updater stops and
the last value stays for good.

Source: k8s.io/client-go v0.35.0, util/workqueue/metrics.go (updateUnfinishedWork), queue.go (updateUnfinishedWorkLoop).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

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
