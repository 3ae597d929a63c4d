"""Priority and fairness: what a request meets, level by level. The exact comparison with the server is test_flow_golden.py."""

from __future__ import annotations

import pytest

from sim.apiserver.flowcontrol.borrowing import Borrower, Claim, allocate, current_limits
from sim.apiserver.flowcontrol.control import BORROWING_PERIOD, FlowControl, MaxInFlight
from sim.apiserver.flowcontrol.demand import DemandStatistics, Observed
from sim.apiserver.flowcontrol.hands import deal, flow_hash
from sim.apiserver.flowcontrol.levels import DEFAULT_LEVELS, DEFAULT_SCHEMAS, Level, max_seats, seats_of
from sim.apiserver.flowcontrol.queues import CONCURRENCY_LIMIT, QUEUE_FULL, QUEUE_WAIT, TIME_OUT, QueueSet, queue_wait
from sim.apiserver.flowcontrol.request import Request, State
from sim.apiserver.flowcontrol.retry_after import DroppedRequests
from sim.apiserver.flowcontrol.widths import list_work, list_work_by_count, mutating_work
from sim.apiserver.flowcontrol.work import ONE_SEAT, Work, ticks
from sim.units import MILLISECOND, MINUTE, SECOND


def level(limit: int, queues: int = 1, hand: int = 1, length: int = 50) -> QueueSet:
    return QueueSet("level", limit, queues, hand, length)


def tags(requests: object) -> list[object]:
    return [request.tag for request in requests]


