"""The look-ahead stations against one process per station: the same answer, at the same nanosecond, for every request."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from oracle.processes import Etcd, Request, table
from simpy import Environment

from sim import assembly
from sim.etcd import bbolt, follower, wal
from sim.etcd.request import Op, Outcome, Shape
from sim.processes.events import NOTHING, Call
from sim.scenario import from_dict
from sim.streams import Stream
from sim.units import MILLISECOND, SECOND

KEY, VALUE = 27, 1024
WAY = 100_000
OUTCOMES = {
    Outcome.CREATED: "created", Outcome.UPDATED: "updated", Outcome.UNCHANGED: "unchanged", Outcome.COMPACTED: "compacted",
    Outcome.NO_SPACE: "no_space", Outcome.TOO_MANY_REQUESTS: "too_many_requests", Outcome.TIMEOUT: "timeout",
}  # fmt: skip


@dataclass(frozen=True)
class Load:
    """Clients in a closed loop with a mean think time (ns); share of puts that overwrite; compactions and lists at times."""

    clients: int
    think: int
    until: int
    overwrites: float = 0.0
    compact_every: int = 0
    keep: int = 200
    lists: tuple[tuple[int, int], ...] = ()


class Fast:
    """The model of `sim`."""

    def __init__(self, scenario: Any, seed: int):
        self.world = assembly.build(scenario, seed)
        self.env = self.world.env
        costs = scenario.etcd.costs
        self.shape = Shape("object", KEY, VALUE, apply_ns=VALUE * costs.apply_per_kib // 1024)
        self.shape.create_element = bbolt.element(bbolt.key_value(KEY, VALUE, 1, 1, 1))
        self.world.backend._shapes.append(self.shape)
        self.world.backend._widen()

    def client(self):
        call = Call(self.env, self.world.leader.propose, 0)

        def put(delay, key):
            call.op, call.shape, call.key = (Op.PUT_ONCE if key is None else Op.PUT), self.shape, key
            call.data = self.shape.put_data
            yield call.send(delay + WAY, WAY)
            return OUTCOMES[call.outcome]

        def compact(delay, revision):
            call.op, call.shape, call.key, call.expected = Op.COMPACT, NOTHING, None, revision
            call.data = wal.proposal(wal.compaction(revision))
            yield call.send(delay + WAY, WAY)
            return OUTCOMES[call.outcome]

        return put, compact

    def list_keys(self, keys):
        self.world.backend.advance(self.env.now)
        yield self.env.timeout(self.world.backend.list_keys(self.env.now, keys) - self.env.now)

    def figures(self):
        backend, leader, now = self.world.backend, self.world.leader, self.env.now
        backend.advance(now)
        compactions = backend.compactions.take(now)[1].tolist()
        return {"fsyncs": len(leader.saves.take(now)[0]), "wal": leader.log.written, "compactions": compactions}


class Plain:
    """The oracle."""

    def __init__(self, scenario: Any, seed: int):
        self.env = Environment(0)
        self.etcd = Etcd(self.env, scenario, seed)
        pod = scenario.objects["pod"]
        for count in range(scenario.etcd.preload.get("pod", 0)):
            self.etcd.store.put(None, pod.key_bytes, pod.value_bytes)
            if count % 1000 == 999:
                self.etcd.pages.commit()
        self.etcd.pages.commit()
        self.etcd.pages.commit()
        self.etcd.size = self.etcd.pages.bytes_total
        self.apply_ns = VALUE * scenario.etcd.costs.apply_per_kib // 1024

    def client(self):
        def send(delay, request):
            yield self.env.timeout(delay + WAY)
            request.answered = self.env.event()
            self.etcd.propose(request)
            outcome = yield request.answered
            yield self.env.timeout(WAY)
            return outcome

        def put(delay, key):
            data = wal.proposal(wal.put(KEY, VALUE))
            return (yield from send(delay, Request("put", key, KEY, VALUE, self.apply_ns, data)))

        def compact(delay, revision):
            data = wal.proposal(wal.compaction(revision))
            return (yield from send(delay, Request("compact", None, 0, 0, 0, data, revision)))

        return put, compact

    def list_keys(self, keys):
        yield from self.etcd.list_keys(keys)

    def figures(self):
        return {"fsyncs": self.etcd.fsyncs, "wal": self.etcd.wal_bytes, "compactions": self.etcd.compactions}


def drive(system: Any, load: Load) -> dict[tuple[int, int], tuple[int, int, str]]:
    """The same clients on either system; each draws from its own stream. Returns what each request's client saw."""
    env, answers = system.env, {}

    def client(number):
        put, _ = system.client()
        stream, ordinal = Stream(11, f"client{number}", 256), 0
        while True:
            delay = int(-load.think * math.log(1 - stream.uniform()))
            name = int(stream.uniform() * 50) if stream.uniform() < load.overwrites else None
            sent = env.now
            outcome = yield from put(delay, name)
            answers[number, ordinal] = (sent, env.now, outcome)
            ordinal += 1

    def compactor():
        _, compact = system.client()
        ordinal = 0
        while True:
            ordinal += 1
            sent = env.now
            outcome = yield from compact(load.compact_every, ordinal * load.keep)
            answers[-1, ordinal] = (sent, env.now, outcome)

    def lister(at, keys):
        yield env.timeout(at)
        yield from system.list_keys(keys)
        answers[-2, at] = (at, env.now, "listed")

    for number in range(load.clients):
        env.process(client(number))
    if load.compact_every:
        env.process(compactor())
    for at, keys in load.lists:
        env.process(lister(at, keys))
    env.run(until=load.until)
    return answers


