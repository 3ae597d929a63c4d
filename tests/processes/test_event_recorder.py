"""The running event recorder: what it sends when, what it does with an answer, and how long Events live in etcd.

The decisions themselves are compared with client-go elsewhere (data/golden/events.recorder).
"""

from __future__ import annotations

import pytest

from sim.apiserver.lease_manager import LeaseManager
from sim.apiserver.objects import Content, ObjectKey, Version
from sim.apiserver.storage import Step, attempt
from sim.clientgo.correlator import Event
from sim.clientgo.recorder import EventBroadcaster
from sim.etcd.backend import Backend
from sim.etcd.bbolt import Pages
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import Op, Outcome, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.hardware.disk import Disk, Stalls
from sim.processes.event_recorder import COUNT, EventRecorder
from sim.processes.events import Call, Clock
from sim.units import MICROSECOND, MILLISECOND, MINUTE, SECOND

HOUR = 60 * MINUTE
LATENCY = 5 * MILLISECOND
OK = Outcome.CREATED


def event(message="failed", name="pod-0", namespace="default"):
    return Event("controller", "Pod", namespace, name, "Failed", message)


class Server:
    """Answers each write after `LATENCY` with the next of `outcomes`, then with success; remembers what it was asked for."""

    def __init__(self, env: Clock, *outcomes: Outcome):
        self.env, self.outcomes = env, list(outcomes)
        self.asked: list[tuple] = []
        self.answered = 0

    def create(self, call, shape, key, content, ttl):
        return self._answer(call, ("create", key, content.value(COUNT), ttl))

    def write(self, call, shape, key, write, ttl):
        content = write.change(Content())
        return self._answer(call, ("patch", key, content.value(COUNT), ttl))

    def received(self, call):
        self.answered += 1

    def _answer(self, call, asked):
        self.asked.append((self.env.now, *asked))
        call.callbacks = []
        call.outcome = self.outcomes.pop(0) if self.outcomes else OK
        call.finish(self.env.now + LATENCY)
        return call

    @property
    def requests(self):
        """Milliseconds, verb, count."""
        return [(at // MILLISECOND, verb, count) for at, verb, _, count, _ in self.asked]


class Half:
    def uniform(self):
        return 0.5


class World:
    def __init__(self, *outcomes, **options):
        self.env = Clock()
        self.server = Server(self.env, *outcomes)
        self.shape = Shape("event", 60, 800, leased=True)
        self.recorder = EventRecorder(
            self.env, self.server, Call(self.env, lambda _: None, 0), self.shape, HOUR, "c0",
            EventBroadcaster(stream=Half(), **options),
        )  # fmt: skip

    def at(self, when, *events):
        self.env.advance(when)
        for one in events:
            self.recorder.record(one)

    def run(self, until=10 * MINUTE):
        self.env.advance(until)
        return self.server.requests

    @property
    def counts(self):
        recorder = self.recorder
        return {name: getattr(recorder, name) for name in ("recorded", "dropped", "skipped", "written", "created", "patched")}


def counts(**figures):
    return {"recorded": 0, "dropped": 0, "skipped": 0, "written": 0, "created": 0, "patched": 0} | figures


# ---- what is sent


def test_the_first_is_a_create_and_its_repetitions_are_patches_of_it():
    world = World()
    for second in range(3):
        world.at(second * SECOND, event())
    assert world.run() == [(0, "create", 1), (1000, "patch", 2), (2000, "patch", 3)]
    assert len({key for _, _, key, _, _ in world.server.asked}) == 1
    assert {ttl for *_, ttl in world.server.asked} == {HOUR}
    assert world.counts == counts(recorded=3, written=3, created=1, patched=2)


def test_one_event_after_the_other():
    world = World()
    world.at(0, event("a"), event("b"), event("a"))
    assert world.run() == [(0, "create", 1), (5, "create", 1), (10, "patch", 2)]
    assert world.server.answered == 3


def test_events_of_a_hot_loop_stop_at_the_spam_filter():
    """25 at once, then one in 300 s (float32: the 300th second comes a moment late)."""
    world = World()
    for second in range(601):
        world.at(second * SECOND, event())
    world.run(700 * SECOND)
    assert world.counts == counts(recorded=601, skipped=574, written=27, created=1, patched=26)


def test_objects_are_named_after_what_they_are_about_and_who_wrote_them():
    world = World()
    world.at(0, event(), event("other"), event(namespace="", name="node-3"))
    world.run()
    assert [key for _, _, key, _, _ in world.server.asked] == [
        ObjectKey("event", "default", "pod-0.c0.0"),
        ObjectKey("event", "default", "pod-0.c0.1"),
        ObjectKey("event", "default", "node-3.c0.2"),
    ]


def test_nothing_happens_while_it_is_idle():
    world = World()
    world.at(0, event())
    world.run()
    assert not world.env._queue


# ---- answers


@pytest.mark.parametrize(
    "refused",
    [
        Outcome.CONFLICT, Outcome.NO_SPACE, Outcome.TOO_MANY_REQUESTS, Outcome.LEASE_NOT_FOUND, Outcome.TIMEOUT, Outcome.THROTTLED,
        Outcome.DENIED, Outcome.TOO_LARGE,
    ],
)  # fmt: skip
def test_whatever_the_server_answers_is_final(refused):
    """client-go: any StatusError; a timeout that the server or etcd reports is one too."""
    world = World(refused)
    world.at(0, event("a"), event("b"))
    assert world.run() == [(0, "create", 1), (5, "create", 1)]
    assert (world.recorder.rejected, world.recorder.written) == (1, 1)


def test_without_an_answer_it_is_tried_again_while_the_others_wait():
    world = World(Outcome.UNREACHABLE, Outcome.UNREACHABLE)
    world.at(0, event("a"), event("b"))
    assert world.run() == [(0, "create", 1), (5005, "create", 1), (15010, "create", 1), (15015, "create", 1)]
    assert world.counts == counts(recorded=2, written=2, created=2)


def test_it_gives_up_after_twelve_tries():
    world = World(*[Outcome.UNREACHABLE] * 12)
    world.at(0, event("a"), event("b"))
    requests = world.run()
    assert len(requests) == 13
    assert requests[-1] == (5000 + 10 * 10_000 + 12 * 5, "create", 1)
    assert (world.recorder.given_up, world.recorder.written) == (1, 1)


def test_what_comes_while_it_is_stuck_waits_in_a_queue_that_overflows():
    world = World(Outcome.UNREACHABLE, queue_length=3)
    world.at(0, event("a"))
    world.at(SECOND, *[event(f"m{number}") for number in range(5)])
    world.run()
    assert world.counts == counts(recorded=6, dropped=2, written=4, created=4)


def test_a_patch_of_an_event_that_has_expired_creates_it_at_once():
    world = World(OK, Outcome.NOT_FOUND)
    world.at(0, event())
    world.at(2 * HOUR, event())
    assert world.run(3 * HOUR) == [(0, "create", 1), (7_200_000, "patch", 2), (7_200_005, "create", 2)]
    assert world.counts == counts(recorded=2, written=2, created=2)


def test_a_patch_after_that_is_of_the_new_object():
    world = World(OK, Outcome.NOT_FOUND)
    for hours in (0, 2, 2.1):
        world.at(int(hours * HOUR), event())
    assert world.run(3 * HOUR)[-1][1:] == ("patch", 3)
    assert len({key for _, _, key, _, _ in world.server.asked}) == 1


# ---- the end of the process


def test_what_is_queued_when_the_process_ends_is_lost():
    world = World()
    world.at(0, event("a"), event("b"))
    world.recorder.stop()
    assert world.run() == [(0, "create", 1)]
    assert world.server.answered == 1
    assert not world.env._queue


def test_a_sleep_that_outlives_the_process_ends_in_nothing():
    world = World(Outcome.UNREACHABLE)
    world.at(0, event("a"))
    world.env.advance(SECOND)
    world.recorder.stop()
    assert world.run() == [(0, "create", 1)]
    assert not world.env._queue


def test_after_the_end_nothing_is_recorded():
    world = World()
    world.at(0, event("a"))
    world.recorder.stop()
    world.at(SECOND, event("c"))
    assert world.run() == [(0, "create", 1)]
    assert world.counts == counts(recorded=1)


# ---- Events in etcd: a patch gives them another hour


class Etcd:
    """A sink in front of a backend: the lease manager gives every write its lease, leases are revoked when their time is over."""

    def __init__(self, env: Clock, ttl):
        self.env = env
        self.manager = LeaseManager(ttl, 1, 1)
        self.expires: dict[int, int] = {}
        pages = Pages()
        self.mvcc = Mvcc(pages)
        self.backend = Backend(
            self.mvcc, pages, Disk(lambda: MILLISECOND, 1e12, Stalls()), lambda: 10 * MICROSECOND,
            BackendCosts(0, 0, 0, 0, 0), BackendRules(), [], 1,
        )  # fmt: skip
        self.backend.begin()
        self.versions: dict[ObjectKey, Version] = {}
        self.revoked: list[tuple[int, str]] = []

    def call(self):
        return Call(self.env, lambda _: None, 0)

    def expire(self):
        now = self.env.now
        for lease in [lease for lease, end in self.expires.items() if end <= now]:
            del self.expires[lease]
            self._apply(self.call(), Op.LEASE_REVOKE, lease)
            for key in self.backend.take_revoked(lease):
                del self.versions[key]
                self.revoked.append((now // MINUTE, key.name))

    def _apply(self, call, op, lease=0, expected=0):
        call.op, call.lease, call.expected = op, lease, expected
        if op is Op.LEASE_GRANT:
            call.shape = Shape("nothing", 0, 0)
        self.backend.hand_over(self.env.now, [call])

    def _leased(self, call, op, expected):
        lease = self.manager.lease(self.env.now)
        if lease.granted:
            self._apply(self.call(), Op.LEASE_GRANT, lease.id)
            self.expires[lease.id] = self.env.now + lease.ttl
        self._apply(call, op, lease.id, expected)
        self.versions[call.key] = Version(call.revision, call.content)

    def create(self, call, shape, key, content, ttl):
        call.shape, call.key, call.content = shape, key, content
        self._leased(call, Op.CREATE, 0)
        return self._answer(call)

    def write(self, call, shape, key, write, ttl):
        call.shape, call.key = shape, key
        found = self.versions.get(key, Version(0))
        step, call.content = attempt(write, found, fresh=True)
        if step is Step.PUT:
            self._leased(call, Op.UPDATE, found.revision)
        else:
            call.outcome = Outcome.NOT_FOUND
        return self._answer(call)

    def received(self, call):
        pass

    def _answer(self, call):
        call.callbacks = []
        call.finish(self.env.now + LATENCY)
        return call


def test_an_event_lives_for_an_hour_from_its_last_write():
    env = Clock()
    etcd = Etcd(env, HOUR)
    shape = Shape("event", 60, 800, leased=True)
    recorder = EventRecorder(env, etcd, etcd.call(), shape, HOUR, "c0")
    recorded = {0: ["once", "often"], 30: ["often"], 50: ["often"], 150: ["often"]}  # minute: what
    for minute in range(240):
        env.advance(minute * MINUTE)
        for message in recorded.get(minute, []):
            recorder.record(event(message))
        env.advance(minute * MINUTE + MINUTE // 2)
        etcd.expire()
    # Granted for the hour and the minute for which a lease is shared.
    assert etcd.revoked == [(61, "pod-0.c0.0"), (111, "pod-0.c0.1"), (211, "pod-0.c0.1")]
    assert (recorder.created, recorder.patched) == (3, 2)
    assert etcd.mvcc.keys_live == 0
    assert not etcd.mvcc.named
    assert etcd.backend.live_by_writer == [0]
