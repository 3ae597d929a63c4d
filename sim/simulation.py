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
from typing import Any, Final, NamedTuple

from sim.assembly import build
from sim.errors import InputError, nearest
from sim.metrics.recorder import Recorder
from sim.result import Replication, Run, Runs
from sim.scenario import Scenario
from sim.summary import summarise
from sim.units import SECOND, Nanoseconds
from sim.workers import begin_worker

_PROGRESS_EVERY: Final = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a variant is in one world: simulated time and horizon in nanoseconds, writes applied so far."""

    variant: str
    simulated: Nanoseconds
    horizon: Nanoseconds
    writes: int
    wall_seconds: float
    seed: int = 1


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
                progress(Progress(variant, now, until, writes, wall - began, seed))

    world.env.process(recorder.watch(report))
    thresholds = gc.get_threshold()
    gc.collect()  # the world before this one, which is full of cycles
    gc.set_threshold(100_000, 50, 100)  # the hot path makes no cycles; scanning it costs more than it finds
    try:
        world.env.advance(until)
    finally:
        gc.set_threshold(*thresholds)
    recorder.observe(until)
    return summarise(recorder, variant, seed, time.perf_counter() - began)


def run(
    scenario: Scenario, *, seed: int = 1, variants: list[str] | None = None, horizon: Nanoseconds | None = None,
    workers: int | None = None, progress: Report | None = None, replications: int = 1,
) -> Runs:  # fmt: skip
    """Simulate the variants of a scenario (all of them where None) and return their runs, by name.

    replications: so many worlds, of seeds `seed`, `seed` + 1 ...; the runs are those of the first one, the figures of all of them
    stand in `Runs.replications` and give intervals. The result is the same for any number of `workers` (processes; all cores where
    None). Raises InputError for an unknown variant or no replication.
    """
    known = scenario.variant_names()
    names = known if variants is None else variants
    for name in names:
        if name not in known:
            raise InputError(f'"{name}" is not a variant{nearest(name, known) or "; one of " + ", ".join(known)}')
    if replications < 1:
        raise InputError(f'replications: "{replications}" is not allowed; a whole number from 1')
    began = time.perf_counter()
    jobs = [Job(name, seed + further) for further in range(replications) for name in names]
    found = _simulated(scenario, jobs, seed, horizon, workers, progress)
    runs = {name: run for name in names if isinstance(run := found[Job(name, seed)], Run)}
    told = {name: [_replication(found[job]) for job in jobs if job.variant == name] for name in names} if replications > 1 else None
    return Runs(scenario, seed, runs, wall_seconds=time.perf_counter() - began, replications=told)


def more(runs: Runs, replications: int, *, workers: int | None = None, progress: Report | None = None) -> Runs:
    """The same result with as many worlds as `replications`; those that it has are not simulated again."""
    began = time.perf_counter()
    before = {name: runs.replications.get(name) or (_replication(run),) for name, run in runs.items()}
    jobs = [Job(name, runs.seed + further) for further in range(len(next(iter(before.values()))), replications) for name in runs]
    found = _simulated(runs.scenario, jobs, runs.seed, round(runs.horizon_seconds * SECOND), workers, progress) if jobs else {}
    told = {name: [*before[name], *(_replication(found[job]) for job in jobs if job.variant == name)] for name in runs}
    wall = runs.wall_seconds + time.perf_counter() - began
    return Runs(runs.scenario, runs.seed, dict(runs), wall_seconds=wall, version=runs.version, name=runs.name, replications=told)


def _simulated(
    scenario: Scenario, jobs: list[Job], first: int, horizon: Nanoseconds | None, workers: int | None, progress: Report | None
) -> dict[Job, Run | Replication]:
    """Each job in this process, or side by side."""
    count = min(len(jobs), workers or os.cpu_count() or 1)
    if count > 1:
        return _side_by_side(scenario, jobs, first, horizon, count, progress)
    return {
        job: _kept(run_variant(scenario, job.variant, seed=job.seed, horizon=horizon, progress=progress), job, first)
        for job in jobs
    }  # fmt: skip


class Job(NamedTuple):
    """A variant in one world."""

    variant: str
    seed: int


def _kept(run: Run, job: Job, first: int) -> Run | Replication:
    """What is kept of a run: all of the first world, the figures of the others."""
    return run if job.seed == first else _replication(run)


def _replication(found: Run | Replication) -> Replication:
    return found if isinstance(found, Replication) else Replication(found.seed, found.metrics, found.status)


def _side_by_side(
    scenario: Scenario, jobs: list[Job], first: int, horizon: Nanoseconds | None, workers: int, progress: Report | None
) -> dict[Job, Run | Replication]:
    """One process a job, `workers` of them at a time; all are gone when this returns or raises."""
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    waiting = list(reversed(jobs))
    running: dict[Any, tuple[Job, Any]] = {}
    found: dict[Job, Run | Replication] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                child = context.Process(target=_simulate, args=(theirs, scenario, job, first, horizon, progress is not None))
                child.start()
                theirs.close()
                running[ours] = job, child
            ready: Any
            for ready in connection.wait(list(running)):
                job, child = running[ready]
                try:
                    told = ready.recv()
                except EOFError:
                    child.join()
                    reason = f"{job.variant}: its process was ended from outside (exit code {child.exitcode}): out of memory?"
                    raise InputError(reason) from None
                if isinstance(told, Progress):
                    if progress is not None:
                        progress(told)
                    continue
                child.join()
                del running[ready]
                if isinstance(told, BaseException):
                    raise told
                found[job] = told
    finally:
        for _, child in running.values():
            child.kill()
        for _, child in running.values():
            child.join()
    return found


def _simulate(
    parent: connection.Connection, scenario: Scenario, job: Job, first: int, horizon: Nanoseconds | None, reports: bool
) -> None:
    """In the child: simulate a variant, and send how far it is, then what is kept of its run or what went wrong."""
    begin_worker()
    try:
        run = run_variant(scenario, job.variant, seed=job.seed, horizon=horizon, progress=parent.send if reports else None)
        parent.send(_kept(run, job, first))
    except BrokenPipeError:
        pass  # the parent is gone
    except Exception as error:
        parent.send(error)
