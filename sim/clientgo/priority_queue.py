"""controller-runtime's priority queue: a key exists once, ready or waiting, and the more urgent request wins.

A key that is not held by a worker is in at most one of two trees; a held key may be in one already, for its next run:

    waiting   ordered by ready time, then as below
    ready     ordered by priority (higher first), then by a counter: first in, first out within a priority

Adding a key that is there already keeps the larger priority (a raise puts it at the end of its new class) and the
earlier ready time; ready stays ready. So, unlike in client-go's queue, a plain add of a waiting key absorbs the
delayed run: one run, not two. A key that becomes ready by its delay takes a new number, one made ready by a re-add
keeps its old one. A ready key that a worker holds is passed over until `done`; it counts in `len()` all the same.

Each tree is a map of what is in it and a heap of entries in its order (for ready keys also a plain queue of those that
came in order, as nearly all do); an entry that the map no longer holds is stale and passed over.

The metrics `adds`, `depth` and the queue duration start when a key becomes ready, so its delay is not in them; a
retry counts only if it has a delay. On shutdown workers get nothing more, not even what is ready.

Source: sigs.k8s.io/controller-runtime v0.23.3, pkg/controller/priorityqueue/priorityqueue.go, metrics.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from typing import Final

from sim.clientgo.limiters import RateLimiter, priority_queue_rate_limiter
from sim.clientgo.queue_metrics import Sink, oldest_age, summed_age
from sim.units import Nanoseconds

LOW_PRIORITY: Final = -100
"""Priority of events of the initial list and of resyncs: handler.LowPriority (pkg/handler/eventhandler.go)."""

_CLASS: Final = 1 << 48
"""A rank is counter - priority * _CLASS: one number that sorts as lessReady, by priority, then by counter; no two are equal."""

_ReadyEntry = tuple[int, Hashable, Nanoseconds]
"""(rank, key, ready since)"""
_WaitingEntry = tuple[Nanoseconds, int, Hashable]
"""(ready at, rank, key): sorts as lessWaiting."""


class PriorityQueue:
    """A queue whose keys have priorities; by default limited per key only (5 ms..1000 s), as in controller-runtime.

    on_queue_duration, on_work_duration: called with each key's time from ready to get, and from get to done,
    nanoseconds. Attributes `adds` (keys that became ready), `gets`, `retries` (adds with a delay) and `depth` count
    as the real metrics do.
    """

    __slots__ = (
        "_counter", "_locked", "_priorities", "_ready", "_ready_heap", "_ready_run", "_waiting", "_waiting_heap", "_when",
        "adds", "forget", "gets", "limiter", "on_queue_duration", "on_work_duration", "retries", "shutting_down",
    )  # fmt: skip

    def __init__(
        self,
        limiter: RateLimiter | None = None,
        on_queue_duration: Sink | None = None,
        on_work_duration: Sink | None = None,
    ):
        self.limiter = priority_queue_rate_limiter() if limiter is None else limiter
        self._when = self.limiter.when
        self.forget: Callable[[Hashable], None] = self.limiter.forget
        """The key succeeded or was given up: the limiter stops tracking it."""
        self.on_queue_duration = on_queue_duration
        self.on_work_duration = on_work_duration
        self._counter = 0
        self._ready: dict[Hashable, _ReadyEntry] = {}
        self._ready_run: deque[_ReadyEntry] = deque()  # what came in order; the heap has the rest; neither has the keys
        self._ready_heap: list[_ReadyEntry] = []  # that workers hold: `done` puts those in
        self._waiting: dict[Hashable, _WaitingEntry] = {}
        self._waiting_heap: list[_WaitingEntry] = []
        self._locked: dict[Hashable, Nanoseconds] = {}  # held key: since when
        self._priorities: dict[Hashable, int] = {}  # held key: its priority where that is not 0
        self.adds = 0
        self.gets = 0
        self.retries = 0
        self.shutting_down = False

    def add(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> bool:
        """`key` needs a run now, also if it was to wait. True if it may now be handed out and could not before."""
        ready = self._ready
        if self.shutting_down:
            return False
        if key in ready or key in self._waiting:
            return self._add_again(now, key, 0, priority)
        counter = self._counter
        self._counter = counter + 1
        entry = ready[key] = (counter - priority * _CLASS, key, now)
        self.adds += 1
        if key in self._locked:
            return False
        run = self._ready_run
        if not run or entry > run[-1]:
            run.append(entry)
        else:
            heappush(self._ready_heap, entry)
        return True

    def add_after(self, now: Nanoseconds, key: Hashable, delay: Nanoseconds, priority: int = 0) -> bool:
        """`key` needs a run when `delay` has passed, or at its earlier ready time; at once if `delay` is 0 or less."""
        if delay <= 0:
            return self.add(now, key, priority)
        if self.shutting_down:
            return False
        self.retries += 1
        waiting = self._waiting
        if key in self._ready or key in waiting:
            return self._add_again(now, key, delay, priority)
        counter = self._counter
        self._counter = counter + 1
        waiting[key] = entry = (now + delay, counter - priority * _CLASS, key)
        heap = self._waiting_heap
        heappush(heap, entry)
        if len(heap) > 2 * len(waiting) + 64:
            self._tidy()
        return False

    def add_rate_limited(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> bool:
        """`key` needs a run when the limiter says so; counts as a failure."""
        if self.shutting_down:
            return False
        return self.add_after(now, key, self._when(now, key), priority)

    def add_with_opts(
        self, now: Nanoseconds, key: Hashable, after: Nanoseconds = 0, rate_limited: bool = False, priority: int = 0
    ) -> bool:
        """AddWithOpts: `after` and the limiter's delay together mean the smaller of the two."""
        if self.shutting_down:
            return False
        if rate_limited:
            limited = self._when(now, key)
            if after == 0 or limited < after:
                after = limited
        return self.add_after(now, key, after, priority)

    def get(self, now: Nanoseconds) -> Hashable | None:
        """The most urgent ready key that nobody holds, now held by the caller.

        None would block or, shutting down, ends the worker.
        """
        if self.shutting_down:
            return None
        run, heap, ready = self._ready_run, self._ready_heap, self._ready
        while run or heap:
            entry = run.popleft() if not heap or (run and run[0] < heap[0]) else heappop(heap)
            key = entry[1]
            if ready.get(key) is not entry:
                continue
            del ready[key]
            self.gets += 1
            self._locked[key] = now
            if not 0 <= entry[0] < _CLASS:
                self._priorities[key] = -(entry[0] // _CLASS)
            if self.on_queue_duration is not None:
                self.on_queue_duration(now - entry[2])
            return key
        return None

    def done(self, now: Nanoseconds, key: Hashable) -> bool:
        """The worker lets go of `key`. True if it is ready again, so that a waiting worker may have it."""
        started = self._locked.pop(key, None)
        if started is None:
            return False
        if self._priorities:
            self._priorities.pop(key, None)
        if self.on_work_duration is not None:
            self.on_work_duration(now - started)
        again = self._ready.get(key)
        if again is None:
            return False
        self._offer(again)
        return True

    def priority_of(self, key: Hashable) -> int:
        """Priority with which the held `key` was handed out (GetWithPriority); 0 if nobody holds it."""
        return self._priorities.get(key, 0)

    def num_requeues(self, key: Hashable) -> int:
        """Failures of `key` that the limiter remembers."""
        return self.limiter.num_requeues(key)

    def next_due(self) -> Nanoseconds | None:
        """When the earliest waiting key becomes ready; None if none waits or, shutting down, will ever be."""
        heap, waiting = self._waiting_heap, self._waiting
        while heap and not self.shutting_down:
            entry = heap[0]
            if waiting.get(entry[2]) is entry:
                return entry[0]
            heappop(heap)
        return None

    def advance(self, now: Nanoseconds) -> int:
        """Make ready every key whose time has come, at that time; return how many of them nobody holds."""
        heap, waiting = self._waiting_heap, self._waiting
        available = 0
        while heap and heap[0][0] <= now and not self.shutting_down:
            entry = heappop(heap)
            due, rank, key = entry
            if waiting.get(key) is entry:
                del waiting[key]
                rank += self._counter - rank % _CLASS  # a new number: in order of becoming ready, not of having been added
                self._counter += 1
                self._ready[key] = ready = (rank, key, due)  # as `_make_ready`, without its calls
                self.adds += 1
                if key not in self._locked:
                    available += 1
                    run = self._ready_run
                    if not run or ready > run[-1]:
                        run.append(ready)
                    else:
                        heappush(self._ready_heap, ready)
        return available

    def shut_down(self, now: Nanoseconds) -> None:
        """Refuse further adds; workers get nothing more; what waits will never be ready."""
        self.shutting_down = True

    def shut_down_with_drain(self, now: Nanoseconds) -> None:
        """The same as `shut_down`, as in controller-runtime: nothing is drained."""
        self.shutting_down = True

    def __len__(self) -> int:
        """Ready keys, those included that a worker holds at the moment (Len)."""
        return len(self._ready)

    @property
    def depth(self) -> int:
        """workqueue_depth summed over its priorities: the ready keys."""
        return self.adds - self.gets

    @property
    def waiting(self) -> int:
        """Keys whose time has not come."""
        return len(self._waiting)

    @property
    def processing(self) -> int:
        """Keys that workers hold."""
        return len(self._locked)

    def unfinished(self, now: Nanoseconds) -> float:
        """workqueue_unfinished_work_seconds if it were read now: the summed age of the runs in progress, seconds."""
        return summed_age(self._locked.values(), now)

    def longest_running(self, now: Nanoseconds) -> float:
        """workqueue_longest_running_processor_seconds if it were read now: the age of the oldest run, seconds."""
        return oldest_age(self._locked.values(), now)

    def _add_again(self, now: Nanoseconds, key: Hashable, delay: Nanoseconds, priority: int) -> bool:
        """Merge a request with the key's place: the larger priority, the earlier time."""
        requested = self._counter - priority * _CLASS
        ready = self._ready.get(key)
        if ready is not None:
            if priority > -(ready[0] // _CLASS):
                raised = (requested, key, ready[2])
                self._counter += 1
                self._ready[key] = raised
                if key not in self._locked:
                    self._offer(raised)
            return False
        waiting = self._waiting[key]
        ready_at, rank, _ = waiting
        if priority > -(rank // _CLASS):
            rank = requested
            self._counter += 1
        if delay <= 0:
            del self._waiting[key]
            return self._make_ready(now, key, rank)
        merged = (min(ready_at, now + delay), rank, key)
        if merged != waiting:
            self._wait(key, merged)
        return False

    def _make_ready(self, now: Nanoseconds, key: Hashable, rank: int) -> bool:
        entry = (rank, key, now)
        self._ready[key] = entry
        self.adds += 1
        if key in self._locked:
            return False
        self._offer(entry)
        return True

    def _offer(self, entry: _ReadyEntry) -> None:
        """Put an entry among those that may be handed out."""
        run = self._ready_run
        if not run or entry > run[-1]:
            run.append(entry)
        else:
            heappush(self._ready_heap, entry)

    def _wait(self, key: Hashable, entry: _WaitingEntry) -> None:
        self._waiting[key] = entry
        heap = self._waiting_heap
        heappush(heap, entry)
        if len(heap) > 2 * len(self._waiting) + 64:
            self._tidy()

    def _tidy(self) -> None:
        """Keys pulled forward again and again leave far-off stale entries."""
        heap = self._waiting_heap
        heap[:] = self._waiting.values()
        heapify(heap)
