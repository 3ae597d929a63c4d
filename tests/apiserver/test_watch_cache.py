"""The watch cache: how much history it keeps, who is told 410 or 504, bookmarks, and watchers that cannot keep up.

What the real cacher answered is replayed with all other golden traces (tests/conformance/watchcache made them). Here: the
corners by name, the ring against a plain queue, the channels of a watcher against goroutines moved one event at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.apiserver import watch_dispatch, watch_history
from sim.apiserver.watch_dispatch import MAX_BUDGET, Closed, Dispatcher, TimeBudget, WatcherChannels, channel_size
from sim.apiserver.watch_history import (
    EVENT_WINDOW,
    LOWER_CAPACITY,
    UPPER_CAPACITY,
    BookmarkTimes,
    Expired,
    FreshnessWaiters,
    WatchHistory,
    bookmark_passes,
    upper_capacity,
)
from sim.conform import replay as conform
from sim.conform.watch import WATCH_MECHANISMS
from sim.units import MILLISECOND, MINUTE, SECOND

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


# History.


def filled(events: int, apart: int, start: int = 1000) -> WatchHistory[int]:
    """A cache listed at revision `start` with that many events, `apart` ns from each other."""
    history: WatchHistory[int] = WatchHistory()
    history.replaced(start)
    for i in range(events):
        history.add(i * apart, start + 1 + i, i)
    return history


def test_everything_since_the_list_is_there_until_something_was_overwritten() -> None:
    history = filled(100, SECOND)
    assert (len(history), history.capacity, history.oldest) == (100, 100, 1000)
    assert history.events_since(1000) == list(range(100))
    assert history.events_since(1098) == [98, 99]
    assert history.events_since(1100) == []
    assert history.events_since(5000) == []  # ahead of the cache: no error, just nothing yet
    assert history.events_since(999) == Expired(999, 1000)
    history.add(100 * SECOND, 1101, 100)
    assert (len(history), history.capacity, history.oldest) == (100, 100, 1001)
    assert history.events_since(1000) == Expired(1000, 1001)
    assert history.events_since(1001) == list(range(1, 101))


def test_a_cache_without_a_list_knows_only_its_events() -> None:
    history: WatchHistory[str] = WatchHistory()
    with pytest.raises(ValueError, match="isn't correctly initialized"):
        history.events_since(5)
    history.add(0, 10, "a")
    assert history.events_since(9) == ["a"]
    assert history.events_since(8) == Expired(8, 9)


def test_a_list_empties_the_ring_but_keeps_its_size() -> None:
    history = filled(300, SECOND // 10)
    assert history.capacity == 400
    history.replaced(9000)
    assert (len(history), history.capacity, history.revision) == (0, 400, 9000)
    assert history.events_since(9000) == []
    assert history.events_since(8999) == Expired(8999, 9000)


def test_progress_raises_the_revision_alone() -> None:
    history = filled(3, SECOND)
    history.progressed(2000)
    assert (history.revision, len(history), history.oldest) == (2000, 3, 1000)
    assert history.events_since(1002) == [2]


def test_revision_zero_is_no_question_of_history() -> None:
    with pytest.raises(ValueError, match="revision 0"):
        filled(1, 1).events_since(0)


def test_a_shorter_window_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be below 75 s"):
        WatchHistory(EVENT_WINDOW - 1)


@pytest.mark.parametrize(
    ("per_second", "seconds", "capacity"),
    [
        (1, 400, 100),  # 75 events in the window
        (2, 400, 200),
        (10, 400, 800),
        (100, 200, 12_800),
    ],
)
def test_the_ring_grows_to_the_window(per_second: int, seconds: int, capacity: int) -> None:
    assert filled(per_second * seconds, SECOND // per_second).capacity == capacity


def test_the_ring_has_a_greatest_size_and_then_forgets_early() -> None:
    history = filled(UPPER_CAPACITY + 5000, 10_000)  # 100,000 a second
    assert (history.capacity, len(history)) == (UPPER_CAPACITY, UPPER_CAPACITY)
    assert history.events_since(1000 + 4999) == Expired(5999, 6000)


def test_the_ring_halves_with_each_event_that_finds_it_full_of_old_ones() -> None:
    history = filled(400, 0)
    capacities = []
    for i in range(3):
        history.add(10 * MINUTE + i, 2000 + i, i)
        capacities.append((history.capacity, len(history)))
    assert capacities == [(200, 200), (100, 100), (100, 100)]
    assert history.events_since(1398) == [398, 399, 0, 1, 2]
    assert history.oldest == 1303


@pytest.mark.parametrize(("at", "capacity"), [(EVENT_WINDOW - 1, 200), (EVENT_WINDOW, 100)])
def test_a_full_ring_grows_only_while_its_oldest_is_younger_than_the_window(at: int, capacity: int) -> None:
    history = filled(100, 0)
    history.add(at, 1101, 100)
    assert history.capacity == capacity


def test_a_ring_whose_newest_quarter_is_young_stays_as_it_is() -> None:
    history = filled(150, 0)
    for i in range(50):
        history.add(40 * SECOND, 1151 + i, i)
    history.add(115 * SECOND, 1201, 0)
    assert history.capacity == 200
    history.add(115 * SECOND + 1, 1202, 0)
    assert history.capacity == 100


@pytest.mark.parametrize(
    ("window", "capacity"),
    [
        (EVENT_WINDOW, 102_400),
        (EVENT_WINDOW + 1, 204_800),
        (2 * EVENT_WINDOW, 204_800),
        (5 * MINUTE, 409_600),
        (10**19, 102_400 << 14),
    ],
)
def test_longer_windows_may_take_more(window: int, capacity: int) -> None:
    assert upper_capacity(window) == capacity


class PlainHistory:
    """The same rules on a plain queue of (revision, time): a second reading, without slots."""

    def __init__(self) -> None:
        self.events: deque[tuple[int, int]] = deque()
        self.capacity = LOWER_CAPACITY

    def add(self, now: int, revision: int) -> None:
        if len(self.events) == self.capacity:
            if now - self.events[0][1] < EVENT_WINDOW:
                self.capacity = min(2 * self.capacity, UPPER_CAPACITY)
            elif now - self.events[-(self.capacity // 4)][1] > EVENT_WINDOW:
                self.capacity = max(self.capacity // 2, LOWER_CAPACITY)
                while len(self.events) > self.capacity:
                    self.events.popleft()
        if len(self.events) == self.capacity:
            self.events.popleft()
        self.events.append((revision, now))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.sampled_from([0, SECOND // 10, SECOND, 10 * SECOND, 2 * MINUTE])), max_size=25))
def test_the_ring_is_the_plain_queue(bursts: list[tuple[int, int]]) -> None:
    history: WatchHistory[int] = WatchHistory()
    plain, now, revision = PlainHistory(), 0, 1
    history.replaced(1)
    for count, apart in bursts:
        for _ in range(count):
            now, revision = now + apart, revision + 1
            history.add(now, revision, revision)
            plain.add(now, revision)
        assert history.capacity == plain.capacity
        assert history.events_since(plain.events[0][0] - 1) == [event for event, _ in plain.events]
        middle = plain.events[len(plain.events) // 2][0]
        assert history.events_since(middle) == [event for event, _ in plain.events if event > middle]


# Freshness.


def test_reads_wait_until_their_revision_or_three_seconds() -> None:
    waiters: FreshnessWaiters[str] = FreshnessWaiters()
    assert waiters.next_deadline is None
    assert waiters.wait(0, 50, "late") == 3 * SECOND
    waiters.wait(SECOND, 20, "b")
    waiters.wait(SECOND, 10, "a")
    waiters.wait(2 * SECOND, 50, "later")
    assert waiters.reached(30) == ["a", "b"]
    assert waiters.next_deadline == 3 * SECOND
    assert waiters.timed_out(3 * SECOND - 1) == []
    assert waiters.timed_out(3 * SECOND) == ["late"]
    assert waiters.reached(50) == ["later"]
    assert len(waiters) == 0


# Bookmarks.


def bookmarks_of(deadline: int | None, until: int, jitter: float = 0.0, begin: int = 0) -> list[float]:
    """When a watcher that registers at `begin` gets bookmarks, seconds."""
    times: BookmarkTimes[str] = BookmarkTimes(0, lambda: jitter)
    while times.next_tick < begin:
        times.tick(times.next_tick)
    times.register(begin, "w", deadline)
    got = []
    while times.next_tick <= until:
        now = times.next_tick
        got.extend(now / SECOND for _ in times.tick(now))
    return got


def test_a_bookmark_each_minute_and_two_seconds_before_the_end() -> None:
    assert bookmarks_of(None, 200 * SECOND) == [60, 120, 180]
    # One that comes no later than the two seconds before the end is followed by another at the next tick.
    assert bookmarks_of(150 * SECOND, 200 * SECOND) == [60, 120, 148, 149]
    assert bookmarks_of(30 * SECOND, 200 * SECOND) == [28, 29]
    assert bookmarks_of(150 * SECOND, 200 * SECOND, jitter=0.2) == [60.9, 120.75, 148.05]
    assert bookmarks_of(SECOND, 200 * SECOND) == []  # too late for one


@given(st.floats(0, 0.999), st.integers(0, 90 * SECOND), st.integers(5 * MINUTE, 10 * MINUTE))
def test_bookmarks_are_never_far_from_their_time(jitter: float, begin: int, timeout: int) -> None:
    got = bookmarks_of(begin + timeout, begin + timeout, jitter, begin)
    due = begin / SECOND
    for at in got[:-2]:
        assert due + 59 <= at <= due + 61.25
        due = at
    end = (begin + timeout) / SECOND
    assert end - 3 <= got[-1] <= end  # within a second and a quarter of two seconds before the end


def test_a_stream_asks_at_each_tick_until_its_bookmark_is_sent() -> None:
    times: BookmarkTimes[str] = BookmarkTimes(0, lambda: 0.0)
    times.register(0, "w", 10 * MINUTE, awaits_initial=True)
    assert [times.tick(i * SECOND) for i in (1, 2, 3)] == [["w"], ["w"], ["w"]]
    times.initial_sent("w")
    got = [i for i in range(4, 130) if times.tick(i * SECOND)]
    assert got == [4, 64, 124]
    times.unregister("w")
    assert not any(times.tick(i * SECOND) for i in range(130, 700))
    times.register(700 * SECOND, "w", None)
    with pytest.raises(ValueError, match="registered already"):
        times.register(700 * SECOND, "w", None)


def test_bookmarks_must_be_news() -> None:
    assert not bookmark_passes(10, 10, awaits_initial=False)
    assert bookmark_passes(10, 11, awaits_initial=False)
    assert bookmark_passes(10, 10, awaits_initial=True)
    assert not bookmark_passes(10, 9, awaits_initial=True)


# Dispatch.


@pytest.mark.parametrize(
    ("capacity", "indexed", "triggered", "size"),
    [
        (100, False, False, 10),
        (800, False, False, 11),
        (1600, False, False, 22),
        (102_400, False, False, 100),
        (102_400, True, False, 1000),
        (1600, True, False, 22),
        (102_400, True, True, 10),
    ],
)
def test_channels_hold_about_a_second(capacity: int, indexed: bool, triggered: bool, size: int) -> None:
    assert channel_size(capacity, indexed=indexed, triggered=triggered) == size


def test_the_budget_is_fifty_milliseconds_a_second_up_to_a_hundred() -> None:
    budget = TimeBudget(0)
    assert budget.take(0) == 0
    assert budget.take(SECOND) == 50 * MILLISECOND
    assert budget.take(SECOND + 10 * MILLISECOND) == 500_000
    assert budget.take(MINUTE) == MAX_BUDGET
    budget.give_back(70 * MILLISECOND)
    budget.give_back(-SECOND)
    assert budget.take(MINUTE + SECOND) == MAX_BUDGET  # 70 and 50, but no more than 100
    budget.give_back(30 * MILLISECOND)
    assert budget.take(MINUTE + SECOND) == 30 * MILLISECOND


def test_a_watcher_holds_both_channels_and_two_more_before_it_blocks() -> None:
    watcher = WatcherChannels(10)
    for i in range(22):  # one with the writer, ten, one in the middle, ten
        assert watcher.room_at(0) == 0, i
        watcher.admit(0, SECOND)
    assert watcher.room_at(0) == SECOND  # the writer takes the second, and everything moves up
    assert watcher.admit(SECOND, SECOND) == 23 * SECOND


def test_what_a_watcher_did_not_ask_for_takes_a_slot_only_while_it_is_stuck() -> None:
    watcher = WatcherChannels(10)
    for _ in range(50):
        assert watcher.admit(0, None) is None
    assert watcher.room_at(0) == 0
    for _ in range(12):
        watcher.admit(0, SECOND)
    for _ in range(10):
        watcher.admit(0, None)
    assert watcher.room_at(0) == SECOND


def test_initial_events_keep_new_ones_in_the_input_channel() -> None:
    watcher = WatcherChannels(10)
    assert watcher.prime(0, 1000, MILLISECOND) == SECOND
    for _ in range(10):
        assert watcher.room_at(0) == 0
        watcher.admit(0, MILLISECOND)
    assert watcher.room_at(0) == 989 * MILLISECOND  # when the last initial event fits into the result channel
    closed = watcher.close(100 * MILLISECOND)
    assert closed == Closed(100 * MILLISECOND, 111 * MILLISECOND, 889 + 10)


def dispatching(slow_cost: int, now: int) -> tuple[Dispatcher[str], WatcherChannels, WatcherChannels]:
    """A dispatcher with a fast watcher, and a slow one that is full."""
    dispatcher: Dispatcher[str] = Dispatcher(0)
    fast, slow = WatcherChannels(10), WatcherChannels(10)
    for _ in range(22):
        dispatcher.dispatch(now, [("fast", fast, 0), ("slow", slow, slow_cost)])
    return dispatcher, fast, slow


def test_a_slow_watcher_that_makes_room_in_time_is_kept_and_delays_the_next_event() -> None:
    now = 10 * SECOND
    dispatcher, fast, slow = dispatching(40 * MILLISECOND, now)
    done = dispatcher.dispatch(now, [("fast", fast, 0), ("slow", slow, 40 * MILLISECOND)])
    assert (done.done, done.closed) == (now + 40 * MILLISECOND, {})
    assert done.deliveries == {"fast": now, "slow": now + 23 * 40 * MILLISECOND}
    after = dispatcher.dispatch(now, [("fast", fast, 0)])
    assert after.deliveries == {"fast": now + 40 * MILLISECOND}  # it had to wait for the slow one


def test_a_slow_watcher_beyond_the_budget_is_closed_and_loses_what_was_not_forwarded() -> None:
    now = 10 * SECOND
    dispatcher, fast, slow = dispatching(SECOND, now)
    done = dispatcher.dispatch(now, [("fast", fast, 0), ("slow", slow, SECOND)])
    assert done.done == now + MAX_BUDGET
    assert done.deliveries == {"fast": now}
    assert done.closed == {"slow": Closed(now + MAX_BUDGET, now + 11 * SECOND, 11)}


def test_the_budget_is_shared_and_spent() -> None:
    now = 10 * SECOND
    dispatcher: Dispatcher[int] = Dispatcher(0)
    watchers = {i: WatcherChannels(10) for i in range(4)}
    costs = {0: 60 * MILLISECOND, 1: SECOND, 2: 90 * MILLISECOND, 3: SECOND}
    offers = [(i, watcher, costs[i]) for i, watcher in watchers.items()]
    for _ in range(22):
        dispatcher.dispatch(now, offers)
    done = dispatcher.dispatch(now, offers)
    assert sorted(done.closed) == [1, 3]
    assert sorted(done.deliveries) == [0, 2]  # while it waited for 1, there was room with 2
    assert done.done == now + MAX_BUDGET
    again = dispatcher.dispatch(now, [offers[0]])
    assert again.done == now + 120 * MILLISECOND or again.closed  # the budget is spent: 5 ms have grown back at most


def test_a_bookmark_that_finds_no_room_is_dropped() -> None:
    dispatcher, fast, slow = dispatching(SECOND, 0)
    assert dispatcher.bookmark(0, [("fast", fast, 0), ("slow", slow, 0)]) == {"fast": 0}
    assert sorted(dispatcher.bookmark(SECOND, [("fast", fast, 0), ("slow", slow, 0)])) == ["fast", "slow"]


class Stepwise:
    """A watcher's goroutines and channels moved one event at a time: the oracle of WatcherChannels."""

    def __init__(self, size: int):
        self.size = size
        self.input: deque[tuple[int, int | None]] = deque()
        self.middle: tuple[int, int | None] | None = None
        self.result: deque[tuple[int, int]] = deque()
        self.writing: tuple[int, int] | None = None  # (event, done)
        self.delivered: dict[int, int] = {}

    def settle(self, now: int) -> None:
        moved = True
        while moved:
            moved = False
            if self.writing is not None and self.writing[1] <= now:
                self.delivered[self.writing[0]] = self.writing[1]
                self.writing, moved = None, True
            if self.writing is None and self.result:
                event, cost = self.result.popleft()
                self.writing, moved = (event, now + cost), True
            if self.middle is not None and (self.middle[1] is None or len(self.result) < self.size):
                event, wanted = self.middle
                if wanted is not None:
                    self.result.append((event, wanted))
                self.middle, moved = None, True
            if self.middle is None and self.input:
                self.middle, moved = self.input.popleft(), True

    def run(self, now: int, until: int) -> None:
        self.settle(now)
        while self.writing is not None and self.writing[1] <= until:
            self.settle(self.writing[1])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 9))), max_size=80), st.integers(1, 4))
