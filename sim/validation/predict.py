"""The same workload in the simulator: raw clients that send what the generator sends, and the figures that the real run gave.

Two runs, because a closed loop's volume is itself a prediction. The first lasts as long as the measurement: rates, latencies,
fsyncs, commits. The second stops after as many requests as were measured: bytes and counts, which would otherwise only repeat the
error of the rate. An open loop sends the same requests at the same times on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sim import distributions
from sim.assembly import World, build
from sim.etcd import wal
from sim.etcd.request import Op, Outcome, Shape
from sim.metrics.recorder import Recorder
from sim.processes.events import NOTHING, Call, Clock
from sim.result import Run
from sim.scenario import Scenario
from sim.scenario.model import from_dict
from sim.streams import Delays, Streams
from sim.summary import summarise
from sim.units import MILLISECOND, SECOND, Nanoseconds
from sim.validation.inputs import Inputs
from sim.validation.measure import SETTLES
from sim.validation.workload import LEASE_TTL, Workload

Process = Generator[Any, Any, None]
Request = Callable[[Call], None]
"""Makes a call the next request of its client."""
_OBJECT: Final = "load"
_PATIENCE: Final = 10 * SECOND
_UNLIMITED: Final = 1 << 62


@dataclass(slots=True)
class Predicted:
    """figures: by name, as in `Measured`. run: the run that lasted as long as the measurement."""

    figures: dict[str, float | None]
    run: Run


def scenario(version: str, workload: Workload, inputs: Inputs, seconds: float, changes: dict[str, Any]) -> Scenario:
    """etcd alone, as it was started: no API server, no compaction but the load's own. changes: path to value, as `--set` has it."""
    names = [chr(ord("a") + number) for number in range(len(inputs.disks))]
    declared = {
        "name": workload.name,
        "horizon": seconds,
        "apiservers": {},
        "etcd": {
            "version": version,
            "members": {
                name: {"disk": disk.model_dump(mode="json", exclude_none=True)}
                for name, disk in zip(names, inputs.disks, strict=True)
            },
            "network": {"rtt": inputs.peer_rtt / SECOND, "jitter": inputs.peer_jitter / SECOND},
            "compaction": {"by": "never"},
        },
        "objects": {_OBJECT: {"key_bytes": workload.key_bytes, "value_bytes": workload.value_bytes}},
    }  # fmt: skip
    made = from_dict(declared)
    return made.with_(changes) if changes else made