class TestOneLevel:
    def test_a_free_seat_costs_no_event(self):
        queues = level(2)
        request = queues.arrive(5, queues.hand(0))
        assert request.state is State.EXECUTING
        assert request.waited == 0
        queues.release_at(request, 9)
        assert queues.next_event() is None
        assert queues.executing == 1
        queues.catch_up(9)
        assert (queues.executing, queues.seats_in_use, request.state) == (0, 0, State.DONE)

    def test_who_finds_no_seat_waits_until_one_is_released(self):
        queues = level(1)
        hand = queues.hand(0)
        first, second = queues.arrive(0, hand, tag="a"), queues.arrive(1, hand, tag="b")
        assert second.state is State.QUEUED
        assert queues.next_event() == 1 + QUEUE_WAIT
        queues.release_at(first, 10)
        assert queues.next_event() == 10
        assert tags(queues.advance(10)) == ["b"]
        assert second.waited == 9
        assert queues.next_event() is None

    def test_finish_tells_who_starts(self):
        queues = level(2)
        hand = queues.hand(0)
        wide = queues.arrive(0, hand, Work(2))
        waiting = [queues.arrive(0, hand, tag=name) for name in "abc"]
        assert tags(queues.finish(7, wide)) == ["a", "b"]
        assert waiting[2].state is State.QUEUED

    def test_a_release_told_again_counts_as_told_last(self):
        queues = level(1)
        hand = queues.hand(0)
        first = queues.arrive(0, hand)
        queues.arrive(0, hand, tag="b")
        queues.release_at(first, 10)
        queues.release_at(first, 20)
        assert queues.next_event() == 20
        assert queues.advance(19) == ()
        assert tags(queues.advance(20)) == ["b"]

    def test_a_wait_ends_at_its_deadline_with_a_rejection(self):
        queues = level(1)
        hand = queues.hand(0)
        queues.arrive(0, hand)
        waiting = queues.arrive(0, hand, wait=3 * SECOND)
        assert queues.next_event() == 3 * SECOND
        assert list(queues.advance(4 * SECOND)) == [waiting]
        assert (waiting.state, waiting.reason, waiting.decided) == (State.REJECTED, TIME_OUT, 3 * SECOND)
        assert waiting.retry_after_seconds == 1
        assert queues.rejected == {TIME_OUT: 1}

    def test_a_cancelled_request_leaves_the_queue_and_frees_nobody(self):
        """The server does not look for others when a wait ends, even if it was this one that stood in their way."""
        queues = level(2)
        hand = queues.hand(0)
        running = queues.arrive(0, hand)
        wide, narrow = queues.arrive(0, hand, Work(2), tag="wide"), queues.arrive(0, hand, tag="narrow")
        queues.cancel(1, wide)
        assert (wide.state, narrow.state) == (State.REJECTED, State.QUEUED)
        assert tags(queues.advance(2)) == ["wide"]
        later = queues.arrive(3, hand, tag="later")  # only now anybody looks
        assert (narrow.state, later.state) == (State.EXECUTING, State.QUEUED)
        assert queues.next_event() == 3
        assert tags(queues.advance(3)) == ["narrow"]
        assert tags(queues.finish(4, running)) == ["later"]

    def test_a_full_queue_rejects_only_while_no_seat_is_free(self):
        queues = level(2, length=1)
        hand = queues.hand(0)
        first = queues.arrive(0, hand)
        queues.arrive(0, hand, Work(2), tag="wide")
        longer = queues.arrive(0, hand, tag="longer")  # a seat is free, though the wide one in front keeps it from them
        assert longer.state is State.QUEUED
        queues.set_limit(0, 1)
        full = queues.arrive(0, hand)
        assert (full.state, full.reason) == (State.REJECTED, QUEUE_FULL)
        queues.finish(1, first)

    def test_the_widest_phase_counts_from_the_start_to_the_end_of_the_last(self):
        queues = level(10)
        request = queues.arrive(0, queues.hand(0), Work(1, 4, 5 * MILLISECOND))
        assert queues.seats_in_use == 4
        queues.finish(MILLISECOND, request)
        assert (request.state, queues.executing, queues.seats_in_use) == (State.LINGERING, 0, 4)
        queues.catch_up(6 * MILLISECOND)
        assert (request.state, queues.seats_in_use) == (State.DONE, 0)

    def test_lingering_seats_start_the_next_when_they_go(self):
        queues = level(4)
        hand = queues.hand(0)
        first = queues.arrive(0, hand, Work(1, 4, 5 * MILLISECOND))
        queues.arrive(0, hand, tag="b")
        assert queues.finish(MILLISECOND, first) == ()
        assert queues.next_event() == 6 * MILLISECOND
        assert tags(queues.advance(6 * MILLISECOND)) == ["b"]

    def test_a_request_wider_than_the_level_runs_alone_and_lingers_longer(self):
        queues = level(2)
        hand = queues.hand(0)
        first = queues.arrive(0, hand)
        wide = queues.arrive(0, hand, Work(1, 8, 10 * MILLISECOND), tag="wide")
        assert tags(queues.finish(1, first)) == ["wide"]
        assert (wide.work.final_seats, wide.work.extra) == (2, 40 * MILLISECOND)
        assert queues.seats_in_use == 2

    def test_one_flow_that_floods_leaves_the_other_its_turn(self):
        queues = QueueSet("level", 1, 8, 2, 50)
        flood, polite = queues.hand(1), queues.hand(20)
        assert not set(flood) & set(polite)
        running = queues.arrive(0, flood)
        for number in range(20):
            queues.arrive(0, flood, tag=f"flood{number}")
        queues.arrive(1, polite, tag="polite")
        started: list[object] = []
        for turn in range(4):
            begun = queues.finish((turn + 1) * MILLISECOND, running)
            started += tags(begun)
            running = begun[0]
        assert "polite" in started

    def test_without_queues_the_limit_rejects_at_once(self):
        queues = level(1, queues=0)
        queues.arrive(0)
        assert queues.arrive(0).reason == CONCURRENCY_LIMIT
        assert queues.next_event() is None

    def test_exempt_requests_are_counted_and_never_refused(self):
        queues = level(0, queues=-1)
        assert all(queues.arrive(0, (), Work(3)).state is State.EXECUTING for _ in range(9))
        assert queues.seats_in_use == 27

    def test_misuse_is_refused(self):
        queues = level(1)
        hand = queues.hand(0)
        queues.arrive(5, hand)
        waiting = queues.arrive(5, hand)
        with pytest.raises(ValueError, match="does not execute"):
            queues.finish(6, waiting)
        with pytest.raises(ValueError, match="does not execute"):
            queues.release_at(waiting, 9)
        with pytest.raises(ValueError, match="never fall"):
            queues.arrive(4, hand)
        with pytest.raises(ValueError, match="hand"):
            queues.arrive(6)
        with pytest.raises(ValueError, match="hand of 9"):
            level(1, 8, 9)

    def test_waits_go_to_the_sink(self):
        waits: list[int] = []
        queues = QueueSet("level", 1, 1, 1, 5, on_wait=waits.append)
        first = queues.arrive(0, queues.hand(0))
        queues.arrive(2, queues.hand(0))
        queues.finish(10, first)
        assert waits == [0, 8]


