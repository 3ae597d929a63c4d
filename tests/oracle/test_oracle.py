"""The fast model and the oracle of `model.py`, fed with the same streams: every request is answered at the same nanosecond.

Compared are all answers with their outcomes, and what each station did and when: entries applied, batches, saves, commits, the
file's size, compactions and lists. CASES is one situation each; MISREAD are those in which the fast model was wrong once, with what
etcd does instead. The last tests break the fast model on purpose and must see it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
from oracle.model import Etcd, Request

from sim import assembly, distributions
from sim.assembly import cluster
from sim.etcd import wal
from sim.etcd.backend import CODES, Backend
from sim.etcd.follower import Follower
from sim.etcd.member import Member
from sim.etcd.request import Op, Outcome, Shape
from sim.hardware import route
from sim.hardware.disk import Disk, SharedLog, Stalls
from sim.journal import Journal
from sim.processes.deadlines import Deadlines
from sim.processes.events import NOTHING, Call, Ghost
from sim.processes.leader import Leader
from sim.scenario import Scenario, from_dict
from sim.streams import Delays, Streams
from sim.units import MICROSECOND, MILLISECOND, Bytes, Nanoseconds

Process = Generator[Any, Any, Any]
Seen = dict[str, Any]
SEED = 3
WAY = 150 * MICROSECOND
KEY: Bytes = 31
VALUE: Bytes = 700


# ---- the two models behind one face: `ask` a request, `list_keys`, run and tell what was `seen`


class Fast:
    """The model of `sim`, as it is assembled for a run."""

    def __init__(self, scenario: Scenario):
        self.world = assembly.build(scenario, SEED)
        self.env = self.world.env
        self._shapes: dict[Bytes, Shape] = {}
        self._costs, self._per_kib = scenario.etcd.costs, scenario.etcd.costs.apply_per_kib
        self.lists_come = self.world.backend.lists_come
        self._answers: list[tuple[Nanoseconds, Nanoseconds, str, int]] = []
        self._lists: list[tuple[Nanoseconds, Nanoseconds]] = []

    def ask(self, op: str, key: Any = None, expected: int = 0, value: Bytes = VALUE) -> Process:
        call = Call(self.env, self.world.leader.propose, 0)
        call.key, call.expected = key, expected
        call.op = Op[op.upper()]
        if op == "compact":
            call.shape, call.data = NOTHING, wal.proposal(wal.compaction(expected))
        else:
            shape = call.shape = self._shape(value)
            call.data = {"put": shape.put_data, "update": shape.update_data(expected), "delete": shape.delete_data(expected)}[op]
        yield call.send(WAY, WAY)
        return call.outcome.name, call.revision

    def _shape(self, value: Bytes) -> Shape:
        if value not in self._shapes:
            self._shapes[value] = Shape("edited", KEY, value, apply_ns=value * self._per_kib // 1024)
        return self._shapes[value]

    def list_keys(self, keys: int) -> Process:
        backend, began = self.world.backend, self.env._now
        begins = backend.reads_from(began)
        walked = begins + keys * self._costs.index_key
        ends = walked + keys * self._costs.read_key
        backend.reads(begins, walked, ends, 0)
        yield self.env.timeout(ends - began)
        self._lists.append((self.env._now, self.env._now - began))

    def run(self, until: Nanoseconds) -> Seen:
        answer, answers = Call.answer, self._answers

        def noted(call: Call, now: Nanoseconds, at: Nanoseconds) -> None:
            answers.append((call.arrives, at, call.outcome.name, call.revision))
            answer(call, now, at)

        with patch.object(Call, "answer", noted):
            self.env.run(until=until)
        world, backend, leader = self.world, self.world.backend, self.world.leader
        backend.advance(until - 1)

        def rows(journal: Journal) -> list[tuple[int, ...]]:
            return [row for row in zip(journal.times, *journal.columns, strict=True) if row[0] < until]

        return {
            "requests": sorted(_told(row) for row in answers if row[1] < until),
            "entries": [(*row[:3], Outcome(row[3] % CODES).name) for row in rows(backend.applied)],
            "batches": leader.batches,
            "saves": rows(leader.saves),
            "bytes": leader.log.written,
            "follower saves": {
                name: rows(member.saves) for name, member in world.members.items() if name != leader.member.name
            },
            "commits": rows(backend.commits),
            "database": rows(backend.database),
            "removed": rows(backend.removed),
            "turns": rows(backend.turns),
            "compactions": rows(backend.compactions),
            "lists": self._lists,
            "latencies": sorted(world.client_latencies.take().tolist()),
        }


class Plain:
    """The oracle."""

    def __init__(self, scenario: Scenario):
        self.etcd = Etcd(scenario, SEED)
        self.env = self.etcd.env
        self.list_keys = self.etcd.list_keys
        self.lists_come = lambda: None  # it never looks ahead

    def ask(self, op: str, key: Any = None, expected: int = 0, value: Bytes = VALUE) -> Process:
        sizes = (0, 0) if op == "compact" else (KEY, value)
        request = Request(self.env, op, key, *sizes, expected=expected)
        yield from self.etcd.ask(request, WAY, WAY)
        return request.outcome, request.revision

    def run(self, until: Nanoseconds) -> Seen:
        self.env.run(until=until)
        etcd = self.etcd
        answered = [(r.arrives, r.answered, r.outcome, r.revision) for r in etcd.requests if r.outcome]
        return {
            "requests": sorted(_told(row) for row in answered),
            "entries": etcd.entries,
            "batches": etcd.batches,
            "saves": etcd.wal.syncs,
            "bytes": etcd.log.written,
            "follower saves": {name: follower.disk.syncs for name, follower in etcd.followers.items()},
            "commits": etcd.commits,
            "database": etcd.database,
            "removed": etcd.removed,
            "turns": etcd.turns,
            "compactions": etcd.compactions,
            "lists": etcd.lists,
            "latencies": sorted(etcd.client_latencies),
        }


def _told(row: tuple[Nanoseconds, Nanoseconds, str, int]) -> tuple[Nanoseconds, Nanoseconds, str, int]:
    """What the caller learns: a revision only from an entry that was applied in time, and not from a compaction."""
    arrived, answered, outcome, revision = row
    return arrived, answered, outcome, revision if outcome in ("CREATED", "UPDATED", "DELETED", "CONFLICT") else 0


def differences(fast: Seen, plain: Seen) -> list[str]:
    """A line for each kind of thing that is not the same: how many differ, and the first."""
    found = []
    for what, expected in plain.items():
        got = fast[what]
        if got == expected:
            continue
        if not isinstance(expected, list):
            found.append(f"{what}: {got} instead of {expected}")
            continue
        differing = [pair for pair in zip(got, expected, strict=False) if pair[0] != pair[1]]
        first = f", first {differing[0][0]} instead of {differing[0][1]}" if differing else ""
        found.append(f"{what}: {len(got)} instead of {len(expected)}, {len(differing)} differ{first}")
    return found


# ---- traffic that a scenario cannot declare: named keys, compactions, lists


Side = Fast | Plain
Traffic = Callable[[Side], list[Process]]


def nothing(_side: Side) -> list[Process]:
    return []


@dataclass
class Editors:
    """Clients that update, overwrite and delete the same few keys, and one that compacts to what they last saw.

    think: mean, ns. compact_every: ns between a compaction's answer and the next. behind: revisions that it keeps.
    """

    count: int = 8
    keys: int = 40
    think: Nanoseconds = 2 * MILLISECOND
    compact_every: Nanoseconds = 0
    behind: int = 0
    lists: tuple[tuple[Nanoseconds, int], ...] = ()

    def __call__(self, side: Side) -> list[Process]:
        self.last = self.last_deleted = 1
        processes = [self._edit(side, number) for number in range(self.count)]
        if self.compact_every:
            processes.append(self._compact(side))
        if self.lists:
            side.lists_come()
        return processes + [self._list(side, at, keys) for at, keys in self.lists]

    def _edit(self, side: Side, number: int) -> Process:
        stream = Streams(SEED)(f"editor.{number}", 64)
        think = Delays(Streams(SEED)(f"editor.{number}.think"), distributions.exponential(self.think), 64).draw
        known: dict[int, int] = {}
        while True:
            yield side.env.timeout(think())
            key, choice = int(stream.uniform() * self.keys), stream.uniform()
            op = "put" if choice < 0.2 else "delete" if choice < 0.4 else "update"
            outcome, revision = yield from side.ask(op, key, 0 if op == "put" else known.get(key, 0), VALUE + 100 * (key % 7))
            if outcome in ("CREATED", "UPDATED", "DELETED"):
                self.last = max(self.last, revision)
            if outcome == "DELETED":
                self.last_deleted = revision
            if outcome in ("CREATED", "UPDATED", "CONFLICT", "DELETED"):
                known[key] = 0 if outcome == "DELETED" else revision

    def _compact(self, side: Side) -> Process:
        """To the newest revision seen, to a deletion, to one that may be compacted already; in turn."""
        number = 0
        while True:
            yield side.env.timeout(self.compact_every)
            number += 1
            revision = (self.last, self.last_deleted, self.last // 2)[number % 3] - self.behind
            yield from side.ask("compact", expected=max(1, revision))

    @staticmethod
    def _list(side: Side, at: Nanoseconds, keys: int) -> Process:
        yield side.env.timeout(at)
        yield from side.list_keys(keys)


@dataclass(frozen=True)
class Case:
    """A scenario, what else happens in it, and what must be seen in it to be worth its name: so many answers, these outcomes."""

    scenario: Scenario
    traffic: Traffic = nothing
    answers: int = 1500
    outcomes: tuple[str, ...] = ("CREATED",)

    def run(self, side: type[Side]) -> Seen:
        model = side(self.scenario)
        for process in self.traffic(model):
            model.env.process(process)
        return model.run(self.scenario.horizon)


QUICK = {"fdatasync": {"mean": "700us", "sd": "240us"}, "bandwidth": "110MB/s"}
SLOW = {"fdatasync": {"median": "2ms", "p99": "9ms"}, "backend_fdatasync": {"median": "9ms", "p99": "40ms"}, "bandwidth": "30MB/s"}
NARROW = {"fdatasync": {"median": "1ms", "p99": "6ms"}, "bandwidth": "8MB/s"}
WIDE = {**QUICK, "bandwidth": "8GB/s"}
TWO_DISKS = {"cores": "off", "disks": {"log": {"profile": QUICK}, "data": {"profile": SLOW}}}
EXPONENTIAL = {"quantiles": {0: "0s", 0.5: "700us", 0.9: "2300us", 0.99: "4600us", 1: "9ms"}}


def case(
    horizon: str, clients: int, think: Any = EXPONENTIAL, members: int = 3, traffic: Traffic = nothing, answers: int = 1500,
    disk: Any = QUICK, faults: Any = (), value: str = "1KiB", outcomes: str = "CREATED", batch: int = 100, pause: str = "10ms",
    apart: bool = False, **etcd: Any,
) -> Case:  # fmt: skip
    place = {"machine": "two", "wal": "log", "backend": "data"} if apart else {}
    described = {
        "horizon": horizon,
        "etcd": {
            "members": {name: {"disk": disk, "machine": "any"} | place for name in "abcde"[:members]},
            "compaction": {"by": "never", "batch": batch, "pause": pause},
            **etcd,
        },
        "machines": {"any": {"cores": "off"}, "two": TWO_DISKS},  # who gets a core is tested by theory (tests/theory/test_cpu.py)
        "apiservers": {},
        "clients": {"load": {"clients": clients, "think": think, "value_bytes": value}} if clients else {},
        "faults": {f"fault-{number}": {"kind": "disk_stall", **fault} for number, fault in enumerate(faults)},
    }
    return Case(from_dict(described), traffic, answers, tuple(outcomes.split()))


def stall(target: str, at: str, length: str) -> dict[str, str]:
    return {"target": f"members.{target}", "at": at, "for": length}


def pause(member: str, at: str, length: str) -> dict[str, str]:
    return {"kind": "pause", **stall(member, at, length)}


def cut(link: str, at: str, length: str) -> dict[str, str]:
    return {"kind": "partition", "link": link, "at": at, "for": length}


def compacting(every: Nanoseconds, behind: int = 20, lists: tuple[tuple[Nanoseconds, int], ...] = ()) -> Editors:
    return Editors(compact_every=every, behind=behind, lists=lists)


def burst(side: Side) -> list[Process]:
    """Large values: ten at a time, which the timer commits; then 12 MB at once, nothing for 300 ms, and one more at a time."""

    def put(at: Nanoseconds) -> Process:
        yield side.env.timeout(at)
        yield from side.ask("put", at, value=300 * 1024)

    times = [170 * turn * MILLISECOND + 500 * number * MICROSECOND for turn in range(5) for number in range(10)]
    times += [900 * MILLISECOND + 200 * number * MICROSECOND for number in range(40)]
    return [put(at) for at in (*times, *(1300 * MILLISECOND + 50 * number * MILLISECOND for number in range(10)))]


def lists_alone(every: Nanoseconds, keys: int) -> Traffic:
    """One list after the other, and nothing else."""

    def again(side: Side) -> Process:
        while True:
            yield side.env.timeout(every)
            yield from side.list_keys(keys)

    def begin(side: Side) -> list[Process]:
        side.lists_come()
        return [again(side)]

    return begin


MS = MILLISECOND
COMPACTION = "CREATED UPDATED DELETED CONFLICT UNCHANGED COMPACTED"
PATIENT = {"heartbeat-interval": "5s", "election-timeout": "30s"}  # nobody stands for election meanwhile
OLD = "3.5.1"  # before commits at deletes, and tombstones at the compaction's revision are removed

CASES = {
    **{f"{n} members, light": case("2500ms", 3, EXPONENTIAL, n) for n in (1, 2, 3, 5)},
    **{f"{n} members, medium": case("800ms", 30, {"median": "4ms", "p99": "20ms"}, n) for n in (1, 3, 4, 5)},
    **{f"{n} members, heavy": case("250ms", 500, "0s", n, answers=3000) for n in (1, 3, 5)},
    **{f"alone, {old}": case("800ms", 30, {"median": "4ms", "p99": "20ms"}, 1, version=old) for old in ("3.4.20", "3.5.4")},
    "alone, 3.5.4, heavy": case("250ms", 500, "0s", 1, answers=3000, version="3.5.4"),
    "alone, 3.5.4, one client": case("2s", 1, "0s", 1, answers=1000, version="3.5.4", segment_size="100kB"),
    "far members": case("2s", 60, "5ms", 5, network={"rtt": "10ms", "jitter": "8ms"}),
    "no jitter": case("1s", 20, network={"rtt": "1ms", "jitter": "0s"}),
    "slow disks": case("3s", 60, disk=SLOW),
    "narrow disks": case("1s", 60, "5ms", 5, disk=NARROW, network={"rtt": "2ms", "jitter": "3ms"}),
    "log and backend apart": case("2s", 30, members=1, apart=True),
    "small batch limit": case("300ms", 100, batch_limit=37),
    "long batch interval": case("2s", 30, "10ms", batch_interval="700ms"),
    "large values": case("1s", 30, "2ms", value="90KiB", answers=500),
    "segments": case("300ms", 200, "0s", segment_size="60kB"),
    "leader stalls": case("2s", 30, faults=[stall("a", "300ms", "600ms"), stall("a", "800ms", "400ms")]),
    "followers stall": case("1200ms", 20, members=5, faults=[stall(n, "400ms", f"{m}00ms") for n, m in ("b3", "c6", "d5")]),
    "a follower pauses": case("1500ms", 20, faults=[pause("b", "300ms", "500ms"), pause("c", "900ms", "300ms")]),
    "both followers pause": case("1500ms", 20, faults=[pause("b", "300ms", "500ms"), pause("c", "400ms", "300ms")]),
    "a link is cut": case("2s", 20, members=5, faults=[cut("a-b", "300ms", "700ms"), cut("a-d", "400ms", "150ms")]),
    "all links are cut": case("2s", 20, faults=[cut("a-b", "300ms", "500ms"), cut("a-c", "310ms", "450ms")]),
    "only the log stalls": case("900ms", 30, faults=[stall("a.wal", "310ms", "300ms")]),
    "the backend stalls": case("1200ms", 30, faults=[stall("a.backend", "310ms", "500ms")]),
    "leader stalls past the timeout": case(
        "12s", 20, "20ms", faults=[stall("a", "1s", "8s")], outcomes="CREATED TIMEOUT", flags=PATIENT
    ),
    "followers stall past the timeout": case(
        "14s", 20, "30ms", faults=[stall("b", "1s", "9s"), stall("c", "2s", "9s")], outcomes="CREATED TIMEOUT", flags=PATIENT
    ),
    "the backend stalls past the timeout": case(
        "12s", 20, "30ms", faults=[stall("a.backend", "1s", "9s")], outcomes="CREATED TIMEOUT", answers=1000, flags=PATIENT
    ),
    "the gap opens": case("1s", 200, "1ms", disk=SLOW, max_gap=60, outcomes="CREATED TOO_MANY_REQUESTS"),
    "quota": case("600ms", 30, quota="1MiB", outcomes="CREATED NO_SPACE"),
    "edited keys": case("2s", 10, "5ms", traffic=Editors(), outcomes="CREATED UPDATED DELETED CONFLICT"),
    "compaction": case("2s", 10, traffic=compacting(70 * MS), outcomes=COMPACTION),
    "compaction, old": case("2s", 10, traffic=compacting(70 * MS), outcomes=COMPACTION, version=OLD),
    "compaction, 3.4": case("1s", 10, traffic=compacting(30 * MS, 0), outcomes=COMPACTION, version="3.4.34"),
    "compaction, a ticker's pauses": case(
        "2s", 10, traffic=compacting(50 * MS), outcomes=COMPACTION, version="3.5.17", disk=SLOW, batch=20, answers=600
    ),
    "compaction, 3.6": case("1s", 10, traffic=compacting(30 * MS, 0), outcomes=COMPACTION, version="3.6.14"),
    "compaction to a deletion": case("1s", 10, traffic=compacting(7 * MS, 0), outcomes=COMPACTION),
    "compaction to a deletion, old": case("1s", 10, traffic=compacting(7 * MS, 0), outcomes=COMPACTION, version=OLD),
    "compactions wait for each other": case(
        "3s", 5, "5ms", traffic=compacting(100 * MS), outcomes=COMPACTION, disk=SLOW, preload={"pod": 5000}, answers=500, batch=500
    ),
    "compaction over many keys": case(
        "2s", 10, traffic=compacting(400 * MS), outcomes=COMPACTION, preload={"pod": 20_000}, batch=1000
    ),
    "compaction in a stall": case("2s", 5, traffic=compacting(70 * MS), faults=[stall("a", "700ms", "400ms")], outcomes=COMPACTION),
    "lists before compactions": case(
        "3s", 3, "5ms", traffic=compacting(300 * MS, lists=((250 * MS, 20_000), (1390 * MS, 30_000))), outcomes="CREATED UNCHANGED"
    ),
}  # fmt: skip

MISREAD = {
    "snapshots": (
        case("800ms", 30, snapshot_count=50),
        "an answer waits for the snapshot's commit; etcd answers as it applies, the snapshot comes after that (server.go applyAll)",
    ),
    "a snapshot waits for a list": (
        case("1s", 10, traffic=compacting(0, lists=((100 * MS + 7, 30_000), (500 * MS + 7, 30_000))), snapshot_count=300),
        "the batch lock is held while the snapshot waits for store.mu; in etcd the timer can commit meanwhile (kvstore.go Commit)",
    ),
    "segments, one client": (
        case("4s", 1, segment_size="20kB", answers=1000),
        "a HardState alone cuts a segment, without an fdatasync; in etcd it waits in the page buffer for the next Save (wal.go)",
    ),
    "compactions and then nothing": (
        case("20s", 0, traffic=Editors(2, think=400 * MS, compact_every=3000 * MS), answers=80),
        "finishedCompact stays pending; in etcd it is put before the unlock that commits the deletes (kvstore_compaction.go)",
    ),
    "compaction and a small batch limit, old": (
        case("1s", 10, traffic=compacting(70 * MS), version=OLD, batch_limit=60),
        "a batch that fills the limit does not commit; in etcd every unlock looks at it (batch_tx.go Unlock)",
    ),
    "a list begins while a compaction is queued": (
        case("1s", 10, traffic=compacting(100 * MS, lists=tuple((7 * n * MS + 123, 900) for n in range(1, 140)))),
        "waits for the lists of the hand-over; in etcd for those that run when the applier gets to it (kvstore.go Compact)",
    ),
    "a list walks the index while entries are queued": (
        case("600ms", 60, "2ms", traffic=lists_alone(every=3 * MS, keys=2_000)),
        "only entries that are handed over later wait for the walk; in etcd all that put after it began (index.go Put)",
    ),
    "lists while a compaction walks the index": (
        case(
            "1s", 40, "2ms", 1, compacting(150 * MS, lists=tuple((11 * n * MS, 1_500) for n in range(1, 80))),
            outcomes="CREATED UNCHANGED", preload={"pod": 10_000}, batch=1000, apart=True,
        ),
        "the walk takes no lock; in etcd puts take turns with it, and it stands still while lists walk (index.go Compact)",
    ),
    "a commit that nobody has looked at fills the quota": (
        case(
            "2s", 0, traffic=burst, answers=100, disk=WIDE, outcomes="CREATED NO_SPACE", quota="20MiB",
            costs={"apply_per_kib": "0s"},
        ),
        "compares with the size before a commit that is due and not replayed yet, and lets one request in",
    ),
    "quota and gap": (
        case("1s", 200, "5ms", disk=SLOW, max_gap=60, quota="1500KiB", outcomes="CREATED NO_SPACE TOO_MANY_REQUESTS"),
        "asks for the gap first; in etcd the quota is looked at before that, in the gRPC layer (v3rpc/quota.go)",
    ),
}  # fmt: skip


@cache
def expected(name: str) -> Seen:
    chosen = CASES[name] if name in CASES else MISREAD[name][0]
    return chosen.run(Plain)


def compare(chosen: Case, plain: Seen) -> None:
    assert len(plain["requests"]) >= chosen.answers
    assert {outcome for _, _, outcome, _ in plain["requests"]} >= set(chosen.outcomes)
    found = differences(chosen.run(Fast), plain)
    if found:
        pytest.fail("\n".join(line[:300] for line in found), pytrace=False)


@pytest.mark.parametrize("name", CASES)
def test_every_request_is_answered_at_the_same_nanosecond(name: str) -> None:
    compare(CASES[name], expected(name))


@pytest.mark.parametrize("name", MISREAD)
def test_what_the_fast_model_once_misread(name: str) -> None:
    compare(MISREAD[name][0], expected(name))


def anything(seed: int) -> Case:
    """A case that nobody thought of."""
    any_of = random.Random(seed)
    pick = any_of.choice
    members = pick([1, 2, 3, 3, 4, 5])
    horizon = pick([200, 500, 900])
    targets = [name + part for name in "abcde"[:members] for part in ("", ".wal", ".backend")]
    return case(
        f"{horizon}ms", pick([1, 5, 30, 200]), pick([EXPONENTIAL, "3ms", {"median": "600us", "p99": "50ms"}]), members,
        Editors(pick([1, 4, 12]), pick([3, 40, 300]), any_of.randrange(1, 20) * MS, pick([0, 20, 200]) * MS, pick([0, 10, 100])),
        1, pick([QUICK, SLOW, {"fdatasync": {"median": "300us", "p99": "20ms"}, "bandwidth": pick(["5MB/s", "333MB/s"])}]),
        [stall(pick(targets), f"{any_of.randrange(horizon)}ms", f"{any_of.randrange(1, 800)}ms") for _ in range(pick([0, 1, 3]))],
        pick(["10B", "1KiB", "9KiB"]), "", pick([7, 100, 1000]), pick(["10ms", "1ms"]),
        version=pick(["3.4.29", "3.4.34", "3.5.1", "3.5.15", "3.5.17", "3.5.33", "3.6.0"]), snapshot_count=100_000,
        batch_limit=pick([10_000, 10_000, 400]), batch_interval=pick(["100ms", "5ms", "33ms", "500ms"]),
        max_gap=pick([5000, 300]), request_timeout=pick(["7s", "100ms", "20ms"]), quota=pick(["off", "2GiB", "4MiB"]),
        network={"rtt": pick(["1us", "400us", "9ms"]), "jitter": pick(["0s", "100us", "10ms"])},
        preload={"pod": pick([0, 500, 3000])},
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_a_case_that_nobody_thought_of(seed: int) -> None:
    chosen = anything(seed)
    compare(chosen, chosen.run(Plain))


# ---- mutations: each is a mistake that one could make


def each_message_has_its_own_save(patched: pytest.MonkeyPatch) -> None:
    def append(self: Follower, sent: Nanoseconds, size: Bytes, messages: int) -> Nanoseconds:
        there, fdatasync, back = self._draws()
        self._save_ends = max(sent + there, self._save_ends) + fdatasync + int(size * self._ns_per_byte)
        return int(self._save_ends + back)

    patched.setattr(Follower, "append", append)


def nobody_pays_for_who_joins_a_save(patched: pytest.MonkeyPatch) -> None:
    join = Follower._join
    patched.setattr(Follower, "_join", lambda self, write, full: join(self, 0, full))


def what_was_said_of_a_joined_save_stands(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Leader, "_postpone", lambda self: self._postponed.clear())


def followers_cut_for_nothing(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Follower, "_cut", lambda self: self._save_ends)


def acknowledgements_overtake(patched: pytest.MonkeyPatch) -> None:
    append = Follower.append

    def overtaking(self: Follower, sent: Nanoseconds, size: Bytes, messages: int) -> Nanoseconds:
        self._last_ack = 0
        return append(self, sent, size, messages)

    patched.setattr(Follower, "append", overtaking)


def all_but_one_are_a_quorum(patched: pytest.MonkeyPatch) -> None:
    init = Leader.__init__

    def greedy(self: Leader, *arguments: Any) -> None:
        init(self, *arguments)
        self._quorum_ack = max(0, len(self._followers) - 1)

    patched.setattr(Leader, "__init__", greedy)


def the_timer_does_not_wait_for_its_commit(patched: pytest.MonkeyPatch) -> None:
    timer = Backend._timer

    def punctual(self: Backend, asks: Nanoseconds) -> None:
        due = self._commit_due + self._rules.batch_interval
        timer(self, asks)
        self._commit_due = min(self._commit_due, max(due, asks + 1))

    patched.setattr(Backend, "_timer", punctual)


def one_fdatasync_a_commit(patched: pytest.MonkeyPatch) -> None:
    sync = Disk.sync

    def half(self: Disk, at: Nanoseconds, size: Bytes) -> Nanoseconds:
        return at if size == 4096 else sync(self, at, size)

    patched.setattr(Disk, "sync", half)


def log_and_backend_have_a_device_each(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(SharedLog, "sync", Disk.sync)


def the_log_does_not_let_the_backend_catch_up(patched: pytest.MonkeyPatch) -> None:
    sync = SharedLog.sync

    def blind(self: SharedLog, at: Nanoseconds, size: Bytes) -> Nanoseconds:
        self.catch_up = lambda _: None
        return sync(self, at, size)

    patched.setattr(SharedLog, "sync", blind)


def a_stall_spares_what_is_in_progress(patched: pytest.MonkeyPatch) -> None:
    finish = Stalls.finish

    def spared(self: Stalls, at: Nanoseconds, end: Nanoseconds) -> Nanoseconds:
        return finish(self, at, end) if self.next_start(at) <= at else end

    patched.setattr(Stalls, "finish", spared)


def messages_pass_as_soon_as_a_cut_is_healed(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(route, "back_at", lambda cut, until: until)


def a_paused_member_reads_at_once(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Member, "stop", lambda self, stops: None)


def a_timeout_withdraws_the_proposal(patched: pytest.MonkeyPatch) -> None:
    expire = Deadlines._expire

    def forget(self: Deadlines, alarm: Any) -> None:
        expire(self, alarm)
        inbox = self._waiting()[-2]
        inbox[:] = [entry for entry in inbox if not isinstance(entry, Ghost)]

    patched.setattr(Deadlines, "_expire", forget)


def lists_hold_up_nothing(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Backend, "reads", lambda self, begins, walked, ends, reader: None)


def the_applier_looks_ahead_of_lists(patched: pytest.MonkeyPatch) -> None:
    hand_over = Backend.hand_over
    patched.setattr(Backend, "hand_over", lambda self, now, entries, handed, past: hand_over(self, now, entries, handed, True))


def a_compaction_walks_beside_everybody(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Backend, "_postpone_walk", lambda self, since, until: None)


def tombstones_go_at_once(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(cluster, "_since", lambda release, patch_of_3_4, patch_of_3_5: patch_of_3_5 != 16)


def every_compaction_sleeps(patched: pytest.MonkeyPatch) -> None:
    init = Backend.__init__

    def sleeping(self: Backend, *arguments: Any) -> None:
        init(self, *arguments)
        self._rules = replace(self._rules, pause_ticks=False)

    patched.setattr(Backend, "__init__", sleeping)


def the_file_grows_for_nothing(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(cluster, "_since", lambda release, patch_of_3_4, patch_of_3_5: patch_of_3_5 != 8)


def deletes_do_not_commit(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(cluster, "_since", lambda release, patch_of_3_4, patch_of_3_5: patch_of_3_5 != 12)


@pytest.mark.parametrize(
    ("mutation", "name"),
    [
        (each_message_has_its_own_save, "far members"),
        (nobody_pays_for_who_joins_a_save, "narrow disks"),
        (what_was_said_of_a_joined_save_stands, "narrow disks"),
        (followers_cut_for_nothing, "segments"),
        (acknowledgements_overtake, "far members"),
        (all_but_one_are_a_quorum, "5 members, medium"),
        (the_timer_does_not_wait_for_its_commit, "slow disks"),
        (one_fdatasync_a_commit, "1 members, medium"),
        (log_and_backend_have_a_device_each, "slow disks"),
        (the_log_does_not_let_the_backend_catch_up, "3 members, light"),
        (a_stall_spares_what_is_in_progress, "only the log stalls"),
        (messages_pass_as_soon_as_a_cut_is_healed, "a link is cut"),
        (a_paused_member_reads_at_once, "both followers pause"),
        (a_timeout_withdraws_the_proposal, "leader stalls past the timeout"),
        (lists_hold_up_nothing, "lists before compactions"),
        (the_applier_looks_ahead_of_lists, "a list walks the index while entries are queued"),
        (the_applier_looks_ahead_of_lists, "a list begins while a compaction is queued"),
        (a_compaction_walks_beside_everybody, "lists while a compaction walks the index"),
        (tombstones_go_at_once, "compaction to a deletion"),
        (every_compaction_sleeps, "compaction, a ticker's pauses"),
        (the_file_grows_for_nothing, "1 members, medium"),
        (deletes_do_not_commit, "compaction"),
    ],
)
def test_a_mistake_is_found_out(mutation: Callable[[pytest.MonkeyPatch], None], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = expected(name)
    mutation(monkeypatch)
    assert differences((CASES[name] if name in CASES else MISREAD[name][0]).run(Fast), plain)
