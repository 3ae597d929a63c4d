"""One request on its way through flow control, and the notices about those whose fate changed meanwhile.

arrives -> EXECUTING | QUEUED | REJECTED        QUEUED -> EXECUTING | REJECTED (its wait is over, or its client left)
EXECUTING -> DONE                               EXECUTING -> LINGERING -> DONE, where it has a final phase
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final

from sim.apiserver.flowcontrol.work import Work
from sim.units import Nanoseconds

if TYPE_CHECKING:
    from sim.apiserver.flowcontrol.fairness import Queue
    from sim.apiserver.flowcontrol.queues import QueueSet

Sink = Callable[[Nanoseconds], object]
"""Takes one duration in nanoseconds, such as `list.append` or `histogram.observe`."""

NEVER: Final[Nanoseconds] = 1 << 62


class State(Enum):
    """Where a request stands. LINGERING: answered, its seats still held for the watchers that are told."""

    QUEUED = "queued"
    EXECUTING = "executing"
    LINGERING = "lingering"
    DONE = "done"
    REJECTED = "rejected"


class Request:
    """A request as `arrive` made it; whoever owns the level changes it, nobody else. Times in ns.

    tag: whatever the caller gave; work: its estimate, its final seats narrowed when it starts in a narrower level;
    decided: when it started or was rejected, NEVER while it is queued; due: when its seats will be released, NEVER if
    unknown; reason, retry_after_seconds: of a rejection, else "" and 0.
    """

    __slots__ = (
        "arrived", "arrived_r", "decided", "due", "level", "queue", "reason", "retry_after_seconds", "state", "tag", "work",
    )  # fmt: skip

    def __init__(self, level: QueueSet, arrived: Nanoseconds, work: Work, tag: object):
        self.level = level
        self.arrived = arrived
        self.work = work
        self.tag = tag
        self.state = _QUEUED
        self.decided: Nanoseconds = NEVER
        self.queue: Queue | None = None
        self.due: Nanoseconds = NEVER
        self.arrived_r = 0
        self.reason = ""
        self.retry_after_seconds = 0

    @property
    def waited(self) -> Nanoseconds:
        """From arrival to start or rejection, ns; of a request that is still queued, no number that means anything."""
        return self.decided - self.arrived

    def __repr__(self) -> str:
        return f"<Request {self.tag!r} {self.state.value} of {self.level.name}>"


_QUEUED: Final = State.QUEUED


class Notices:
    """What the levels of one server share: how many requests wait, and whose fate changed that nobody was told yet."""

    __slots__ = ("changed", "waiting")

    def __init__(self) -> None:
        self.changed: list[Request] = []
        self.waiting = 0

    def take(self) -> Sequence[Request]:
        """The requests that started or were rejected after they had been queued, in the order in which it happened."""
        if not self.changed:
            return ()
        taken = self.changed.copy()
        self.changed.clear()
        return taken
