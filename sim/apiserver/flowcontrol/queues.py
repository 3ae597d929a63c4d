"""One priority level: its seats, who holds them, who waits and who is turned away: the server's `queueset`.

Three kinds of level: with queues; without (`queues=0`: what has no seat is rejected at once); exempt (`queues=-1`: nothing
is ever refused, but it is counted). A request occupies the larger of its two widths from its start to the end of its
final phase (flowcontrol/work.py). Whose turn it is says flowcontrol/fairness.py; if the chosen request does not fit into the free
seats, nobody else is tried: it waits, and everybody with it.

Nothing here needs an event while nobody waits: a release known beforehand (`release_at`) lies in a heap and is applied, at
its own time, before whatever comes later. `next_event` says when to come back, and only while somebody waits.

Source: k8s.io/apiserver v0.35.0, pkg/util/flowcontrol/fairqueuing/queueset/queueset.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Final

from sim.apiserver.flowcontrol.demand import Demand, Observed
from sim.apiserver.flowcontrol.fairness import FairQueues, Hand
from sim.apiserver.flowcontrol.request import NEVER, Notices, Request, Sink, State
from sim.apiserver.flowcontrol.retry_after import DroppedRequests
from sim.apiserver.flowcontrol.work import ONE_SEAT, Work
from sim.units import SECOND, Nanoseconds

QUEUE_WAIT: Final[Nanoseconds] = 15 * SECOND
"""How long a request waits for a seat unless its own timeout is shorter: a quarter of the server's 60 s."""

QUEUE_FULL: Final = "queue-full"
TIME_OUT: Final = "time-out"
CONCURRENCY_LIMIT: Final = "concurrency-limit"
"""Reasons of rejection, as `apiserver_flowcontrol_rejected_requests_total` labels them."""

_QUEUED, _EXECUTING, _LINGERING, _DONE = State.QUEUED, State.EXECUTING, State.LINGERING, State.DONE


