"""The mechanisms that golden traces know, and their calls: one function a mechanism that builds its table of operations.

An operation says what its arguments are (so that a malformed one is refused with a reason), which fields it answers and must
answer, and how to make the same call here. Queues are brought up to the time of a call first, as the library's own timers would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sim.clientgo.backoff import Backoff, ExponentialBackoffManager
from sim.clientgo.correlator import (
    DEFAULT_AGGREGATE_INTERVAL,
    DEFAULT_AGGREGATE_MAX_EVENTS,
    DEFAULT_SPAM_BURST,
    DEFAULT_SPAM_QPS,
    MAX_LRU_CACHE_ENTRIES,
    Event,
    EventCorrelator,
)
from sim.clientgo.delaying import DelayingQueue
from sim.clientgo.delta_fifo import DeltaFIFO
from sim.clientgo.deltas import Popped
from sim.clientgo.keys import DeletedFinalStateUnknown, ObjectMeta, meta_namespace_key
from sim.clientgo.limiters import (
    Bucket,
    ItemExponentialFailure,
    ItemFastSlow,
    MaxOf,
    RateLimiter,
    WithMaxWait,
    default_controller_rate_limiter,
    priority_queue_rate_limiter,
)
from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.queue_metrics import UnfinishedWorkGauges
from sim.clientgo.rate_limiting import RateLimitingQueue
from sim.clientgo.real_fifo import RealFIFO
from sim.clientgo.store import Store
from sim.clientgo.workqueue import Queue
from sim.ratelimit.bucket import Reservation, TokenBucket
from sim.units import SECOND, Nanoseconds

Answer = dict[str, object]


class Malformed(ValueError):
    """An argument or a setting that does not fit; the message says what would."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: a reader for each argument, how to make it (`call(now, *arguments)`), and the fields of its answer."""

    call: Callable[..., Answer]
    arguments: tuple[Callable[[object], Any], ...] = ()
    answers: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    def read(self, args: list[object]) -> list[Any]:
        """The arguments as the call wants them. Raises Malformed."""
        if len(args) != len(self.arguments):
            raise Malformed(f"takes {len(self.arguments)} arguments, not {len(args)}")
        return [read(value) for read, value in zip(self.arguments, args, strict=True)]


Operations = dict[str, Operation]


class Config:
    """A trace's settings by name; spelling is forgiven (`base_ns`, `BaseDelay` and `base` are one), unknown ones are not."""

    def __init__(self, settings: Mapping[str, object]):
        self._settings = {_plain(name): value for name, value in settings.items()}
        self._names = {_plain(name): name for name in settings}

    def take(self, read: Callable[[object], Any], *names: str, default: object = ...) -> Any:
        """The setting under one of `names`, read. Raises Malformed if it is missing without a default."""
        for name in names:
            if _plain(name) in self._settings:
                return read(self._settings.pop(_plain(name)))
        if default is ...:
            raise Malformed(f'"{names[0]}" is missing')
        return default

    def has(self, name: str) -> bool:
        """Whether there is such a setting."""
        return _plain(name) in self._settings

    def finish(self, *allowed: str) -> None:
        """Raises Malformed if a setting was not taken."""
        for plain in self._settings:
            raise Malformed(f'unknown setting "{self._names[plain]}"; allowed: {", ".join(allowed) or "none"}')

    def copy(self) -> Config:
        """The same settings once more, none taken."""
        return Config({self._names[plain]: value for plain, value in self._settings.items()})


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One row of the table of golden traces."""

    name: str
    build: Callable[[Config], Operations]
    readings: Callable[[Config], list[Config]] = field(default=lambda config: [config])
    """The ways in which a config may be meant, usually one."""
'''
'''
