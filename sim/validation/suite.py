"""All rounds of all loads on a real etcd, the probes' fit, then the predictions: what `etcdsim validate` prints and saves."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sim.errors import InputError
from sim.result import installed_version
from sim.scenario.device import load_profile
from sim.scenario.load_test import LoadTest
from sim.validation.compare import BUSY, Row, middle_round, rows, summary
from sim.validation.fit import Fitted, fit
from sim.validation.inputs import SPARSE_RATE, Inputs, Probes, check_place, machine
from sim.validation.measure import Measured, measure, reads, wait_for_quiet
from sim.validation.predict import Predicted, predict, scenario, unsimulated
from sim.validation.server import Cluster

DISTURBED: Final = 0.15
"""From so many cores on that others use, a round is disturbed: of two cores, a neighbour with one costs a third of the rate."""
_BESIDE: Final = 5.0
"""Seconds that a round takes beside its load: a cluster that starts and ends, processes, a rest."""
_PRELOADED_PER_SECOND: Final = 12_000


@dataclass(slots=True)
class Plan:
    """What to measure: an etcd of a version, the loads to predict, those to fit to, how often, where etcd's data lie.

    changes: fields of the simulated scenario, path to value. patience: how many seconds to wait before each round until nobody
    else uses the machine; retries: so many disturbed rounds are thrown away and repeated.
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
    changes: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse before anything is started what would fail later. Raises InputError."""
        check_place(self.place, max(load.members for load in self.loads))
        names = [load.name for load in (*self.probes, *self.loads)]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f'two workloads are called "{name}"; give one another name')
        blank = Inputs(load_profile("virtual-disk"))
        for load in self.loads:
            scenario(self.version, load, blank, self.changes)

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
class Validation:
    """Everything that came out: inputs and fits by number of members, the rounds by load, predictions, rows."""

    plan: Plan
    machine: dict[str, Any]
    inputs: dict[int, Inputs]
    fits: dict[int, Fitted]
    rounds: dict[str, list[Measured]]
    predictions: dict[str, Predicted]
    rows: list[Row]
    remarks: list[str]

    def plain(self) -> dict[str, Any]:
        """The object that `etcdsim validate --json` prints."""
        held_out = {load.name for load in self.plan.loads}
        return {
            "schema_version": 2,
            "etcd_version": self.plan.version,
            "version": installed_version(),
            "machine": self.machine,
            "rounds": self.plan.rounds,
            "inputs": {str(members): inputs.plain() for members, inputs in self.inputs.items()},
            "fits": {
                str(members): {"knobs": one.knobs, "misfit": one.misfit, "simulations": one.simulations}
                for members, one in self.fits.items()
            },
            "workloads": {name: {"held_out": name in held_out, **_used(found)} for name, found in self.rounds.items()},
            "rows": [row.plain() for row in self.rows],
            "summary": summary(self.rows),
            "remarks": self.remarks,
        }


def _used(found: Sequence[Measured]) -> dict[str, Any]:
    load = found[0].load
    shares = {who: max(one.shares[who] for one in found) for who in found[0].shares}
    failures: dict[str, int] = {}
    for one in found:
        for why, count in one.records.failures.items():
            failures[why] = failures.get(why, 0) + count
    return {
        "load": load.model_dump(mode="json", exclude_defaults=True), "about": load.about,
        "requests": [len(one.records) for one in found], "failures": failures,
        "most_cores_used": {who: round(v, 3) for who, v in shares.items()}, "beside": [one.log for one in found],
    }  # fmt: skip


def validate(plan: Plan, tell: Callable[[str], None]) -> Validation:
    """Measure, fit, predict. Rounds are interleaved, so that a disturbance does not fall on one load. Raises InputError.

    tell: is given a line for people now and then.
    """
    folder = Path(tempfile.mkdtemp(prefix="etcdsim-validate-", dir=plan.place))
    loads = [*plan.used_probes, *plan.loads]
    try:
        probes = Probes(plan.place)
        found: dict[str, list[Measured]] = {load.name: [] for load in loads}
        retries = plan.retries
        for number in range(plan.rounds):
            wait_for_quiet(plan.patience)
            probes.once()
            for members in plan.members:
                with Cluster(plan.etcd, members, folder) as cluster:
                    probes.read(members, reads(cluster, folder), reads(cluster, folder, SPARSE_RATE))
            for load in loads:
                while True:
                    wait_for_quiet(plan.patience)
                    with Cluster(plan.etcd, load.members, folder, flags=flags(load)) as cluster:
                        one = measure(cluster, load, load.seed + plan.seed - 1 + number, folder)
                    again = one.shares["others"] > DISTURBED and retries > 0
                    tell(_line(f"round {number + 1}/{plan.rounds} {load.name}", one) + ("; again" if again else ""))
                    if not again:
                        break
                    retries -= 1
                found[load.name].append(one)
        inputs = {members: probes.inputs(members) for members in plan.members}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    fits: dict[int, Fitted] = {}
    for members in plan.members:
        chosen = {load.name: found[load.name] for load in plan.used_probes if load.members == members}
        if chosen:
            tell(f"fitting to the probe suite, {members} member{'s' if members > 1 else ''}")
            inputs[members], fits[members] = fit(plan.version, chosen, inputs[members], plan.changes)
    predictions: dict[str, Predicted] = {}
    all_rows: list[Row] = []
    held_out = {load.name for load in plan.loads}
    for load in loads:
        tell(f"simulating {load.name}")
        rounds = found[load.name]
        middle = middle_round(rounds)
        seed = load.seed + plan.seed - 1 + rounds.index(middle)
        predictions[load.name] = predict(plan.version, load, inputs[load.members], seed, len(middle.records), plan.changes)
        all_rows += rows(rounds, predictions[load.name], load.name in held_out)
    return Validation(plan, machine(), inputs, fits, found, predictions, all_rows, _remarks(plan, found, inputs))


def flags(load: LoadTest) -> list[str]:
    """What etcd is started with for a load."""
    return [*load.flags, *([f"--quota-backend-bytes={load.quota_bytes}"] if load.quota_bytes else [])]


def _line(what: str, one: Measured) -> str:
    rate = one.figures["etcd.requests_per_second"]
    return f"{what}: {rate:,.0f} requests/s, generator {one.shares['generator']:.2f} cores, others {one.shares['others']:.2f}"


def _remarks(plan: Plan, found: dict[str, list[Measured]], inputs: dict[int, Inputs]) -> list[str]:
    """What makes a figure worth less than it looks."""
    said = []
    if any(one.memory for one in inputs.values()):
        said.append("the disk answers as memory does; figures of a real disk will differ")
    for name, rounds in found.items():
        share = max(one.shares["generator"] for one in rounds)
        if share > BUSY:
            said.append(f"{name}: the generator used {share:.0%} of a core; its latencies are partly its own, and do not count")
        said += [f"{name}, round {number}: {note}" for number, one in enumerate(rounds, 1) for note in one.notes]
    for load in plan.loads:
        said += [f"{load.name}: {flag} acts on the real etcd only; the simulator has no field for it" for flag in unsimulated(load)]
    others = max((one.shares["others"] for rounds in found.values() for one in rounds), default=0.0)
    if others > DISTURBED:
        said.append(f"others used up to {others:.2f} cores of this machine meanwhile; repeat it on an idle one")
    return said
