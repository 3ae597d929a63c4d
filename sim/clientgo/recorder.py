"""From `recorder.Event(...)` to the API server: a queue, one goroutine that writes, and what it does when that fails.

    record      into the broadcaster's queue of 1000; full: dropped, and nobody is told
    next        the oldest leaves the queue and is correlated THEN (see `correlator`): skipped, or a create, or a patch of the
                Event that was created before (its count is raised)
    answered    OK         the correlator takes over the server's count
                NOT_FOUND  of a patch: create it after all, at once (it has outlived its time to live)
                REJECTED   (any other answer of the API server: 403, 409, 429 at last, 500) dropped
                NO_ANSWER  tried again: first after a uniform share of 10 s, then every 10 s, twelve tries in all, then dropped

One event at a time: while one is tried again nothing else is written, up to 110 s, and the queue fills behind it. A retry of a
patch begins with the patch, even where the create that followed it was what failed.

Every write is an update of etcd: a create makes a key (with a lease of an hour), a patch a revision of that key.

Source: k8s.io/client-go v0.35.0, tools/record/event.go (recordToSink, recordEvent, NewBroadcaster), events_cache.go
(eventObserve, updateState); k8s.io/apimachinery v0.35.0, pkg/watch/mux.go (distribute: DropIfChannelFull).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from sim.clientgo.backoff import Uniforms
from sim.clientgo.correlator import _LRU, MAX_LRU_CACHE_ENTRIES, Event, EventCorrelator, _event_key
from sim.units import SECOND, Nanoseconds

MAX_QUEUED_EVENTS: Final = 1000
MAX_TRIES_PER_EVENT: Final = 12
SLEEP_DURATION: Final[Nanoseconds] = 10 * SECOND


class Outcome(Enum):
    """How a write to the sink ended."""

    OK = "ok"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class Create:
    """Create an Event object. name: stands for its name; a later patch carries the same."""

    event: Event
    name: int


@dataclass(frozen=True, slots=True)
class Patch:
    """Raise the count of the Event object that was created under `name`."""

    event: Event
    name: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Ask again at `until` (nanoseconds), not before."""

    until: Nanoseconds


Write = Create | Patch


class NamingCorrelator(EventCorrelator):
    """A correlator that also remembers under which name each Event object was created, as client-go's does.

    Arguments as `EventCorrelator`; by keyword. last_name: the name of the event that was correlated last, skipped or not.
    """

    __slots__ = ("_names", "_next_name", "last_name")

    def __init__(self, cache_size: int = MAX_LRU_CACHE_ENTRIES, **options: Any):
        super().__init__(cache_size=cache_size, **options)
        self._names: _LRU[int] = _LRU(cache_size)  # filled in step with the counts, so that both forget the same keys
        self._next_name = 0
        self.last_name = 0

    def _observe(self, event: Event, key: str) -> tuple[Event, bool]:
        observed, patch = super()._observe(event, key)
        name = self._names.get(key) if patch else None
        if name is None:
            name, self._next_name = self._next_name, self._next_name + 1
        self._names.put(key, name)
        self.last_name = name
        return observed, patch

    def take_over(self, event: Event, name: int) -> None:
        """The server's answer about the Event object `name` (UpdateState)."""
        self.update_state(event)
        self._names.put(_event_key(event), name)


class EventBroadcaster:
    """record.EventBroadcaster recording to a sink: `record` whenever something happens, `next` when the sink may act.

    After `record` and after `answered` ask `next`; a write must be `answered` before there is another. stream: draws the share
    of the first sleep, None: all of it. sleep: nanoseconds between tries.

    Counts: `dropped` (queue full), `skipped` (spam), `written` (creates and patches that succeeded), `rejected`, `given_up`.
    """

    __slots__ = (
        "_correlator", "_in_flight", "_queue", "_queue_length", "_retry_at", "_sleep", "_stream",
        "_tries", "_write", "dropped", "given_up", "rejected", "skipped", "written",
    )  # fmt: skip

    def __init__(
        self,
        correlator: NamingCorrelator | None = None,
        stream: Uniforms | None = None,
        queue_length: int = MAX_QUEUED_EVENTS,
        sleep: Nanoseconds = SLEEP_DURATION,
    ):
        self._correlator = correlator or NamingCorrelator()
        self._stream = stream
        self._queue_length = queue_length
        self._sleep = sleep
        self._queue: deque[Event] = deque()
        self._write: Write | None = None  # what is being written, as the correlator wants it
        self._in_flight: Write | None = None  # and the request for it that is not answered yet
        self._retry_at: Nanoseconds = 0
        self._tries = 0
        self.dropped = self.skipped = self.written = self.rejected = self.given_up = 0

    def __len__(self) -> int:
        """Events waiting in the queue; the one that is being written is not among them."""
        return len(self._queue)

    def record(self, now: Nanoseconds, event: Event) -> bool:
        """Something happened. False if it was dropped because the queue is full; the caller is never kept waiting."""
        # An idle sink takes the event at once, so that the queue holds what comes while it is busy.
        if len(self._queue) >= self._queue_length + (self._write is None):
            self.dropped += 1
            return False
        self._queue.append(event)
        return True

    def next(self, now: Nanoseconds) -> Write | Sleep | None:
        """What the sink does now; None: nothing (no event waits, or a write is under way)."""
        if self._in_flight is not None:
            return None
        while self._write is None:
            if not self._queue:
                return None
            self._write = self._correlated(now, self._queue.popleft())
            self._retry_at, self._tries = now, 0
        if now < self._retry_at:
            return Sleep(self._retry_at)
        self._in_flight = self._write
        return self._write

    def answered(self, now: Nanoseconds, outcome: Outcome, count: int | None = None) -> Create | None:
        """The write ended. Returns the create that follows at once a patch of what is not there any more, else None.

        count: the count in the server's answer, None: the one that was written. Raises RuntimeError if nothing is written.
        """
        request, write = self._in_flight, self._write
        if request is None or write is None:
            raise RuntimeError("no write is under way")
        if outcome is Outcome.NOT_FOUND and isinstance(request, Patch):
            fallback = Create(request.event, request.name)
            self._in_flight = fallback
            return fallback
        self._in_flight = None
        if outcome is Outcome.NO_ANSWER:
            self._failed(now)
            return None
        self._write = None
        if outcome is not Outcome.OK:
            self.rejected += 1
            return None
        self.written += 1
        self._correlator.take_over(replace(write.event, count=count) if count is not None else write.event, write.name)
        return None

    def _correlated(self, now: Nanoseconds, event: Event) -> Write | None:
        result = self._correlator.correlate(now, event)
        if result.event is None:
            self.skipped += 1
            return None
        name = self._correlator.last_name
        return Patch(result.event, name) if result.event.count > 1 else Create(result.event, name)

    def _failed(self, now: Nanoseconds) -> None:
        self._tries += 1
        if self._tries >= MAX_TRIES_PER_EVENT:
            self._write = None
            self.given_up += 1
            return
        delay = self._sleep
        if self._tries == 1 and self._stream is not None:  # so that clients do not come back all at once
            delay = int(float(delay) * self._stream.uniform())
        self._retry_at = now + delay
