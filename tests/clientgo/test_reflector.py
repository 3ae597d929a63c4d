"""The reflector: every way in which list and watch follow each other, and that its store always finds back to the server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.apiserver.objects import ApiObject, EventType
from sim.apiserver.watch_history import Expired, WatchHistory
from sim.clientgo.informer import Notification, SharedInformer
from sim.clientgo.reflector import (
    ANY_VERSION,
    MOST_RECENT,
    List,
    ListWatchError,
    OpenWatch,
    Reflector,
    ReflectorSettings,
    Sleep,
)
from sim.streams import Stream
from sim.units import HOUR, MILLISECOND, MINUTE, SECOND

ADDED, MODIFIED, DELETED = EventType.ADDED, EventType.MODIFIED, EventType.DELETED
PLAIN = ReflectorSettings.of((0, 34))
STREAMING = ReflectorSettings.of((0, 35))
OLD_STREAMING = replace(ReflectorSettings.of((0, 28)), watch_list=True)


class Always:
    """A stream that always draws the same."""

    def __init__(self, value: float = 0.5):
        self.value = value
        self.drawn = 0

    def uniform(self) -> float:
        self.drawn += 1
        return self.value


class Told:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.lists: list[list[object]] = []
        self.events: list[tuple[EventType, object]] = []

    def list(self, objects: Iterable[object]) -> None:
        self.lists.append(list(objects))

    def event(self, kind: EventType, item: object) -> None:
        self.events.append((kind, item))


def pod(name: str, version: int) -> ApiObject:
    return ApiObject("ns", name, frozenset(), version)


def started(settings: ReflectorSettings = PLAIN, draw: float = 0.5) -> tuple[Reflector, Told]:
    told = Told()
    return Reflector(0, told, Always(draw), settings), told


def watching(version: int = 10, **changes: object) -> tuple[Reflector, Told]:
    """A reflector with an open watch since time 0."""
    reflector, told = started(replace(PLAIN, **changes))  # type: ignore[arg-type]
    reflector.next(0)
    reflector.listed(0, version, [])
    reflector.next(0)
    reflector.watch_opened(0)
    return reflector, told


def streaming(settings: ReflectorSettings = STREAMING) -> tuple[Reflector, Told]:
    """A reflector whose stream is open, initial events to come."""
    reflector, told = started(settings)
    assert reflector.next(0) == OpenWatch(MOST_RECENT, 450, True, True)
    reflector.watch_opened(0)
    return reflector, told


def rests(reflector: Reflector, now: int) -> int:
    """How long it rests from `now`."""
    action = reflector.next(now)
    assert isinstance(action, Sleep)
    return action.until - now


def test_lists_any_version_first_and_watches_from_what_it_got() -> None:
    reflector, told = started()
    assert reflector.next(0) == List(ANY_VERSION, 500)
    assert reflector.next(0) is None
    reflector.listed(5, 42, [pod("a", 41)])
    assert told.lists == [[pod("a", 41)]]
    assert reflector.next(5) == OpenWatch(42, 450)
    assert reflector.next(5) is None
    assert not reflector.is_watching
    reflector.watch_opened(6)
    assert reflector.is_watching
    reflector.event(7, MODIFIED, pod("a", 43), 43)
    reflector.bookmark(8, 50)
    assert told.events == [(MODIFIED, pod("a", 43))]
    assert reflector.last_sync_resource_version == 50


@pytest.mark.parametrize(("draw", "timeout"), [(0.0, 300), (0.003, 300), (0.004, 301), (0.5, 450), (0.999999, 599)])
def test_watch_timeouts_are_truncated_seconds_of_five_to_ten_minutes(draw: float, timeout: int) -> None:
    reflector, _ = started(draw=draw)
    reflector.next(0)
    reflector.listed(0, 1, [])
    assert reflector.next(0) == OpenWatch(1, timeout)


@pytest.mark.parametrize(("least", "timeout"), [(1, 450), (10 * MINUTE, 900)])
def test_a_shorter_minimum_timeout_is_not_honoured(least: int, timeout: int) -> None:
    reflector, _ = started(replace(PLAIN, min_watch_timeout=least))
    reflector.next(0)
    reflector.listed(0, 1, [])
    assert reflector.next(0) == OpenWatch(1, timeout)


def test_a_closed_watch_is_opened_again_at_once_where_it_was() -> None:
    reflector, told = watching(10)
    reflector.bookmark(MINUTE, 17)
    reflector.watch_closed(450 * SECOND)
    assert reflector.next(450 * SECOND) == OpenWatch(17, 450)
    assert len(told.lists) == 1


@pytest.mark.parametrize(("lasted", "relists"), [(0, True), (SECOND - 1, True), (SECOND, False)])
def test_a_very_short_watch_costs_a_relist(lasted: int, relists: bool) -> None:
    reflector, _ = watching(10)
    reflector.watch_closed(lasted)
    if relists:
        assert rests(reflector, lasted) == 1200 * MILLISECOND
        assert reflector.next(lasted + 1200 * MILLISECOND) == List(10, 0)
    else:
        assert reflector.next(lasted) == OpenWatch(10, 450)


def test_a_short_watch_that_brought_a_bookmark_is_none() -> None:
    reflector, _ = watching(10)
    reflector.bookmark(0, 10)
    reflector.watch_closed(0)
    assert reflector.next(0) == OpenWatch(10, 450)


def test_the_watch_counts_from_its_request() -> None:
    reflector, _ = started()
    reflector.next(0)
    reflector.listed(0, 10, [])
    reflector.next(0)
    reflector.watch_opened(SECOND)  # the answer was held back
    reflector.watch_closed(SECOND + 1)
    assert reflector.next(SECOND + 1) == OpenWatch(10, 450)


OPENING_RETRIES = {ListWatchError.CONNECTION_REFUSED, ListWatchError.TOO_MANY_REQUESTS}


@pytest.mark.parametrize("error", list(ListWatchError))
def test_a_refused_watch_is_tried_again_or_leads_to_a_relist(error: ListWatchError) -> None:
    reflector, _ = started()
    reflector.next(0)
    reflector.listed(0, 10, [])
    reflector.next(0)
    reflector.watch_failed(0, error)
    rest = rests(reflector, 0)
    assert rest == 1200 * MILLISECOND
    assert reflector.next(rest) == (OpenWatch(10, 450) if error in OPENING_RETRIES else List(10, 0))


@pytest.mark.parametrize("error", list(ListWatchError))
def test_only_429_breaks_a_watch_without_a_relist(error: ListWatchError) -> None:
    reflector, _ = watching(10)
    reflector.event(0, ADDED, pod("a", 12), 12)
    reflector.watch_failed(0, error)
    rest = rests(reflector, 0)
    assert reflector.next(rest) == (OpenWatch(12, 450) if error is ListWatchError.TOO_MANY_REQUESTS else List(12, 0))


@pytest.mark.parametrize(
    ("times", "relist_at"),
    [
        ([0, 10 * SECOND, 30 * SECOND, 30 * SECOND + 1], 3),
        ([0, 20 * SECOND, 80 * SECOND, 100 * SECOND], None),  # a minute apart: another spell
        ([0, 20 * SECOND, 80 * SECOND - 1], 2),
    ],
)
def test_internal_errors_are_forgiven_for_a_while(times: list[int], relist_at: int | None) -> None:
    reflector, _ = watching(10, internal_error_retry=30 * SECOND)
    for i, now in enumerate(times):
        reflector.watch_failed(now, ListWatchError.INTERNAL)
        action = reflector.next(now)
        assert isinstance(action, Sleep if i == relist_at else OpenWatch), i
        if isinstance(action, OpenWatch):
            reflector.watch_opened(now)


@pytest.mark.parametrize("error", [ListWatchError.EXPIRED, ListWatchError.GONE, ListWatchError.TOO_LARGE_RESOURCE_VERSION])
def test_a_list_whose_version_is_gone_is_followed_by_the_most_recent(error: ListWatchError) -> None:
    reflector, _ = watching(10)
    reflector.watch_failed(0, ListWatchError.OTHER)
    assert reflector.next(rests(reflector, 0)) == List(10, 0)
    reflector.list_failed(2 * SECOND, error)
    assert reflector.next(2 * SECOND) == List(MOST_RECENT, 0)  # at once, and still without pages
    reflector.list_failed(2 * SECOND, error)
    later = 2 * SECOND + rests(reflector, 2 * SECOND)
    assert reflector.next(later) == List(MOST_RECENT, 500)
    reflector.listed(later, 99, [])
    reflector.next(later)
    reflector.watch_failed(later, ListWatchError.OTHER)
    assert reflector.next(later + rests(reflector, later)) == List(99, 0)  # known again


@pytest.mark.parametrize("error", [ListWatchError.CONNECTION_REFUSED, ListWatchError.TOO_MANY_REQUESTS, ListWatchError.OTHER])
def test_other_failures_of_a_list_back_off(error: ListWatchError) -> None:
    reflector, _ = started()
    reflector.next(0)
    reflector.list_failed(0, error)
    assert reflector.next(rests(reflector, 0)) == List(ANY_VERSION, 500)


def test_pages_are_put_together_under_the_version_of_the_first() -> None:
    reflector, told = started()
    reflector.next(0)
    reflector.listed(0, 7, [pod("a", 1)], continue_token="a")
    assert reflector.next(0) == List(MOST_RECENT, 500, "a")
    reflector.listed(0, 8, [pod("b", 2)], continue_token="b")
    assert reflector.next(0) == List(MOST_RECENT, 500, "b")
    reflector.listed(0, 9, [pod("c", 3)])
    assert told.lists == [[pod("a", 1), pod("b", 2), pod("c", 3)]]
    assert reflector.next(0) == OpenWatch(7, 450)
    reflector.watch_failed(0, ListWatchError.OTHER)
    assert reflector.next(rests(reflector, 0)) == List(7, 500)  # no watch cache there: relists are paged too


def test_pages_overtaken_by_compaction_are_replaced_by_one_full_list() -> None:
    reflector, told = started()
    reflector.next(0)
    reflector.listed(0, 7, [pod("a", 1)], continue_token="a")
    reflector.next(0)
    reflector.list_failed(0, ListWatchError.EXPIRED)
    assert reflector.next(0) == List(ANY_VERSION, 0)
    reflector.listed(0, 9, [pod("b", 2)])
    assert told.lists == [[pod("b", 2)]]
    assert reflector.last_sync_resource_version == 9


def test_a_given_page_size_always_counts() -> None:
    reflector, _ = watching(10, page_size=30)
    reflector.watch_failed(0, ListWatchError.OTHER)
    assert reflector.next(rests(reflector, 0)) == List(10, 30)


def test_backoff_grows_to_a_minute_and_starts_over_after_two_idle_minutes() -> None:
    reflector, _ = started(draw=0.0)
    now, waits = 0, []
    for _ in range(8):
        assert isinstance(reflector.next(now), List)
        reflector.list_failed(now, ListWatchError.OTHER)
        waits.append(rests(reflector, now))
        now += waits[-1]
    assert [wait / SECOND for wait in waits] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]
    reflector.next(now)
    now += 2 * MINUTE - waits[-1] + 1
    reflector.list_failed(now, ListWatchError.OTHER)
    assert rests(reflector, now) == 800 * MILLISECOND


def test_from_0_36_the_backoff_starts_over_every_two_minutes_even_if_busy() -> None:
    reflector, _ = started(replace(ReflectorSettings.of((0, 36)), watch_list=False), draw=0.0)
    now, waits = 0, []
    for _ in range(12):
        reflector.next(now)
        reflector.list_failed(now, ListWatchError.OTHER)
        waits.append(rests(reflector, now))
        now += waits[-1]
    assert [wait / SECOND for wait in waits] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30, 0.8, 1.6, 3.2]


def test_up_to_0_27_the_watch_has_a_backoff_of_its_own() -> None:
    for settings_, expected in ((ReflectorSettings.of((0, 27)), 800), (ReflectorSettings.of((0, 28)), 1600)):
        reflector, _ = started(settings_, draw=0.0)
        reflector.next(0)
        reflector.list_failed(0, ListWatchError.OTHER)
        now = rests(reflector, 0)
        reflector.next(now)
        reflector.listed(now, 1, [])
        reflector.next(now)
        reflector.watch_failed(now, ListWatchError.CONNECTION_REFUSED)
        assert rests(reflector, now) == expected * MILLISECOND


def test_a_stream_is_told_all_at_once_and_goes_on_as_a_watch() -> None:
    reflector, told = streaming()
    reflector.event(0, ADDED, pod("a", 5), 5)
    reflector.event(0, ADDED, pod("b", 3), 3)
    reflector.event(0, MODIFIED, pod("b", 6), 6)
    reflector.event(0, ADDED, pod("c", 7), 7)
    reflector.event(0, DELETED, pod("c", 8), 8)
    reflector.bookmark(0, 8)  # an ordinary one ends nothing
    assert not told.lists
    assert reflector.last_sync_resource_version is None
    reflector.bookmark(5 * SECOND, 9, initial_events_end=True)
    assert told.lists == [[pod("a", 5), pod("b", 6)]]
    assert reflector.last_sync_resource_version == 9
    assert reflector.next(5 * SECOND) is None
    reflector.event(5 * SECOND, ADDED, pod("d", 10), 10)
    assert told.events == [(ADDED, pod("d", 10))]


def test_a_stream_that_ends_right_after_its_bookmark_is_a_very_short_watch() -> None:
    reflector, _ = streaming()
    reflector.bookmark(5 * SECOND, 9, initial_events_end=True)
    reflector.watch_closed(6 * SECOND - 1)
    assert isinstance(reflector.next(6 * SECOND - 1), Sleep)
    assert reflector.next(10 * SECOND) == OpenWatch(9, 450, True, True)


def test_a_stream_that_ends_early_starts_over_without_a_rest() -> None:
    reflector, told = streaming()
    reflector.event(0, ADDED, pod("a", 5), 5)
    reflector.watch_closed(0)
    assert reflector.next(0) == OpenWatch(MOST_RECENT, 450, True, True)
    reflector.watch_opened(0)
    reflector.bookmark(0, 9, initial_events_end=True)
    assert told.lists == [[]]  # nothing of the first attempt is left


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("error", list(ListWatchError))
def test_what_becomes_of_a_stream_that_fails(error: ListWatchError, opened: bool) -> None:
    reflector, _ = started(STREAMING)
    reflector.next(0)
    if opened:
        reflector.watch_opened(0)
    reflector.watch_failed(0, error)
    match error:
        case ListWatchError.CONNECTION_REFUSED | ListWatchError.TOO_MANY_REQUESTS:
            assert reflector.next(rests(reflector, 0)) == OpenWatch(MOST_RECENT, 450, True, True)
        case ListWatchError.EXPIRED | ListWatchError.GONE | ListWatchError.TOO_LARGE_RESOURCE_VERSION:
            assert reflector.next(0) == OpenWatch(MOST_RECENT, 450, True, True)
        case _:
            assert reflector.next(0) == List(ANY_VERSION, 500)


def test_a_restreamed_version_that_is_gone_gives_way_to_the_most_recent() -> None:
    reflector, _ = streaming()
    reflector.bookmark(0, 9, initial_events_end=True)
    reflector.watch_failed(0, ListWatchError.OTHER)
    now = rests(reflector, 0)
    assert reflector.next(now) == OpenWatch(9, 450, True, True)
    reflector.watch_opened(now)
    reflector.watch_failed(now, ListWatchError.TOO_LARGE_RESOURCE_VERSION)
    assert reflector.next(now) == OpenWatch(MOST_RECENT, 450, True, True)
    reflector.watch_opened(now)
    reflector.watch_failed(now, ListWatchError.INTERNAL)
    assert reflector.next(now) == List(MOST_RECENT, 500)


def test_up_to_0_28_only_invalid_makes_a_stream_fall_back_to_a_list() -> None:
    for error, expected in ((ListWatchError.INVALID, List), (ListWatchError.INTERNAL, Sleep)):
        reflector, _ = streaming(OLD_STREAMING)
        reflector.watch_failed(0, error)
        assert isinstance(reflector.next(0), expected)


def test_a_list_after_a_failed_stream_is_followed_by_a_plain_watch_and_then_by_streams_again() -> None:
    reflector, _ = streaming()
    reflector.watch_failed(0, ListWatchError.INVALID)
    reflector.next(0)
    reflector.listed(0, 4, [])
    assert reflector.next(0) == OpenWatch(4, 450)
    reflector.watch_failed(0, ListWatchError.OTHER)
    assert reflector.next(rests(reflector, 0)) == OpenWatch(4, 450, True, True)


@pytest.mark.parametrize(("release", "streams"), [((0, 27), False), ((0, 34), False), ((0, 35), True), ((0, 37), True)])
def test_streams_are_the_default_from_0_35(release: tuple[int, int], streams: bool) -> None:
    reflector, _ = started(ReflectorSettings.of(release))
    assert isinstance(reflector.next(0), OpenWatch if streams else List)


def test_the_resync_timer_starts_anew_with_each_list_and_stops_with_the_watch() -> None:
    reflector, _ = started(PLAIN.resyncing(MINUTE))
    reflector.next(0)
    assert reflector.next_resync is None
    reflector.listed(5, 1, [])
    assert reflector.next_resync == 5 + MINUTE
    reflector.next(5)
    reflector.watch_opened(5)
    reflector.resync_fired(5 + MINUTE)
    assert reflector.next_resync == 5 + 2 * MINUTE
    reflector.watch_closed(6 + MINUTE)  # opened again: the timer goes on
    assert reflector.next_resync == 5 + 2 * MINUTE
    reflector.next(6 + MINUTE)
    reflector.watch_failed(6 + MINUTE, ListWatchError.EXPIRED)
    assert reflector.next_resync is None


def test_answers_that_nobody_asked_for_are_refused() -> None:
    reflector, _ = started()
    calls: list[Callable[[], None]] = [
        lambda: reflector.listed(0, 1, []),
        lambda: reflector.list_failed(0, ListWatchError.OTHER),
        lambda: reflector.watch_opened(0),
        lambda: reflector.event(0, ADDED, pod("a", 1), 1),
        lambda: reflector.bookmark(0, 1),
        lambda: reflector.watch_closed(0),
        lambda: reflector.watch_failed(0, ListWatchError.OTHER),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not expected while LIST: only while"):
            call()


# Whatever breaks: a server with a real history, a network that fails, and the reflector between them.


class Server:
    """Objects, their history, and a watcher at most; what it answers may be refused."""

    def __init__(self) -> None:
        self.objects: dict[str, ApiObject] = {}
        self.revision = 1
        self.history: WatchHistory[tuple[EventType, ApiObject]] = WatchHistory()
        self.history.replaced(1)

    def write(self, now: int, name: str, delete: bool) -> tuple[EventType, ApiObject] | None:
        if delete and name not in self.objects:
            return None
        self.revision += 1
        kind = DELETED if delete else MODIFIED if name in self.objects else ADDED
        item = pod(name, self.revision)
        if delete:
            del self.objects[name]
        else:
            self.objects[name] = item
        self.history.add(now, self.revision, (kind, item))
        return kind, item

    def forget(self) -> None:
        """Restart of the API server: its cache is filled anew."""
        self.history.replaced(self.revision)


class Client:
    """A reflector's connection, without any delay: what is asked is answered at once, unless something is broken."""

    def __init__(self, server: Server, reflector: Reflector):
        self.server, self.reflector = server, reflector
        self.open = False
        self.refuse: ListWatchError | None = None

    def act(self, now: int) -> int | None:
        """Do what the reflector wants at `now`; returns when it wants to wake up, None: it waits for events."""
        for _ in range(100):
            action = self.reflector.next(now)
            if isinstance(action, Sleep):
                return action.until
            if action is None:
                return None
            refused, self.refuse = self.refuse, None
            if isinstance(action, List):
                if refused is not None:
                    self.reflector.list_failed(now, refused)
                else:
                    self.reflector.listed(now, self.server.revision, list(self.server.objects.values()))
            elif refused is not None:
                self.reflector.watch_failed(now, refused)
            else:
                self.watch(now, action)
        raise AssertionError("the reflector goes round in circles without a rest")

    def watch(self, now: int, action: OpenWatch) -> None:
        self.reflector.watch_opened(now)
        if action.send_initial_events or not action.resource_version:
            for item in self.server.objects.values():
                self.reflector.event(now, ADDED, item, item.resource_version)
            if action.send_initial_events:
                self.reflector.bookmark(now, self.server.revision, True)
            self.open = True
            return
        events = self.server.history.events_since(action.resource_version)
        if isinstance(events, Expired):
            self.reflector.watch_failed(now, ListWatchError.EXPIRED)
            return
        for kind, item in events:
            self.reflector.event(now, kind, item, item.resource_version)
        self.open = True

    def deliver(self, now: int, event: tuple[EventType, ApiObject]) -> None:
        if self.open:
            self.reflector.event(now, *event, event[1].resource_version)

    def bookmark(self, now: int) -> None:
        if self.open:
            self.reflector.bookmark(now, self.server.revision)

    def end(self, now: int, error: ListWatchError | None) -> None:
        if self.open:
            self.open = False
            if error is None:
                self.reflector.watch_closed(now)
            else:
                self.reflector.watch_failed(now, error)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("write"), st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("pass"), st.integers(0, 5 * MINUTE), st.none()),
        st.tuples(st.just("close"), st.none(), st.none()),
        st.tuples(st.just("break"), st.sampled_from(ListWatchError), st.none()),
        st.tuples(st.just("refuse"), st.sampled_from(ListWatchError), st.none()),
        st.tuples(st.just("bookmark"), st.none(), st.none()),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    max_size=40,
)


