"""The server's side of the watch: what lists and streams are told, when, and what that costs."""

from __future__ import annotations

import pytest
from watch_world import APP, OTHER, PER_OBJECT, TO_CLIENT, World, pod

from sim.apiserver.objects import Content, EventType
from sim.apiserver.watch_history import UPPER_CAPACITY
from sim.clientgo.reflector import ANY_VERSION, MOST_RECENT, List, ListWatchError
from sim.etcd.request import Outcome
from sim.processes.reflector import End, Happened, Stream
from sim.units import MILLISECOND, MINUTE, SECOND

ALL = List(ANY_VERSION, 500)


def scheduled(world: World) -> int:
    """How many events have been scheduled so far (and one)."""
    return next(world.env._eid)


# ---- cost


def test_what_nobody_watches_costs_no_event():
    world = World()
    before = scheduled(world)
    for number in range(100):
        world.put(pod(f"a{number}"))
    assert scheduled(world) == before + 1
    assert world.hub.matching("pod") == 0


def test_a_delivered_event_costs_one():
    world = World()
    world.put(pod("a"))
    world.run(SECOND)
    connection = world.watch(world.revision)
    world.run(2 * SECOND)
    before = scheduled(world)
    for number in range(100):
        world.run((3 + number) * SECOND)
        world.put(pod("a"))
    world.run(103 * SECOND)
    bookmarks = len(connection.bookmarks)
    assert len(connection.events) == 100
    assert bookmarks == 1
    assert scheduled(world) - before - 1 <= 100 + 2 * bookmarks + 1


def test_an_event_that_a_selector_filters_costs_none():
    world = World()
    connection = world.watch(1, selector=APP)
    world.run(SECOND)
    before = scheduled(world)
    for _ in range(50):
        world.put(pod("b", OTHER))
    world.run(2 * SECOND)
    assert connection.events == []
    assert scheduled(world) == before + 1


# ---- lists


def test_a_list_of_any_version_is_of_what_has_arrived():
    world = World(lag=lambda: 50 * MILLISECOND)
    world.preload(pod("there"))
    world.hub.cacher("pod").fill()
    world.put(pod("late"))
    request, call = world.list(ALL)
    world.run(40 * MILLISECOND)
    assert call.processed
    assert [item.name for item in request.objects] == ["there"]
    assert request.revision == world.revision - 1


def test_a_consistent_list_is_of_what_was_done():
    world = World(lag=lambda: 50 * MILLISECOND)
    world.preload(pod("there"))
    world.hub.cacher("pod").fill()
    world.put(pod("late"))
    request, call = world.list(List(MOST_RECENT, 0))
    world.run(50 * MILLISECOND)
    assert not call.processed
    world.run(60 * MILLISECOND)
    assert [item.name for item in request.objects] == ["late", "there"]
    assert request.revision == world.revision
    assert world.server.reads == 1


def test_a_consistent_list_is_not_of_what_is_still_to_be_done():
    """Its revision promises no event that it does not have."""
    world = World(apply=lambda: 10 * SECOND)
    world.preload(pod("there"))
    world.hub.cacher("pod").fill()
    world.hub.fetch = lambda at, _writer, _walked, _returned, then: then(at, at)  # it was on its way before the write
    late = world.put(pod("late"))
    world.put_once()
    request, call = world.list(List(MOST_RECENT, 0))
    world.run(SECOND)
    assert call.processed
    assert [item.name for item in request.objects] == ["there"]
    assert request.revision == late - 1
    connection = world.watch(request.revision)
    world.run(20 * SECOND)
    assert connection.revisions == [late]


def test_a_list_takes_time_for_each_object():
    world = World()
    for number in range(1000):
        world.preload(pod(f"a{number}", OTHER if number % 2 else APP))
    _, all_of_them = world.list(List(ANY_VERSION, 0))
    _, half = world.list(List(ANY_VERSION, 0), selector=APP)
    answered = {}
    for name, call in (("all", all_of_them), ("half", half)):
        call.callbacks.append(lambda _, name=name: answered.setdefault(name, world.env.now))
    world.run(SECOND)
    assert answered["all"] == 2 * TO_CLIENT + MILLISECOND + 1000 * PER_OBJECT
    assert answered["half"] == 2 * TO_CLIENT + MILLISECOND + 500 * PER_OBJECT


