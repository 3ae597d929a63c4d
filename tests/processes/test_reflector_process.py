"""A running informer: whatever happens to its connection, its store finds back to the server, and nothing is told twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from watch_world import APP, OTHER, TO_CLIENT, World, expected, pod, stored

import sim
from sim.apiserver.objects import EventType
from sim.apiserver.watch_history import WatchHistory
from sim.assembly import build
from sim.clientgo.handlers import Notification
from sim.clientgo.reflector import ANY_VERSION, List, Reflector, ReflectorSettings
from sim.processes.cacher import Cacher
from sim.processes.informer import Informer
from sim.processes.reflector import End
from sim.units import HOUR, MILLISECOND, MINUTE, SECOND

PLAIN = ReflectorSettings.of((0, 34))
STREAMING = ReflectorSettings.of((0, 35))
QUIET = 4 * MINUTE
"""Longer than any backoff: after it every informer is back."""


class Witness:
    """Watches an informer: no event twice, none out of order, none before its time."""

    def __init__(self, world: World, informer: Informer):
        self.world, self.informer, self.events = world, informer, 0
        self._reflector_event, informer.mechanism.event = informer.mechanism.event, self.event  # type: ignore[method-assign]

    def event(self, kind: EventType, item) -> None:
        known = self.informer._reflector.last_sync_resource_version
        revision = item.resource_version
        assert known is None or revision > known, f"{revision} after {known}"
        assert self.world.env.now >= self.world.done[revision] + TO_CLIENT
        self.events += 1
        self._reflector_event(kind, item)


def started(world: World, how: ReflectorSettings = PLAIN, **more) -> Informer:
    informer = world.informer(how, **more)
    Witness(world, informer)
    informer.start()
    return informer


# ---- whatever happens

NAMES = [pod(f"a{number}") for number in range(3)] + [pod(f"b{number}", OTHER) for number in range(2)]

changes = st.lists(
    st.tuples(
        st.integers(0, 30_000),  # milliseconds since the one before
        st.integers(1, 30),  # how many at once
        st.sampled_from(NAMES),
        st.booleans(),
    ),
    max_size=30,
)
outages = st.lists(st.tuples(st.integers(1, 200_000), st.integers(1, 100_000)), max_size=3)


def churn(world: World, plan) -> int:
    """Puts and deletions; returns when the last has been."""
    at = 0

    def change(key, count, deletes):
        for ordinal in range(count):
            if deletes and (ordinal + count) % 2 and key in world.objects:
                world.delete(key)
            else:
                world.put(key)

    for gap, count, key, deletes in plan:
        at += gap * MILLISECOND
        world.at(at, lambda key=key, count=count, deletes=deletes: change(key, count, deletes))
    return at


def after_one_another(plan):
    spans, at = [], 0
    for gap, length in plan:
        begins = at + gap * MILLISECOND
        at = begins + length * MILLISECOND
        spans.append((begins, at))
    return spans


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    plan=changes, down=outages, lags=st.lists(st.integers(0, 400), min_size=1, max_size=5),
    applies=st.lists(st.sampled_from([0, 1, 5, 900]), min_size=1, max_size=4), read=st.sampled_from([1, 50, 3_000]),
    release=st.sampled_from([(0, 27), (0, 34), (0, 36)]), streams=st.booleans(), slow=st.sampled_from([0, 5, 60, 300]),
    preloaded=st.integers(0, 5),
)  # fmt: skip
def test_the_store_is_what_the_server_has_once_things_are_quiet(plan, down, lags, applies, read, release, streams, slow, preloaded):
    how = replace(ReflectorSettings.of(release), watch_list=streams)
    drawn, took = iter(lags * 10_000), iter(applies * 10_000)
    world = World(
        after_one_another(down), lag=lambda: next(drawn) * MILLISECOND, apply=lambda: next(took) * MILLISECOND,
        read=read * MILLISECOND,
    )  # fmt: skip
    for key in NAMES[:preloaded]:
        world.preload(key)
    all_pods = started(world, how)
    ours = started(world, how, selector=APP, name="ours", cost=slow * MILLISECOND, fifo="delta")
    last = churn(world, plan)
    world.run(max([last, world.last, *(ends for _, ends in world.server.outages)]) + QUIET)
    assert stored(all_pods) == expected(world)
    assert stored(ours) == expected(world, APP)
    assert world.hub.matching("pod") == 2
    request, _ = world.list(List(ANY_VERSION, 0))
    world.run(world.env.now + 10 * SECOND)
    assert {item.name: item.resource_version for item in request.objects} == expected(world)


# ---- what costs a list, and what does not


@pytest.mark.parametrize("how", [PLAIN, STREAMING])
def test_watches_end_and_are_opened_again_without_a_list(how):
    world = World()
    informer = started(world, how)
    for minute in range(100):
        world.at(minute * MINUTE, lambda: world.put(pod("a")))
    world.run(100 * MINUTE)
    assert informer.lists == 1
    assert 10 <= world.hub.told.closed["timeout"] <= 20
    assert world.hub.told.closed.keys() == {"timeout"}
    assert world.hub.opened == world.hub.told.closed["timeout"] + 1
    assert stored(informer) == expected(world)


@pytest.mark.parametrize("how", [PLAIN, STREAMING])
def test_a_quiet_resource_is_never_listed_again(how):
    world = World()
    world.preload(pod("a"))
    informer = started(world, how)
    world.run(5 * HOUR)
    assert informer.lists == 1
    assert world.hub.expired == 0


@pytest.mark.parametrize("how", [PLAIN, STREAMING])
@pytest.mark.parametrize("length", [20, 100])
def test_an_outage_in_which_something_happened_leads_to_one_list(how, length):
    """Shorter than the window or longer: the cache has started anew and remembers nothing."""
    world = World(outages=[(MINUTE, (60 + length) * SECOND)])
    informer = started(world, how)
    world.at(30 * SECOND, lambda: world.put(pod("a")))
    world.at(70 * SECOND, lambda: world.put(pod("b")))
    world.run(10 * MINUTE)
    assert world.hub.expired == 1
    assert informer.relists == 1
    assert world.hub.relists == 1
    assert world.hub.told.closed["outage"] == 1
    assert stored(informer) == expected(world)


def test_an_outage_in_which_nothing_happened_leads_to_none():
    world = World(outages=[(MINUTE, 2 * MINUTE)])
    informer = started(world)
    world.at(30 * SECOND, lambda: world.put(pod("a")))
    world.run(10 * MINUTE)
    assert informer.relists == 0
    assert world.hub.opened >= 2


def test_who_could_not_come_back_within_the_window_lists_once():
    """The history forgets by number of events: a busy resource, and a client that stays away."""
    world = World(apply=lambda: 0)
    informer = started(world)
    world.run(SECOND)
    away = informer._connection
    world.put(pod("a"))
    world.run(2 * SECOND)
    # The network swallows the client: its stream is cut at the server, and its requests are refused, for two minutes.
    world.server = _Deaf(world.server)
    world.hub.cacher("pod").leave(away)
    away.cut(world.env.now, End("outage"))
    for tick in range(100):
        world.at((3 + tick) * SECOND, lambda: [world.put(pod("a")) for _ in range(2_000)])
    world.run(103 * SECOND)
    world.server = world.server.real
    world.run(10 * MINUTE)
    assert world.hub.expired == 1
    assert informer.relists == 1
    assert stored(informer) == expected(world)


class _Deaf:
    """A server that nobody reaches."""

    def __init__(self, real):
        self.real = real

    def down(self, _at):
        return True

    def __getattr__(self, name):
        return getattr(self.real, name)


def test_a_slow_watcher_comes_back_from_its_last_version():
    world = World(apply=lambda: 0)
    informer = started(world, cost=20 * MILLISECOND)
    for number in range(3_000):
        world.at(SECOND + number * 5 * MILLISECOND, lambda number=number: world.put(pod(f"a{number % 7}")))
    world.run(5 * MINUTE)
    assert world.hub.told.closed["slow"] > 1
    assert informer.relists <= world.hub.told.closed["slow"]
    assert stored(informer) == expected(world)


# ---- the whole model


@pytest.mark.parametrize("stack", ["controller-runtime-0.23", "controller-runtime-0.16"])
def test_informers_of_a_whole_world_know_what_its_server_knows(monkeypatch, stack):
    """Requests, limiters, seats, leases and etcd included; the process ends in the long outage, for it loses its lease."""
    scenario = sim.load("zero-value-leak-small")
    (server, *_), (churning, *_), (controller, *_) = scenario.apiservers, scenario.workloads, scenario.controllers
    down = {"kind": "apiserver_outage", "target": f"apiservers.{server}"}
    scenario = sim.load(
        "zero-value-leak-small",
        {
            f"workloads.{churning}.every": "2s", f"controllers.{controller}.stack": stack,
            "faults.first": {**down, "at": "61s", "for": "3s"}, "faults.second": {**down, "at": "200s", "for": "100s"},
        },
    ).variant("leaking")  # fmt: skip
    lives: list[Informer] = []
    start = Informer.start

    def noted(informer):
        lives.append(informer)
        start(informer)

    monkeypatch.setattr(Informer, "start", noted)
    world = build(scenario, 3)
    world.env.advance(10 * MINUTE)
    (hub,), (gateway,) = world.hubs, world.gateways
    assert len(lives) >= 2
    assert hub.told.closed["outage"] >= 1
    assert hub.matching("pod") == 1
    informer = lives[-1]
    known = {item.name: item.resource_version for item in informer.store.list_objects()}
    now = world.env.now
    behind = 0
    for key, version in gateway.server.cache.of("pod", now):
        if informer._selector <= key.labels:
            behind += known.pop(key.name, None) != version.revision
    assert len(known) + behind <= 2  # what is between cache and client at this instant


# ---- wrong variants are seen


def test_reopening_at_version_0_is_noticed(monkeypatch):
    opened = Reflector._open
    monkeypatch.setattr(Reflector, "_open", lambda self, now: opened(self, now)._replace(resource_version=0))
    world = World()
    world.preload(pod("a"))
    with pytest.raises(AssertionError, match="after"):
        churning(world)


def test_a_history_that_survives_the_outage_is_noticed(monkeypatch):
    """It would give events that the new cache cannot know."""
    monkeypatch.setattr(WatchHistory, "replaced", lambda self, revision: setattr(self, "_listed", self._listed or revision))
    world = World(outages=[(MINUTE, 2 * MINUTE)])
    informer = started(world)
    world.at(30 * SECOND, lambda: world.put(pod("a")))
    world.at(90 * SECOND, lambda: world.put(pod("b")))
    world.run(10 * MINUTE)
    assert informer.relists == 0  # and so the tests above fail


def test_events_that_are_not_dealt_to_who_comes_meanwhile_are_missed(monkeypatch):
    begin = Cacher._begin

    def forgets(self, stream, told, initial):
        pending, self._pending = self._pending, type(self._pending)()
        begin(self, stream, told, initial)
        self._pending = pending

    monkeypatch.setattr(Cacher, "_begin", forgets)
    world = World(lag=lambda: 50 * MILLISECOND)
    informer = churning(world)
    assert stored(informer) != expected(world)


def churning(world: World) -> Informer:
    """One object changes all the time, up to the moment at which its watch is opened again."""
    informer = started(world)
    for tick in range(30_000):
        world.at(tick * 20 * MILLISECOND, lambda: world.put(pod("a")) if world.hub.opened < 2 else None)
    world.run(20 * MINUTE)
    return informer


# ---- its life


@pytest.mark.parametrize("how", [PLAIN, STREAMING])
def test_a_stopped_informer_is_told_nothing(how):
    for when in (0, 1, 2, 3, 4, 5, 8, 500):
        world = World()
        world.preload(pod("a"))
        told: list[Notification] = []
        informer = started(world, how)
        informer.add_handler(told.append)
        world.run(when * MILLISECOND)
        informer.stop()
        before = len(told)
        world.put(pod("a"))
        world.run(HOUR)
        assert len(told) == before
        assert world.hub.matching("pod") == 0
        assert world.requests <= 2


def test_two_lives_one_after_the_other():
    world = World()
    world.preload(pod("a"))
    first = started(world)
    world.run(SECOND)
    first.stop()
    world.put(pod("b"))
    second = started(world)
    second.start()
    world.run(2 * SECOND)
    world.put(pod("c"))
    world.run(3 * SECOND)
    assert stored(second) == expected(world)
    assert "b" not in stored(first)
    assert world.hub.relists == 0


def test_who_waits_for_the_sync_goes_on_at_a_poll():
    world = World()
    for number in range(40_000):
        world.preload(pod(f"a{number}"))
    informer = world.informer(PLAIN)
    went_on = []

    def waits():
        yield world.env.timeout(30 * MILLISECOND)
        yield from informer.wait_for_sync()
        went_on.append(world.env.now)
        yield from informer.wait_for_sync()
        went_on.append(world.env.now)

    world.env.process(waits())
    informer.start()
    world.run(20 * MILLISECOND)
    before = next(world.env._eid)
    world.run(SECOND)
    assert went_on == [230 * MILLISECOND] * 2  # 40,000 objects take 200 ms and a request
    assert next(world.env._eid) - before < 12


def test_a_handler_that_takes_time_makes_keys_late_one_after_the_other():
    world = World()
    told = []
    informer = world.informer(PLAIN)
    listener = informer.add_handler(lambda notification: told.append((world.env.now, notification.key)), lambda: 100 * MILLISECOND)
    at_once = []
    informer.add_handler(lambda notification: at_once.append(world.env.now))
    informer.start()
    world.run(SECOND)
    for name in "abc":
        world.put(pod(name))
    world.run(SECOND + 20 * MILLISECOND)
    assert len(at_once) == 3
    assert listener.queue.backlog(world.env.now) == 2
    world.run(2 * SECOND)
    assert [key for _, key in told] == ["default/a", "default/b", "default/c"]
    assert [at - at_once[0] for at, _ in told] == [100 * MILLISECOND, 200 * MILLISECOND, 300 * MILLISECOND]


def test_a_late_handler_is_told_the_store():
    world = World()
    world.preload(pod("a"))
    informer = started(world)
    world.run(SECOND)
    told = []
    informer.add_handler(told.append)
    assert [notification.key for notification in told] == ["default/a"]
    slow = []
    informer.add_handler(slow.append, lambda: SECOND)
    assert slow == []
    world.run(3 * SECOND)
    assert len(slow) == 1


@pytest.mark.parametrize("how", [PLAIN, STREAMING])
def test_resyncs_come_without_a_request(how):
    world = World()
    world.preload(pod("a"))
    informer = started(world, how, resync=10 * MINUTE)
    told: list[tuple[int, Notification]] = []
    informer.add_handler(lambda notification: told.append((world.env.now, notification)))
    world.run(SECOND)
    requests = world.requests
    assert len(told) == 1
    world.run(35 * MINUTE)
    resyncs = [at for at, notification in told[1:] if notification.unchanged]
    assert len(resyncs) == 3
    assert all(abs(at - (number + 1) * 10 * MINUTE) < SECOND for number, at in enumerate(resyncs))
    assert world.requests - requests <= 7  # watches that were opened again


def test_a_quiet_informer_costs_almost_nothing():
    world = World()
    world.preload(pod("a"))
    started(world)
    world.run(MINUTE)
    before = next(world.env._eid)
    world.run(HOUR + MINUTE)
    assert next(world.env._eid) - before < 60 + 12 * 8  # bookmarks are looked at each minute; a watch lasts 5 to 10
