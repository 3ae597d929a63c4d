"""A listener of a shared informer: one handler, the notifications that wait for it, and when it wants a resync.

    informer -> one notification held by the pump -> ring -> handler, one at a time

The pump never lets the informer wait: what the handler has not taken stays in a ring that doubles when it is full and
never shrinks. So a slow handler delays nobody but itself, and pays in memory. Handlers are served first come, first
served: a notification's completion is known when it is offered.

Who wants a resync how often: each listener asks for a period of its own; one timer, the reflector's, runs at the
informer's check period, and each time it fires the listeners whose period has passed are "syncing" until the next
time. Notifications that bring no new version (resync, relist) go to syncing listeners only. All are syncing until the
timer fires for the first time.

Source: k8s.io/client-go v0.35.0, tools/cache/shared_informer.go (processorListener, sharedProcessor.shouldResync,
AddEventHandlerWithOptions); k8s.io/utils buffer/ring_growing.go. Left out: the 1 s pause after
a handler's panic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from sim.apiserver.objects import ApiObject, EventType
from sim.units import SECOND, Bytes, Nanoseconds

INITIAL_RING: Final = 1024
"""initialBufferSize of shared_informer.go, notifications."""
RING_SLOT: Final[Bytes] = 16
"""A Go interface value: what each slot of the ring takes, used or not (amd64)."""
MINIMUM_RESYNC_PERIOD: Final[Nanoseconds] = SECOND
"""minimumResyncPeriod of shared_informer.go."""


class Notification(NamedTuple):
    """What a handler is told.

    initial: brought by the first list, or told to a listener that came late. unchanged: an update without a new version
    (Go: isSync). object: the object now; of a deletion its last known state, None if nobody knows. old: what an update
    replaced, else None. final_state_unknown: the deletion itself was missed, a relist noticed it.
    """

    type: EventType
    key: str
    initial: bool
    unchanged: bool
    object: ApiObject | None = None
    old: ApiObject | None = None
    final_state_unknown: bool = False


class HandlerQueue:
    """The station of one handler: a ring in front of it, one notification at a time.

    ring_capacity: slots, doubling. backlog_max: most notifications that ever waited, the one in the pump included.
    """

    __slots__ = ("_free_at", "_starts", "backlog_max", "ring_capacity")

    def __init__(self) -> None:
        self._starts: deque[Nanoseconds] = deque()  # when the handler will take those that wait, rising
        self._free_at: Nanoseconds = 0
        self.backlog_max = 0
        self.ring_capacity = INITIAL_RING

    def offer(self, now: Nanoseconds, cost: Nanoseconds) -> Nanoseconds:
        """Hand over a notification at `now` that keeps the handler busy for `cost` ns; returns when it will have been handled.

        `now` must not fall from call to call.
        """
        if self._free_at <= now:
            self._starts.clear()
            self._free_at = now + cost
            return self._free_at
        start = self._free_at
        self._free_at = start + cost
        waiting = self.backlog(now) + 1
        self._starts.append(start)
        if waiting > self.backlog_max:
            self.backlog_max = waiting
            while self.ring_capacity < waiting - 1:  # one of them is held by the pump
                self.ring_capacity *= 2
        return self._free_at

    def backlog(self, now: Nanoseconds) -> int:
        """Notifications that wait at `now`; the one being handled is none of them. `now` must not fall."""
        starts = self._starts
        while starts and starts[0] <= now:
            starts.popleft()
        return len(starts)

    @property
    def ring_bytes(self) -> Bytes:
        """Memory of the ring's slots; what they point to comes on top."""
        return self.ring_capacity * RING_SLOT


class ResyncTimes:
    """When one listener is due for a resync. period: nanoseconds, 0 for never.

    A period between two checks of the informer is rounded up by the checks themselves. (shouldResync, determineNextResync)
    """

    __slots__ = ("_next", "period")

    def __init__(self, now: Nanoseconds, period: Nanoseconds):
        self.period = period
        self._next = now + period

    def take_if_due(self, now: Nanoseconds) -> bool:
        """Whether a resync is due at `now`; if so, the next one is a period later."""
        if self.period == 0 or now < self._next:
            return False
        self._next = now + self.period
        return True


class Listener:
    """A registered handler. receive: is called with each notification at once.

    queue: the station of a handler that takes time: `receive` may offer to it. syncing: whether notifications without a
    new version reach it.
    """

    __slots__ = ("queue", "receive", "resync", "syncing")

    def __init__(self, receive: Callable[[Notification], None], resync: ResyncTimes):
        self.receive = receive
        self.resync = resync
        self.syncing = True
        self.queue = HandlerQueue()
