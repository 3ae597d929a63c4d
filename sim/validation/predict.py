"""The same load in the simulator, and the figures that the real run gave.

Two runs, because a closed loop's volume is itself a prediction. The first lasts as long as the measurement: rates, latencies,
fsyncs, commits. The second stops after as many requests as were measured: bytes and counts, which would otherwise only repeat the
error of the rate. An open loop sends the same requests at the same times on both sides, and needs no second run; a load whose
requests fail on purpose (a quota, a pause) has none either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sim.assembly import World, build
from sim.errors import InputError
from sim.metrics.recorder import Recorder
from sim.result import Run
from sim.scenario import Scenario
from sim.scenario.load_test import LoadTest
from sim.scenario.model import from_dict
from sim.summary import summarise
from sim.units import SECOND
from sim.validation import records
from sim.validation.inputs import Inputs
from sim.validation.measure import SETTLES
from sim.validation.records import Records
from sim.validation.simulated_load import OBJECT, UNLIMITED, SimulatedLoad

_STEP: Final = SECOND // 4
MACHINE: Final = "here"
FLAGS: Final = {
    "snapshot-count": ("snapshot_count", int), "backend-batch-limit": ("batch_limit", int),
    "backend-batch-interval": ("batch_interval", str), "max-request-bytes": ("max_request", int),
}  # fmt: skip
"""Flags of etcd that are fields of a scenario: which, and how they are read."""


@dataclass(slots=True)
class Predicted:
    """figures: by name, as in `Measured`. run: the run that lasted as long as the measurement; records: its requests."""

    figures: dict[str, float | None]
    run: Run
    records: Records


def scenario(version: str, load: LoadTest, inputs: Inputs, changes: Mapping[str, Any]) -> Scenario:
    """etcd alone, as it was started: no API server, no compaction but the load's own. changes: path to value, as `--set` has it."""
    profile = inputs.disk.model_dump(mode="json", exclude_none=True)
    names = [chr(ord("a") + number) for number in range(load.members)]
    etcd: dict[str, Any] = {
        "version": version,
        "members": {name: {"machine": MACHINE} for name in names},
        "network": {"rtt": inputs.peer_rtt / SECOND, "jitter": inputs.peer_jitter / SECOND},
        "compaction": {"by": "never"},
    }
    for flag in load.flags:
        name, _, value = flag.removeprefix("--").partition("=")
        if name in FLAGS:
            field, read = FLAGS[name]
            try:
                etcd[field] = read(value)
            except ValueError:
                raise InputError(f'{load.name}: flags: "{flag}" is not what etcd takes') from None
    faults: dict[str, Any] = {}
    if load.pause is not None:
        whom = "leader" if load.pause.who == "leader" else f"members.{names[-1]}"
        faults["pause"] = {
            "kind": "pause", "target": whom, "at": load.pause.at_seconds, "for": load.pause.for_seconds
        }
    if load.quota_bytes:
        etcd["quota"] = load.quota_bytes
    declared = {
        "name": load.name, "horizon": load.seconds, "apiservers": {}, "etcd": etcd, "faults": faults,
        "machines": {
            MACHINE: {"cores": inputs.cores, "disks": {"disk": {"profile": profile}}}
        },
        "objects": {OBJECT: {"key_bytes": load.key_bytes, "value_bytes": load.value_bytes}},
    }  # fmt: skip
    made = from_dict(declared)
    return made.with_({**inputs.fields(load), **changes})


def unsimulated(load: LoadTest) -> list[str]:
    """Its flags that a scenario has no field for: they act on the real etcd only."""
    return [flag for flag in load.flags if flag.removeprefix("--").partition("=")[0] not in FLAGS]


def predict(version: str, load: LoadTest, inputs: Inputs, seed: int, requests: int, changes: Mapping[str, Any]) -> Predicted:
    """Simulate a load. requests: how many were measured; the bytes are predicted for so many (0: for those of
    the first run)."""
    declared = scenario(version, load, inputs, changes)
    world, sent = begin(declared, load, inputs, seed)
    horizon = round((load.seconds + load.timeout_seconds) * SECOND)
    recorder = Recorder(world, horizon)
    world.env.process(recorder.watch())
    _advance(world, sent, load, horizon)
    end = world.env._now + round(SETTLES * SECOND)
    world.env.advance(end)
    recorder.observe(end)
    run = summarise(recorder, load.name, seed, 0.0)
    counted = world
    if requests and load.clients and not load.quota_bytes and load.pause is None:
        counted, again = begin(declared, load, inputs, seed, requests)
        _advance(counted, again, load, 1000 * horizon)
        counted.env.advance(counted.env._now + round(SETTLES * SECOND))
    found = sent.records
    figures = records.figures(found, load) | _counts(counted)
    fsyncs = run.metrics["etcd.wal_fsyncs"]
    figures |= {
        "etcd.wal_fsyncs": fsyncs,
        "etcd.writes_per_batch": world.leader.entries / fsyncs if fsyncs else None,
        "etcd.compaction_seconds.mean": run.distributions["etcd.compaction_seconds"].mean,
        "etcd.leader_changes": run.metrics.get("etcd.leader_changes", 0.0),
    }
    if sent.gone_after is not None:
        figures["etcd.leases_gone_after_seconds"] = sent.gone_after / SECOND
    return Predicted(figures, run, found)


def begin(declared: Scenario, load: LoadTest, inputs: Inputs, seed: int, budget: int = UNLIMITED) -> tuple[World, SimulatedLoad]:
    """A world with its load, ready to run."""
    world = build(declared, seed)
    sent = SimulatedLoad(world, load, inputs, seed, budget)
    sent.preload()
    return world, sent


def _advance(world: World, sent: SimulatedLoad, load: LoadTest, horizon: int) -> None:
    """Run until everything is answered, and the time of the load is over."""
    until = round(load.seconds * SECOND)
    beside = load.lease_count or load.compact_every_seconds
    while world.env._now < horizon and not (sent.idle and (not beside or world.env._now >= until)):
        world.env.advance(min(world.env._now + _STEP, horizon))


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
