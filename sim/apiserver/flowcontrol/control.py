"""API Priority and Fairness: what an API server does with a request before it is served.

A request belongs to a flow (who sends what) and so to a priority level. Each level has seats of its own, borrowed from
and lent to others every 10 s (flowcontrol/borrowing.py), and shares them fairly among its flows (flowcontrol/queues.py). A request
that finds no seat waits in a queue, at most a quarter of its timeout, or is answered 429 with a Retry-After.

How a caller drives it, times in whole nanoseconds and never falling:

    flow = control.flow("workload-low", "service-accounts", "system:serviceaccount:ops:zero-pods")    # once
    request = control.arrive(now, flow)         EXECUTING, QUEUED or REJECTED: request.state
    control.release_at(request, answered)       if it executes and the time of its answer is known,
    control.finish(now, request)                or when it is answered
    control.next_event()                        after each call: when to call advance, None mostly
    control.advance(now)                        requests that were queued and now execute, or were rejected

While nobody waits there is no event: releases are applied when the next request comes. `MaxInFlight` is the same for a
server with --enable-priority-and-fairness=false.

Source: k8s.io/apiserver v0.35.0, pkg/util/flowcontrol/apf_controller.go, pkg/server/filters/priority-and-fairness.go,
maxinflight.go. Simplified: levels and schemas do not change while the server runs; adjustments come at whole multiples
of 10 s after the start; what happens at one instant happens in the order release, deadline, adjustment, call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sim.apiserver.flowcontrol.borrowing import Borrower, current_limits
from sim.apiserver.flowcontrol.demand import DemandStatistics
from sim.apiserver.flowcontrol.fairness import Hand
from sim.apiserver.flowcontrol.hands import flow_hash
from sim.apiserver.flowcontrol.levels import DEFAULT_LEVELS, SERVER_CONCURRENCY, Level, max_seats, seats_of
from sim.apiserver.flowcontrol.queues import QUEUE_WAIT, QueueSet
from sim.apiserver.flowcontrol.request import NEVER, Notices, Request, Sink, State
from sim.apiserver.flowcontrol.work import ONE_SEAT, Work
from sim.units import SECOND, Nanoseconds

BORROWING_PERIOD: Final[Nanoseconds] = 10 * SECOND
"""borrowingAdjustmentPeriod of apf_controller.go."""


class Flow:
    """A flow of one server: the level it belongs to and the queues it may use there. Made by `flow`, kept by the caller.

    max_seats: the widest that a request of this level may be (`widths`), 0 for no bound.
    """

    __slots__ = ("exempt", "hand", "level", "max_seats")

    def __init__(self, level: QueueSet, hand: Hand, exempt: bool, max_seats: int = 0):
        self.level = level
        self.hand = hand
        self.exempt = exempt
        self.max_seats = max_seats


class PriorityLevel:
    """A level at work: its configuration, seats and queues (`queue_set`: executing, waiting, rejected, limit)."""

    __slots__ = ("config", "max_seats", "queue_set", "seats", "statistics")

    def __init__(
        self, config: Level, levels: Sequence[Level], total: int, now: Nanoseconds, notices: Notices, on_wait: Sink | None
    ):
        self.config = config
        self.seats = seats_of(config, levels, total)
        self.max_seats = max_seats(self.seats.nominal, config.hand_size) if config.queues else 0
        self.statistics = DemandStatistics()
        queues = -1 if config.exempt else config.queues
        self.queue_set = QueueSet(
            config.name, 0, queues, config.hand_size, config.queue_length, now=now, notices=notices, on_wait=on_wait
        )

    def borrower(self) -> Borrower:
        """Its part in an adjustment."""
        seats, statistics = self.seats, self.statistics
        return Borrower(seats.nominal, seats.minimum, seats.maximum, statistics.peak, statistics.smoothed, self.config.exempt)


class FlowControl:
    """Priority and fairness of one API server.

    levels: the priority levels, DEFAULT_LEVELS unless told otherwise; total: its seats, 600 by default; now: when it
    starts; on_wait: by level, takes the wait of each request that starts. Raises ValueError for levels that cannot be.
    `levels` tells each level's figures by its name; call `advance` before reading them. next_adjustment: until then `arrive` is no
    more than the level's own.
    """

    __slots__ = ("_flows", "_notices", "levels", "next_adjustment")

    def __init__(
        self,
        levels: Sequence[Level] = DEFAULT_LEVELS,
        total: int = SERVER_CONCURRENCY,
        now: Nanoseconds = 0,
        on_wait: Mapping[str, Sink] | None = None,
    ):
        sinks = on_wait or {}
        self._notices = Notices()
        self._flows: dict[tuple[str, str, str], Flow] = {}
        self.levels: dict[str, PriorityLevel] = {
            level.name: PriorityLevel(level, levels, total, now, self._notices, sinks.get(level.name)) for level in levels
        }
        self.next_adjustment = now
        self._adjust()

    def flow(self, level: str, schema: str, distinguisher: str = "") -> Flow:
        """The flow of a schema's requests that share a distinguisher (user, namespace or nothing, see DEFAULT_SCHEMAS).

        Raises KeyError for a level that the server does not have.
        """
        key = (level, schema, distinguisher)
        flow = self._flows.get(key)
        if flow is None:
            priority = self.levels[level]
            # A single queue needs no hash, and the server takes none (startRequest).
            hash_value = flow_hash(schema, distinguisher) if priority.config.queues > 1 else 0
            hand = priority.queue_set.hand(hash_value)
            flow = self._flows[key] = Flow(priority.queue_set, hand, priority.config.exempt, priority.max_seats)
        return flow

    def arrive(
        self,
        now: Nanoseconds,
        flow: Flow,
        mutating: bool = False,
        work: Work = ONE_SEAT,
        wait: Nanoseconds = QUEUE_WAIT,
        tag: object = None,
    ) -> Request:
        """A request comes; its state says whether it executes, waits (at most `wait` ns, see `queue_wait`) or is rejected.

        mutating is for MaxInFlight; work: its seats (flowcontrol/widths.py); tag: kept for the caller.
        """
        if now >= self.next_adjustment:
            self._adjust_until(now)
        return flow.level.arrive(now, flow.hand, work, wait, tag)

    def release_at(self, request: Request, at: Nanoseconds) -> None:
        """An executing request will be answered at `at` (ns, not before now); told again, the last word counts.

        Raises ValueError for a request that does not execute.
        """
        request.level.release_at(request, at)

    def finish(self, now: Nanoseconds, request: Request) -> Sequence[Request]:
        """An executing request is answered now; what changed, as `advance` tells it. Raises ValueError if it does not execute."""
        if now >= self.next_adjustment:
            self._adjust_until(now)
        return request.level.finish(now, request)

    def cancel(self, now: Nanoseconds, request: Request) -> None:
        """The client of a queued request went away; counted as a time-out. Does nothing to others."""
        if now >= self.next_adjustment:
            self._adjust_until(now)
        request.level.cancel(now, request)

    def next_event(self) -> Nanoseconds | None:
        """When to call `advance`; None while nobody waits and nobody is to be told. A past time means at once."""
        notices = self._notices
        if notices.changed:
            return notices.changed[0].decided
        if not notices.waiting:
            return None
        due = self.next_adjustment
        for level in self.levels.values():
            if level.queue_set.waiting:
                due = min(due, level.queue_set.earliest() or NEVER)
        return due

    def advance(self, now: Nanoseconds) -> Sequence[Request]:
        """Let time pass until `now`, included. Requests that were queued and have started or been rejected since anybody
        was last told, in the order in which it happened; `decided` says when."""
        if now >= self.next_adjustment:
            self._adjust_until(now)
        for level in self.levels.values():
            level.queue_set.catch_up(now)
        return sorted(self._notices.take(), key=lambda request: request.decided)

    def limits(self) -> dict[str, int]:
        """Each level's seats until the next adjustment (apiserver_flowcontrol_current_limit_seats)."""
        return {name: level.queue_set.limit for name, level in self.levels.items()}

    def _adjust_until(self, now: Nanoseconds) -> None:
        while self.next_adjustment <= now:
            self._adjust()

    def _adjust(self) -> None:
        """Divide the seats anew by what was asked for since the last time (updateBorrowing)."""
        at = self.next_adjustment
        self.next_adjustment = at + BORROWING_PERIOD
        levels = list(self.levels.values())
        for level in levels:
            level.statistics.update(level.queue_set.take_demand(at))
        for level, limit in zip(levels, current_limits([level.borrower() for level in levels]), strict=True):
            level.queue_set.set_limit(at, limit)