def live_through(steps: list[tuple[str, object, object]], make: type[Reflector], config: ReflectorSettings) -> None:
    """Play the steps, heal, wait, and check that the store is the server's state and that nothing was told twice."""
    informer = SharedInformer("real")
    told: list[Notification] = []
    in_list = False

    def heard(notification: Notification) -> None:
        assert in_list or not notification.unchanged, "the watch has told something twice"
        told.append(notification)

    informer.handlers.append(heard)

    class Sink:
        def list(self, objects: Iterable[object]) -> None:
            nonlocal in_list
            in_list = True
            informer.list(objects)
            in_list = False

        def event(self, kind: EventType, item: object) -> None:
            informer.event(kind, item)

    server = Server()
    now = 0
    reflector = make(now, Sink(), Stream(1, "reflector"), config)
    client = Client(server, reflector)
    wakes = client.act(now)
    for step, first, second in steps:
        match step:
            case "write":
                event = server.write(now, str(first), bool(second))
                if event is not None:
                    client.deliver(now, event)
            case "pass":
                assert isinstance(first, int)
                now += first
            case "close":
                client.end(now, None)
            case "break":
                assert isinstance(first, ListWatchError)
                client.end(now, first)
            case "refuse":
                assert isinstance(first, ListWatchError)
                client.refuse = first
            case "bookmark":
                client.bookmark(now)
            case "restart":
                server.forget()
                client.end(now, None)
        wakes = client.act(now)
    client.refuse = None
    until = now + HOUR
    while wakes is not None and now < until:
        now = wakes
        wakes = client.act(now)
    assert {key: informer.store.get_by_key(key) for key in informer.store.list_keys()} == {
        f"ns/{name}": item for name, item in server.objects.items()
    }
    news = [n for n in told if n.type is not DELETED and not n.unchanged]
    versions = [(n.key, n.object.resource_version) for n in news if n.object is not None]
    assert len(versions) == len(set(versions)), "a version was told twice"


