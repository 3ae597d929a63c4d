"""CPU costs, and how long a save takes as etcd sees it, from the probe suite: a few loads that are never predicted afterwards.

The disk's own law gives the shape of a save; what etcd waits for is longer, because whoever slept in fdatasync has to get a CPU
again. Costs and scales are knobs, each a factor on its default; they are turned until the simulated probes agree with the measured
ones: damped least squares on the logarithms, with a weak pull to the defaults, which decides what the probes cannot tell apart.
Everything is deterministic: same measurement, same knobs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.assembly import table
from sim.hardware.probe import QUANTILES
from sim.scenario.device import DeviceProfile
from sim.scenario.etcd import Costs
from sim.scenario.load_test import LoadTest
from sim.streams import PROBABILITIES
from sim.units import format_duration
from sim.validation.inputs import Inputs
from sim.validation.measure import Measured
from sim.validation.predict import Predicted, predict

_KNOBS: Final = ("request", "ready", "entry", "apply", "page_write", "save", "commit")
"""save, commit: scales of the disk's law for the log and for the backend file; the others: `etcd.costs` of that name."""
_WEIGHTS: Final = {
    "etcd.requests_per_second": 0.03, "etcd.request_seconds.p50": 0.06, "etcd.request_seconds.p90": 0.12,
    "etcd.request_seconds.p99": 0.3, "etcd.writes_per_batch": 0.1, "etcd.wal_fsync_seconds.mean": 0.1,
    "etcd.backend_commit_seconds.mean": 0.15, "etcd.apply_execution_seconds.mean": 0.2,
}  # fmt: skip
"""How far off each may be before it counts: about what repeats differ by."""
_PULL: Final = 1.0
"""Standard deviation of a knob's logarithm around its default, as the fit believes beforehand."""
_FURTHEST: Final = 3.0
_STEP: Final = 0.2
_ROUNDS: Final = 5
_REQUESTS: Final = 3_000
_SHORTEST: Final = 0.8
"""So many are simulated of each probe, and so many seconds at least."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """knobs: factor by name; misfit: by probe and figure, the simulated value's relative error; simulations: how many it took."""

    knobs: dict[str, float]
    misfit: dict[str, dict[str, float]]
    simulations: int


def fit(
    version: str, probes: Mapping[str, Sequence[Measured]], inputs: Inputs, changes: Mapping[str, Any]
) -> tuple[Inputs, Fitted]:
    """Inputs with fitted costs and disk, and how well they fit. probes: rounds by load, all of the same number of members."""
    wanted = {name: _observed(rounds) for name, rounds in probes.items()}
    loads = {name: _short(rounds[0].load, wanted[name]) for name, rounds in probes.items()}
    count = 0

    def simulated(logs: NDArray[np.float64]) -> dict[str, dict[str, float]]:
        nonlocal count
        count += 1
        turned = turn(inputs, _factors(logs))
        return {name: _figures(predict(version, load, turned, 1, 0, changes)) for name, load in loads.items()}

    def misses(found: dict[str, dict[str, float]]) -> NDArray[np.float64]:
        return np.array(
            [
                math.log(found[name].get(figure, 0.0) / value) / _WEIGHTS[figure] if found[name].get(figure, 0.0) > 0 else 10.0
                for name, figures in wanted.items()
                for figure, value in figures.items()
            ]
        )

    logs, found = _least_squares(simulated, misses)
    misfit = {
        name: {figure: found[name].get(figure, 0.0) / value - 1 for figure, value in figures.items()}
        for name, figures in wanted.items()
    }
    turned = turn(inputs, _factors(logs))
    turned.sources["fitted"] = f"fitted to the probe suite: {', '.join(probes)}"
    turned.sources["disk"] += "; its times scaled to what etcd saw in the probe suite"
    return turned, Fitted(_factors(logs), misfit, count)