def test_channels_are_what_goroutines_would_do(offers: list[tuple[int, int | None]], size: int) -> None:
    ours, oracle, now = WatcherChannels(size), Stepwise(size), 0
    expected: dict[int, int] = {}
    for i, (pause, cost) in enumerate(offers):
        oracle.run(now, now + pause)
        now += pause
        oracle.settle(now)
        has_room = len(oracle.input) < size
        assert (ours.room_at(now) <= now) == has_room
        if has_room:
            delivered = ours.admit(now, cost)
            oracle.input.append((i, cost))
            oracle.settle(now)
            if delivered is not None:
                expected[i] = delivered
    lost = len([1 for event, cost in [*oracle.input, oracle.middle or (0, None)] if cost is not None])
    closed = ours.close(now)
    assert closed.lost == lost
    oracle.run(now, now + 10_000)
    assert oracle.delivered == expected


# Mistakes that what the real cacher did must catch.


@pytest.fixture
def caught() -> Callable[[str], bool]:
    """Whether any trace of a mechanism is answered otherwise."""
    return lambda name: any(conform.replay(path) is not None for path in sorted((GOLDEN / name).glob("*.jsonl")))


def test_the_traces_themselves_are_answered_alike(caught: Callable[[str], bool]) -> None:
    assert not any(caught(mechanism.name) for mechanism in WATCH_MECHANISMS)


