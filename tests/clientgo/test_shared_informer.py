"""A shared informer with several listeners: who is told what, when resyncs are due, and what a slow handler costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.apiserver.objects import ApiObject, EventType
from sim.clientgo import informer as informer_module
from sim.clientgo import reflector as reflector_module
from sim.clientgo.handlers import INITIAL_RING, HandlerQueue, Notification, ResyncTimes
from sim.clientgo.informer import SharedInformer
from sim.clientgo.reflector import ListWatchError, Reflector
from sim.conform.replay import replay
from sim.units import MINUTE, SECOND

ADDED, MODIFIED, DELETED = EventType.ADDED, EventType.MODIFIED, EventType.DELETED
GOLDEN = Path(__file__).parents[2] / "data" / "golden"


def pod(name: str, version: int) -> ApiObject:
    return ApiObject("ns", name, frozenset(), version)


def listening(informer: SharedInformer, resync: int | None = None, now: int = 0) -> list[Notification]:
    """A listener that remembers."""
    told: list[Notification] = []
    informer.add_listener(now, told.append, resync)
    return told


@pytest.mark.parametrize("fifo", ["delta", "real"])
def test_every_listener_is_told_what_changed_from_what_to_what(fifo: str) -> None:
    informer = SharedInformer("delta" if fifo == "delta" else "real")
    first, second = listening(informer), listening(informer)
    informer.list([pod("a", 1)])
    informer.event(ADDED, pod("b", 2))
    informer.event(MODIFIED, pod("a", 3))
    informer.event(DELETED, pod("b", 4))
    informer.list([])
    assert first == second
    assert first == [
        Notification(ADDED, "ns/a", True, False, pod("a", 1)),
        Notification(ADDED, "ns/b", False, False, pod("b", 2)),
        Notification(MODIFIED, "ns/a", False, False, pod("a", 3), pod("a", 1)),
        Notification(DELETED, "ns/b", False, False, pod("b", 4)),
        Notification(DELETED, "ns/a", False, False, pod("a", 3), None, True),
    ]


def test_a_late_listener_is_told_the_store_as_an_initial_list() -> None:
    informer = SharedInformer("real")
    early = listening(informer)
    assert informer.listeners[0].receive == early.append
    informer.list([pod("a", 1), pod("b", 2)])
    informer.event(MODIFIED, pod("a", 3))
    late = listening(informer)
    assert late == [
        Notification(ADDED, "ns/a", True, False, pod("a", 3)),
        Notification(ADDED, "ns/b", True, False, pod("b", 2)),
    ]
    assert len(early) == 3
    informer.event(DELETED, pod("b", 4))
    assert early[-1] == late[-1]


def test_a_removed_listener_hears_nothing_more() -> None:
    informer = SharedInformer("real")
    told: list[Notification] = []
    listener = informer.add_listener(0, told.append)
    informer.list([pod("a", 1)])
    informer.remove_listener(listener)
    informer.event(MODIFIED, pod("a", 2))
    assert len(told) == 1
    with pytest.raises(ValueError, match="not in list"):
        informer.remove_listener(listener)


def test_only_listeners_that_are_due_hear_a_resync() -> None:
    informer = SharedInformer("real", MINUTE)
    each, third, never = listening(informer), listening(informer, 150 * SECOND), listening(informer, 0)
    assert informer.start() == MINUTE
    informer.list([pod("a", 1)])
    heard = []
    for tick in range(1, 8):
        before = len(each), len(third), len(never)
        assert informer.resync_due(tick * MINUTE)
        informer.resync()
        heard.append((len(each) - before[0], len(third) - before[1], len(never) - before[2]))
    assert heard == [(1, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 0)]  # 2.5 min: each third check
    assert all(told.unchanged for told in each[1:])


def test_all_are_syncing_before_the_first_check() -> None:
    """So a relist that brings nothing new is told to everybody, until the resync timer has fired once."""
    informer = SharedInformer("real", MINUTE)
    never = listening(informer, 0)
    informer.list([pod("a", 1)])
    informer.list([pod("a", 1)])
    assert [told.unchanged for told in never] == [False, True]
    assert not informer.resync_due(MINUTE)
    informer.list([pod("a", 1)])
    assert len(never) == 2
    informer.list([pod("a", 2)])
    assert len(never) == 3


def test_plain_handlers_hear_every_resync() -> None:
    informer = SharedInformer("real")
    told: list[Notification] = []
    informer.handlers.append(told.append)
    informer.list([pod("a", 1)])
    informer.resync()
    assert [(n.type, n.unchanged) for n in told] == [(ADDED, False), (MODIFIED, True)]


@pytest.mark.parametrize(
    ("informer_period", "asked", "check"),
    [
        (MINUTE, [None], MINUTE),
        (MINUTE, [2 * MINUTE], MINUTE),
        (MINUTE, [20 * SECOND], 20 * SECOND),
        (MINUTE, [1], SECOND),  # the least that is allowed
        (MINUTE, [30 * SECOND, 20 * SECOND, 0], 20 * SECOND),
        (0, [MINUTE], 0),  # it does not check at all
    ],
)
def test_early_listeners_shorten_the_check_period(informer_period: int, asked: list[int | None], check: int) -> None:
    informer = SharedInformer("real", informer_period)
    for period in asked:
        listening(informer, period)
    assert informer.start() == check


def test_late_listeners_must_take_the_check_period() -> None:
    informer = SharedInformer("real", MINUTE)
    informer.start()
    for asked, period in ((20 * SECOND, MINUTE), (None, MINUTE), (3 * MINUTE, 3 * MINUTE), (0, 0)):
        assert informer.add_listener(0, lambda told: None, asked).resync.period == period
    silent = SharedInformer("real")
    silent.start()
    assert silent.add_listener(0, lambda told: None, MINUTE).resync.period == 0


def test_a_resync_that_is_late_moves_the_next_one() -> None:
    times = ResyncTimes(0, MINUTE)
    assert not times.take_if_due(MINUTE - 1)
    assert times.take_if_due(MINUTE + 5)
    assert not times.take_if_due(2 * MINUTE)
    assert times.take_if_due(2 * MINUTE + 5)


def test_a_handler_takes_one_notification_at_a_time() -> None:
    queue = HandlerQueue()
    assert queue.offer(10, 5) == 15
    assert queue.offer(10, 5) == 20
    assert queue.offer(12, 0) == 20
    assert [queue.backlog(now) for now in (12, 14, 15, 19, 20)] == [2, 2, 1, 1, 0]
    assert queue.offer(100, 1) == 101
    assert (queue.backlog_max, queue.ring_capacity, queue.ring_bytes) == (2, 1024, 16384)


def test_the_ring_doubles_and_never_shrinks() -> None:
    queue = HandlerQueue()
    for _ in range(INITIAL_RING + 2):  # one is being handled, one is in the pump: the ring is full
        queue.offer(0, SECOND)
    assert queue.ring_capacity == INITIAL_RING
    queue.offer(0, SECOND)
    assert queue.ring_capacity == 2 * INITIAL_RING
    queue.offer(10**15, 0)
    assert queue.backlog(10**15) == 0
    assert (queue.backlog_max, queue.ring_capacity) == (INITIAL_RING + 2, 2 * INITIAL_RING)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 15)), min_size=1))
def test_a_handler_is_a_lindley_station(work: list[tuple[int, int]]) -> None:
    """Each is done at max(arrival, previous done) + cost; the backlog counts those that have come and not begun."""
    queue, now, free = HandlerQueue(), 0, 0
    starts: list[int] = []
    for pause, cost in work:
        now += pause
        starts.append(max(now, free))
        free = starts[-1] + cost
        assert queue.offer(now, cost) == free
        assert queue.backlog(now) == sum(start > now for start in starts)


# Mistakes that somebody might make, and that what the real library did must catch.


def caught(mechanism: str) -> bool:
    return any(replay(path) is not None for path in sorted((GOLDEN / mechanism).glob("*.jsonl")))


def test_sync_notifications_to_everybody_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def resync_due(self: SharedInformer, now: int) -> bool:
        return sum(listener.resync.take_if_due(now) for listener in self._listeners) > 0

    monkeypatch.setattr(SharedInformer, "resync_due", resync_due)
    assert caught("cache.shared_informer")


def test_a_late_listener_that_is_told_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Joining(informer_module.Listener):
        def __init__(self, receive: object, resync: ResyncTimes):
            super().__init__(lambda told: None if told.initial else receive(told), resync)  # type: ignore[operator]

    monkeypatch.setattr(informer_module, "Listener", Joining)
    assert caught("cache.shared_informer")


def test_a_minimum_resync_period_that_is_not_kept_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer_module, "MINIMUM_RESYNC_PERIOD", 2 * SECOND)
    assert caught("cache.shared_informer")


def test_a_ring_that_grows_too_early_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = HandlerQueue.offer

    def eager(self: HandlerQueue, now: int, cost: int) -> int:
        done = offer(self, now, cost)
        if self.backlog(now) > self.ring_capacity:  # forgets the one in the pump
            self.ring_capacity *= 2
        return done

    monkeypatch.setattr(HandlerQueue, "offer", eager)
    assert caught("cache.listener")


def test_a_watch_that_goes_on_after_410_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Reflector._broken

    def rewatches(self: Reflector, now: int, error: ListWatchError) -> None:
        broken(self, now, ListWatchError.TOO_MANY_REQUESTS if error is ListWatchError.EXPIRED else error)

    monkeypatch.setattr(Reflector, "_broken", rewatches)
    assert caught("cache.reflector")


def test_a_relist_from_version_zero_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reflector, "_relist_version", lambda self: 0)
    assert caught("cache.reflector")


def test_a_short_watch_that_is_longer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector_module, "VERY_SHORT_WATCH", SECOND + 1)
    assert caught("cache.reflector")