class TestHands:
    def test_a_hand_is_distinct_cards(self):
        for value in (0, 1, 2**64 - 1, flow_hash("service-accounts", "system:serviceaccount:a:b")):
            hand = deal(value, 128, 6)
            assert len(set(hand)) == 6
            assert all(0 <= card < 128 for card in hand)

    def test_equal_hashes_equal_hands(self):
        assert flow_hash("a", "bc") != flow_hash("ab", "c")
        assert deal(flow_hash("a", "bc"), 64, 6) == deal(flow_hash("a", "bc"), 64, 6)

    def test_too_little_hash_is_refused(self):
        with pytest.raises(ValueError, match="60"):
            deal(0, 1024, 7)


class TestRetryAfter:
    def test_it_doubles_under_steady_drops_and_decays_when_they_are_rare(self):
        dropped = DroppedRequests()
        answers = [dropped.record(second * SECOND + i) for second in range(80) for i in range(40)]
        assert answers[:40] == [1] * 40
        assert answers[40] == 2
        assert answers[-1] == 32
        rare = [dropped.record((100 + 20 * n) * SECOND) for n in range(40)]
        assert rare[:2] == [32, 31]  # at 100 s the last 32 s still hold many drops
        assert rare[-1] == 1

    def test_it_waits_its_own_length_before_it_doubles_again(self):
        dropped = DroppedRequests()
        by_second = {second: max(dropped.record(second * SECOND) for _ in range(200)) for second in range(64)}
        rises = [second for second in range(1, 64) if by_second[second] > by_second[second - 1]]
        assert rises == [1, 3, 7, 15, 31]


class TestLevels:
    def test_nominal_seats_of_the_default_levels(self):
        nominal = {each.name: seats_of(each, DEFAULT_LEVELS).nominal for each in DEFAULT_LEVELS}
        assert nominal == {
            "exempt": 0, "leader-election": 25, "node-high": 98, "system": 74, "workload-high": 98, "workload-low": 245,
            "global-default": 49, "catch-all": 13,
        }  # fmt: skip

    def test_an_idle_server_divides_its_seats_by_what_cannot_be_lent(self):
        """So an operator's first burst meets 56 seats of workload-low, not 245."""
        control = FlowControl()
        limits = control.limits()
        assert limits["workload-low"] == 56
        assert limits["node-high"] == 170
        assert abs(sum(limits.values()) - 602) <= 4

    def test_demand_brings_the_seats_after_ten_seconds(self):
        control = FlowControl()
        flow = control.flow("workload-low", "service-accounts", "operator")
        requests = [control.arrive(0, flow) for _ in range(200)]
        assert sum(request.state is State.EXECUTING for request in requests) == 56
        assert control.next_event() == BORROWING_PERIOD
        begun = control.advance(BORROWING_PERIOD)
        assert len(begun) == 144
        assert control.limits()["workload-low"] >= 200

    def test_smoothed_demand_rises_at_once_and_falls_by_half_in_five_minutes(self):
        statistics = DemandStatistics()
        statistics.update(Observed(10 * SECOND, 100, 80.0, 20.0))
        assert statistics.smoothed == 100.0
        for _ in range(30):
            statistics.update(Observed(10 * SECOND, 0, 0.0, 0.0))
        assert 48 < statistics.smoothed < 52

    def test_schemas_name_levels_that_exist(self):
        assert {schema.level for schema in DEFAULT_SCHEMAS.values()} == {each.name for each in DEFAULT_LEVELS}

    def test_the_widest_estimate_of_a_level(self):
        assert max_seats(245, 6) == 37
        assert max_seats(25, 4) == 4
        assert max_seats(3, 6) == 1

    def test_an_exempt_peak_is_taken_from_the_others(self):
        exempt = Borrower(0, 0, 600, 590, 0.0, exempt=True)
        busy = Borrower(400, 100, 1000, 500, 500.0)
        idle = Borrower(202, 202, 802, 0, 0.0)
        assert current_limits([exempt, busy, idle]) == [590, 100, 202]
        exempt.peak = 200
        assert current_limits([exempt, busy, idle]) == [200, 100 + 100, 202]

    def test_impossible_claims_are_refused(self):
        with pytest.raises(ValueError, match="sum to between"):
            allocate(10, [Claim(1, 0, 4), Claim(1, 0, 5)])
        with pytest.raises(ValueError, match="no claim"):
            allocate(10, [Claim(1, 2, 40)])

    def test_allocation_follows_the_targets_between_the_bounds(self):
        assert allocate(30, [Claim(1, 0, 100), Claim(2, 0, 100)]) == [10.0, 20.0]
        assert allocate(30, [Claim(1, 0, 4), Claim(2, 0, 100)]) == [4.0, 26.0]
        assert allocate(30, [Claim(20, 20, 100), Claim(20, 0, 100), Claim(20, 0, 100)]) == pytest.approx([20.0, 5.0, 5.0])