def predict(
    version: str, workload: Workload, inputs: Inputs, seconds: float, seed: int, requests: int, changes: dict[str, Any]
) -> Predicted:
    """Simulate a workload. requests: how many were measured; the bytes are predicted for so many."""
    declared = scenario(version, workload, inputs, seconds, changes)
    until = round(seconds * SECOND)
    horizon = until + _PATIENCE if not workload.rate else until + SECOND
    world = build(declared, seed)
    load = Load(world, workload, inputs, until, seconds, seed, _UNLIMITED)
    recorder = Recorder(world, horizon)
    world.env.process(recorder.watch())
    while world.env._now < horizon and not (world.env._now >= until and load.idle):
        world.env.advance(min(world.env._now + SECOND // 4, horizon))
    end = world.env._now + round(SETTLES * SECOND)
    world.env.advance(end)
    recorder.observe(end)
    run = summarise(recorder, workload.name, seed, 0.0)
    counted = world
    if not workload.rate:
        counted = build(declared, seed)
        again = Load(counted, workload, inputs, _UNLIMITED, seconds, seed, requests)
        while not again.idle:
            counted.env.advance(counted.env._now + SECOND // 4)
        counted.env.advance(counted.env._now + round(SETTLES * SECOND))
    figures = _counts(counted) | {
        "etcd.requests_per_second": load.on_time / seconds,
        "etcd.wal_fsyncs": run.metrics["etcd.wal_fsyncs"],
        "etcd.writes_per_batch": world.leader.entries / (run.metrics["etcd.wal_fsyncs"] or 1),
    }
    latency = run.distributions["etcd.request_seconds"]
    figures["etcd.request_seconds.mean"] = latency.mean
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        figures[f"etcd.request_seconds.{name}"] = latency.quantile(q)
    figures["etcd.compaction_seconds.mean"] = run.distributions["etcd.compaction_seconds"].mean
    return Predicted(figures, run)


def _counts(world: World) -> dict[str, float | None]:
    """What the log and the database hold, everything settled."""
    now, backend, leader = world.env._now, world.backend, world.leader
    backend.advance(now)
    return {
        "etcd.keys_live": backend.mvcc.keys_live,
        "etcd.revision": backend.mvcc.revision,
        "etcd.wal_entries": leader.entries,
        "etcd.wal_entry_bytes": sum(leader.bytes_by_writer),
        "etcd.wal_bytes_written": leader.log.written,
        "etcd.db_bytes_total": backend.database.value_at(now, 0),
        "etcd.db_bytes_in_use": backend.database.value_at(now, 1),
    }


class Load:
    """The clients of a workload in a world. until: when they stop sending, ns; budget: how many requests they may send."""

    def __init__(
        self, world: World, workload: Workload, inputs: Inputs, until: Nanoseconds, seconds: float, seed: int, budget: int
    ):
        self.world, self.workload, self._until, self._budget = world, workload, until, budget
        self.on_time = self.failed = self._flying = 0
        self._writer = world.writers.index("etcd")
        self._shape = world.shapes[_OBJECT]
        costs = world.scenario.etcd.costs
        self._request = costs.request
        self._bare = Shape(_OBJECT, workload.key_bytes, 0)
        self._leased = Shape(_OBJECT, workload.key_bytes, workload.value_bytes, leased=True, apply_ns=self._shape.apply_ns)
        self._leased_put = wal.proposal(wal.put(workload.key_bytes, workload.value_bytes, workload.lease(0)))
        self._deleted = wal.proposal(wal.delete_range(workload.key_bytes))
        self._way = Delays(Streams(seed)("validation.client"), distributions.empirical(inputs.client)).draw
        self._numbers = iter(range(1 << 62))
        self._over = workload.overwritten(seed)
        env = world.env
        if workload.rate:
            env.process(self._calendar(env, workload.arrivals(seconds, seed)))
        else:
            for _ in range(workload.clients):
                env.process(self._closed(env))
        if workload.compact_every:
            env.process(self._compact(env, round(workload.compact_every * SECOND), round(seconds * SECOND)))

    @property
    def idle(self) -> bool:
        """Whether everything that was sent is answered, and nothing more is sent."""
        return not self._flying and (self._budget <= 0 or self.world.env._now >= self._until)

    def _call(self) -> Call:
        return Call(self.world.env, self.world.leader.propose, self._writer)

    def _closed(self, env: Clock) -> Process:
        call, cycle = self._call(), self._cycle()
        while env._now < self._until and self._budget > 0:
            yield from self._once(env, call, next(cycle))

    def _calendar(self, env: Clock, arrivals: list[Nanoseconds]) -> Process:
        for at in arrivals:
            yield env.timeout(at - env._now)
            env.process(self._once(env, self._call(), next(self._cycle())))

    def _once(self, env: Clock, call: Call, request: Request) -> Process:
        """One request, from when it was due to when its answer is read."""
        request(call)
        call.outcome = Outcome.UNCHANGED
        self._budget -= 1
        self._flying += 1
        due, way = env._now, self._way()
        yield call.send(way // 2 + self._request, way - way // 2)
        self._flying -= 1
        self.world.client_latencies.add(env._now - due)
        if call.outcome in (Outcome.NO_SPACE, Outcome.TOO_MANY_REQUESTS, Outcome.TIMEOUT, Outcome.TOO_LARGE):
            self.failed += 1
        elif env._now <= self._until:
            self.on_time += 1

    def _cycle(self) -> Iterator[Request]:
        """What a client sends, over and over: see `sim.validation.workload`."""
        shape = self._shape
        while True:
            match self.workload.op:
                case "put_new":
                    yield self._put_once
                case "put_over":
                    number = next(self._over)
                    yield lambda call, number=number: self._put(call, shape, number)  # type: ignore[misc]
                case "put_delete":
                    number = next(self._numbers)
                    yield lambda call, number=number: self._put(call, shape, number)  # type: ignore[misc]
                    yield self._delete
                case "lease":
                    number = next(self._numbers)
                    lease = self.workload.lease(number)
                    yield lambda call, lease=lease: self._grant(call, lease)  # type: ignore[misc]
                    yield lambda call, number=number: self._put(call, self._leased, number)  # type: ignore[misc]
                    yield self._revoke
                case other:
                    raise ValueError(f"{other} is not simulated")

    def _put_once(self, call: Call) -> None:
        call.op, call.shape, call.data = Op.PUT_ONCE, self._shape, self._shape.put_data

    def _put(self, call: Call, shape: Shape, number: int) -> None:
        call.op, call.shape, call.key = Op.PUT, shape, number
        call.data = self._leased_put if call.lease else shape.put_data

    def _delete(self, call: Call) -> None:
        """Of the key that this client has just put: `revision` is that put's."""
        call.op, call.shape, call.expected, call.data = Op.DELETE, self._bare, call.revision, self._deleted

    def _grant(self, call: Call, lease: int) -> None:
        call.op, call.shape, call.lease, call.expected = Op.LEASE_GRANT, NOTHING, lease, LEASE_TTL * SECOND
        call.data = wal.proposal(wal.lease_grant(LEASE_TTL, lease))

    def _revoke(self, call: Call) -> None:
        call.op, call.shape, call.data = Op.LEASE_REVOKE, NOTHING, wal.proposal(wal.lease_revoke(call.lease))

    def _compact(self, env: Clock, every: Nanoseconds, until: Nanoseconds) -> Process:
        call = self._call()
        while env._now + every < until:
            yield env.timeout(every)
            revision = self.world.backend.mvcc.revision
            call.op, call.shape, call.expected = Op.COMPACT, NOTHING, revision
            call.data = wal.proposal(wal.compaction(revision))
            yield call.send(MILLISECOND // 10, 0)