def test_pages_are_of_one_revision():
    world = World()
    for number in range(5):
        world.preload(pod(f"a{number}"))
    first, _ = world.list(List(MOST_RECENT, 2))
    world.run(SECOND)
    world.put(pod("a9"))
    world.run(2 * SECOND)
    second, _ = world.list(List(MOST_RECENT, 2, first.continues))
    world.run(3 * SECOND)
    third, _ = world.list(List(MOST_RECENT, 2, second.continues))
    world.run(4 * SECOND)
    assert [item.name for page in (first, second, third) for item in page.objects] == ["a0", "a1", "a2", "a3", "a4"]
    assert first.revision == second.revision == third.revision
    assert third.continues is None


def test_a_list_waits_for_the_version_it_must_not_be_older_than():
    world = World(lag=lambda: 500 * MILLISECOND)
    world.hub.cacher("pod").fill()
    newest = world.put(pod("a"))
    request, call = world.list(List(newest, 0))
    world.run(490 * MILLISECOND)
    assert not call.processed
    world.run(510 * MILLISECOND)
    assert call.processed
    assert request.revision == newest


def test_a_list_at_a_version_of_another_resource_goes_on_when_etcd_tells_its_progress():
    world = World()
    world.hub.cacher("pod").fill()
    newest = world.put(pod("x", resource="lease"))
    world.run(SECOND)
    request, call = world.list(List(newest, 0))
    world.run(SECOND + 150 * MILLISECOND)
    assert call.processed
    assert request.revision == newest


def test_a_cache_that_starts_late_waits_for_what_is_on_its_way():
    world = World(lag=lambda: 500 * MILLISECOND)
    newest = world.put(pod("a"))
    request, call = world.list(ALL)
    world.run(490 * MILLISECOND)
    assert not call.processed
    world.run(510 * MILLISECOND)
    assert [item.resource_version for item in request.objects] == [newest]


def test_who_is_being_served_when_the_server_goes_down_hears_of_it():
    world = World(outages=[(SECOND, 5 * SECOND)], read=2 * SECOND)
    _, call = world.list(List(MOST_RECENT, 0))
    world.run(4 * SECOND)
    assert call.outcome is Outcome.UNREACHABLE


def test_a_version_that_does_not_come_is_too_large():
    world = World()
    request, call = world.list(List(1_000, 0))
    world.run(3 * SECOND)
    assert not call.processed
    world.run(3 * SECOND + 200 * MILLISECOND)
    assert call.processed
    assert call.outcome is Outcome.TIMEOUT
    assert request.error is ListWatchError.TOO_LARGE_RESOURCE_VERSION
    before = scheduled(world)
    world.run(MINUTE)
    assert scheduled(world) == before + 1  # nobody asks for progress any more


# ---- streams


def test_events_come_in_order_at_their_time():
    lags = iter([30, 1, 1, 5] * 100)
    world = World(lag=lambda: next(lags) * MILLISECOND)
    connection = world.watch(1)
    world.run(SECOND)
    revisions = [world.put(pod(f"a{number % 3}")) for number in range(40)]
    world.run(2 * SECOND)
    assert connection.revisions == revisions
    for at, event in connection.told:
        assert at >= world.done[event.revision] + MILLISECOND + TO_CLIENT
    assert world.hub.sent == 40
    lags_seen = world.hub.lags.take()
    assert len(lags_seen) == 40
    assert lags_seen.min() >= MILLISECOND + TO_CLIENT


def test_a_deletion_tells_the_last_state():
    world = World()
    connection = world.watch(1)
    world.put(pod("a"), Content(generation=7))
    gone = world.delete(pod("a"))
    world.run(SECOND)
    assert connection.events[-1].object.content == Content(generation=7)
    assert [event.kind for event in connection.events] == [EventType.ADDED, EventType.DELETED]
    assert connection.events[-1].object.resource_version == gone
    request, _ = world.list(ALL)
    world.run(2 * SECOND)
    assert request.objects == []


