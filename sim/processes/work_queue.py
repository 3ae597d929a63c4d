"""A work queue with workers waiting at it: one alarm for what is delayed, one waiting list for who is idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from sim.clientgo.queue_interface import WorkQueue
from sim.hardware.disk import NEVER
from sim.processes.events import Alarm, Clock
from sim.units import Nanoseconds


class Wake(Alarm):
    """What an idle worker yields. Re-armable, and it resumes the process that waits for it."""

    def __init__(self, env: Clock):
        super().__init__(env, lambda: None)

    def sleep(self) -> Wake:
        """Get ready to be waited for."""
        self.callbacks = []
        return self

    def rouse(self) -> None:
        """Resume the waiting process now."""
        self.env.schedule(self)


class Workplace:
    """The queue as its workers and event handlers use it, at the time of the environment."""

    def __init__(self, env: Clock, queue: WorkQueue):
        self._env, self.queue = env, queue
        self._idle: deque[Wake] = deque()
        self._alarm = Alarm(env, self._ring)
        self._rings_at: Nanoseconds = NEVER
        self.depth_max = 0

    def get(self) -> Hashable | None:
        """The next key, or None: then yield `idle` and ask again."""
        return self.queue.get(self._env._now)

    def idle(self, wake: Wake) -> Wake:
        """Wait for work: yield the result."""
        self._idle.append(wake)
        return wake.sleep()

    def add(self, key: Hashable, priority: int = 0) -> None:
        """An event handler's add."""
        if self.queue.add(self._env._now, key, priority):
            self._rouse(1)

    def add_after(self, key: Hashable, delay: Nanoseconds, priority: int = 0) -> None:
        """Add when `delay` has passed."""
        now = self._env._now
        if self.queue.add_after(now, key, delay, priority):
            self._rouse(1)
        elif now + delay < self._rings_at:
            self._rearm(now)

    def add_rate_limited(self, key: Hashable, priority: int = 0) -> None:
        """Add when the limiter says so."""
        now = self._env._now
        if self.queue.add_rate_limited(now, key, priority):
            self._rouse(1)
        self._rearm(now)

    def done(self, key: Hashable) -> None:
        """A worker lets go of a key."""
        if self.queue.done(self._env._now, key):
            self._rouse(1)

    def _rouse(self, count: int) -> None:
        depth = len(self.queue)
        if depth > self.depth_max:
            self.depth_max = depth
        idle = self._idle
        while count and idle:
            idle.popleft().rouse()
            count -= 1

    def _rearm(self, now: Nanoseconds) -> None:
        due = self.queue.next_due()
        if due is None or due >= self._rings_at:
            return
        if self._alarm.armed:  # for later: that one will ring for nothing
            self._alarm = Alarm(self._env, self._ring)
        self._rings_at = due
        self._alarm.arm(max(0, due - now))

    def _ring(self) -> None:
        now = self._env._now
        if now < self._rings_at:
            return
        self._rings_at = NEVER
        ready = self.queue.advance(now)
        if ready:
            self._rouse(ready)
        self._rearm(now)
