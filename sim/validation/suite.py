"""All rounds of all workloads on a real etcd, then the predictions: what `etcdsim validate` prints and saves."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from sim.errors import InputError
from sim.hardware.probe import looks_like_memory
from sim.result import installed_version
from sim.scenario import Scenario
from sim.scenario.device import DeviceProfile, load_profile
from sim.validation.compare import Row, middle_round, rows, summary
from sim.validation.inputs import Inputs, Probes, check_place, machine
from sim.validation.measure import Measured, measure, reads, wait_for_quiet
from sim.validation.predict import Predicted, predict, scenario
from sim.validation.scrape import through
from sim.validation.server import Cluster
from sim.validation.workload import Workload

BUSY: Final = 0.6
"""From this share of a core on, the generator's own waiting stands in the latencies."""
DISTURBED: Final = 0.15
"""From so many cores on that others use, a round is disturbed: of two cores, a neighbour with one costs a third of the rate."""
_READ_SECONDS: Final = 1.0


@dataclass(slots=True)
class Plan:
    """What to measure: an etcd of a version, how many members, which workloads, how long and how often, where its data lie.

    device: a profile instead of a probe; changes: fields of the simulated scenario, path to value. patience: how many seconds to
    wait before each round until nobody else uses the machine; retries: so many disturbed rounds are thrown away and repeated.
    """

    etcd: Path
    version: str
    members: int
    workloads: Sequence[Workload]
    seconds: float
    rounds: int
    place: Path
    device: str | None = None
    seed: int = 1
    patience: float = 0.0
    retries: int = 0
    changes: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse before anything is started what would fail later. Raises InputError."""
        check_place(self.place, self.members)
        self.declared(self.workloads[0])
        if self.device is not None:
            load_profile(self.device)

    def declared(self, workload: Workload) -> Scenario:
        """The simulated scenario with any disk, to look its other fields up. Raises InputError for changes that it refuses."""
        blank = DeviceProfile.model_validate({"fdatasync": "1ms"})
        return scenario(self.version, workload, Inputs([blank] * self.members), self.seconds, self.changes)


@dataclass(slots=True)
class Validation:
    """Everything that came out: inputs, the rounds by workload, predictions, rows."""

    plan: Plan
    machine: dict[str, Any]
    inputs: Inputs
    rounds: dict[str, list[Measured]]
    predictions: dict[str, Predicted]
    rows: list[Row]
    remarks: list[str]

    def plain(self) -> dict[str, Any]:
        """The object that `etcdsim validate --json` prints."""
        return {
            "schema_version": 1,
            "etcd_version": self.plan.version,
            "version": installed_version(),
            "machine": self.machine,
            "members": self.plan.members,
            "seconds": self.plan.seconds,
            "rounds": self.plan.rounds,
            "inputs": self.inputs.plain(),
            "workloads": {name: self._load(found) for name, found in self.rounds.items()},
            "rows": [row.plain() for row in self.rows],
            "summary": summary(self.rows),
        }

    def _load(self, found: Sequence[Measured]) -> dict[str, Any]:
        shares = {who: max(one.shares[who] for one in found) for who in found[0].shares}
        return {
            **asdict(found[0].workload), "requests": [one.load.requests for one in found],
            "failed": sum(one.load.failed for one in found), "most_cores_used": {who: round(v, 3) for who, v in shares.items()},
        }  # fmt: skip

    def save(self, directory: Path) -> None:
        """Write the result, each round with its scrapes, and the device profiles, to a new directory. Raises InputError."""
        partial = directory.with_name(f".{directory.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            (partial / "scrapes").mkdir(parents=True)
            (partial / "validation.json").write_text(_json(self.plain()), encoding="utf-8")
            (partial / "rounds.json").write_text(_json(self._details()), encoding="utf-8")
            for number, disk in enumerate(self.inputs.disks):
                path = partial / f"device-{chr(ord('a') + number)}.yaml"
                path.write_text(_json(disk.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
            for name, found in self.rounds.items():
                for number, one in enumerate(found, 1):
                    for when, text in zip(("before", "after"), one.scrapes, strict=True):
                        (partial / "scrapes" / f"{name}.{number}.{when}.txt").write_text(text, encoding="utf-8")
            partial.rename(directory)
        except OSError as error:
            raise InputError(f"{directory}: {error.strerror}") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _details(self) -> dict[str, Any]:
        """Each round's figures, and etcd's histograms beside the predicted ones in the same buckets."""
        found: dict[str, Any] = {}
        for name, measured in self.rounds.items():
            predicted = self.predictions[name]
            found[name] = {
                "rounds": [
                    {"figures": one.figures, "cores_used": one.shares, "late_starts": one.load.late_starts, "notes": one.notes}
                    for one in measured
                ],
                "histograms": {
                    figure: {
                        "upper_seconds": list(buckets.bounds), "measured": [list(one.buckets[figure].counts) for one in measured],
                        "predicted": list(through(predicted.run.distributions[figure], buckets.bounds).counts),
                    }
                    for figure, buckets in measured[0].buckets.items()
                },
            }  # fmt: skip
        return found


def validate(plan: Plan, tell: Callable[[str], None]) -> Validation:
    """Measure and predict. Rounds are interleaved, so that a disturbance does not fall on one workload. Raises InputError.

    tell: is given a line for people now and then.
    """
    folder = Path(tempfile.mkdtemp(prefix="etcdsim-validate-", dir=plan.place))
    try:
        probes = Probes(plan.place, plan.members, plan.device)
        found: dict[str, list[Measured]] = {workload.name: [] for workload in plan.workloads}
        retries = plan.retries
        for number in range(plan.rounds):
            wait_for_quiet(plan.patience)
            probes.once()
            with Cluster(plan.etcd, plan.members, folder) as cluster:
                probes.read(reads(cluster.leader, _READ_SECONDS, folder))
            for workload in plan.workloads:
                while True:
                    wait_for_quiet(plan.patience)
                    with Cluster(plan.etcd, plan.members, folder) as cluster:
                        one = measure(cluster, workload, plan.seconds, plan.seed + number, folder)
                    others = one.shares["others"]
                    again = others > DISTURBED and retries > 0
                    rate = one.figures["etcd.requests_per_second"]
                    tell(
                        f"round {number + 1}/{plan.rounds} {workload.name}: {rate:,.0f} requests/s, others used {others:.2f} cores"
                        + ("; again" if again else "")
                    )
                    if not again:
                        break
                    retries -= 1
                found[workload.name].append(one)
        inputs = probes.inputs(plan.declared(plan.workloads[0]).etcd.costs.request, plan.changes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    predictions: dict[str, Predicted] = {}
    all_rows: list[Row] = []
    for workload in plan.workloads:
        tell(f"simulating {workload.name}")
        rounds = found[workload.name]
        chosen = middle_round(rounds)
        seed = plan.seed + rounds.index(chosen)
        predictions[workload.name] = predict(
            plan.version, workload, inputs, plan.seconds, seed, chosen.load.requests, plan.changes
        )
        all_rows += rows(rounds, predictions[workload.name])
    return Validation(plan, machine(), inputs, found, predictions, all_rows, _remarks(found, inputs))


def _remarks(found: dict[str, list[Measured]], inputs: Inputs) -> list[str]:
    """What makes a figure worth less than it looks."""
    said = []
    if looks_like_memory({"fdatasync": {"quantiles": {0.5: _time(inputs.disks[0], 0.5)}}}):
        said.append("the disk answers as memory does; figures of a real disk will differ")
    for name, rounds in found.items():
        share = max(one.shares["generator"] for one in rounds)
        if share > BUSY:
            said.append(f"{name}: the generator used {share:.0%} of a core; its latencies are partly its own")
        said += [f"{name}, round {number}: {note}" for number, one in enumerate(rounds, 1) for note in one.notes]
    others = max((one.shares["others"] for rounds in found.values() for one in rounds), default=0.0)
    if others > DISTURBED:
        said.append(f"others used up to {others:.2f} cores of this machine meanwhile; repeat it on an idle one")
    return said


def _time(disk: DeviceProfile, q: float) -> str:
    """A quantile of a disk's fdatasync, as text with its unit."""
    import numpy as np

    from sim.assembly import table
    from sim.streams import PROBABILITIES
    from sim.units import format_duration

    return format_duration(round(float(np.interp(q, PROBABILITIES, table(disk.fdatasync))) // 100) * 100)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
