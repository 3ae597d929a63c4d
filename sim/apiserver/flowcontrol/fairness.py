"""Fair queuing: which queue a request goes to, and whose turn it is next.

Fair queuing imagines all busy queues being served at once at equal speed. R, the progress meter, says how much work
each busy queue has been given so far, and runs at min(seats asked for, limit) / busy queues. Each queue knows the R at
which its next request would start in that imagined world:

    an idle queue gets a request     next_r = R                             it has no credit from the past
    a request starts                 next_r += its work, its service guessed at 3 ms
    a request ends                   next_r -= initial seats * (3 ms - what it really took)
    after each change                next_r >= R at the arrival of its oldest request: nor credit from being slow

and the queue whose oldest request would END first there is served next; among equals the one next in the round.

Source: k8s.io/apiserver v0.35.0, pkg/util/flowcontrol/fairqueuing/queueset/queueset.go, types.go, fifo_list.go. Left out:
changing the number of queues of a running level; the epoch that keeps R from overflowing after 1e11 seat-seconds.
"""

from __future__ import annotations

from collections import deque

from sim.apiserver.flowcontrol.hands import check_deck, deal
from sim.apiserver.flowcontrol.request import Request
from sim.apiserver.flowcontrol.work import ESTIMATED_SERVICE, NANOSECONDS_PER_TICK, Ticks, Work, ticks
from sim.units import Nanoseconds


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


class FairQueues:
    """The queues of one level and the progress meter; no queues for a count of 0 or less.

    active: queues in which somebody waits or executes; backlog: those in which somebody waits, by index; r: the meter.
    Raises ValueError for a hand that cannot be dealt.
    """

    __slots__ = ("_enqueues", "_hand_size", "_hands", "_robin", "active", "backlog", "queues", "r")

    def __init__(self, count: int, hand_size: int):
        if count > 0:
            check_deck(count, hand_size)
        self.queues = tuple(Queue(index) for index in range(count))
        self.backlog: dict[int, Queue] = {}
        self.active = 0
        self.r: Ticks = 0
        self._hand_size = hand_size
        self._hands: dict[int, Hand] = {}
        self._robin = 0
        self._enqueues = 0

    def hand(self, hash_value: int) -> Hand:
        """The queues that a flow with this hash may use."""
        hand = self._hands.get(hash_value)
        if hand is None:
            cards = deal(hash_value, len(self.queues), self._hand_size) if self.queues else ()
            hand = self._hands[hash_value] = tuple(self.queues[card] for card in cards)
        return hand

    def run(self, seats: int, elapsed: Nanoseconds) -> None:
        """Move R on by `elapsed` ns in which the active queues could use `seats` together (syncTime)."""
        if self.active:
            exact = seats / self.active * elapsed / NANOSECONDS_PER_TICK
            whole = int(exact)
            self.r += whole + (exact - whole >= 0.5)

    def pass_through(self, hand: Hand, work: Work) -> Queue:
        """A request finds no other waiting and a seat free: into a queue and out again. The queue, where it executes."""
        queue = hand[self._enqueues % len(hand)]
        self._enqueues += 1
        if queue.executing:
            queue.next_r = max(queue.next_r, self.r) + work.total_work
        else:
            self.active += 1
            queue.next_r = self.r + work.total_work
        queue.executing += 1
        self._robin = queue.index
        return queue

    def shortest(self, hand: Hand) -> Queue:
        """The queue of a hand with the least work waiting; ties by a turn that moves on with every request."""
        offset = self._enqueues % len(hand)
        self._enqueues += 1
        best = hand[offset]
        for turn in range(1, len(hand)):
            queue = hand[(offset + turn) % len(hand)]
            if queue.waiting_work < best.waiting_work:
                best = queue
        return best

    def enqueue(self, queue: Queue, request: Request) -> None:
        """`request` waits in `queue`, behind the others."""
        request.queue = queue
        request.arrived_r = self.r
        if not queue.waiting:
            if not queue.executing:
                self.active += 1
                queue.next_r = self.r
            self.backlog[queue.index] = queue
        queue.waiting.append(request)
        queue.waiting_work += request.work.total_work
        queue.bound()

    def next_queue(self) -> Queue:
        """Whose oldest request would end first in the imagined world; ties in turn, after the queue last served."""
        count, after = len(self.queues), self._robin + 1
        return min(
            self.backlog.values(),
            key=lambda queue: (queue.next_r + queue.waiting[0].work.total_work, (queue.index - after) % count),
        )

    def start_oldest(self, queue: Queue) -> None:
        """The oldest request of `queue` executes."""
        request = queue.waiting[0]
        queue.executing += 1
        self._take(queue, request)
        queue.next_r += request.work.total_work
        queue.bound()
        self._robin = queue.index

    def drop(self, queue: Queue, request: Request) -> None:
        """`request` leaves the queue in which it waits, and does not execute."""
        self._take(queue, request)
        if queue.waiting:
            queue.bound()
        elif not queue.executing:
            self.active -= 1

    def end(self, queue: Queue, request: Request, took: Nanoseconds) -> None:
        """A request of `queue` has executed for `took` ns: the guess is put right."""
        queue.executing -= 1
        if queue.executing or queue.waiting:
            queue.next_r -= ticks(float(request.work.initial_seats), ESTIMATED_SERVICE - took)
            queue.bound()
        else:
            self.active -= 1  # and next_r is forgotten: it starts at R when the queue is used again

    def _take(self, queue: Queue, request: Request) -> None:
        queue.waiting.remove(request)
        queue.waiting_work -= request.work.total_work
        if not queue.waiting:
            del self.backlog[queue.index]
