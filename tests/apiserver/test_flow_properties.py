"""Fair queuing under any sequence of calls: nothing lost, no seat too many, seats shared, and agreement with queueing theory."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from statistics import NormalDist, fmean, stdev

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sim.apiserver.flowcontrol.hands import flow_hash
from sim.apiserver.flowcontrol.queues import QueueSet
from sim.apiserver.flowcontrol.request import Request, State
from sim.apiserver.flowcontrol.work import ONE_SEAT, Work
from sim.units import HOUR, MILLISECOND, SECOND

LIMIT = 5
FLOWS = st.integers(0, 4)
WORKS = st.sampled_from([ONE_SEAT, ONE_SEAT, Work(2), Work(LIMIT), Work(1, 3, 7 * MILLISECOND), Work(2, 1, MILLISECOND)])
GAPS = st.sampled_from([0, 1, MILLISECOND, 40 * MILLISECOND, SECOND])
WAITS = st.sampled_from([MILLISECOND, 100 * MILLISECOND, 15 * SECOND])


class OneLevel(RuleBasedStateMachine):
    """A level of 5 seats and 6 queues. The bookkeeping below is by state of the requests, the level's by counters."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[int] = []
        self.queues = QueueSet("level", LIMIT, 6, 2, 4, on_wait=self.waits.append)
        self.now = 0
        self.requests: list[Request] = []
        self.untold: set[object] = set()

    def told(self, changed: object) -> None:
        for request in changed:
            assert request.state is not State.QUEUED
            assert request.tag in self.untold
            self.untold.remove(request.tag)

    def in_state(self, *states: State) -> list[Request]:
        return [request for request in self.requests if request.state in states]

    @rule(gap=GAPS)
    def pass_time(self, gap: int) -> None:
        self.now += gap
        self.told(self.queues.advance(self.now))

    @rule(flow=FLOWS, work=WORKS, wait=WAITS)
    def arrive(self, flow: int, work: Work, wait: int) -> None:
        hand = self.queues.hand(flow_hash("schema", str(flow)))
        request = self.queues.arrive(self.now, hand, work, wait, len(self.requests))
        self.requests.append(request)
        if request.state is State.QUEUED:
            self.untold.add(request.tag)
        self.told(self.queues.advance(self.now))

    @precondition(lambda self: self.in_state(State.EXECUTING))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.in_state(State.EXECUTING)))
        self.told(self.queues.finish(self.now, request))

    @precondition(lambda self: self.in_state(State.EXECUTING))
    @rule(data=st.data(), gap=GAPS)
    def announce(self, data: st.DataObject, gap: int) -> None:
        request = data.draw(st.sampled_from(self.in_state(State.EXECUTING)))
        self.queues.release_at(request, self.now + gap)
        self.told(self.queues.advance(self.now))

    @precondition(lambda self: self.in_state(State.QUEUED))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.queues.cancel(self.now, data.draw(st.sampled_from(self.in_state(State.QUEUED))))
        self.told(self.queues.advance(self.now))

    @invariant()
    def no_seat_too_many(self) -> None:
        held = sum(request.work.seats for request in self.in_state(State.EXECUTING, State.LINGERING))
        assert held == self.queues.seats_in_use <= LIMIT

    @invariant()
    def nothing_lost(self) -> None:
        queues = self.queues
        waiting = self.in_state(State.QUEUED)
        assert len(waiting) == queues.waiting == sum(len(queue.waiting) for queue in queues.fair.queues)
        assert sum(request.work.seats for request in waiting) == queues.seats_waiting
        assert len(self.in_state(State.EXECUTING)) == queues.executing == sum(queue.executing for queue in queues.fair.queues)
        assert queues.dispatched + sum(queues.rejected.values()) + len(waiting) == len(self.requests)
        assert len(self.waits) == queues.dispatched
        assert {request.tag for request in waiting} == self.untold

    @invariant()
    def whoever_waits_has_a_reason(self) -> None:
        """Somebody is woken while anybody waits: a release, a deadline, or the caller's own finish."""
        if self.queues.waiting:
            due = self.queues.next_event()
            assert due is not None
            assert due > self.now

    @invariant()
    def busy_queues_are_counted(self) -> None:
        busy = [queue for queue in self.queues.fair.queues if queue.waiting or queue.executing]
        assert self.queues.fair.active == len(busy)
        assert all(queue.next_r >= queue.waiting[0].arrived_r for queue in busy if queue.waiting)


