"""A work queue with workers waiting at it: one alarm for what is delayed, one waiting list for who is idle."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heappush

from simpy.events import NORMAL, Event

from sim.clientgo.queue_interface import WorkQueue
from sim.hardware.disk import NEVER
from sim.processes.events import Alarm, Clock
from sim.units import Nanoseconds


class Wake(Event):
    """What an idle worker yields. Re-armable: only that worker ever waits for it."""

    __slots__ = ("_ok", "_value", "callbacks", "env")

    def __init__(self, env: Clock):
        super().__init__(env)
        self._ok, self._value = True, None

    def sleep(self) -> Wake:
        """Get ready to be waited for; yield the result."""
        self.callbacks = []
        return self

    def rouse(self) -> None:
        """Let the waiting worker go on as soon as whoever calls has come to rest."""
        self.env.schedule(self)

    def resume(self) -> None:
        """Let the waiting worker go on at once: for callers that are not processes themselves. Saves an event."""
        callbacks, self.callbacks = self.callbacks, None  # type: ignore[assignment]  # as SimPy marks what it has processed
        for callback in callbacks:
            callback(self)


class Workplace:
    """A queue with the workers who wait at it."""

    def __init__(self, env: Clock, queue: WorkQueue):
        self._env, self.queue = env, queue
        self._idle: list[Wake] = []  # the last to come is the first to go: who works does not matter, and its memory is warm
        self._alarm = Alarm(env, self._ring)
        self._rings_at: Nanoseconds = NEVER
        self.depth_max = 0
        self._add_after = queue.add_after

    def idle(self, wake: Wake) -> Wake:
        """Nothing to do: yield the result, and ask the queue again."""
        self._idle.append(wake)
        wake.callbacks = []  # as `sleep`, without its call
        return wake

    def add(self, key: Hashable, priority: int = 0) -> None:
        """An event handler's add."""
        if self.queue.add(self._env._now, key, priority):
            self.rouse()

    def add_after(self, now: Nanoseconds, key: Hashable, delay: Nanoseconds, priority: int = 0) -> None:
        """Add when `delay` has passed."""
        if self._add_after(now, key, delay, priority):
            self.rouse()
        elif now + delay < self._rings_at:
            self._rearm(now)

    def add_rate_limited(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> None:
        """Add when the limiter says so."""
        if self.queue.add_rate_limited(now, key, priority):
            self.rouse()
        self._rearm(now)

    def rouse(self) -> None:
        """A key is ready: wake one idle worker, if there is one."""
        depth = len(self.queue)
        if depth > self.depth_max:
            self.depth_max = depth
        if self._idle:
            self._idle.pop().rouse()

    def _rearm(self, now: Nanoseconds) -> None:
        due = self.queue.next_due()
        if due is None or due >= self._rings_at:
            return
        if self._alarm.callbacks is not None:  # for later: that one will ring for nothing
            self._alarm = Alarm(self._env, self._ring)
        self._rings_at = due
        alarm, env = self._alarm, self._env
        alarm.callbacks = alarm._ring  # as `arm`, without its call
        heappush(env._queue, (due if due > now else now, NORMAL, next(env._eid), alarm))

    def _ring(self, _alarm: Alarm) -> None:
        now = self._env._now
        if now < self._rings_at:
            return
        self._rings_at = NEVER
        queue = self.queue
        ready = queue.advance(now)
        self._rearm(now)
        if ready:
            depth = len(queue)
            if depth > self.depth_max:
                self.depth_max = depth
            idle = self._idle
            while ready and idle:
                idle.pop().resume()
                ready -= 1
