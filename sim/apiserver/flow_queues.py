"""One priority level: fair queuing over shuffle-sharded queues, the server's `queueset`.

Three kinds of level: with queues; without (`queues=0`: what has no seat is rejected at once); exempt (`queues=-1`: nothing
is ever refused, but it is counted). A request occupies the larger of its two widths from its start to the end of its
final phase (flow_work.py).

Fair queuing imagines all busy queues being served at once at equal speed. R, the progress meter, says how much work
each busy queue has been given so far, and runs at min(seats asked for, limit) / busy queues. Each queue knows the R at
which its next request would start in that imagined world:

    an idle queue gets a request     next_r = R                             it has no credit from the past
    a request starts                 next_r += its work, its service guessed at 3 ms
    a request ends                   next_r -= initial seats * (3 ms - what it really took)
    after each change                next_r >= R at the arrival of its oldest request: nor credit from being slow

and the queue whose oldest request would END first there is served next; among equals the one next in the round. If the
chosen request does not fit into the free seats, nobody else is tried: it waits, and everybody with it.

Nothing here needs an event while nobody waits: a release known beforehand (`release_at`) lies in a heap and is applied, at
its own time, before whatever comes later. `next_event` says when to come back, and only while somebody waits.

Source: k8s.io/apiserver v0.35.0, pkg/util/flowcontrol/fairqueuing/queueset/queueset.go, types.go, fifo_list.go. Left out:
changing the number of queues of a running level; the epoch that keeps R from overflowing after 1e11 seat-seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Final

from sim.apiserver.flow_hands import check_deck, deal
from sim.apiserver.flow_demand import Demand
from sim.apiserver.flow_request import NEVER, Notices, Request, Sink, State
from sim.apiserver.flow_retry_after import DroppedRequests
from sim.apiserver.flow_work import ESTIMATED_SERVICE, NANOSECONDS_PER_TICK, ONE_SEAT, Ticks, Work, ticks
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


class Queue:
    """One queue of a level: who waits, oldest first, how many of its requests execute, and where it stands in R."""

    __slots__ = ("executing", "index", "next_r", "waiting", "waiting_work")

    def __init__(self, index: int):
        self.index = index
        self.waiting: deque[Request] = deque()
        self.waiting_work: Ticks = 0
        self.executing = 0
        self.next_r: Ticks = 0

    def bound(self) -> None:
        """No request starts in the imagined world before it arrived (boundNextDispatch)."""
        if self.waiting and self.next_r < self.waiting[0].arrived_r:
            self.next_r = self.waiting[0].arrived_r


Hand = tuple[Queue, ...]
"""The queues of a level that one flow may use; empty where the level has none."""


class QueueSet:
    """The queues and seats of one priority level. Time in ns, never falling from call to call.

    limit: seats; queues: how many, 0: reject at once, -1: exempt; hand_size, queue_length: as PriorityLevelConfiguration
    has them; notices: shared with other levels of the server; on_wait: takes each started request's wait, 0 included
    (apiserver_flowcontrol_request_wait_duration_seconds; exempt levels have none). Raises ValueError for a hand that
    cannot be dealt.

    Counts as the server's metrics apiserver_flowcontrol_...: `executing` (current_executing_requests less those
    lingering), `seats_in_use` (current_executing_seats), `waiting` (current_inqueue_requests), `dispatched`
    (dispatched_requests_total), `rejected` by reason (rejected_requests_total), `blocked`
    (request_dispatch_no_accommodation_total), `limit` (current_limit_seats). Call `advance` before reading them: until
    then they are those of the last call.
    """

    __slots__ = (
        "_active", "_backlog", "_deadlines", "_enqueues", "_exempt", "_hands", "_leaked", "_next", "_notices", "_on_wait",
        "_queue_length", "_queues", "_r", "_releases", "_robin", "_seats_waiting", "_sequence", "_synced", "blocked", "demand",
        "dispatched", "dropped", "executing", "hand_size", "limit", "name", "rejected", "seats_in_use", "waiting",
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
        if queues > 0:
            check_deck(queues, hand_size)
        self.name = name
        self.limit = limit
        self.hand_size = hand_size
        self.demand = Demand()
        self.dropped = DroppedRequests()
        self.executing = self.seats_in_use = self.waiting = self.dispatched = self.blocked = 0
        self.rejected: dict[str, int] = {}
        self._exempt = queues < 0
        self._queues = tuple(Queue(index) for index in range(queues))
        self._queue_length = queue_length
        self._hands: dict[int, Hand] = {}
        self._backlog: dict[int, Queue] = {}  # the queues in which somebody waits
        self._active = 0  # queues in which somebody waits or executes
        self._seats_waiting = 0
        self._leaked = 0  # of those, seats that no request waits for; see _take
        self._r: Ticks = 0
        self._synced = now
        self._robin = 0
        self._enqueues = 0
        self._releases: list[tuple[Nanoseconds, int, Request]] = []
        self._deadlines: list[tuple[Nanoseconds, int, Request]] = []
        self._next: Nanoseconds = NEVER  # nothing in the two heaps is due before
        self._sequence = count()
        self._notices = notices or Notices()
        self._on_wait = None if self._exempt else on_wait

    def hand(self, hash_value: int) -> Hand:
        """The queues that a flow with this hash may use; keep it, it never changes."""
        if not self._queues:
            return ()
        hand = self._hands.get(hash_value)
        if hand is None:
            cards = deal(hash_value, len(self._queues), self.hand_size)
            hand = self._hands[hash_value] = tuple(self._queues[card] for card in cards)
        return hand

    def arrive(
        self, now: Nanoseconds, hand: Hand = (), work: Work = ONE_SEAT, wait: Nanoseconds = QUEUE_WAIT, tag: object = None
    ) -> Request:
        """A request comes: executing, queued (for at most `wait` ns) or rejected, see its state.

        Others may start as well, where a request that blocked them has left: `next_event` is then at once.
        """
        if now >= self._next:
            self._catch_up(now)
        if now != self._synced:
            self._sync(now)
        request = Request(self, now, work, tag)
        seats = work.seats
        in_use = self.seats_in_use + seats
        if not hand:
            return self._arrive_without_queue(now, request)
        if self.waiting or in_use > self.limit:
            return self._arrive_in_queue(now, request, hand, wait)
        # Nobody waits and there is room: into the queue and out again, without looking at the others.
        queue = hand[self._enqueues % len(hand)]
        self._enqueues += 1
        if not queue.executing:
            self._active += 1
            queue.next_r = self._r + work.total_work
        else:
            queue.next_r = max(queue.next_r, self._r) + work.total_work
        queue.executing += 1
        self._robin = queue.index
        request.queue = queue
        self._start(now, request, seats)
        return request

    def finish(self, now: Nanoseconds, request: Request) -> Sequence[Request]:
        """An executing request is answered; who started or was rejected since anybody was last told, this one's seats
        included. Raises ValueError for a request that does not execute."""
        if now >= self._next:
            self._catch_up(now)
        if request.state is not _EXECUTING:
            raise ValueError(f"{request!r} does not execute")
        request._due = NEVER
        self._end(now, request)
        return self._notices.take()

    def release_at(self, request: Request, at: Nanoseconds) -> None:
        """An executing request will be answered at `at`; told again, the last word counts. No `finish` is needed then.

        Raises ValueError for a request that does not execute.
        """
        if request.state is not _EXECUTING:
            raise ValueError(f"{request!r} does not execute")
        request._due = at
        heappush(self._releases, (at, next(self._sequence), request))
        if at < self._next:
            self._next = at

    def cancel(self, now: Nanoseconds, request: Request) -> None:
        """The client of a queued request went away: it leaves the queue, counted as a time-out. Others do nothing."""
        if now >= self._next:
            self._catch_up(now)
        if request.state is _QUEUED:
            self._time_out(now, request)

    def set_limit(self, now: Nanoseconds, limit: int) -> None:
        """From now on `limit` seats. Who executes stays; who waits may start, and `next_event` is then at once."""
        self._catch_up(now)
        self._sync(now)
        self.limit = limit
        self._dispatch(now, None)

    def next_event(self) -> Nanoseconds | None:
        """When to call `advance`: the earliest release or end of a wait. None while nobody waits and nobody is to be told.

        A past time means at once.
        """
        if self._notices.changed:
            return self._synced
        return self.earliest() if self.waiting else None

    def earliest(self) -> Nanoseconds | None:
        """The next known release or end of a wait, whether or not it matters to anybody; None if there is none."""
        releases, deadlines = self._releases, self._deadlines
        while releases and releases[0][2]._due != releases[0][0]:
            heappop(releases)
        while deadlines and deadlines[0][2].state is not _QUEUED:
            heappop(deadlines)
        self._next = min(releases[0][0] if releases else NEVER, deadlines[0][0] if deadlines else NEVER)
        return None if self._next == NEVER else self._next

    def advance(self, now: Nanoseconds) -> Sequence[Request]:
        """Let time pass until `now`, included; who started or was rejected since anybody was last told."""
        self._catch_up(now)
        self._sync(now)
        return self._notices.take()

    @property
    def queue_lengths(self) -> dict[int, int]:
        """Requests waiting in each queue that is not empty, by its index."""
        return {index: len(queue.waiting) for index, queue in sorted(self._backlog.items())}

    def _catch_up(self, now: Nanoseconds) -> None:
        """Apply what was due until `now`, each at its own time; of a release and a deadline together, the release first."""
        releases, deadlines = self._releases, self._deadlines
        while True:
            release = releases[0][0] if releases else NEVER
            deadline = deadlines[0][0] if deadlines else NEVER
            if release <= deadline:
                if release > now:
                    self._next = release
                    return
                request = heappop(releases)[2]
                if request._due != release:
                    continue  # the caller has changed its mind since
                if request.state is _EXECUTING:
                    self._end(release, request)
                else:
                    self._leave(release, request)
            else:
                if deadline > now:
                    self._next = deadline
                    return
                request = heappop(deadlines)[2]
                if request.state is _QUEUED:
                    self._time_out(deadline, request)

    def _sync(self, now: Nanoseconds) -> None:
        """Move R and the demand statistics to `now`: what is true now has been true since the last call (syncTime)."""
        elapsed = now - self._synced
        if elapsed <= 0:
            if elapsed < 0:
                raise ValueError(f"now is {now}, before {self._synced}; it must never fall")
            return
        self._synced = now
        seats = self.seats_in_use + self._seats_waiting
        self.demand.add(seats, elapsed)
        if self._active:
            speed = min(seats - self._leaked, self.limit) / self._active
            exact = speed * elapsed / NANOSECONDS_PER_TICK
            whole = int(exact)
            self._r += whole + (exact - whole >= 0.5)

    def _arrive_without_queue(self, now: Nanoseconds, request: Request) -> Request:
        if self._exempt or self._fits(request.work.seats):
            self._start(now, request, request.work.seats)
        else:
            self._reject(now, request, CONCURRENCY_LIMIT)
        return request

    def _arrive_in_queue(self, now: Nanoseconds, request: Request, hand: Hand, wait: Nanoseconds) -> Request:
        queue = self._shortest(hand)
        if self.seats_in_use >= self.limit and len(queue.waiting) >= self._queue_length:
            self._reject(now, request, QUEUE_FULL)
            return request
        self._enqueue(request, queue)
        self._dispatch(now, request)
        if request.state is _QUEUED:
            deadline = now + wait
            heappush(self._deadlines, (deadline, next(self._sequence), request))
            if deadline < self._next:
                self._next = deadline
        return request

    def _shortest(self, hand: Hand) -> Queue:
        """The queue of a hand with the least work waiting; ties by a turn that moves on with every request."""
        offset = self._enqueues % len(hand)
        self._enqueues += 1
        best = hand[offset]
        for turn in range(1, len(hand)):
            queue = hand[(offset + turn) % len(hand)]
            if queue.waiting_work < best.waiting_work:
                best = queue
        return best

    def _enqueue(self, request: Request, queue: Queue) -> None:
        request.queue = queue
        request.arrived_r = self._r
        if not queue.waiting:
            if not queue.executing:
                self._active += 1
                queue.next_r = self._r
            self._backlog[queue.index] = queue
        queue.waiting.append(request)
        queue.waiting_work += request.work.total_work
        queue.bound()
        self.waiting += 1
        self._notices.waiting += 1
        self._seats_waiting += request.work.seats
        self.demand.note(self.seats_in_use + self._seats_waiting)

    def _dispatch(self, now: Nanoseconds, arriving: Request | None) -> None:
        """Start whoever can start now; all but the one that arrives are put among the notices."""
        while self.waiting and self.seats_in_use < self.limit:
            queue = self._next_queue()
            request = queue.waiting[0]
            if not self._fits(request.work.seats):
                self.blocked += 1
                return
            self._take(request, queue)
            work = request.work
            if work.final_seats > self.limit:
                # The server takes the old width out of the queue's sum and the new one out of the level's, so the
                # difference counts as demand for good.
                request.work = work.narrowed(self.limit)
                leaked = work.seats - request.work.seats
                self._leaked += leaked
                self._seats_waiting += leaked
            self._robin = queue.index
            queue.executing += 1
            queue.next_r += work.total_work
            queue.bound()
            self._start(now, request, request.work.seats)
            if request is not arriving:
                self._notices.changed.append(request)

    def _next_queue(self) -> Queue:
        """Whose oldest request would end first in the imagined world; ties in turn, after the queue last served."""
        count, after = len(self._queues), self._robin + 1
        return min(
            self._backlog.values(),
            key=lambda queue: (queue.next_r + queue.waiting[0].work.total_work, (queue.index - after) % count),
        )

    def _fits(self, seats: int) -> bool:
        """Whether a request of this width can start now; one wider than the level starts once nobody else executes."""
        if seats > self.limit:
            return self.executing == 0
        return self.seats_in_use + seats <= self.limit

    def _take(self, request: Request, queue: Queue) -> None:
        """Out of its queue."""
        queue.waiting.remove(request)
        queue.waiting_work -= request.work.total_work
        if not queue.waiting:
            del self._backlog[queue.index]
        self.waiting -= 1
        self._notices.waiting -= 1
        self._seats_waiting -= request.work.seats

    def _start(self, now: Nanoseconds, request: Request, seats: int) -> None:
        request.state = _EXECUTING
        request.decided = now
        self.executing += 1
        self.dispatched += 1
        self.seats_in_use += seats
        self.demand.note(self.seats_in_use + self._seats_waiting)
        if self._on_wait is not None:
            self._on_wait(now - request.arrived)

    def _end(self, now: Nanoseconds, request: Request) -> None:
        """The answer is sent: the queue learns how long it really took; the seats go, or linger."""
        if now != self._synced:
            self._sync(now)
        self.executing -= 1
        queue = request.queue
        if queue is not None:
            queue.executing -= 1
            if queue.executing or queue.waiting:
                early = ESTIMATED_SERVICE - (now - request.decided)
                queue.next_r -= ticks(float(request.work.initial_seats), early)
                queue.bound()
            else:
                self._active -= 1  # and next_r is forgotten: it starts at R when the queue is used again
        if request.work.extra > 0:
            request.state = _LINGERING
            request._due = now + request.work.extra
            heappush(self._releases, (request._due, next(self._sequence), request))
            if request._due < self._next:
                self._next = request._due
        else:
            request.state = _DONE
            self.seats_in_use -= request.work.seats
        if self.waiting:
            self._dispatch(now, None)

    def _leave(self, now: Nanoseconds, request: Request) -> None:
        """The final phase is over."""
        self._sync(now)
        request.state = _DONE
        self.seats_in_use -= request.work.seats
        self._dispatch(now, None)

    def _time_out(self, now: Nanoseconds, request: Request) -> None:
        """Its wait is over. Nobody else starts, even if it was this one that blocked them: the server does not look."""
        self._sync(now)
        queue = request.queue
        assert queue is not None
        self._take(request, queue)
        if queue.waiting:
            queue.bound()
        elif not queue.executing:
            self._active -= 1
        self._reject(now, request, TIME_OUT)
        self._notices.changed.append(request)

    def _reject(self, now: Nanoseconds, request: Request, reason: str) -> None:
        request.state = State.REJECTED
        request.decided = now
        request.reason = reason
        request.retry_after_seconds = self.dropped.record(now)
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
