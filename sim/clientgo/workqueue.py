"""client-go's work queue: one worker at a time on a key, and however often it was added meanwhile, one more run.

Three places a key can be in:

    dirty        it needs a run: added since the last one began
    processing   a worker holds it
    queue        waiting for a worker, first in first out

    add     not dirty -> dirty; unless processing, also to the queue's tail       dirty already -> nothing at all
    get     queue's head -> processing, no longer dirty
    done    no longer processing; if dirty again -> the queue's tail, behind everybody else

Invariant (while `done` is called only for held keys): a key in the queue is dirty and not processing. Hence at most
one run at a time and at most one more after it. After `shut_down` nothing is added any more; what is queued is still
handed out.

The metrics are those of client-go's metrics.go, read off the same two maps: dirty remembers when the key was added
(queue duration, at get), processing when it was handed out (work duration, at done). So `depth` is the number of
dirty keys, running ones included, where `len()` counts the queue alone.

Source: k8s.io/client-go v0.35.0, util/workqueue/queue.go, metrics.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from sim.clientgo.queue_metrics import Sink, oldest_age, summed_age
from sim.units import Nanoseconds


class Queue:
    """The dirty / processing / queue of `workqueue.Typed`. Times in nanoseconds; a key is anything hashable but None.

    on_queue_duration, on_work_duration: called with each key's time from add to get, and from get to done.
    Attributes `adds` (adds that were not duplicates), `gets`, `retries` and `depth` count as the real metrics do.
    """

    __slots__ = (
        "_dirty", "_processing", "_queue", "adds", "draining", "gets", "on_queue_duration", "on_work_duration",
        "retries", "shutting_down",
    )  # fmt: skip

    def __init__(self, on_queue_duration: Sink | None = None, on_work_duration: Sink | None = None):
        self._queue: deque[Hashable] = deque()
        self._dirty: dict[Hashable, Nanoseconds] = {}
        self._processing: dict[Hashable, Nanoseconds] = {}
        self.on_queue_duration = on_queue_duration
        self.on_work_duration = on_work_duration
        self.adds = 0
        self.gets = 0
        self.retries = 0
        self.shutting_down = False
        self.draining = False

    def add(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> bool:
        """`key` needs a run. True if it went to the queue, so that a waiting worker should be woken.

        Priority is ignored.
        """
        dirty = self._dirty
        if key in dirty or self.shutting_down:
            return False
        dirty[key] = now
        self.adds += 1
        if key in self._processing:
            return False
        self._queue.append(key)
        return True

    def get(self, now: Nanoseconds) -> Hashable | None:
        """The key that has waited longest, now held by the caller.

        None would block (or, when shutting down, end the worker).
        """
        queue = self._queue
        if not queue:
            return None
        key = queue.popleft()
        self.gets += 1
        self._processing[key] = now
        added = self._dirty.pop(key, None)
        if self.on_queue_duration is not None and added is not None:
            self.on_queue_duration(now - added)
        return key

    def done(self, now: Nanoseconds, key: Hashable) -> bool:
        """The worker lets go of `key`. True if it was added meanwhile and went back to the queue: wake a worker."""
        started = self._processing.pop(key, None)
        if self.on_work_duration is not None and started is not None:
            self.on_work_duration(now - started)
        if key in self._dirty:
            self._queue.append(key)
            return True
        return False

    def shut_down(self, now: Nanoseconds) -> None:
        """Refuse further adds; workers still get what is queued. Ends a drain without waiting for it."""
        self.draining = False
        self.shutting_down = True

    def shut_down_with_drain(self, now: Nanoseconds) -> None:
        """Refuse further adds; whoever asked waits until `drained`. Keys that became dirty while running still run."""
        self.draining = True
        self.shutting_down = True

    @property
    def drained(self) -> bool:
        """Whether a caller of ShutDownWithDrain may go on: nothing is held, or a `shut_down` cut it short."""
        return not self._processing or not self.draining

    def priority_of(self, key: Hashable) -> int:
        """Priority of the run that a worker holds: always 0 here."""
        return 0

    def __len__(self) -> int:
        """Keys waiting for a worker: neither those running nor those that became dirty while running (Len)."""
        return len(self._queue)

    @property
    def depth(self) -> int:
        """workqueue_depth: adds that took effect minus gets, so running keys that are dirty again count too."""
        return self.adds - self.gets

    @property
    def processing(self) -> int:
        """Keys that workers hold."""
        return len(self._processing)

    def unfinished(self, now: Nanoseconds) -> float:
        """workqueue_unfinished_work_seconds if it were read now: the summed age of the runs in progress, seconds."""
        return summed_age(self._processing.values(), now)

    def longest_running(self, now: Nanoseconds) -> float:
        """workqueue_longest_running_processor_seconds if it were read now: the age of the oldest run, seconds."""
        return oldest_age(self._processing.values(), now)