def scenario(members: int = 3, etcd: dict[str, Any] | None = None, **sections: Any):
    return from_dict(
        {
            "horizon": "1m",
            "etcd": {
                "members": {name: {} for name in "abcde"[:members]},
                "quota": "off",
                "compaction": {"by": "never", "batch": 100},
                **(etcd or {}),
            },
            **sections,
        }
    )


SLOW = {"fdatasync": {"median": "2ms", "p99": "9ms"}, "backend_fdatasync": {"median": "6ms", "p99": "30ms"}, "bandwidth": "20MB/s"}
LIGHT = Load(3, MILLISECOND, 3 * SECOND)
MEDIUM = Load(40, 3 * MILLISECOND, 1 * SECOND)
HEAVY = Load(500, 50_000, 400 * MILLISECOND)
CASES = {
    "one member, light": (scenario(1), LIGHT),
    "three members, light": (scenario(3), LIGHT),
    "three members, idle": (scenario(3), Load(2, 400 * MILLISECOND, 200 * SECOND)),
    "three members, medium": (scenario(3), MEDIUM),
    "three members, heavy": (scenario(3), HEAVY),
    "two members": (scenario(2), MEDIUM),
    "five members, heavy": (scenario(5), HEAVY),
    "far followers": (scenario(5, {"network": {"rtt": "8ms", "jitter": "6ms"}}), MEDIUM),
    "slow disks": (scenario(3, {"members": {name: {"disk": SLOW} for name in "abc"}}), Load(60, 5 * MILLISECOND, 4 * SECOND)),
    "commits by count": (scenario(3, {"batch_limit": 20}), HEAVY),
    "snapshots": (scenario(3, {"snapshot_count": 150}), HEAVY),
    "segment cuts": (scenario(3, {"segment_size": 60_000}), HEAVY),
    "leader stalls": (
        scenario(3, faults={"f": {"kind": "disk_stall", "target": "members.a", "at": "300ms", "for": "700ms"}}),
        Load(40, 3 * MILLISECOND, 2 * SECOND),
    ),
    "one follower stalls": (
        scenario(3, faults={"f": {"kind": "disk_stall", "target": "members.b", "at": "300ms", "for": "700ms"}}),
        Load(40, 3 * MILLISECOND, 2 * SECOND),
    ),
    "both followers stall past the timeout": (
        scenario(
            3,
            faults={
                "b": {"kind": "disk_stall", "target": "members.b", "at": "1s", "for": "9s"},
                "c": {"kind": "disk_stall", "target": "members.c", "at": "2s", "for": "9s"},
            },
        ),
        Load(30, 40 * MILLISECOND, 20 * SECOND),
    ),
    "the backend stalls": (
        scenario(3, faults={"f": {"kind": "disk_stall", "target": "members.a.backend", "at": "500ms", "for": "9s"}}),
        Load(30, 20 * MILLISECOND, 14 * SECOND),
    ),
    "the gap opens": (
        scenario(
            3, {"max_gap": 50}, faults={"f": {"kind": "disk_stall", "target": "members.a.backend", "at": "500ms", "for": "2s"}}
        ),
        Load(200, 5 * MILLISECOND, 3 * SECOND),
    ),
    "compaction": (scenario(3), Load(30, 4 * MILLISECOND, 4 * SECOND, overwrites=0.7, compact_every=150 * MILLISECOND)),
    "compaction before commits at deletes": (
        scenario(3, {"version": "3.5.1"}),
        Load(30, 4 * MILLISECOND, 4 * SECOND, overwrites=0.7, compact_every=150 * MILLISECOND),
    ),
    "compaction over many keys": (
        scenario(3, {"preload": {"pod": 5000}}),
        Load(30, 4 * MILLISECOND, 4 * SECOND, overwrites=0.7, compact_every=400 * MILLISECOND, keep=5300),
    ),
    "compactions that wait for each other": (
        scenario(3, {"preload": {"pod": 20_000}, "members": {name: {"disk": SLOW} for name in "abc"}}),
        Load(30, 4 * MILLISECOND, 6 * SECOND, overwrites=0.7, compact_every=100 * MILLISECOND, keep=600),
    ),
    "lists before compactions": (
        scenario(3, {"preload": {"pod": 1000}}),
        Load(
            30, 4 * MILLISECOND, 4 * SECOND, overwrites=0.5, compact_every=300 * MILLISECOND, keep=400,
            lists=((250 * MILLISECOND, 20_000), (700 * MILLISECOND, 3_000), (1400 * MILLISECOND, 100_000)),
        ),
    ),
    "quota": (scenario(3, {"quota": "600kB", "preload": {"pod": 20}}), MEDIUM),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_request_is_answered_at_the_same_nanosecond(name):
    described, load = CASES[name]
    fast, plain = Fast(described, 5), Plain(described, 5)
    ours, theirs = drive(fast, load), drive(plain, load)
    assert len(theirs) > 100
    either = sorted(ours.keys() | theirs.keys())
    differing = [(key, ours.get(key), theirs.get(key)) for key in either if ours.get(key) != theirs.get(key)]
    first = min(differing, key=lambda row: (row[2] or row[1])[1], default=None)
    assert not differing, f"{len(differing)} of {len(theirs)} differ, first {first}"
    assert fast.figures() == plain.figures()


def test_the_cases_meet_what_they_are_for():
    outcomes = set()
    for name in ("both followers stall past the timeout", "the gap opens", "quota", "compaction over many keys"):
        described, load = CASES[name]
        outcomes |= {outcome for _, _, outcome in drive(Plain(described, 5), load).values()}
    assert outcomes >= {"created", "updated", "unchanged", "compacted", "timeout", "too_many_requests", "no_space"}


def test_a_follower_whose_saves_do_not_coalesce_is_found_out(monkeypatch):
    """The mutation: every message has a save of its own. The plain recursion that one would write first."""

    def append(self, sent, size):
        there, fdatasync, back = self._draws()
        self._save_ends = max(sent + there, self._save_ends) + fdatasync
        return self._save_ends + back

    monkeypatch.setattr(follower.Follower, "append", append)
    described, load = CASES["slow disks"]
    assert drive(Fast(described, 5), load) != drive(Plain(described, 5), load)


def test_the_oracle_reads_the_same_laws():
    law = scenario(3).etcd.members["a"].profile.fdatasync
    assert (table(law) == assembly.table(law)).all()