@pytest.mark.parametrize("opened", range(0, 40, 3))
def test_who_comes_while_an_event_is_on_its_way_gets_it_once(opened):
    world = World(lag=lambda: 20 * MILLISECOND)
    revisions = []
    world.hub.cacher("pod").fill()
    for number in range(10):
        world.at(number * 3 * MILLISECOND, lambda: revisions.append(world.put(pod("a"))))
    connections = []
    world.at(opened * MILLISECOND, lambda: connections.append(world.watch(1)))
    world.run(SECOND)
    assert connections[0].revisions == revisions


def test_a_watch_goes_on_from_its_version():
    world = World()
    revisions = [world.put(pod("a")) for _ in range(10)]
    world.hub.cacher("pod")
    world.run(SECOND)
    world.watch(revisions[-1])
    world.run(2 * SECOND)
    later = [world.put(pod("a")) for _ in range(5)]
    world.run(3 * SECOND)
    back = world.watch(later[1])
    world.run(4 * SECOND)
    assert back.revisions == later[2:]


def test_a_version_before_the_history_is_expired():
    world = World()
    for _ in range(3):
        world.put(pod("a"))
    world.run(SECOND)
    connection = world.watch(2)  # the cache starts here, at revision 4
    world.run(2 * SECOND)
    assert connection.end == End("expired", ListWatchError.EXPIRED)
    assert world.hub.expired == 1
    assert world.hub.told.closed == {"expired": 1}
    assert world.hub.matching("pod") == 0


def test_a_quiet_ring_keeps_what_a_busy_one_forgets():
    world = World(apply=lambda: 0)
    world.hub.cacher("pod").fill()
    first = world.put(pod("a"))
    for minute in range(1, 60):
        world.at(minute * MINUTE, lambda: world.put(pod("a")))
    world.run(HOUR := 60 * MINUTE)
    assert world.watch(first) is not None
    world.run(HOUR + SECOND)
    assert world.hub.expired == 0
    for _ in range(UPPER_CAPACITY + 1):
        world.put(pod("a"))
    world.run(HOUR + 2 * SECOND)
    world.watch(first)
    world.run(HOUR + 3 * SECOND)
    assert world.hub.expired == 1


def test_a_watch_ends_when_its_time_is_over():
    world = World()
    connection = world.watch(1, seconds=300)
    world.run(2 * TO_CLIENT + MILLISECOND + 1)
    assert world.hub.matching("pod") == 1
    world.run(6 * MINUTE)
    (ended,) = [at for at, what in connection.told if isinstance(what, End)]
    assert ended == 300 * SECOND + MILLISECOND + 2 * TO_CLIENT
    assert connection.end == End("timeout")
    world.put(pod("a"))
    world.run(7 * MINUTE)
    assert connection.events == []
    assert world.hub.told.closed == {"timeout": 1}


def test_what_is_not_written_when_a_watch_ends_is_not_sent():
    world = World()
    connection = world.watch(1, seconds=300, cost=SECOND)
    world.run(297 * SECOND)
    for _ in range(5):
        world.put(pod("a"))
    world.run(6 * MINUTE)
    assert len(connection.events) == 2
    assert isinstance(connection.told[-1][1], End)
    assert connection.told[-1][0] == 300 * SECOND + MILLISECOND + 2 * TO_CLIENT


def test_a_client_that_goes_is_told_nothing_more():
    world = World()
    connection = world.watch(1)
    world.run(SECOND)
    world.put(pod("a"))
    connection.stream.close()
    world.put(pod("a"))
    world.run(10 * MINUTE)
    assert connection.told == []
    assert world.hub.told.closed == {"client": 1}
    assert world.hub.matching("pod") == 0


def test_a_stream_begins_with_what_is_there_and_goes_on():
    world = World()
    for number in range(3):
        world.preload(pod(f"a{number}"))
    world.preload(pod("b", OTHER))
    connection = world.watch(MOST_RECENT, selector=APP, initial=True)
    world.run(SECOND)
    newer = world.put(pod("a1"))
    world.run(2 * SECOND)
    assert [event.object.name for event in connection.events] == ["a0", "a1", "a2", "a1"]
    ((_, bookmark),) = connection.bookmarks
    assert bookmark.initial_events_end
    assert connection.told.index(connection.bookmarks[0]) == 3
    assert connection.revisions[-1] == newer
    assert len(world.hub.lags.take()) == 1  # what was there before is nobody's delay
    assert world.server.reads == 1


