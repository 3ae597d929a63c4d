"""The watch cache's history: the recent events of one resource, and who waits for it to catch up.

    ring of events    at most `capacity`; the newest overwrites the oldest
    revision          up to where this cache has heard of everything; lists are answered from here

The ring adapts when it is full and an event comes: it doubles while its oldest event is younger than the window (75 s),
and halves when even the oldest of its newest quarter is older. So it holds some 75 s of events, but never fewer than
100 and never more than 102,400: a busy resource remembers less than the window.

Who wants to watch from a version that the ring no longer reaches is told 410 and lists anew. Who wants to read at a
version that the cache has not heard of yet waits up to 3 s, then is told 504 "too large resource version".

Source: k8s.io/apiserver v0.35.0, pkg/storage/cacher/watch_cache.go, cacher.go (DefaultEventFreshDuration). Left out: the
objects themselves, snapshots of older states (ListFromCacheSnapshot).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sim.units import MILLISECOND, MINUTE, SECOND, Nanoseconds

Event = TypeVar("Event")
Who = TypeVar("Who")

BOOKMARK_FREQUENCY: Final[Nanoseconds] = MINUTE
"""defaultBookmarkFrequency of cacher.go."""
EVENT_WINDOW: Final[Nanoseconds] = BOOKMARK_FREQUENCY + 15 * SECOND
"""DefaultEventFreshDuration: a watch that breaks right before its bookmark still finds its place."""
LOWER_CAPACITY: Final = 100
"""defaultLowerBoundCapacity of watch_cache.go, events."""
UPPER_CAPACITY: Final = 100 * 1024
"""defaultUpperBoundCapacity."""
BLOCK_TIMEOUT: Final[Nanoseconds] = 3 * SECOND
"""How long a read waits for its version (blockTimeout)."""
TOO_LARGE_RETRY_SECONDS: Final = 1
"""Retry-After of the 504 that follows (resourceVersionTooHighRetrySeconds)."""
PROGRESS_PERIOD: Final[Nanoseconds] = 100 * MILLISECOND
"""How often etcd is asked for progress while somebody waits (progress/watch_progress.go, progressRequestPeriod)."""


@dataclass(frozen=True, slots=True)
class Expired:
    """410: "too old resource version: `requested` (`oldest`)"; a watch could start at `oldest` or later."""

    requested: int
    oldest: int


class WatchHistory(Generic[Event]):
    """The events of one resource since its cache was filled. window: nanoseconds of events it tries to hold, at least 75 s.

    revision: the newest known, from events, lists and progress notifications. capacity: slots of the ring, events.
    Raises ValueError for a shorter window: the API server does not start with one.
    """

    __slots__ = (
        "_end", "_listed", "_recorded", "_removed", "_revisions", "_ring", "_start", "_upper", "capacity", "revision",
        "window",
    )  # fmt: skip

    def __init__(self, window: Nanoseconds = EVENT_WINDOW):
        if window < EVENT_WINDOW:
            raise ValueError(f"the window of events must not be below {EVENT_WINDOW // SECOND} s")
        self.window = window
        self._upper = upper_capacity(window)
        self.capacity = LOWER_CAPACITY
        self.revision = 0
        # Event i of all times stands in slot i % capacity of each of these; those from _start to _end are there.
        self._ring: list[Event | None] = [None] * LOWER_CAPACITY
        self._revisions = [0] * LOWER_CAPACITY
        self._recorded = [0] * LOWER_CAPACITY
        self._start = self._end = 0
        self._listed = 0  # revision of the last list
        self._removed = False  # whether an event has been overwritten since then

    def replaced(self, revision: int) -> None:
        """The cache has been filled by a list at `revision`: the events before it are forgotten (Replace).

        The API server also ends all watches of the resource then.
        """
        self._start = self._end
        self._removed = False
        self._listed = self.revision = revision

    def add(self, now: Nanoseconds, revision: int, event: Event) -> None:
        """An event of etcd's watch arrives at `now`; revisions rise."""
        self._resize(now)
        if self._end == self._start + self.capacity:
            self._ring[self._start % self.capacity] = None
            self._start += 1
            self._removed = True
        slot = self._end % self.capacity
        self._ring[slot], self._revisions[slot], self._recorded[slot] = event, revision, now
        self._end += 1
        self.revision = revision

    def progressed(self, revision: int) -> None:
        """etcd has told that nothing of this resource happened up to `revision` (UpdateResourceVersion)."""
        self.revision = revision

    @property
    def oldest(self) -> int:
        """The smallest revision after which every event is here.

        Raises ValueError while the cache has neither been filled nor has heard of an event.
        """
        if self._listed > 0 and not self._removed:
            return self._listed
        if self._end == self._start:
            raise ValueError("watch cache isn't correctly initialized")
        return self._revisions[self._start % self.capacity] - 1

    def events_since(self, revision: int) -> list[Event] | Expired:
        """Every event after `revision`, oldest first, or that some of them are gone (410).

        A revision beyond the newest gives none. Raises ValueError for revision 0, which does not ask for history: the
        API server answers it with the present objects.
        """
        if revision <= 0:
            raise ValueError("revision 0 asks for the present objects, not for history")
        oldest = self.oldest
        if revision < oldest:
            return Expired(revision, oldest)
        low, high = self._start, self._end
        while low < high:
            middle = (low + high) // 2
            if self._revisions[middle % self.capacity] > revision:
                high = middle
            else:
                low = middle + 1
        return [self._ring[i % self.capacity] for i in range(low, self._end)]  # type: ignore[misc]

    def __len__(self) -> int:
        """Events in the ring."""
        return self._end - self._start

    def _resize(self, now: Nanoseconds) -> None:
        if self._end != self._start + self.capacity:
            return
        if now - self._recorded[self._start % self.capacity] < self.window:
            wanted = min(self.capacity * 2, self._upper)
        elif now - self._recorded[(self._end - self.capacity // 4) % self.capacity] > self.window:
            wanted = max(self.capacity // 2, LOWER_CAPACITY)
        else:
            return
        if wanted != self.capacity:
            self._move(wanted)

    def _move(self, capacity: int) -> None:
        self._start = max(self._start, self._end - capacity)
        ring: list[Event | None] = [None] * capacity
        revisions, recorded = [0] * capacity, [0] * capacity
        for i in range(self._start, self._end):
            old, new = i % self.capacity, i % capacity
            ring[new], revisions[new], recorded[new] = self._ring[old], self._revisions[old], self._recorded[old]
        self._ring, self._revisions, self._recorded, self.capacity = ring, revisions, recorded, capacity


def upper_capacity(window: Nanoseconds) -> int:
    """Most events a ring may hold: 102,400, doubled as often as it takes for a longer window (capacityUpperBound)."""
    if window <= EVENT_WINDOW:
        return UPPER_CAPACITY
    exponent = math.ceil(math.log2((window / SECOND) / (EVENT_WINDOW / SECOND)))
    most = math.floor(math.log2((2**31 - 1) // UPPER_CAPACITY))
    return UPPER_CAPACITY << min(exponent, most)


class FreshnessWaiters(Generic[Who]):
    """Reads that wait for the cache to reach their revision; each at most 3 s.

    While anybody waits the API server asks etcd for progress each 100 ms, so an idle resource gets there too.
    """

    __slots__ = ("_by_revision", "_deadlines", "_number", "_waiting")

    def __init__(self) -> None:
        self._by_revision: list[tuple[int, int]] = []
        self._deadlines: dict[int, Nanoseconds] = {}  # by arrival, so by deadline too
        self._waiting: dict[int, Who] = {}
        self._number = 0

    def wait(self, now: Nanoseconds, revision: int, who: Who) -> Nanoseconds:
        """`who` needs `revision`, which is not there yet; returns until when (nanoseconds)."""
        number = self._number
        self._number += 1
        heapq.heappush(self._by_revision, (revision, number))
        self._deadlines[number] = now + BLOCK_TIMEOUT
        self._waiting[number] = who
        return now + BLOCK_TIMEOUT

    def reached(self, revision: int) -> list[Who]:
        """The cache has come to `revision`: who goes on, the smallest revision first."""
        ready = []
        while self._by_revision and self._by_revision[0][0] <= revision:
            _, number = heapq.heappop(self._by_revision)
            if number in self._waiting:
                ready.append(self._waiting.pop(number))
                del self._deadlines[number]
        return ready

    def timed_out(self, now: Nanoseconds) -> list[Who]:
        """Who has waited 3 s: each gets a 504 "too large resource version"."""
        late = []
        for number, deadline in self._deadlines.items():
            if deadline > now:
                break
            late.append(number)
        for number in late:
            del self._deadlines[number]
        return [self._waiting.pop(number) for number in late]

    @property
    def next_deadline(self) -> Nanoseconds | None:
        """When the next of them times out; None if nobody waits."""
        return next(iter(self._deadlines.values()), None)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)


class BookmarkTimes(Generic[Who]):
    """When each watcher of one cache gets a bookmark: about once a minute, and about 2 s before its watch ends.

    A tick each 1 to 1.25 s (`jitter` draws from [0, 1)) serves whoever is due by then, to the second: watchers share
    buckets of one second since `created`, so that a bookmark may come up to 1 s early and 1.25 s late. A watcher that
    still awaits the bookmark that ends its initial events is due at each tick.

    next_tick: when `tick` is to be called. Source: cacher.go (watcherBookmarkTimeBuckets, dispatchEvents),
    cache_watcher.go (nextBookmarkTime).
    """

    __slots__ = ("_awaiting", "_buckets", "_created", "_deadlines", "_first", "_jitter", "next_tick")

    def __init__(self, created: Nanoseconds, jitter: Callable[[], float]):
        self._created, self._jitter = created, jitter
        self._buckets: dict[int, list[Who]] = {}
        self._first = 0  # buckets before this one have been served
        self._deadlines: dict[Who, Nanoseconds | None] = {}
        self._awaiting: set[Who] = set()
        self.next_tick = created + self._pause()

    def register(self, now: Nanoseconds, who: Who, deadline: Nanoseconds | None, awaits_initial: bool = False) -> None:
        """A watch starts that may last until `deadline` (None: for ever). awaits_initial: a stream without its bookmark.

        Raises ValueError for a watcher that is registered already.
        """
        if who in self._deadlines:
            raise ValueError(f"{who!r} is registered already")
        self._deadlines[who] = deadline
        if awaits_initial:
            self._awaiting.add(who)
        self._schedule(now, who)

    def initial_sent(self, who: Who) -> None:
        """The stream of `who` has had the bookmark that ends its initial events."""
        self._awaiting.discard(who)

    def unregister(self, who: Who) -> None:
        """The watch has ended."""
        self._deadlines.pop(who, None)
        self._awaiting.discard(who)

    def tick(self, now: Nanoseconds) -> list[Who]:
        """`next_tick` has come: who gets a bookmark of the newest revision now."""
        self.next_tick = now + self._pause()
        due: list[Who] = []
        current = (now - self._created) // SECOND
        for bucket in range(self._first, current + 1):
            due.extend(who for who in self._buckets.pop(bucket, ()) if who in self._deadlines)
        self._first = max(self._first, current + 1)
        for who in due:
            self._schedule(now, who)
        return due

    def _schedule(self, now: Nanoseconds, who: Who) -> None:
        bucket = self._first
        if who not in self._awaiting:
            due, deadline = now + BOOKMARK_FREQUENCY, self._deadlines[who]
            if deadline is not None:
                due = min(due, deadline - 2 * SECOND)
                if due < now:
                    return
            bucket = max(bucket, (due - self._created) // SECOND)
        self._buckets.setdefault(bucket, []).append(who)

    def _pause(self) -> Nanoseconds:
        return SECOND + int(self._jitter() * 0.25 * SECOND)


def bookmark_passes(started_at: int, revision: int, awaits_initial: bool) -> bool:
    """Whether a bookmark of `revision` reaches a watcher whose watch started at revision `started_at`.

    Only one that is news: so a watch in which nothing happens gets none, unless etcd's progress raises the revision.
    (cache_watcher.go, process)
    """
    return revision > started_at or (awaits_initial and revision == started_at)
