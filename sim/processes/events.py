"""Two re-armable events: an alarm that rings, and a call that is answered. No allocation per use.

SimPy processes an event once; these two can be armed again after they have rung, because nobody else ever waits on them.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from simpy.core import Environment
from simpy.events import NORMAL, Event

from sim.apiserver.flowcontrol.request import Request
from sim.apiserver.flowcontrol.work import ONE_SEAT, Work
from sim.apiserver.objects import Content
from sim.apiserver.storage import Write
from sim.clientgo.with_retry import WithRetry
from sim.etcd.request import Op, Outcome, Shape
from sim.units import Nanoseconds


class Clock(Environment):
    """A SimPy environment whose time is whole nanoseconds."""

    _now: Nanoseconds

    def __init__(self) -> None:
        super().__init__(0)
        self.until: Nanoseconds = 0

    def advance(self, until: Nanoseconds) -> None:
        """Process every event before `until`, as `run(until=until)` does, without a call per event.

        Who is called last by an event may go on to its own next one, before `until`, where the queue holds nothing up to then: it
        sets the time and saves the event (see `sim.processes.leader`).
        """
        queue = self._queue
        self.until = until
        try:
            while queue:
                entry = heappop(queue)
                at, _, _, event = entry
                if at >= until:
                    heappush(queue, entry)
                    break
                self._now = at  # type: ignore[assignment]
                callbacks = event.callbacks
                event.callbacks = None  # type: ignore[assignment]  # as SimPy marks what it has processed
                for callback in callbacks:
                    callback(event)
                if not event._ok and not hasattr(event, "_defused"):  # as SimPy marks a failure that somebody has taken care of
                    raise event._value
        finally:
            self.until = 0
        self._now = until


class Alarm(Event):
    """Rings once each time it is armed: calls `ring(alarm)` at that time."""

    __slots__ = ("_ok", "_ring", "_value", "callbacks", "env")  # a simulation arms them some ten million times

    def __init__(self, env: Clock, ring: Callable[[Any], None]):
        super().__init__(env)
        self.env: Clock = env
        self._ok, self._value = True, None
        self._ring: list[Callable[[Any], None]] = [ring]
        self.callbacks: list[Callable[[Any], None]] | None = None  # type: ignore[assignment]  # None: not armed

    @property
    def armed(self) -> bool:
        """Whether it will ring; it cannot be armed again before it has."""
        return self.callbacks is not None

    def arm(self, delay: Nanoseconds) -> None:
        """Ring `delay` nanoseconds from now."""
        self.callbacks = self._ring
        env = self.env
        heappush(env._queue, (env._now + delay, NORMAL, next(env._eid), self))  # what env.schedule does, without its call


class Call(Event):
    """One request of one caller: the caller yields what `send` returns, the server answers at the time that it computed.

    It is also the entry in the log (see `sim.etcd.request.Entry`). A call that times out is answered early; the log then
    keeps a `Ghost` in its place, because a proposal is not withdrawn.

    data: bytes of the raft entry's data. expected: mod revision that the transaction compares with, or of a compaction. content:
    what the entry stores, None where nobody looks into it. Times in nanoseconds: `since` when the client sent it, `arrives` at
    etcd, `handed` to the applier, `done` there, `answered` on etcd's side.

    write, serve, ttl, began: what the API server is asked for (a write of what exists; a read, by who serves it; a create of a life
    that ends), and since when it has been at it. transactions: how many a write has been to etcd for, lost races included.

    client, flow, seat, work, retries: whose request it is, to whom priority and fairness counts it, its seat at the API server, how
    much of one it takes, how often it was sent again. once: the shape of which it creates objects under fresh names, over and over.

    stage: what happens when it arrives where it is going. on_answer: who takes etcd's answer, with now and the time of the answer;
    None: it goes straight to the caller.
    """

    __slots__ = (
        "_arrival", "_ok", "_value", "_way_back", "answered", "arrives", "began", "callbacks", "client", "content", "data", "done",
        "env", "expected", "flow", "handed", "key", "lease", "on_answer", "once", "op", "outcome", "retries", "revision", "seat",
        "serve", "shape", "since", "stage", "transactions", "ttl", "work", "write", "writer",
    )  # fmt: skip
    here = True
    """Whether the leader itself answers it."""

    def __init__(self, env: Clock, stage: Callable[[Call], None], writer: int):
        super().__init__(env)
        self.env: Clock = env
        self._ok, self._value = True, None
        self.stage = stage
        self._arrival = Alarm(env, lambda _alarm: self.stage(self))
        self.on_answer: Callable[[Call, Nanoseconds, Nanoseconds], None] | None = None
        self.content: Content | None = None
        self.write: Write | None = None
        self.serve: Callable[[Call], None] | None = None
        self.client: Any = None
        self.flow: Any = None
        self.once: Shape | None = None
        self.seat: Request | None = None
        self.work: Work = ONE_SEAT
        self.retries: WithRetry | None = None
        self.ttl: Nanoseconds = 0
        self.transactions = 0
        self.began: Nanoseconds = 0
        self.writer = writer
        self.op = Op.CREATE_ONCE
        self.shape: Shape = NOTHING
        self.key: Any = None  # an ObjectKey where an API server is asked
        self.expected = 0
        self.data = 0
        self.lease = 0
        self.outcome = Outcome.UNCHANGED
        self.revision = 0
        self.arrives: Nanoseconds = 0
        self.handed: Nanoseconds = 0
        self.done: Nanoseconds = 0
        self.answered: Nanoseconds = 0
        self.since: Nanoseconds = 0
        self._way_back: Nanoseconds = 0

    def send(self, delay: Nanoseconds, way_back: Nanoseconds) -> Call:
        """Arrive at etcd `delay` from now; the answer takes `way_back` to the caller. Yield the result."""
        self.callbacks = []
        self._way_back = way_back
        env = self.env
        self.arrives = env._now + delay
        arrival = self._arrival
        arrival.callbacks = arrival._ring
        heappush(env._queue, (self.arrives, NORMAL, next(env._eid), arrival))
        return self

    def begin(self) -> Call:
        """A request that goes through stages before it reaches etcd: `go` to the first one. Yield the result."""
        self.callbacks = []
        return self

    def go(self, at: Nanoseconds, stage: Callable[[Call], None]) -> None:
        """Be at `stage` at `at`, not before now."""
        self.stage = stage
        self.arrives = at
        arrival = self._arrival
        arrival.callbacks = arrival._ring
        env = self.env
        heappush(env._queue, (at, NORMAL, next(env._eid), arrival))

    def answer(self, now: Nanoseconds, at: Nanoseconds) -> None:
        """etcd answers at `at`, not before now."""
        self.answered = at
        if self.on_answer is not None:
            self.on_answer(self, now, at)
            return
        env = self.env
        heappush(env._queue, (at + self._way_back, NORMAL, next(env._eid), self))

    def finish(self, at: Nanoseconds) -> None:
        """The caller has its answer at `at`, not before now."""
        env = self.env
        heappush(env._queue, (at, NORMAL, next(env._eid), self))


class Ghost:
    """What stays in the log of a call whose caller was told that it timed out: applied like any entry, answered to nobody."""

    __slots__ = (
        "arrives", "content", "data", "done", "expected", "handed", "key", "lease", "op", "outcome", "revision", "shape", "writer",
    )  # fmt: skip
    on_answer = None
    here = True

    def __init__(self, call: Call):
        self.op, self.shape, self.key, self.expected, self.lease = call.op, call.shape, call.key, call.expected, call.lease
        self.writer, self.data, self.arrives, self.content = call.writer, call.data, call.arrives, call.content
        self.outcome, self.revision, self.handed, self.done = call.outcome, call.revision, call.handed, call.done

    def answer(self, now: Nanoseconds, at: Nanoseconds) -> None:
        """Nobody is waiting."""


NOTHING = Shape("nothing", 0, 0)
"""The shape of requests that store nothing of their own: grants, revokes, compactions. Shared by all: its tallies mean nothing."""
