"""A load in the simulator: raw clients that send what the generator sends, and what happens beside it.

Kinds of requests and keys come from the same sequence, arrivals from the same calendar as in a measurement. What a client adds on
its own machine, the way to etcd and back included, is one draw a request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any, Final

import numpy as np

from sim import distributions
from sim.assembly import World
from sim.etcd import wal
from sim.etcd.request import Op, Outcome, Shape
from sim.processes.events import NOTHING, Call, Clock
from sim.processes.reads import Read
from sim.scenario.load_test import LoadTest
from sim.streams import Delays, Streams
from sim.units import MILLISECOND, SECOND, Nanoseconds
from sim.validation.generator import GAVE_UP
from sim.validation.generator import Records as Rows
from sim.validation.inputs import SPARSE_RATE, Inputs
from sim.validation.records import Records
from sim.validation.workload import AT_ONCE, FIRST_LEASE, Request, Requests, arrivals, leased_key

Process = Generator[Any, Any, None]
OBJECT: Final = "load"
UNLIMITED: Final = 1 << 62
_TOLD: Final = {
    Outcome.NO_SPACE: "RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded",
    Outcome.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED: etcdserver: too many requests",
    Outcome.TOO_LARGE: "INVALID_ARGUMENT: etcdserver: request is too large",
    Outcome.TIMEOUT: "UNAVAILABLE: etcdserver: request timed out",
    Outcome.LEASE_EXISTS: "FAILED_PRECONDITION: etcdserver: lease already exists",
    Outcome.LEASE_NOT_FOUND: "NOT_FOUND: etcdserver: requested lease not found",
}
"""How etcd says what failed."""
ASLEEP_AFTER: Final = SECOND // SPARSE_RATE
"""The longer nothing happens, the deeper whoever serves a request sleeps: evenly up to the gap at which that was probed
(assumed)."""
_STATUS_TAKES: Final = MILLISECOND // 10
"""The compactor asks for the revision first."""


def named(load: LoadTest) -> bool:
    """Whether keys have to be told apart: something is written, deleted or compared again."""
    return any(kind in load.shares for kind in ("put_over", "delete", "txn"))


class SimulatedLoad:
    """The clients of a load in a world. budget: how many requests they may send."""

    def __init__(self, world: World, load: LoadTest, inputs: Inputs, seed: int, budget: int = UNLIMITED):
        self.world, self.load, self._budget = world, load, budget
        self._flying = 0
        self._rows = Rows()
        self._until = round(load.seconds * SECOND) if budget == UNLIMITED else UNLIMITED
        self._writer = world.writers.index("etcd")
        self._shape = world.shapes[OBJECT]
        self._bare = Shape(OBJECT, load.key_bytes, 0)
        costs = world.scenario.etcd.costs
        # An object's own cost of apply is that of a transaction.
        self._shape.request_ns = 0
        self._shape.apply_ns += load.watchers * costs.watch_event - costs.txn_apply
        self._txn_shape = Shape(OBJECT, load.key_bytes, load.value_bytes, False, self._shape.apply_ns + costs.txn_apply, costs.txn)
        self._txn = costs.txn
        self._request = costs.request + load.value_bytes * costs.request_per_kib // 1024
        self._deleted = wal.proposal(wal.delete_range(load.key_bytes))
        streams = Streams(seed)
        self._read_request = costs.request
        self._awake, self._asleep = (
            Delays(
                streams(f"validation.client.{name}"),
                distributions.empirical({at: max(took - costs.request - inputs.sender, 0) for at, took in quantiles.items()}),
            ).draw
            for name, quantiles in (("awake", inputs.client), ("asleep", inputs.sparse))
        )
        self._active: Nanoseconds = 0
        self._sender, self._senders_busy = inputs.sender, [0] * load.generators
        self._core = next(iter(world.members.values())).cpu
        self._uniform = streams("validation.think").uniform
        self._requests = [Requests(load, seed, index, load.generators) for index in range(load.generators)]
        self._expected: dict[int, int] = {}
        self._entrances = world.entrances.of(load.target)
        self.gone_after: Nanoseconds | None = None
        self._named = named(load)
        env = world.env
        if load.rate:
            for index in range(load.generators):
                env.process(self._calendar(env, index, arrivals(load, seed, index, load.generators)))
        for number in range(load.clients or 0):
            env.process(self._closed(env, number))
        if load.compact_every_seconds:
            env.process(self._compactions(env, round(load.compact_every_seconds * SECOND)))
        if load.lease_count:
            env.process(self._leases(env))

    def preload(self) -> None:
        """The keys that exist at the start, before time begins."""
        backend, load = self.world.backend, self.load
        if not load.preload:
            return
        if self._named:
            for number in range(load.preload):
                backend.preload(self._shape, self._writer, 1, number)
                if "txn" in load.shares:
                    self._expected[number] = backend.mvcc.revision
        else:
            backend.preload(self._shape, self._writer, load.preload)
        backend.begin()
        self.world.leader.log.index = load.preload

    @property
    def idle(self) -> bool:
        """Whether everything that was sent is answered, and nothing more is sent."""
        return not self._flying and (self._budget <= 0 or self.world.env._now >= self._until)

    @property
    def records(self) -> Records:
        """What became of the requests."""
        rows = self._rows
        return Records(
            np.array(rows.began, np.int64), np.array(rows.took, np.int64), np.array(rows.kind, np.int8),
            np.array(rows.code, np.int16), list(rows.codes),
        )  # fmt: skip

    # ---- who sends

    def _closed(self, env: Clock, number: int) -> Process:
        load, (call, read) = self.load, self._knock(number)
        requests = self._requests[number % load.generators]
        if load.think_seconds:
            yield env.timeout(round(self._uniform() * load.think_seconds * SECOND))
        while env._now < self._until and self._budget > 0:
            failed = yield from self._once(env, number % load.generators, call, read, next(requests))
            pause = load.error_backoff_seconds if failed else load.think_seconds
            if pause:
                if not failed and load.think == "exponential":
                    pause *= -float(np.log1p(-self._uniform()))
                yield env.timeout(round(pause * SECOND))

    def _calendar(self, env: Clock, index: int, due: list[Nanoseconds]) -> Process:
        requests = self._requests[index]
        for number, at in enumerate(due):
            yield env.timeout(at - env._now)
            env.process(self._once(env, index, *self._knock(number), next(requests)))

    def _call(self) -> Call:
        return Call(self.world.env, self.world.leader.propose, self._writer)

    def _knock(self, number: int) -> tuple[Call, Read]:
        """A write and a read of the client with that number, at the member that its connection leads to."""
        load = self.load
        connection = number // load.generators % max(1, load.connections // load.generators)
        entrance = self._entrances[connection % len(self._entrances)]
        return Call(self.world.env, entrance.propose, self._writer), entrance.reads.call(self._writer)

    def _once(self, env: Clock, sender: int, call: Call, read: Read, request: Request) -> Generator[Any, Any, bool]:
        """One request, from when it was due to when its answer is read; whether it failed."""
        self._budget -= 1
        self._flying += 1
        due, way = env._now, self._way(env._now)
        there, back = way // 2 + self._request, way - way // 2
        if request.kind == "txn":
            there += self._txn
        if request.kind in ("get", "get_serializable", "list"):
            keys = self.world.backend.mvcc.keys_live if request.kind == "list" else 1
            read.walked, read.returned = keys, min(self.load.list_limit or keys, keys)
            read.linearizable = request.kind != "get_serializable"
            yield read.send(way // 2 + self._read_request, back)
            failed = ""
        else:
            self._write(call, request)
            yield call.send(there, back)
            failed = _TOLD.get(call.outcome, "")
            if request.kind == "txn" and not failed:
                self._expected[request.key] = call.revision
        yield from self._sender_reads(env, sender)
        self._active = env._now
        took = env._now - due
        if took > self.load.timeout_seconds * SECOND:
            failed, took = GAVE_UP, round(self.load.timeout_seconds * SECOND)
        self._flying -= 1
        self._rows.add(due, took, request.kind, failed)
        self.world.client_latencies.add(took)
        return bool(failed)

    def _sender_reads(self, env: Clock, number: int) -> Process:
        """Its process takes the answer: one after the other, and on a core of the machine that etcd is on."""
        if not self._sender:
            return
        now, busy, cpu = env._now, self._senders_busy, self._core
        ends = max(now if cpu is None else cpu.run(now, self._sender), max(busy[number], now) + self._sender)
        busy[number] = ends
        yield env.timeout(ends - now)

    def _way(self, now: Nanoseconds) -> Nanoseconds:
        """What a request adds on the client's side: more where nothing has happened for a while, and who serves it is asleep."""
        awake, asleep = self._awake(), self._asleep()
        idle = min(now - self._active, ASLEEP_AFTER)
        self._active = now
        return awake + max(0, asleep - awake) * idle // ASLEEP_AFTER

    def _write(self, call: Call, request: Request) -> None:
        shape = self._shape
        call.outcome, call.lease, call.expected = Outcome.UNCHANGED, 0, 0
        # The two families of keys never meet: numbers of new ones are negative.
        call.key = -1 - request.key if request.new else request.key
        match request.kind:
            case "put_new" if not self._named:
                call.op, call.shape, call.data = Op.PUT_ONCE, shape, shape.put_data
            case "put_new" | "put_over":
                call.op, call.shape, call.data = Op.PUT, shape, shape.put_data
            case "delete":
                call.op, call.shape, call.data = Op.DELETE_ANY, self._bare, self._deleted
            case "txn":
                call.expected = self._expected.get(request.key, 0)
                call.op, call.shape, call.data = Op.UPDATE, self._txn_shape, shape.update_data(call.expected)
            case other:
                raise ValueError(f"{other} is not a write")

    # ---- what happens beside

    def _compactions(self, env: Clock, every: Nanoseconds) -> Process:
        call, until = self._call(), round(self.load.seconds * SECOND)
        number = 0
        while (number := number + 1) * every < until:
            yield env.timeout(number * every - env._now if number * every > env._now else 0)
            revision = self.world.backend.mvcc.revision
            call.op, call.shape, call.expected, call.lease = Op.COMPACT, NOTHING, revision, 0
            call.data = wal.proposal(wal.compaction(revision))
            yield call.send(_STATUS_TAKES, 0)

    def _leases(self, env: Clock) -> Process:
        load = self.load
        yield env.timeout(round(load.lease_at_seconds * SECOND))
        key_bytes = len(leased_key(0))
        shape = Shape(OBJECT, key_bytes, load.value_bytes, apply_ns=self._shape.apply_ns)
        shape.lease = FIRST_LEASE  # its length counts
        ttl = load.lease_ttl or 0
        calls = [self._call() for _ in range(min(AT_ONCE, load.lease_count))]
        waiting: deque[Any] = deque()
        for first in range(1, load.lease_count + 1, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, load.lease_count + 1))
            for step in ("grant", "put"):
                for number, call in zip(numbers, calls, strict=False):
                    lease, way = FIRST_LEASE + number, self._way(env._now)
                    if step == "grant":
                        call.op, call.shape, call.expected, call.lease = Op.LEASE_GRANT, NOTHING, ttl * SECOND, lease
                        call.data = wal.proposal(wal.lease_grant(ttl, lease))
                    else:
                        call.op, call.shape, call.key, call.lease, call.expected = Op.PUT, shape, f"lease {number}", lease, 0
                        call.data = wal.proposal(wal.put(key_bytes, load.value_bytes, lease))
                    waiting.append(call.send(way // 2 + self._request, way - way // 2))
                while waiting:
                    event = waiting.popleft()
                    if event.callbacks is not None:
                        yield event
        granted = env._now
        while env._now < round(load.seconds * SECOND):
            yield env.timeout(50 * MILLISECOND)
            if not self.world.backend.leases_held:
                self.gone_after = env._now - granted
                return
