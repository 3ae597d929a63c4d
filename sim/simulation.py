"""Runs a scenario: each variant is a world of its own, on common random numbers, side by side on all cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, Final

from sim.assembly import build
from sim.errors import InputError, nearest
from sim.metrics.recorder import Recorder
from sim.result import Run, Runs
from sim.scenario import Scenario
from sim.summary import summarise
from sim.units import Nanoseconds
from sim.workers import begin_worker

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
    world = build(chosen, seed, until)
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
    """One process a variant, `workers` of them at a time; all are gone when this returns or raises."""
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    waiting = list(reversed(names))
    running: dict[Any, tuple[str, Any]] = {}
    runs: dict[str, Run] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                name = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                child = context.Process(target=_simulate, args=(theirs, scenario, name, seed, horizon, progress is not None))
                child.start()
                theirs.close()
                running[ours] = name, child
            ready: Any
            for ready in connection.wait(list(running)):
                name, child = running[ready]
                try:
                    told = ready.recv()
                except EOFError:
                    child.join()
                    reason = f"{name}: its process was ended from outside (exit code {child.exitcode}): out of memory?"
                    raise InputError(reason) from None
                if isinstance(told, Progress):
                    if progress is not None:
                        progress(told)
                    continue
                child.join()
                del running[ready]
                if isinstance(told, BaseException):
                    raise told
                runs[name] = told
    finally:
        for _, child in running.values():
            child.kill()
        for _, child in running.values():
            child.join()
    return {name: runs[name] for name in names}


def _simulate(
    parent: connection.Connection, scenario: Scenario, name: str, seed: int, horizon: Nanoseconds | None, reports: bool
) -> None:
    """In the child: simulate a variant, and send how far it is, then its run or what went wrong."""
    begin_worker()
    try:
        parent.send(run_variant(scenario, name, seed=seed, horizon=horizon, progress=parent.send if reports else None))
    except BrokenPipeError:
        pass  # the parent is gone
    except Exception as error:
        parent.send(error)
