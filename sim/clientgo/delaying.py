"""client-go's delaying queue: keys that come into the queue later.

Beside the queue stands a heap of waiting entries, at most one a key. A second `add_after` of a waiting key only ever
moves it earlier. The heap knows nothing of the queue and the queue nothing of it: a plain `add` of a waiting key runs
it now, and when the delay is over it is added once more. That is the classic double run of client-go controllers.

Entries that become ready at the same instant come out in the order of Go's container/heap, which is neither that of
insertion nor that of Python's heapq: the sift rules below are those of container/heap (a child moves up only if
strictly earlier; down to the left child on a tie), since with whole-nanosecond times and equal delays ties are
everyday.

In Go one goroutine owns the heap and adds what its timer says; here `next_due` says when the caller must come back
and `advance` does what the goroutine would have done by then, each add at its own ready time.

Source: k8s.io/client-go v0.35.0, util/workqueue/delaying_queue.go; Go 1.26, container/heap.
"""

from __future__ import annotations

from collections.abc import Hashable

from sim.clientgo.queue_metrics import Sink
from sim.clientgo.workqueue import Queue
from sim.units import Nanoseconds


class DelayingQueue(Queue):
    """A `Queue` with `add_after`.

    The caller calls `advance` at `next_due`, and before anything else that happens later.
    """

    __slots__ = ("_heap_keys", "_heap_times", "_ready_at")

    def __init__(self, on_queue_duration: Sink | None = None, on_work_duration: Sink | None = None):
        super().__init__(on_queue_duration, on_work_duration)
        self._heap_times: list[Nanoseconds] = []  # the heap, as two arrays moved in step
        self._heap_keys: list[Hashable] = []
        self._ready_at: dict[Hashable, Nanoseconds] = {}

    def add_after(self, now: Nanoseconds, key: Hashable, delay: Nanoseconds, priority: int = 0) -> bool:
        """Add `key` when `delay` has passed; at once, with the result of `add`, if it is 0 or less.

        The earlier of two ready times stands. Counts a retry either way; does nothing when shutting down.
        """
        if self.shutting_down:
            return False
        self.retries += 1
        if delay <= 0:
            return self.add(now, key)
        ready_at = now + delay
        known = self._ready_at.get(key)
        if known is None:
            self._ready_at[key] = ready_at
            times = self._heap_times
            times.append(ready_at)
            self._heap_keys.append(key)
            position = len(times) - 1
            if position and ready_at < times[(position - 1) >> 1]:
                self._up(position, ready_at, key)
        elif ready_at < known:
            # Earlier can only mean up. Finding the entry scans the array: rare, and cheap for 10,000 entries.
            self._ready_at[key] = ready_at
            self._up(self._heap_keys.index(key), ready_at, key)
        return False

    def next_due(self) -> Nanoseconds | None:
        """When the earliest waiting entry becomes ready; None if nothing waits."""
        times = self._heap_times
        return times[0] if times else None

    def advance(self, now: Nanoseconds) -> int:
        """Add every entry whose time has come, at that time and in Go's order; return how many went to the queue."""
        times = self._heap_times
        if not times or times[0] > now:
            return 0
        keys, ready_at = self._heap_keys, self._ready_at
        ready = 0
        while times and times[0] <= now:
            due, key = times[0], keys[0]
            del ready_at[key]
            last_time, last_key = times.pop(), keys.pop()
            if times:
                self._down(last_time, last_key)
            ready += self.add(due, key)
        return ready

    def shut_down(self, now: Nanoseconds) -> None:
        """As `Queue.shut_down`; whatever still waits is dropped."""
        super().shut_down(now)
        self._forget_waiting()

    def shut_down_with_drain(self, now: Nanoseconds) -> None:
        """As `Queue.shut_down_with_drain`; whatever still waits is dropped."""
        super().shut_down_with_drain(now)
        self._forget_waiting()

    @property
    def waiting(self) -> int:
        """Entries whose time has not come."""
        return len(self._heap_times)

    def _forget_waiting(self) -> None:
        self._heap_times.clear()
        self._heap_keys.clear()
        self._ready_at.clear()

    def _up(self, position: int, time: Nanoseconds, key: Hashable) -> None:
        """Put (time, key) at `position` or as far above it as strictly later entries stand (container/heap up)."""
        times, keys = self._heap_times, self._heap_keys
        while position:
            parent = (position - 1) >> 1
            above = times[parent]
            if time >= above:
                break
            times[position] = above
            keys[position] = keys[parent]
            position = parent
        times[position] = time
        keys[position] = key

    def _down(self, time: Nanoseconds, key: Hashable) -> None:
        """Put (time, key) at the root or as far below it as strictly earlier entries stand (container/heap down)."""
        times, keys = self._heap_times, self._heap_keys
        size = len(times)
        position, child = 0, 1
        while child < size:
            earliest = times[child]
            right = child + 1
            if right < size and times[right] < earliest:
                child = right
                earliest = times[child]
            if earliest >= time:
                break
            times[position] = earliest
            keys[position] = keys[child]
            position = child
            child = 2 * position + 1
        times[position] = time
        keys[position] = key