class TestServers:
    def test_a_server_without_it_rejects_beyond_its_limit(self):
        server = MaxInFlight(2, 1)
        flow = server.flow("workload-low", "service-accounts", "operator")
        write = server.arrive(0, flow, True)
        refused = server.arrive(0, flow, True)
        assert (refused.state, refused.retry_after_seconds) == (State.REJECTED, 1)
        assert server.arrive(0, flow, False).state is State.EXECUTING
        server.release_at(write, 10)
        assert server.arrive(9, flow, True).state is State.REJECTED
        assert server.arrive(10, flow, True).state is State.EXECUTING
        assert server.arrive(10, server.flow("exempt"), True).state is State.EXECUTING
        assert server.next_event() is None

    def test_retry_after_of_a_full_level_rises(self):
        control = FlowControl((Level("low", 10, 0, 1, 1, 0), Level("rest", 10)), 20)
        flow = control.flow("low", "service-accounts")
        answers: list[int] = []
        requests: list[Request] = []
        for tick in range(400):
            request = control.arrive(tick * SECOND // 10, flow)
            requests.append(request)
            if request.state is State.REJECTED:
                answers.append(request.retry_after_seconds)
        assert answers[0] == 1
        assert max(answers) > 1
        assert control.levels["low"].queue_set.rejected == {QUEUE_FULL: len(answers)}

    def test_queue_wait_is_a_quarter_of_the_timeout(self):
        assert queue_wait(60 * SECOND) == QUEUE_WAIT
        assert queue_wait(5 * SECOND) == 1_250_000_000
        assert queue_wait(60 * MINUTE) == MINUTE

    def test_long_idleness_is_caught_up(self):
        control = FlowControl()
        flow = control.flow("workload-low", "service-accounts", "operator")
        control.release_at(control.arrive(0, flow), SECOND)
        assert control.arrive(10 * MINUTE + 1, flow).state is State.EXECUTING
        assert control.limits()["workload-low"] == 56


class TestWidths:
    def test_a_list_by_size(self):
        assert list_work(500, 1000) == Work(5)
        assert list_work(500_000, 1000) == Work(10)  # the cache streams
        assert list_work(500_000, 1000, from_cache=False) == Work(100)
        assert list_work(500_000, 1000, from_cache=False, limit=500) == Work(5)
        assert list_work(5000, 1000, from_cache=False, limit=500, selector=True) == Work(25)
        assert list_work(5000, 1000, max_seats=3) == Work(3)
        assert list_work(5000, 1000, one_name=True) is ONE_SEAT
        assert list_work(1, 0) == Work(10)  # 1.5 MB assumed, streamed
        assert list_work(None) is ONE_SEAT

    def test_a_list_by_count(self):
        assert list_work_by_count(950, limit=10) == Work(10)
        assert list_work_by_count(5000, limit=110, from_cache=False) == Work(3)
        assert list_work_by_count(300, limit=100, from_cache=False, selector=True) == Work(4)

    def test_a_write_by_its_watchers(self):
        assert mutating_work(9) is ONE_SEAT
        assert mutating_work(10) == Work(1, 1, 5 * MILLISECOND)
        assert mutating_work(1000, 37) == Work(1, 10, 50 * MILLISECOND)
        assert mutating_work(45, 4) == Work(1, 4, 6_250_000)

    def test_work_is_counted_in_ticks(self):
        assert ONE_SEAT.total_work == 300_000
        assert (ticks(1.0, 5), ticks(1.0, -5), ticks(1.0, 4)) == (1, -1, 0)
        assert Work(1, 8, 10 * MILLISECOND).narrowed(2).total_work == 300_000 + 8_000_000
        with pytest.raises(ValueError, match="no work estimate"):
            Work(0)
