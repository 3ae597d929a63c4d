"""A measurement: every round of every load on a real etcd, and what the machine shows without one. It can be kept in a file.

So a prediction can be made again, of another model or with other fields, without an etcd and without an idle machine.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from sim import data
from sim.errors import InputError
from sim.result import installed_version
from sim.scenario.device import DeviceProfile
from sim.scenario.load_test import LoadTest
from sim.validation.inputs import SPARSE_RATE, Inputs, Probes, check_place, machine
from sim.validation.measure import Measured, measure, reads, wait_for_quiet
from sim.validation.scrape import Buckets
from sim.validation.server import Cluster

DISTURBED: Final = 0.15
"""From so many cores on that others use, a round is disturbed: of two cores, a neighbour with one costs a third of the rate."""
FILE: Final = "measurement.json"
SCHEMA: Final = 1
_BESIDE: Final = 5.0
"""Seconds that a round takes beside its load: a cluster that starts and ends, processes, a rest."""
_PRELOADED_PER_SECOND: Final = 12_000


@dataclass(slots=True)
class Plan:
    """What to measure: an etcd of a version, the loads to predict, those to fit to, how often, where etcd's data lie.

    patience: how many seconds to wait before each round until nobody else uses the machine; retries: so many disturbed rounds are
    thrown away and repeated.
    """

    etcd: Path
    version: str
    loads: Sequence[LoadTest]
    probes: Sequence[LoadTest]
    rounds: int
    place: Path
    seed: int = 1
    patience: float = 0.0
    retries: int = 0

    def check(self) -> None:
        """Refuse before anything is started what would fail later. Raises InputError."""
        check_place(self.place, max(load.members for load in self.loads))
        names = [load.name for load in (*self.probes, *self.loads)]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f'two workloads are called "{name}"; give one another name')

    @property
    def members(self) -> list[int]:
        """Sizes of the clusters, rising."""
        return sorted({load.members for load in self.loads})

    @property
    def used_probes(self) -> list[LoadTest]:
        """The probes of clusters of these sizes."""
        return [load for load in self.probes if load.members in self.members]

    @property
    def seconds(self) -> float:
        """How long the measurements take, about."""
        once = sum(load.seconds + _BESIDE + load.preload / _PRELOADED_PER_SECOND for load in (*self.used_probes, *self.loads))
        return self.rounds * once


@dataclass(slots=True)
class Measurement:
    """version: etcd's; machine: what it ran on; seed: the first round's; inputs: by number of members, nothing fitted yet;
    probes, loads: rounds by name, of what is fitted to and of what is predicted."""

    version: str
    machine: dict[str, Any]
    seed: int
    inputs: dict[int, Inputs]
    probes: dict[str, list[Measured]]
    loads: dict[str, list[Measured]]
    made_by: str = field(default_factory=installed_version)

    @property
    def rounds(self) -> dict[str, list[Measured]]:
        """All of them, probes first."""
        return {**self.probes, **self.loads}

    def only(self, names: Sequence[str]) -> Measurement:
        """The part of it that predicts these loads. Raises InputError."""
        for name in names:
            if name not in self.loads:
                raise InputError(f'--workload: "{name}" was not measured; one of {", ".join(self.loads)}')
        loads = {name: self.loads[name] for name in dict.fromkeys(names)}
        sizes = {rounds[0].load.members for rounds in loads.values()}
        probes = {name: rounds for name, rounds in self.probes.items() if rounds[0].load.members in sizes}
        inputs = {members: one for members, one in self.inputs.items() if members in sizes}
        return Measurement(self.version, self.machine, self.seed, inputs, probes, loads, self.made_by)

    def plain(self) -> dict[str, Any]:
        """As JSON has it; floats come back as they were."""
        return {
            "schema_version": SCHEMA, "etcd_version": self.version, "version": self.made_by, "machine": self.machine,
            "seed": self.seed, "inputs": {str(members): _plain_inputs(one) for members, one in self.inputs.items()},
            **{
                part: {name: [_plain_round(one) for one in rounds] for name, rounds in found.items()}
                for part, found in (("probes", self.probes), ("loads", self.loads))
            },
        }  # fmt: skip


def take(plan: Plan, tell: Callable[[str], None]) -> Measurement:
    """Measure. Rounds are interleaved, so that a disturbance does not fall on one load. Raises InputError.

    tell: is given a line for people now and then.
    """
    folder = Path(tempfile.mkdtemp(prefix="etcdsim-validate-", dir=plan.place))
    probes, retries = Probes(plan.place), plan.retries
    found = Measurement(
        plan.version, machine(), plan.seed, {}, {load.name: [] for load in plan.used_probes}, {load.name: [] for load in plan.loads}
    )
    try:
        for number in range(plan.rounds):
            wait_for_quiet(plan.patience)
            probes.once()
            for members in plan.members:
                with Cluster(plan.etcd, members, folder) as cluster:
                    probes.read(members, reads(cluster, folder), reads(cluster, folder, SPARSE_RATE))
            for load in (*plan.used_probes, *plan.loads):
                while True:
                    wait_for_quiet(plan.patience)
                    with Cluster(plan.etcd, load.members, folder, flags=flags(load)) as cluster:
                        one = measure(cluster, load, load.seed + plan.seed - 1 + number, folder)
                    again = one.shares["others"] > DISTURBED and retries > 0
                    tell(_line(f"round {number + 1}/{plan.rounds} {load.name}", one) + ("; again" if again else ""))
                    if not again:
                        break
                    retries -= 1
                found.rounds[load.name].append(one)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found.inputs = {members: probes.inputs(members) for members in plan.members}
    return found


def flags(load: LoadTest) -> list[str]:
    """What etcd is started with for a load."""
    return [*load.flags, *([f"--quota-backend-bytes={load.quota_bytes}"] if load.quota_bytes else [])]


def _line(what: str, one: Measured) -> str:
    rate = one.figures["etcd.requests_per_second"]
    return f"{what}: {rate:,.0f} requests/s, generator {one.shares['generator']:.2f} cores, others {one.shares['others']:.2f}"


# ---- its file


def read(called: str) -> Measurement:
    """A measurement from its file, from a directory that `etcdsim validate -o` made, or a committed one by its name.

    Raises InputError.
    """
    path = Path(called)
    if not path.exists() and path.name == called:
        path = data.folder("validation") / "measured" / f"{called}.json"
    if path.is_dir():
        path = path / FILE
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = sorted(one.stem for one in (data.folder("validation") / "measured").glob("*.json"))
        raise InputError(f"--measured: {called}: no such measurement; a file, a directory, or one of {', '.join(known)}") from None
    except OSError as error:
        raise InputError(f"--measured: {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"--measured: {path}: not JSON: {error}") from None
    if not isinstance(plain, dict) or plain.get("schema_version") != SCHEMA or "probes" not in plain:
        raise InputError(f"--measured: {path} is not a measurement of `etcdsim validate`, schema version {SCHEMA}")
    try:
        return Measurement(
            plain["etcd_version"], plain["machine"], plain["seed"],
            {int(members): _read_inputs(one) for members, one in plain["inputs"].items()},
            _read_rounds(plain["probes"]), _read_rounds(plain["loads"]), plain["version"],
        )  # fmt: skip
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"--measured: {path}: {type(error).__name__} in it: {str(error).splitlines()[0]}") from None


def _plain_round(one: Measured) -> dict[str, Any]:
    return {
        "load": {"name": one.load.name, **one.load.model_dump(mode="json", exclude_defaults=True)},
        "requests": one.requests, "failures": one.failures, "figures": one.figures,
        "buckets": {name: asdict(buckets) for name, buckets in one.buckets.items()},
        "shares": one.shares, "log": one.log, "notes": one.notes,
    }  # fmt: skip


def _read_rounds(plain: dict[str, Any]) -> dict[str, list[Measured]]:
    return {name: [_read_round(one) for one in rounds] for name, rounds in plain.items()}


def _read_round(plain: dict[str, Any]) -> Measured:
    buckets = {name: Buckets(tuple(one["bounds"]), tuple(one["counts"]), one["sum"]) for name, one in plain["buckets"].items()}
    load = LoadTest.model_validate(plain["load"])
    more = plain["shares"], plain["log"], plain["notes"]
    return Measured(load, plain["requests"], plain["failures"], plain["figures"], buckets, *more)


def _plain_inputs(one: Inputs) -> dict[str, Any]:
    return {
        "disk": one.disk.model_dump(mode="json", exclude_none=True), "client": one.client, "sparse": one.sparse,
        "peer_rtt": one.peer_rtt, "peer_jitter": one.peer_jitter, "sources": one.sources, "cores": one.cores, "memory": one.memory,
    }  # fmt: skip


def _read_inputs(plain: dict[str, Any]) -> Inputs:
    found = dict(plain)
    for name in ("client", "sparse"):
        found[name] = {float(at): value for at, value in plain[name].items()}
    return Inputs(**{**found, "disk": DeviceProfile.model_validate(plain["disk"])})
