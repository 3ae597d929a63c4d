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
from sim.units import MICROSECOND, MILLISECOND, SECOND, format_duration
from sim.validation.inputs import Inputs
from sim.validation.measure import Measured
from sim.validation.predict import Predicted, predict
from sim.validation.scrape import Buckets

_COSTS: Final = ("request", "request_per_kib", "ready", "entry", "apply_per_kib", "page_write")
"""Durations of `etcd.costs`."""
_KNOBS: Final = (*_COSTS, "apply", "save", "commit", "sparse", "wake", "handoff", "txn", "read", "garbage", "collection")
"""apply: scales that law; save, commit: the disk's, for the log and for the backend file; sparse: what requests take longer that
come one by one, and wake whoever serves them; txn: what a transaction costs more than a put, in the goroutine of its request and in
apply; read: of a key walked and of a key returned; garbage: how often one
collects."""
_COLLECT_AFTER: Final = 100 * MILLISECOND
_WAKE: Final = 50 * MICROSECOND
_HANDOFF: Final = 100 * MICROSECOND
"""Where the fits of `etcd.costs.collect_after`, `.wake` and `.handoff` begin."""
_WEIGHTS: Final = {
    "etcd.requests_per_second": 0.03, "etcd.request_seconds.p50": 0.06, "etcd.request_seconds.p90": 0.3,
    "etcd.request_seconds.p99": 0.3, "etcd.writes_per_batch": 0.3, "etcd.wal_fsync_seconds.mean": 0.2,
    "etcd.backend_commit_seconds.mean": 0.15, "etcd.apply_execution_seconds.mean": 0.3,
}  # fmt: skip
"""How far off each may be before it counts: about what repeats differ by."""
_PULL: Final = 1.0
"""Standard deviation of a knob's logarithm around its default, as the fit believes beforehand."""
_BODY: Final = 0.97
"""The share of a probe's writes whose shape is taken: its rare slow ones are not etcd's, whose segments are laid out beforehand."""
_POINTS: Final = (*QUANTILES[:-1], 0.9998, 0.9999, 0.99995, 0.99999, 1)
_FURTHEST: Final = 3.0
_STEP: Final = 0.2
_CYCLES: Final = 2
_ROUNDS: Final = 10
_STUCK: Final = 1e4
_REQUESTS: Final = 2_000
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
    lone = next((rounds for rounds in probes.values() if rounds[0].load.clients == 1), None)
    if lone is not None:
        inputs = replace(inputs, seen=lone[0].buckets["etcd.wal_fsync_seconds"])
    inputs = replace(inputs, sender=round(min(_sender(one) for rounds in probes.values() for one in rounds)))
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

    def guess(found: dict[str, dict[str, float]]) -> NDArray[np.float64]:
        """Knobs that a mean shows by itself, by how far that is off."""
        logs = np.zeros(len(_KNOBS))
        first = next(iter(wanted))
        for knob, figure in (
            ("save", "etcd.wal_fsync_seconds.mean"), ("apply", "etcd.apply_execution_seconds.mean"),
            ("commit", "etcd.backend_commit_seconds.mean"),
        ):  # fmt: skip
            if knob in _KNOBS and figure in wanted[first] and found[first].get(figure, 0.0) > 0:
                logs[_KNOBS.index(knob)] = math.log(wanted[first][figure] / found[first][figure])
        return logs

    logs, found = _least_squares(simulated, misses, guess)
    misfit = {
        name: {figure: found[name].get(figure, 0.0) / value - 1 for figure, value in figures.items()}
        for name, figures in wanted.items()
    }
    turned = turn(inputs, _factors(logs))
    turned.sources["fitted"] = f"fitted to the probe suite: {', '.join(probes)}"
    turned.sources["disk"] += "; its times scaled to what etcd saw in the probe suite"
    return turned, Fitted(_factors(logs), misfit, count)