def queue_wait(timeout: Nanoseconds) -> Nanoseconds:
    """How long a request with this timeout (ns, from its arrival) may wait in a queue: a quarter, at most a minute.

    Source: k8s.io/apiserver v0.35.0, pkg/server/filters/priority-and-fairness.go (getRequestWaitContext).
    """
    return min(timeout // 4, 60 * SECOND)


class QueueSet:
    """The queues and seats of one priority level. Time in ns, never falling from call to call.

    limit: seats; queues: how many, 0: reject at once, -1: exempt; hand_size, queue_length: as PriorityLevelConfiguration
    has them; notices: shared with other levels of the server; on_wait: takes each started request's wait, 0 included
    (apiserver_flowcontrol_request_wait_duration_seconds, where the server also counts time-outs as executed; exempt levels
    have none). Raises ValueError for a hand that cannot be dealt, and if time falls.

    Counts as the server's metrics apiserver_flowcontrol_...: `executing` (current_executing_requests), `seats_in_use`
    (current_executing_seats, lingering ones included), `waiting` (current_inqueue_requests), `seats_waiting`
    (current_inqueue_seats), `dispatched` (dispatched_requests_total), `rejected` by reason (rejected_requests_total),
    `blocked` (request_dispatch_no_accommodation_total), `limit` (current_limit_seats). Call `catch_up` before reading
    them: until then they are those of the last call.
    """

    __slots__ = (
        "_deadlines", "_exempt", "_leaked", "_next", "_notices", "_on_wait", "_queue_length", "_releases", "_sequence",
        "_synced", "blocked", "demand", "dispatched", "dropped", "executing", "fair", "limit", "name", "rejected",
        "seats_in_use", "seats_waiting", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        limit: int,
        queues: int,
        hand_size: int = 1,
        queue_length: int = 0,
        *,
        now: Nanoseconds = 0,
        notices: Notices | None = None,
        on_wait: Sink | None = None,
    ):
        self.name = name
        self.limit = limit
        self.fair = FairQueues(queues, hand_size)
        self.demand = Demand()
        self.dropped = DroppedRequests()
        self.executing = self.seats_in_use = self.waiting = self.dispatched = self.blocked = 0
        self.rejected: dict[str, int] = {}
        self._exempt = queues < 0
        self._queue_length = queue_length
        self.seats_waiting = 0
        self._leaked = 0  # of those, seats that no request waits for; see _narrow
        self._synced = now
        self._releases: list[tuple[Nanoseconds, int, Request]] = []
        self._deadlines: list[tuple[Nanoseconds, int, Request]] = []
        self._next: Nanoseconds = NEVER  # nothing in the two heaps is due before
        self._sequence = count()
        self._notices = notices or Notices()
        self._on_wait = None if self._exempt else on_wait

    def hand(self, hash_value: int) -> Hand:
        """The queues that a flow with this hash may use, to be given to `arrive`; it never changes."""
        return self.fair.hand(hash_value)

    def arrive(
        self, now: Nanoseconds, hand: Hand = (), work: Work = ONE_SEAT, wait: Nanoseconds = QUEUE_WAIT, tag: object = None
    ) -> Request:
        """A request comes: executing, queued (for at most `wait` ns) or rejected, see its state.

        Others may start as well, where a request that blocked them has left: `next_event` is then at once.
        """
        if now >= self._next:
            self.catch_up(now)
        if now != self._synced:
            self._sync(now)
        request = Request(self, now, work, tag)
        seats = self.seats_in_use + work.seats
        if not hand:
            self._arrive_without_queue(now, request)
        elif self.waiting or seats > self.limit:
            self._arrive_in_queue(now, request, hand, wait)
        else:
            request.queue = self.fair.pass_through(hand, work)
            request.state = _EXECUTING  # as `_start`, without its call: nearly all come this way
            request.decided = now
            self.executing += 1
            self.dispatched += 1
            self.seats_in_use = seats
            if seats + self.seats_waiting > self.demand.peak:
                self.demand.note(seats + self.seats_waiting)
            if self._on_wait is not None:
                self._on_wait(0)
        return request

    def finish(self, now: Nanoseconds, request: Request) -> Sequence[Request]:
        """An executing request is answered. Who started or was rejected after waiting, since anybody was last told.

        Raises ValueError for a request that does not execute.
        """
        if now >= self._next:
            self.catch_up(now)
        if request.state is not _EXECUTING:
            raise ValueError(f"{request!r} does not execute")
        request.due = NEVER
        self._end(now, request)
        return self._notices.take()

    def release_at(self, request: Request, at: Nanoseconds) -> None:
        """An executing request will be answered at `at`; told again, the last word counts. No `finish` is needed then.

        Raises ValueError for a request that does not execute.
        """
        if request.state is not _EXECUTING:
            raise ValueError(f"{request!r} does not execute")
        request.due = at  # as `_plan_release`, without its call: each request comes here
        heappush(self._releases, (at, next(self._sequence), request))
        if at < self._next:
            self._next = at

    def cancel(self, now: Nanoseconds, request: Request) -> None:
        """The client of a queued request went away: it leaves the queue, counted as a time-out. Others do nothing."""
        if now >= self._next:
            self.catch_up(now)
        if request.state is _QUEUED:
            self._time_out(now, request)

    def set_limit(self, now: Nanoseconds, limit: int) -> None:
        """From now on `limit` seats. Who executes stays; who waits may start, and `next_event` is then at once."""
        self.catch_up(now)
        self._sync(now)
        self.limit = limit
        self._dispatch(now)

    def take_demand(self, now: Nanoseconds) -> Observed:
        """Seats asked for since it was last taken; begins anew."""
        self.catch_up(now)
        self._sync(now)
        return self.demand.take(self.seats_in_use + self.seats_waiting)

    def next_event(self) -> Nanoseconds | None:
        """When to call `advance`: the earliest release or end of a wait. None while nobody waits and nobody is to be told.

        A past time means at once.
        """
        if self._notices.changed:
            return self._notices.changed[0].decided
        return self.earliest() if self.waiting else None

    def earliest(self) -> Nanoseconds | None:
        """The next known release or end of a wait, whether or not it matters to anybody; None if there is none."""
        releases, deadlines = self._releases, self._deadlines
        while releases and releases[0][2].due != releases[0][0]:
            heappop(releases)
        while deadlines and deadlines[0][2].state is not _QUEUED:
            heappop(deadlines)
        self._next = min(releases[0][0] if releases else NEVER, deadlines[0][0] if deadlines else NEVER)
        return None if self._next == NEVER else self._next

    def advance(self, now: Nanoseconds) -> Sequence[Request]:
        """Let time pass until `now`, included; who started or was rejected after waiting, since anybody was last told."""
        self.catch_up(now)
        return self._notices.take()

    def catch_up(self, now: Nanoseconds) -> None:
        """Apply what was due until `now`, each at its own time; of a release and a deadline together, the release first.

        Nobody is told yet: `advance` does that.
        """
        releases, deadlines = self._releases, self._deadlines
        while not deadlines:  # so nobody waits, and nobody will for a release: the way of nearly all
            if not releases:
                self._next = NEVER
                return
            release, _, request = releases[0]
            if release > now:
                self._next = release
                return
            heappop(releases)
            if request.due == release:
                request.due = NEVER
                if request.state is _EXECUTING:
                    self._end(release, request)
                else:
                    self._leave(release, request)
        while True:
            release = releases[0][0] if releases else NEVER
            deadline = deadlines[0][0] if deadlines else NEVER
            self._next = min(release, deadline)
            if self._next > now:
                return
            if release <= deadline:
                request = heappop(releases)[2]
                if request.due != release:
                    continue  # the caller has changed its mind since, or said it twice
                request.due = NEVER
                if request.state is _EXECUTING:
                    self._end(release, request)
                else:
                    self._leave(release, request)
            else:
                request = heappop(deadlines)[2]
                if request.state is _QUEUED:
                    self._time_out(deadline, request)

    def _sync(self, now: Nanoseconds) -> None:
        """Move R and the demand statistics to `now`: what is true now has been true since the last call (syncTime)."""
        elapsed = now - self._synced
        if elapsed < 0:
            raise ValueError(f"now is {now}, before {self._synced}; it must never fall")
        if elapsed:
            self._synced = now
            seats = self.seats_in_use + self.seats_waiting
            demand = self.demand
            demand.time += elapsed  # as `demand.add`, without its call
            if seats:  # else no queue is active either
                work = seats * elapsed
                demand.seats_time += work
                demand.squares_time += seats * work
                seats -= self._leaked
                self.fair.run(seats if seats < self.limit else self.limit, elapsed)

    def _arrive_without_queue(self, now: Nanoseconds, request: Request) -> None:
        if self.fair.queues:
            raise ValueError(f"{self.name} has queues: give the flow's `hand`")
        if self._exempt or self._fits(request.work.seats):
            self._start(now, request)
        else:
            self._reject(now, request, CONCURRENCY_LIMIT)

    def _arrive_in_queue(self, now: Nanoseconds, request: Request, hand: Hand, wait: Nanoseconds) -> None:
        queue = self.fair.shortest(hand)
        if self.seats_in_use >= self.limit and len(queue.waiting) >= self._queue_length:
            self._reject(now, request, QUEUE_FULL)
            return
        self.fair.enqueue(queue, request)
        self._count_waiting(1, request.work.seats)
        self._dispatch(now, request)
        if request.state is _QUEUED:
            deadline = now + wait
            heappush(self._deadlines, (deadline, next(self._sequence), request))
            self._next = min(self._next, deadline)

    def _dispatch(self, now: Nanoseconds, arriving: Request | None = None) -> None:
        """Start whoever can start now; all but the one that arrives are put among the notices."""
        while self.waiting and self.seats_in_use < self.limit:
            queue = self.fair.next_queue()
            request = queue.waiting[0]
            if not self._fits(request.work.seats):
                self.blocked += 1
                return
            self.fair.start_oldest(queue)
            self._narrow(request)
            self._count_waiting(-1, -request.work.seats)
            self._start(now, request)
            if request is not arriving:
                self._notices.changed.append(request)

    def _fits(self, seats: int) -> bool:
        """Whether a request of this width can start now; one wider than the level starts once nobody else executes."""
        if seats > self.limit:
            return self.executing == 0
        return self.seats_in_use + seats <= self.limit

    def _narrow(self, request: Request) -> None:
        """A final phase wider than the level is made longer instead.

        The server had counted the old width as waiting and discounts the new one: the difference counts as demand for good.
        """
        work = request.work
        if work.final_seats > self.limit:
            request.work = work.narrowed(self.limit)
            self._leaked += work.seats - request.work.seats

    def _count_waiting(self, requests: int, seats: int) -> None:
        self.waiting += requests
        self._notices.waiting += requests
        self.seats_waiting += seats
        self.demand.note(self.seats_in_use + self.seats_waiting)

    def _start(self, now: Nanoseconds, request: Request) -> None:
        request.state = _EXECUTING
        request.decided = now
        self.executing += 1
        self.dispatched += 1
        self.seats_in_use = seats = self.seats_in_use + request.work.seats
        if seats + self.seats_waiting > self.demand.peak:
            self.demand.note(seats + self.seats_waiting)
        if self._on_wait is not None:
            self._on_wait(now - request.arrived)

    def _plan_release(self, request: Request, at: Nanoseconds) -> None:
        request.due = at
        heappush(self._releases, (at, next(self._sequence), request))
        if at < self._next:
            self._next = at

    def _end(self, now: Nanoseconds, request: Request) -> None:
        """The answer is sent: the queue learns how long it really took; the seats go, or linger."""
        if now != self._synced:
            self._sync(now)
        self.executing -= 1
        queue, work = request.queue, request.work
        if queue is None:
            pass
        elif queue.executing == 1 and not queue.waiting:  # as `fair.end`, without its call: nobody asks how long it took
            queue.executing = 0
            self.fair.active -= 1
        else:
            self.fair.end(queue, request, now - request.decided)
        if work.extra > 0:
            request.state = _LINGERING
            self._plan_release(request, now + work.extra)
        else:
            request.state = _DONE
            self.seats_in_use -= work.seats
        if self.waiting:
            self._dispatch(now)

    def _leave(self, now: Nanoseconds, request: Request) -> None:
        """The final phase is over."""
        self._sync(now)
        request.state = _DONE
        self.seats_in_use -= request.work.seats
        self._dispatch(now)

    def _time_out(self, now: Nanoseconds, request: Request) -> None:
        """Its wait is over. Nobody else starts, even if it was this one that blocked them: the server does not look."""
        self._sync(now)
        assert request.queue is not None
        self.fair.drop(request.queue, request)
        self._count_waiting(-1, -request.work.seats)
        self._reject(now, request, TIME_OUT)
        self._notices.changed.append(request)

    def _reject(self, now: Nanoseconds, request: Request, reason: str) -> None:
        request.state = State.REJECTED
        request.decided = now
        request.reason = reason
        request.retry_after_seconds = self.dropped.record(now)
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