def test_a_stream_at_a_version_that_does_not_come_is_told_so():
    world = World()
    connection = world.watch(1_000, initial=True)
    world.run(4 * SECOND)
    assert connection.end == End("too large", ListWatchError.TOO_LARGE_RESOURCE_VERSION)


# ---- bookmarks


def test_bookmarks_come_each_minute_and_before_the_end():
    world = World()
    connection = world.watch(1, seconds=300)
    world.run(SECOND)
    newest = world.put(pod("a"))
    world.run(6 * MINUTE)
    times = [at / SECOND for at, _ in connection.bookmarks]
    assert len(times) == 5
    for before, after in zip([0.0, *times], times[:-1], strict=False):
        assert 60 <= after - before <= 62
    assert 297.5 <= times[-1] <= 300
    assert all(bookmark.revision == newest for _, bookmark in connection.bookmarks)
    assert world.hub.told.bookmarks == 5


def test_a_watch_to_which_nothing_happens_gets_no_bookmark_unless_etcd_moves_on():
    world = World()
    connection = world.watch(1)
    world.run(90 * SECOND)
    assert connection.bookmarks == []
    newest = world.put(pod("x", resource="lease"))
    world.run(200 * SECOND)
    assert [bookmark.revision for _, bookmark in connection.bookmarks] == [newest, newest]


def test_etcd_tells_its_progress_only_where_nothing_happens():
    world = World()
    connection = world.watch(1)
    world.run(58 * SECOND)
    newest = world.put(pod("a"))
    world.put(pod("x", resource="lease"))
    world.run(90 * SECOND)
    assert [bookmark.revision for _, bookmark in connection.bookmarks] == [newest]


def test_a_bookmark_never_overtakes_an_event():
    world = World(lag=lambda: 40 * MILLISECOND)
    connection = world.watch(1)
    for number in range(4_000):
        world.at(58 * SECOND + number * MILLISECOND, lambda: world.put(pod("a")))
    world.run(2 * MINUTE - SECOND)
    assert connection.bookmarks
    known = 1
    for _, what in connection.told:
        assert what.revision >= known
        known = what.revision


# ---- slow watchers


def test_a_slow_watcher_is_closed_and_the_quick_one_is_told_everything(monkeypatch):
    world = World(apply=lambda: 0)
    slow = world.watch(1, cost=20 * MILLISECOND)
    quick = world.watch(1)
    expected, ended = [], []
    lose = Stream.lose

    def counting(self, closed, end):
        ended.append(closed.at)
        expected.append(len(slow.events) + len(self._way) - closed.lost)
        lose(self, closed, end)

    monkeypatch.setattr(Stream, "lose", counting)
    revisions = []
    for number in range(400):
        world.at(SECOND + number * MILLISECOND, lambda: revisions.append(world.put(pod("a"))))
    world.run(MINUTE)
    assert quick.revisions == revisions
    assert quick.end is None
    dispatched = [at - TO_CLIENT - PER_OBJECT for at, _ in quick.told]
    assert len([at for at in dispatched if ended[0] - 18 * MILLISECOND < at < ended[0]]) == 1  # then it waits: nobody is told more
    assert slow.end == End("slow")
    assert [len(slow.revisions)] == expected
    assert slow.revisions == revisions[: len(slow.revisions)]
    assert 0 < len(slow.revisions) < 400
    assert world.hub.told.closed == {"slow": 1}
    back = world.watch(slow.revisions[-1])
    world.run(2 * MINUTE)
    assert slow.revisions + back.revisions == revisions


