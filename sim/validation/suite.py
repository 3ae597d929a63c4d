"""The probes' fit, then the predictions of a measurement: what `etcdsim validate` prints and saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.result import installed_version
from sim.scenario.device import load_profile
from sim.scenario.load_test import LoadTest
from sim.validation.compare import BUSY, Row, middle_round, rows, summary
from sim.validation.fit import Fitted, fit
from sim.validation.inputs import Inputs
from sim.validation.measure import Measured
from sim.validation.measurement import DISTURBED, Measurement
from sim.validation.predict import Predicted, predict, scenario, unsimulated


@dataclass(slots=True)
class Validation:
    """Everything that came out: what was measured, inputs and fits by number of members, predictions by load, rows.

    changes: fields of the simulated scenario, path to value.
    """

    measurement: Measurement
    changes: dict[str, Any]
    inputs: dict[int, Inputs]
    fits: dict[int, Fitted]
    predictions: dict[str, Predicted]
    rows: list[Row]
    remarks: list[str]

    @property
    def rounds(self) -> int:
        """How often each load was measured, at most."""
        return max(len(found) for found in self.measurement.rounds.values())

    def plain(self) -> dict[str, Any]:
        """The object that `etcdsim validate --json` prints."""
        measured = self.measurement
        return {
            "schema_version": 2,
            "etcd_version": measured.version,
            "version": installed_version(),
            "machine": measured.machine,
            "rounds": self.rounds,
            "inputs": {str(members): inputs.plain() for members, inputs in self.inputs.items()},
            "fits": {
                str(members): {"knobs": one.knobs, "misfit": one.misfit, "simulations": one.simulations}
                for members, one in self.fits.items()
            },
            "workloads": {
                name: {"held_out": name in measured.loads, **_used(found)} for name, found in measured.rounds.items()
            },
            "rows": [row.plain() for row in self.rows],
            "summary": summary(self.rows),
            "remarks": self.remarks,
        }  # fmt: skip


def _used(found: Sequence[Measured]) -> dict[str, Any]:
    load = found[0].load
    shares = {who: max(one.shares[who] for one in found) for who in found[0].shares}
    failures: dict[str, int] = {}
    for one in found:
        for why, count in one.failures.items():
            failures[why] = failures.get(why, 0) + count
    return {
        "load": load.model_dump(mode="json", exclude_defaults=True), "about": load.about,
        "requests": [one.requests for one in found], "failures": failures,
        "most_cores_used": {who: round(v, 3) for who, v in shares.items()}, "beside": [one.log for one in found],
    }  # fmt: skip


def check(version: str, loads: Sequence[LoadTest], changes: Mapping[str, Any]) -> None:
    """Refuse before anything is measured what cannot be simulated. Raises InputError."""
    blank = Inputs(load_profile("virtual-disk"))
    for load in loads:
        scenario(version, load, blank, changes)


def validate(measured: Measurement, changes: dict[str, Any], tell: Callable[[str], None]) -> Validation:
    """Fit to the probes, predict the loads. Raises InputError.

    tell: is given a line for people now and then.
    """
    inputs, fits = dict(measured.inputs), {}
    for members in inputs:
        chosen = {name: rounds for name, rounds in measured.probes.items() if rounds[0].load.members == members}
        if chosen:
            tell(f"fitting to the probe suite, {members} member{'s' if members > 1 else ''}")
            inputs[members], fits[members] = fit(measured.version, chosen, inputs[members], changes)
    predictions: dict[str, Predicted] = {}
    all_rows: list[Row] = []
    for name, rounds in measured.rounds.items():
        tell(f"simulating {name}")
        load, middle = rounds[0].load, middle_round(rounds)
        seed = load.seed + measured.seed - 1 + rounds.index(middle)
        predictions[name] = predict(measured.version, load, inputs[load.members], seed, middle.requests, changes)
        all_rows += rows(rounds, predictions[name], name in measured.loads)
    return Validation(measured, changes, inputs, fits, predictions, all_rows, _remarks(measured, inputs))


def _remarks(measured: Measurement, inputs: dict[int, Inputs]) -> list[str]:
    """What makes a figure worth less than it looks."""
    said = []
    if any(one.memory for one in inputs.values()):
        said.append("the disk answers as memory does; figures of a real disk will differ")
    for name, rounds in measured.rounds.items():
        share = max(one.shares["generator"] for one in rounds)
        if share > BUSY:
            said.append(f"{name}: the generator used {share:.0%} of a core; its latencies are partly its own, and do not count")
        said += [f"{name}, round {number}: {note}" for number, one in enumerate(rounds, 1) for note in one.notes]
    for name, rounds in measured.loads.items():
        said += [
            f"{name}: {flag} acts on the real etcd only; the simulator has no field for it" for flag in unsimulated(rounds[0].load)
        ]
    others = max((one.shares["others"] for rounds in measured.rounds.values() for one in rounds), default=0.0)
    if others > DISTURBED:
        said.append(f"others used up to {others:.2f} cores of this machine meanwhile; repeat it on an idle one")
    return said
