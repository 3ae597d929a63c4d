"""What a sweep will take, before it runs: how many runs, how many are there, about how long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sim.errors import InputError
from sim.sweeps.plan import Plan
from sim.sweeps.store import LEDGER, Store
from sim.sweeps.work import Task, simulate


@dataclass(frozen=True, slots=True)
class Estimate:
    """runs: different ones; present: in the store; run_seconds: of one, None where nothing is missing; taken_from: its source."""

    points: int
    runs: int
    present: int
    run_seconds: float | None
    taken_from: str
    workers: int

    @property
    def missing(self) -> int:
        """Runs still to come."""
        return self.runs - self.present

    @property
    def seconds(self) -> float:
        """About how long the missing runs take on all workers."""
        return -(-self.missing // self.workers) * (self.run_seconds or 0.0)


def estimate(plan: Plan, directory: Path | None, workers: int) -> Estimate:
    """Looked up in the store of `directory` where it is, else from the first run, simulated now and thrown away."""
    cells = {cell.key: cell for cell in plan.cells}
    present: set[str] = set()
    each = None
    if directory is not None and (directory / LEDGER).is_file():
        with Store(directory) as store:
            present, each = store.known(cells), store.wall_seconds(plan.model)
    missing = [cell for key, cell in cells.items() if key not in present]
    taken_from = "runs in the store"
    if missing and each is None:
        taken_from = "the first run"
        first = simulate(Task(missing[0].key, plan.scenario(missing[0]), missing[0].seed, 0))
        if first.problem is not None:
            raise InputError(f"the first run failed: {first.problem}")
        each = first.wall_seconds
    return Estimate(len(plan.points), len(cells), len(present), each if missing else None, taken_from, workers)
