"""One run in a worker: simulate, and send back what the store keeps. It runs in any executor's process or thread."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sim.result import Run
from sim.scenario import Scenario
from sim.simulation import run_variant
from sim.sweeps.keys import model_version


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is given. series: points kept of the run's time series, 0 for none; model: the version that it has to have."""

    key: str
    scenario: Scenario
    seed: int
    series: int
    model: str | None = None


@dataclass(slots=True)
class Outcome:
    """What a worker sends back. problem: why there are no metrics; series: an Arrow stream."""

    key: str
    seed: int
    metrics: dict[str, float | None] | None = None
    status: dict[str, str] | None = None
    series: bytes | None = None
    problem: str | None = None
    wall_seconds: float = 0.0


def simulate(task: Task) -> Outcome:
    """Simulate one task; what goes wrong is told, not raised."""
    began = time.perf_counter()
    if task.model is not None and task.model != model_version():
        problem = f"its worker has model {model_version()}, not {task.model}: install the same etcdsim there"
        return Outcome(task.key, task.seed, problem=problem)
    try:
        run = run_variant(task.scenario, "default", seed=task.seed)
    except Exception as error:
        return Outcome(task.key, task.seed, problem=reason(error), wall_seconds=time.perf_counter() - began)
    series = packed(run, task.series) if task.series else None
    return Outcome(task.key, task.seed, run.metrics, run.status, series, wall_seconds=time.perf_counter() - began)


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def packed(run: Run, points: int) -> bytes:
    """The run's series as an Arrow stream of at most so many points, the first and last among them."""
    rows = len(run.series)
    kept = np.unique(np.linspace(0, rows - 1, min(points, rows)).round().astype(np.int64)) if rows else np.empty(0, np.int64)
    columns = {"seconds": pa.array(np.asarray(run.series.index, dtype=np.float64)[kept])}
    for name in run.series.columns:
        columns[str(name)] = pa.array(np.asarray(run.series[name], dtype=np.float64)[kept])
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def unpacked(series: bytes) -> pa.Table:
    """The table that `packed` wrote."""
    return pa.ipc.open_stream(series).read_all()
