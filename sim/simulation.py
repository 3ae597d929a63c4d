"""Runs a scenario: each variant is a world of its own, on common random numbers, side by side on all cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
import queue
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sim.assembly import build
from sim.errors import InputError, nearest
from sim.metrics.recorder import Recorder
from sim.result import Run, Runs
from sim.scenario import Scenario
from sim.summary import summarise
from sim.units import Nanoseconds

_PROGRESS_EVERY: Final = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a variant is: simulated time and horizon in nanoseconds, writes applied so far."""

    variant: str
    simulated: Nanoseconds
    horizon: Nanoseconds
    writes: int
    wall_seconds: float


Report = Callable[[Progress], None]


def run_variant(
    scenario: Scenario, variant: str, *, seed: int = 1, horizon: Nanoseconds | None = None, progress: Report | None = None
) -> Run:
    """Simulate one variant of `scenario` in this process. horizon: nanoseconds, the scenario's own where None."""
    chosen = scenario if variant == "default" and variant not in scenario.variants else scenario.variant(variant)
    until = chosen.horizon if horizon is None else horizon
    began = time.perf_counter()
    world = build(chosen, seed)
    recorder = Recorder(world, until)
    report = None
    if progress is not None:
        told = [0.0]

        def report(now: Nanoseconds, writes: int) -> None:
            wall = time.perf_counter()
            if wall - told[0] >= _PROGRESS_EVERY:
                told[0] = wall
                progress(Progress(variant, now, until, writes, wall - began))

    world.env.process(recorder.watch(report))
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)  # the hot path makes no cycles; scanning it costs more than it finds
    try:
        world.env.advance(until)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    recorder.observe(until)
    return summarise(recorder, variant, seed, time.perf_counter() - began)


def run(
    scenario: Scenario, *, seed: int = 1, variants: list[str] | None = None, horizon: Nanoseconds | None = None,
    workers: int | None = None, progress: Report | None = None,
) -> Runs:  # fmt: skip
    """Simulate the variants of a scenario (all of them where None) and return their runs, by name.

    The result is the same for any number of `workers` (processes; all cores where None). Raises InputError for an unknown variant.
    """
    known = scenario.variant_names()
    names = known if variants is None else variants
    for name in names:
        if name not in known:
            raise InputError(f'"{name}" is not a variant{nearest(name, known) or "; one of " + ", ".join(known)}')
    count = min(len(names), workers or os.cpu_count() or 1)
    began = time.perf_counter()
    if count <= 1:
        runs = {name: run_variant(scenario, name, seed=seed, horizon=horizon, progress=progress) for name in names}
    else:
        runs = _side_by_side(scenario, names, seed, horizon, count, progress)
    return Runs(scenario, seed, runs, wall_seconds=time.perf_counter() - began)


def _side_by_side(
    scenario: Scenario, names: list[str], seed: int, horizon: Nanoseconds | None, workers: int, progress: Report | None
) -> dict[str, Run]:
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    reports: Any = context.Queue()
    with context.Pool(workers, _in_child, (reports if progress else None,)) as pool:
        jobs = {name: pool.apply_async(_job, (scenario, name, seed, horizon)) for name in names}
        waiting = set(names)
        while waiting:
            try:
                told: Progress = reports.get(timeout=0.1)
                if progress is not None:
                    progress(told)
            except queue.Empty:
                pass
            waiting = {name for name in waiting if not jobs[name].ready()}
        return {name: job.get() for name, job in jobs.items()}


_reports: Any = None


def _in_child(reports: Any) -> None:
    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides


def _job(scenario: Scenario, name: str, seed: int, horizon: Nanoseconds | None) -> Run:
    return run_variant(scenario, name, seed=seed, horizon=horizon, progress=None if _reports is None else _reports.put)
