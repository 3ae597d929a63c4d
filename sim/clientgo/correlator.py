"""What becomes of the events a controller records: aggregated, counted, or dropped, before anything is written.

Three steps, each with a cache of the 4096 most recently used keys:

    aggregate   ten different messages of one (source, object, type, reason), none more than 600 s after the one
                before: from the tenth on they become one "(combined from similar events)" event
    count       an event equal to one seen before is not created again: its count is patched (also a write)
    filter      a token bucket for each (source, object, type), 25 at once, then one in 300 s: beyond it, dropped

The aggregator keeps at most nine messages of a group: when the tenth comes it forgets an ARBITRARY one (Go: map
order), so a message may or may not be taken for new when it comes back. Here it is the one seen first, or drawn, if a
stream is given.

Source: k8s.io/client-go v0.35.0, tools/record/events_cache.go, util/flowcontrol/throttle.go (qps is a float32).
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Final, Generic, NamedTuple, TypeVar

from sim.clientgo.backoff import Uniforms
from sim.ratelimit.bucket import TokenBucket
from sim.units import SECOND, Nanoseconds

MAX_LRU_CACHE_ENTRIES: Final = 4096
DEFAULT_AGGREGATE_MAX_EVENTS: Final = 10
DEFAULT_AGGREGATE_INTERVAL: Final[Nanoseconds] = 600 * SECOND
DEFAULT_SPAM_BURST: Final = 25
DEFAULT_SPAM_QPS: Final = 1.0 / 300.0
COMBINED_PREFIX: Final = "(combined from similar events): "

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Event:
    """A core/v1 Event as far as correlation looks at it.

    Source: the reporting component, the next three: the involved object.
    """

    source: str
    kind: str
    namespace: str
    name: str
    reason: str
    message: str
    type: str = "Normal"
    uid: str = ""
    count: int = 1


class Correlated(NamedTuple):
    """What to do: nothing (skip), or create `event`, or, if it was seen before, patch the existing one with it."""

    skip: bool
    event: Event | None
    patch: bool


class EventCorrelator:
    """Aggregates, counts and filters events (record.EventCorrelator); times in nanoseconds, qps in tokens per second.

    stream: draws the message that a full aggregate forgets; None: the one seen first. spam_by_type: whether Normal and
    Warning events have a bucket each, as from client-go v0.32 on.
    """

    __slots__ = ("_aggregates", "_burst", "_interval", "_max_events", "_observed", "_qps", "_spam", "_spam_by_type", "_stream")

    def __init__(
        self,
        burst: int = DEFAULT_SPAM_BURST,
        qps: float = DEFAULT_SPAM_QPS,
        max_events: int = DEFAULT_AGGREGATE_MAX_EVENTS,
        interval: Nanoseconds = DEFAULT_AGGREGATE_INTERVAL,
        cache_size: int = MAX_LRU_CACHE_ENTRIES,
        stream: Uniforms | None = None,
        spam_by_type: bool = True,
    ):
        self._spam_by_type = spam_by_type
        self._burst = burst
        self._qps: float = struct.unpack("f", struct.pack("f", qps))[0]
        self._max_events = max_events
        self._interval = interval
        self._stream = stream
        self._aggregates: _LRU[_Aggregate] = _LRU(cache_size)
        self._observed: _LRU[int] = _LRU(cache_size)
        self._spam: _LRU[TokenBucket] = _LRU(cache_size)

    def correlate(self, now: Nanoseconds, event: Event) -> Correlated:
        """EventCorrelate: what to do with `event`, recorded at `now`."""
        aggregated, key = self._aggregate(now, event)
        observed, patch = self._observe(aggregated, key)
        if self._is_spam(now, observed):
            return Correlated(True, None, False)
        return Correlated(False, observed, patch)

    def update_state(self, event: Event) -> None:
        """Take over the count that the server answered with (UpdateState)."""
        self._observed.put(_event_key(event), event.count)

    def _aggregate(self, now: Nanoseconds, event: Event) -> tuple[Event, str]:
        key = _object_key(event) + event.reason
        record = self._aggregates.get(key)
        if record is None or now - record.last > self._interval:
            record = _Aggregate()
        record.messages[event.message] = None
        record.last = now
        self._aggregates.put(key, record)
        if len(record.messages) < self._max_events:
            return event, _event_key(event)
        self._forget_one(record.messages)
        return replace(event, message=COMBINED_PREFIX + event.message, count=1), key

    def _forget_one(self, messages: dict[str, None]) -> None:
        position = 0 if self._stream is None else int(self._stream.uniform() * len(messages))
        del messages[list(messages)[position]]

    def _observe(self, event: Event, key: str) -> tuple[Event, bool]:
        last = self._observed.get(key) or 0
        if last > 0:
            event = replace(event, count=last + 1)
        self._observed.put(key, event.count)
        return event, last > 0

    def _is_spam(self, now: Nanoseconds, event: Event) -> bool:
        key = _object_key(event if self._spam_by_type else replace(event, type=""))
        bucket = self._spam.get(key)
        if bucket is None:
            bucket = TokenBucket(self._qps, self._burst)
        accepted = bucket.allow(now)
        self._spam.put(key, bucket)
        return not accepted


class _Aggregate:
    __slots__ = ("last", "messages")

    def __init__(self) -> None:
        self.messages: dict[str, None] = {}
        self.last: Nanoseconds = 0


class _LRU(Generic[_Value]):
    """A map that keeps the entries put last (k8s.io/utils/lru, where reading counts too: here a put follows every get)."""

    __slots__ = ("_entries", "_size")

    def __init__(self, size: int):
        self._size = size
        self._entries: OrderedDict[Hashable, _Value] = OrderedDict()

    def get(self, key: Hashable) -> _Value | None:
        return self._entries.get(key)

    def put(self, key: Hashable, value: _Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if self._size and len(self._entries) > self._size:
            self._entries.popitem(last=False)


def _object_key(event: Event) -> str:
    """Source, object and type run together without separator, as client-go does (getSpamKey)."""
    return event.source + event.kind + event.namespace + event.name + event.uid + event.type


def _event_key(event: Event) -> str:
    return _object_key(event) + event.reason + event.message