TestOneLevel = OneLevel.TestCase
TestOneLevel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def drive(arrivals: list[tuple[int, int, Work, int]], ahead: bool, wait: int = 15 * SECOND) -> tuple[list[object], bool]:
    """Fates of requests that come (gap, flow, work, service), the level being told of each answer beforehand or when it happens;
    and whether two things happened at one instant."""
    queues = QueueSet("level", 4, 6, 2, 3)
    finishes: list[tuple[int, int, Request]] = []
    requests: list[Request] = []
    instants: list[int] = []
    now = 0

    def begin(request: Request) -> None:
        answered = request.decided + arrivals[request.tag][3]
        instants.append(answered)
        if request.work.extra:
            instants.append(answered + request.work.extra)
        if ahead:
            queues.release_at(request, answered)
        else:
            heappush(finishes, (answered, request.tag, request))

    def settle(changed: object) -> None:
        for request in changed:
            if request.state is State.EXECUTING:
                begin(request)

    def until(end: int) -> None:
        while True:
            due = queues.next_event()
            first = finishes[0][0] if finishes else None
            if due is not None and due <= end and (first is None or due < first):
                settle(queues.advance(due))
            elif first is not None and first <= end:
                settle(queues.finish(first, heappop(finishes)[2]))
            else:
                return

    for number, (gap, flow, work, _) in enumerate(arrivals):
        now += gap
        until(now)
        request = queues.arrive(now, queues.hand(flow_hash("schema", str(flow))), work, wait, number)
        requests.append(request)
        instants += [now, now + wait]
        if request.state is State.EXECUTING:
            begin(request)
    until(now + HOUR)
    queues.catch_up(now + HOUR)
    assert queues.seats_in_use == queues.executing == queues.waiting == 0
    fates: list[object] = [(request.state, request.decided, request.reason) for request in requests]
    return fates, len(set(instants)) < len(instants)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), FLOWS, WORKS.filter(lambda work: work.seats <= 4), st.integers(1, 10**10)),
        max_size=60,
    )
)
@settings(max_examples=80, deadline=None)
def test_an_answer_told_beforehand_changes_nothing(arrivals):
    """But at instants at which two things happen, where the order is ours to choose."""
    fates, together = drive(arrivals, ahead=True)
    assume(not together)
    assert drive(arrivals, ahead=False) == (fates, False)


def two_flows(works: tuple[Work, Work], services: tuple[int, int], gaps: tuple[int, int], seconds: int = 8) -> list[float]:
    """Seat-seconds that each of two flows gets of a level of 10 seats; arrivals every `gaps` ns."""
    queues = QueueSet("level", 10, 64, 6, 50)
    hands = [queues.hand(flow_hash("schema", name)) for name in ("a", "c")]
    assert not set(hands[0]) & set(hands[1])
    got = [0.0, 0.0]

    def begin(request: Request) -> None:
        flow = request.tag
        got[flow] += request.work.seats * services[flow] / SECOND
        queues.release_at(request, request.decided + services[flow])

    arrivals = sorted((at, flow) for flow in (0, 1) for at in range(flow, seconds * SECOND, gaps[flow]))
    for at, flow in arrivals:
        while (due := queues.next_event()) is not None and due <= at:
            for request in queues.advance(due):
                if request.state is State.EXECUTING:
                    begin(request)
        request = queues.arrive(at, hands[flow], works[flow], tag=flow)
        if request.state is State.EXECUTING:
            begin(request)
    return [seats / seconds for seats in got]


class TestFairness:
    def test_a_flood_does_not_take_what_a_modest_flow_needs(self):
        """One flow asks for 100 seats, the other for 2 of the 10."""
        flood, modest = two_flows((ONE_SEAT, ONE_SEAT), (10 * MILLISECOND, 10 * MILLISECOND), (100_000, 5 * MILLISECOND))
        assert modest == pytest.approx(2.0, rel=0.02)
        assert flood == pytest.approx(8.0, rel=0.02)

    @pytest.mark.parametrize(
        ("works", "services"),
        [
            ((ONE_SEAT, ONE_SEAT), (10 * MILLISECOND, 10 * MILLISECOND)),
            ((ONE_SEAT, Work(3)), (10 * MILLISECOND, 10 * MILLISECOND)),
            ((ONE_SEAT, ONE_SEAT), (2 * MILLISECOND, 30 * MILLISECOND)),
        ],
        ids=["alike", "wider", "longer"],
    )
    def test_two_floods_share_by_seat_seconds(self, works, services):
        """Not by requests: neither wide nor long ones bring more, whatever the two rates are."""
        first, second = two_flows(works, services, (100_000, 300_000))
        assert first + second > 8.5
        assert first == pytest.approx(second, rel=0.1)


def erlang_c_wait(servers: int, arrivals: float, service: float) -> float:
    """Mean wait in M/M/c: C(c, a) / (c mu - lambda)."""
    load = arrivals * service
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last) / (servers / service - arrivals)


@pytest.mark.parametrize(("servers", "load", "count"), [(1, 0.6, 8000), (4, 0.8, 8000), (20, 0.8, 20_000)])
def test_one_queue_is_an_m_m_c_queue(servers, load, count):
    """Poisson arrivals, exponential service, one queue: Erlang's C, in the 99.9% interval of independent replications."""
    service = 0.004
    rate = load * servers / service
    means = []
    for seed in range(24):
        source = np.random.default_rng(seed)
        times = np.cumsum(source.exponential(SECOND / rate, count)).astype(np.int64).tolist()
        services = source.exponential(service * SECOND, count).astype(np.int64).tolist()
        waits: list[int] = []
        queues = QueueSet("level", servers, 1, 1, 10**6, on_wait=waits.append)
        hand = queues.hand(0)
        for number, at in enumerate(times):
            while (due := queues.next_event()) is not None and due <= at:
                for begun in queues.advance(due):
                    queues.release_at(begun, begun.decided + services[begun.tag])
            request = queues.arrive(at, hand, ONE_SEAT, HOUR, number)
            if request.state is State.EXECUTING:
                queues.release_at(request, at + services[number])
        means.append(fmean(waits[1000:]) / SECOND)
    expected = erlang_c_wait(servers, rate, service)
    half = NormalDist().inv_cdf(1 - 0.0005) * stdev(means) / math.sqrt(len(means))
    assert half < 0.15 * expected, "too few samples to say anything"
    assert abs(fmean(means) - expected) <= half