@pytest.mark.parametrize(
    ("mechanism", "constant", "value"),
    [
        ("apiserver.watch_history", (watch_history, "LOWER_CAPACITY"), 200),
        ("apiserver.watch_history", (watch_history, "UPPER_CAPACITY"), 800),
        ("apiserver.bookmarks", (watch_history, "BOOKMARK_FREQUENCY"), 61 * SECOND),
        ("apiserver.time_budget", (watch_dispatch, "MAX_BUDGET"), 110 * MILLISECOND),
        ("apiserver.time_budget", (watch_dispatch, "BUDGET_PER_SECOND"), 60 * MILLISECOND),
        ("apiserver.watch_dispatch", (watch_dispatch, "MAX_BUDGET"), 110 * MILLISECOND),
    ],
)
def test_another_constant_is_caught(
    caught: Callable[[str], bool], monkeypatch: pytest.MonkeyPatch, mechanism: str, constant: tuple[object, str], value: int
) -> None:
    monkeypatch.setattr(*constant, value)
    assert caught(mechanism)


def test_a_history_that_never_shrinks_is_caught(caught: Callable[[str], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    move = WatchHistory._move
    monkeypatch.setattr(WatchHistory, "_move", lambda self, capacity: move(self, max(capacity, self.capacity)))
    assert caught("apiserver.watch_history")


def test_a_close_that_loses_nothing_is_caught(caught: Callable[[str], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatcherChannels, "close", lambda self, now: Closed(now, now, 0))
    assert caught("apiserver.watch_dispatch")


def test_one_channel_instead_of_two_is_caught(caught: Callable[[str], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatcherChannels, "room_at", lambda self, now: now if self._written - now < 10**9 else self._written - 10**9)
    assert caught("apiserver.watch_dispatch")