def test_who_waits_for_a_slow_one_waits_only_so_long():
    """The budget for slow watchers is 100 ms at most."""
    world = World(apply=lambda: 0)
    world.watch(1, cost=20 * MILLISECOND)
    quick = world.watch(1)
    for number in range(400):
        world.at(SECOND + number * MILLISECOND, lambda: world.put(pod("a")))
    world.run(MINUTE)
    lags = [at - world.done[event.revision] for at, event in quick.told if isinstance(event, Happened)]
    assert 30 * MILLISECOND < max(lags) < 110 * MILLISECOND


# ---- outages


def test_an_outage_ends_all_watches_and_empties_the_history():
    world = World(outages=[(10 * SECOND, 15 * SECOND)])
    connection = world.watch(1)
    world.run(9 * SECOND)
    seen = world.put(pod("a"))
    world.run(10 * SECOND + MILLISECOND)
    assert connection.end == End("outage")
    assert world.hub.matching("pod") == 0
    world.run(12 * SECOND)
    refused = world.watch(seen)
    missed = world.put(pod("b"))
    world.run(16 * SECOND)
    assert refused.call.outcome is Outcome.UNREACHABLE
    behind, current = world.watch(seen), world.watch(missed)
    world.run(17 * SECOND)
    assert behind.end == End("expired", ListWatchError.EXPIRED)
    assert current.end is None
    request, _ = world.list(ALL)
    world.run(18 * SECOND)
    assert [item.name for item in request.objects] == ["a", "b"]
    assert request.revision == missed


def test_an_outage_in_which_nothing_happens_costs_no_history():
    world = World(outages=[(10 * SECOND, 15 * SECOND)])
    first = world.watch(1)
    seen = world.put(pod("a"))
    world.run(16 * SECOND)
    assert first.end == End("outage")
    back = world.watch(seen)
    world.run(20 * SECOND)
    assert back.end is None
    assert world.hub.expired == 0


def test_keys_that_nobody_watches_make_a_version_old_all_the_same():
    world = World(outages=[(10 * SECOND, 15 * SECOND)])
    world.watch(1)
    seen = world.put(pod("a"))
    world.run(9 * SECOND)
    world.put_once()
    world.run(16 * SECOND)
    back = world.watch(seen)
    world.run(20 * SECOND)
    assert back.end == End("expired", ListWatchError.EXPIRED)


def test_what_is_on_its_way_when_the_server_comes_back_is_told_once():
    world = World(outages=[(10 * SECOND, 15 * SECOND)], lag=lambda: 100 * MILLISECOND)
    world.watch(1)
    world.run(15 * SECOND - 50 * MILLISECOND)
    done = world.put(pod("a"))  # done before the server is back, arrives after that: it is in the list
    world.run(15 * SECOND + MILLISECOND)
    request, _ = world.list(ALL)
    connection = world.watch(done)
    world.put_once()
    world.put(pod("x", resource="lease"))
    world.run(20 * SECOND)
    assert request.revision == done
    assert connection.events == []


def test_the_revision_of_a_cache_never_falls():
    world = World(outages=[(10 * SECOND, 15 * SECOND)], lag=lambda: 100 * MILLISECOND)
    world.watch(1)
    world.run(15 * SECOND - 50 * MILLISECOND)
    world.put(pod("a"))
    world.put_once()
    revisions = []
    for tick in range(30):
        world.run(15 * SECOND + (1 + 10 * tick) * MILLISECOND)
        revisions.append(world.list(ALL)[0])
    world.run(20 * SECOND)
    assert [request.revision for request in revisions] == [world.revision] * 30


def test_a_server_that_is_back_lists_what_is_done_only():
    world = World(outages=[(10 * SECOND, 15 * SECOND)], apply=lambda: SECOND)
    world.watch(1)
    world.run(15 * SECOND - 500 * MILLISECOND)
    world.put(pod("a"))
    world.run(15 * SECOND)
    request, call = world.list(ALL)
    world.run(15 * SECOND + 490 * MILLISECOND)
    assert not call.processed
    world.run(16 * SECOND)
    assert [item.name for item in request.objects] == ["a"]


def test_who_waits_for_a_version_when_the_server_goes_down_hears_of_it():
    world = World(outages=[(SECOND, 2 * SECOND)])
    _, call = world.list(List(1_000, 0))
    world.run(2 * SECOND)
    assert call.outcome is Outcome.UNREACHABLE