def turn(inputs: Inputs, knobs: Mapping[str, float]) -> Inputs:
    """The inputs with each knob's factor on its default."""
    defaults = Costs()
    fitted: dict[str, Any] = {
        f"etcd.costs.{name}": format_duration(round(getattr(defaults, name) * knobs[name]))
        for name in ("request", "ready", "entry", "page_write")
    }
    fitted["etcd.costs.apply"] = _scaled(table(defaults.apply), knobs["apply"])
    law = table(inputs.disk.fdatasync)
    disk = DeviceProfile.model_validate(
        {
            "fdatasync": _scaled(law, knobs["save"]), "backend_fdatasync": _scaled(law, knobs["commit"]),
            "bandwidth": inputs.disk.bandwidth, "source": "probed, scaled by the probe suite",
        }
    )  # fmt: skip
    return replace(inputs, disk=disk, fitted=fitted, sources=dict(inputs.sources))


def _scaled(law: NDArray[np.float64], factor: float) -> dict[str, Any]:
    values = np.interp(QUANTILES, PROBABILITIES, law) * factor
    return {"quantiles": {at: format_duration(round(float(value))) for at, value in zip(QUANTILES, values, strict=True)}}


def _least_squares(
    simulated: Callable[[NDArray[np.float64]], dict[str, dict[str, float]]],
    misses: Callable[[dict[str, dict[str, float]]], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], dict[str, dict[str, float]]]:
    """Levenberg and Marquardt's steps; the slopes by differences, over a step that is larger than the simulation's noise."""
    logs, damping = np.zeros(len(_KNOBS)), 1.0
    found = simulated(logs)
    here = np.concatenate([misses(found), logs / _PULL])
    for _ in range(_ROUNDS):
        slopes = np.empty((len(here), len(logs)))
        for place in range(len(logs)):
            aside = logs.copy()
            aside[place] += _STEP
            slopes[:, place] = (np.concatenate([misses(simulated(aside)), aside / _PULL]) - here) / _STEP
        better = False
        for _ in range(3):
            step = np.linalg.solve(slopes.T @ slopes + damping * np.diag(np.diag(slopes.T @ slopes)), -slopes.T @ here)
            moved = np.clip(logs + np.clip(step, -1, 1), -_FURTHEST, _FURTHEST)
            there_found = simulated(moved)
            there = np.concatenate([misses(there_found), moved / _PULL])
            if there @ there < here @ here:
                gained = 1 - (there @ there) / (here @ here)
                logs, here, found, damping, better = moved, there, there_found, damping / 4, gained > 0.02
                break
            damping *= 4
        if not better:
            break
    return logs, found


def _factors(logs: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(np.exp(value)) for name, value in zip(_KNOBS, logs, strict=True)}


def _observed(rounds: Sequence[Measured]) -> dict[str, float]:
    """Medians over the rounds."""
    found = {}
    for figure in _WEIGHTS:
        name, _, part = figure.rpartition(".")
        values = [one.buckets[name].mean if part == "mean" and name in one.buckets else one.figures.get(figure) for one in rounds]
        known = [value for value in values if value]
        if known:
            found[figure] = median(known)
    return found


def _figures(predicted: Predicted) -> dict[str, float]:
    found = {name: value for name, value in predicted.figures.items() if name in _WEIGHTS and value}
    for name in ("etcd.wal_fsync_seconds", "etcd.backend_commit_seconds", "etcd.apply_execution_seconds"):
        if mean := predicted.run.distributions[name].mean:
            found[f"{name}.mean"] = mean
    return found


def _short(load: LoadTest, wanted: Mapping[str, float]) -> LoadTest:
    """The load, as long as it takes to answer enough requests; commits come each 100 ms, so not shorter than a few of them."""
    seconds = min(load.seconds, max(_SHORTEST, _REQUESTS / wanted["etcd.requests_per_second"]))
    return load.model_copy(update={"seconds": seconds, "warmup_seconds": min(load.warmup_seconds, seconds / 10)})