class MaxInFlight:
    """A server without priority and fairness: so many reads and so many writes at once, over it 429 with Retry-After 1.

    The interface is FlowControl's; nobody ever waits, every request takes one seat, and of a flow only its level counts:
    "exempt" (group system:masters) is served even when all is taken. A limit of 0 is none. `reads` and `writes` tell the
    figures; call `advance` before reading them.
    """

    __slots__ = ("_beyond", "_flow", "_privileged", "reads", "writes")
    next_adjustment: Final[Nanoseconds] = 0
    """Its `arrive` is never the level's own."""

    def __init__(self, read: int = 400, mutating: int = 200):
        self.reads = QueueSet("read", read, 0 if read else -1)
        self.writes = QueueSet("mutating", mutating, 0 if mutating else -1)
        self._beyond = QueueSet("exempt", 0, -1)
        self._flow = Flow(self.reads, (), False)
        self._privileged = Flow(self._beyond, (), True)

    def flow(self, level: str, schema: str = "", distinguisher: str = "") -> Flow:
        """The flow of privileged clients, or that of all others."""
        return self._privileged if level == "exempt" else self._flow

    def arrive(
        self,
        now: Nanoseconds,
        flow: Flow,
        mutating: bool = False,
        work: Work = ONE_SEAT,
        wait: Nanoseconds = QUEUE_WAIT,
        tag: object = None,
    ) -> Request:
        """A request comes; its state says whether it executes or is rejected. Work and wait do not matter."""
        pool = self.writes if mutating else self.reads
        if flow.exempt:
            pool.catch_up(now)
            if pool.seats_in_use >= pool.limit > 0:
                pool = self._beyond
        request = pool.arrive(now, (), ONE_SEAT, wait, tag)
        if request.state is State.REJECTED:
            request.retry_after_seconds = 1
        return request

    def release_at(self, request: Request, at: Nanoseconds) -> None:
        """As FlowControl's."""
        request.level.release_at(request, at)

    def finish(self, now: Nanoseconds, request: Request) -> Sequence[Request]:
        """As FlowControl's; nothing ever changes for others."""
        return request.level.finish(now, request)

    def cancel(self, now: Nanoseconds, request: Request) -> None:
        """Nobody is queued: does nothing."""

    def next_event(self) -> Nanoseconds | None:
        """None: nobody waits."""
        return None

    def advance(self, now: Nanoseconds) -> Sequence[Request]:
        """Let time pass until `now`; nothing to tell."""
        for pool in (self.reads, self.writes, self._beyond):
            pool.catch_up(now)
        return ()