@pytest.mark.parametrize("config", [PLAIN, STREAMING, OLD_STREAMING], ids=["list", "stream", "old-stream"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_the_store_finds_back_to_the_server(config: ReflectorSettings, steps: list[tuple[str, object, object]]) -> None:
    live_through(steps, Reflector, config)


class RewatchesFromZero(Reflector):
    def _open(self, now: int) -> OpenWatch:
        return super()._open(now)._replace(resource_version=0)


class RewatchesAfter410(Reflector):
    def _broken(self, now: int, error: ListWatchError) -> None:
        if error is ListWatchError.EXPIRED:
            self.watch_closed(now + HOUR)  # as if it had ended well
        else:
            super()._broken(now, error)


class ForgetsEvents(Reflector):
    def event(self, now: int, kind: EventType, item: object, resource_version: int) -> None:
        before = self.last_sync_resource_version
        super().event(now, kind, item, resource_version)
        self.last_sync_resource_version = before


class TrustsBookmarksAhead(Reflector):
    def bookmark(self, now: int, resource_version: int, initial_events_end: bool = False) -> None:
        super().bookmark(now, resource_version, initial_events_end)
        if self.last_sync_resource_version is not None:
            self.last_sync_resource_version += 1


BREAKS: list[tuple[str, object, object]] = [
    ("write", "a", False), ("write", "b", False), ("bookmark", None, None), ("pass", 2 * SECOND, None), ("close", None, None),
    ("write", "c", False), ("break", ListWatchError.TOO_MANY_REQUESTS, None), ("write", "a", True), ("pass", MINUTE, None),
    ("write", "b", False), ("refuse", ListWatchError.CONNECTION_REFUSED, None), ("close", None, None), ("write", "c", True),
    ("restart", None, None), ("write", "b", False), ("pass", MINUTE, None), ("pass", MINUTE, None),
    ("pass", MINUTE, None), ("bookmark", None, None), ("pass", MINUTE, None),
    ("refuse", ListWatchError.CONNECTION_REFUSED, None), ("close", None, None), ("write", "a", False), ("pass", MINUTE, None),
]  # fmt: skip


def test_the_script_of_the_wrong_variants_is_sound() -> None:
    live_through(BREAKS, Reflector, PLAIN)


@pytest.mark.parametrize("wrong", [RewatchesFromZero, RewatchesAfter410, ForgetsEvents, TrustsBookmarksAhead])
def test_wrong_variants_are_caught(wrong: type[Reflector]) -> None:
    with pytest.raises(AssertionError):
        live_through(BREAKS, wrong, PLAIN)