def turn(inputs: Inputs, knobs: Mapping[str, float]) -> Inputs:
    """The inputs with each knob's factor on its default; a knob that is not named stays where it is."""
    defaults = Costs()
    fitted: dict[str, Any] = {
        f"etcd.costs.{name}": format_duration(round(getattr(defaults, name) * knobs.get(name, 1.0))) for name in _COSTS
    }
    for knob, names in (("txn", ("txn", "txn_apply")), ("read", ("index_key", "read_key"))):
        for name in names:
            fitted[f"etcd.costs.{name}"] = format_duration(round(getattr(defaults, name) * knobs.get(knob, 1.0)))
    fitted["etcd.costs.collect_after"] = format_duration(round(_COLLECT_AFTER / knobs.get("garbage", 1.0)))
    fitted["etcd.costs.collection"] = format_duration(round(defaults.collection * knobs.get("collection", 1.0)))
    fitted["etcd.costs.wake"] = format_duration(round(_WAKE * knobs.get("wake", 1.0)))
    fitted["etcd.costs.handoff"] = format_duration(round(_HANDOFF * knobs.get("handoff", 1.0)))
    fitted["etcd.costs.apply"] = _scaled(table(defaults.apply), knobs.get("apply", 1.0))
    law = table(inputs.probed.fdatasync)
    body = np.minimum(law, np.interp(_BODY, PROBABILITIES, law))
    scale = knobs.get("save", 1.0)
    save = _scaled(law, scale) if inputs.seen is None else as_etcd_saw_it(body * scale, inputs.seen)
    disk = DeviceProfile.model_validate(
        {
            "fdatasync": save, "backend_fdatasync": _scaled(body, knobs.get("commit", 1.0)),
            "bandwidth": inputs.disk.bandwidth, "source": "probed, scaled by the probe suite",
        }
    )  # fmt: skip
    sparse = {at: max(inputs.client[at], round(took * knobs.get("sparse", 1.0))) for at, took in inputs.sparse.items()}
    return replace(inputs, disk=disk, sparse=sparse, fitted=fitted, sources=dict(inputs.sources))


def as_etcd_saw_it(law: NDArray[np.float64], seen: Buckets) -> dict[str, Any]:
    """The law of a save: above etcd's lowest bound its own shares, below it the shape of the disk's probe."""
    lowest, shares = seen.bounds[0] * SECOND, seen.shares()
    inside = float(np.interp(lowest, law, PROBABILITIES))
    points = {at * shares[0]: min(float(np.interp(at * inside, PROBABILITIES, law)), lowest) for at in QUANTILES}
    for bound, share in zip(seen.bounds, shares, strict=False):
        points.setdefault(share, bound * SECOND)
        if share >= 1:
            break
    points.setdefault(1.0, seen.bounds[-1] * SECOND)
    return {"quantiles": {at: format_duration(round(value)) for at, value in sorted(points.items())}}


def _scaled(law: NDArray[np.float64], factor: float) -> dict[str, Any]:
    values = np.interp(_POINTS, PROBABILITIES, law) * factor
    return {"quantiles": {at: format_duration(round(float(value))) for at, value in zip(_POINTS, values, strict=True)}}


def _least_squares(
    simulated: Callable[[NDArray[np.float64]], dict[str, dict[str, float]]],
    misses: Callable[[dict[str, dict[str, float]]], NDArray[np.float64]],
    guess: Callable[[dict[str, dict[str, float]]], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], dict[str, dict[str, float]]]:
    """Levenberg and Marquardt's steps. The slopes come from differences, over a step that is larger than the simulation's noise;
    each step that is tried corrects them (Broyden)."""
    logs = guess(simulated(np.zeros(len(_KNOBS))))
    found = simulated(logs)
    here = np.concatenate([misses(found), logs / _PULL])
    for _ in range(_CYCLES):
        slopes = np.empty((len(here), len(logs)))
        for place in range(len(logs)):
            aside = logs.copy()
            aside[place] += _STEP
            slopes[:, place] = (np.concatenate([misses(simulated(aside)), aside / _PULL]) - here) / _STEP
        damping = 1.0
        for _ in range(_ROUNDS):
            curved = slopes.T @ slopes
            step = np.linalg.solve(curved + damping * np.diag(np.diag(curved)), -slopes.T @ here)
            moved = np.clip(logs + np.clip(step, -1, 1), -_FURTHEST, _FURTHEST)
            there_found = simulated(moved)
            there, went = np.concatenate([misses(there_found), moved / _PULL]), moved - logs
            if not went.any():
                break
            slopes += np.outer(there - here - slopes @ went, went) / (went @ went)
            if there @ there < here @ here:
                logs, here, found, damping = moved, there, there_found, damping / 3
            else:
                damping *= 3
            if damping > _STUCK:
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


def _sender(one: Measured) -> float:
    """CPU of the client's process for a request, nanoseconds."""
    rate = one.figures["etcd.requests_per_second"]
    return one.shares["generator"] * SECOND / rate if rate else math.inf


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


