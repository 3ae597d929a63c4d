"""Simulates what the chosen systems need, all together in the store of a sweep: what is there already is not simulated again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from sim.diagnosis import diagnose
from sim.errors import InputError
from sim.result import Run
from sim.scenario import Scenario
from sim.sweeps.plan import Cell, Plan
from sim.sweeps.rows import Results, Row
from sim.sweeps.runner import Runner, Tally
from sim.sweeps.store import Store, StoreFull
from sim.sweeps.study import Study
from sim.systems.declared import NOTHING, System
from sim.systems.registry import scenario
from sim.systems.verdict import Judged, Side, Verdict, judge, verdict
from sim.units import SECOND

SERIES_POINTS: Final = 400


@dataclass(frozen=True, slots=True)
class Tested:
    """A system after its runs. series: figure of the picture by variant, over seconds, where the runs keep it as a series."""

    system: System
    judged: list[Judged]
    verdict: Verdict
    sides: dict[str, Side]
    series: pd.DataFrame
    horizon_seconds: float
    failed: str = ""


class _Together(Plan):
    """The runs of several plans as one, so that all workers are busy to the end."""

    def __init__(self, plans: list[Plan]):
        self.study, self.model, self.points = plans[0].study, plans[0].model, plans[0].points
        self.problems = {}
        self.cells = [cell for plan in plans for cell in plan.cells]
        self._plans = {cell.key: (plan, cell) for plan in plans for cell in plan.cells}

    def scenario(self, cell: Cell) -> object:  # type: ignore[override]
        plan, own = self._plans[cell.key]
        return plan.scenario(own)


def run_all(
    systems: list[System], directory: Path, *, quick: bool, seed: int = 1, workers: int | None = None,
    progress: Callable[[Tally], None] | None = None,
) -> list[Tested]:  # fmt: skip
    """Run what is missing in `directory`, and judge every system. Raises InputError."""
    plans = [Plan(_study(system, quick, seed)) for system in systems]
    try:
        with Store(directory, create=True) as store:
            for plan in plans:
                store.register(plan)
            tally = Runner(_Together(plans), store, None, workers, progress).run()
            if tally.unsaved:
                raise InputError(f"{tally.full}: {tally.unsaved} runs could not be stored; make room and start again")
            return [_tested(system, plan, store, quick) for system, plan in zip(systems, plans, strict=True)]
    except StoreFull as problem:
        raise InputError(str(problem)) from None


def _study(system: System, quick: bool, seed: int) -> Study:
    return Study(
        f"{system.id}{'-quick' if quick else ''}", scenario(system, quick), listed=({},), replications=1, seed=seed,
        variants=tuple(system.variant_names()), series=SERIES_POINTS,
    )  # fmt: skip


def _tested(system: System, plan: Plan, store: Store, quick: bool) -> Tested:
    results = Results(store, plan.id)
    named = {name for check in system.checks.values() for name in check.names}
    sides = {
        row.variant: Side(
            row.metrics, frozenset(name for name, word in row.status.items() if word == "never"),
            _station(row, plan.study.scenario) if row.variant in named else None,
        )
        for row in results.rows()
    }  # fmt: skip
    failed = "; ".join(dict.fromkeys(f"{failure.variant}: {failure.reason}" for failure in results.failures()))
    judged = judge(system, sides, quick)
    horizon = plan.study.scenario.horizon / 1e9
    return Tested(system, judged, verdict(system, judged), sides, results.series(drawn(system)), horizon, failed)


def _station(row: Row, scenario: Scenario) -> str:
    """What the diagnosis names, of what the store kept of a run: its figures, with those of its writers."""
    writers: dict[str, dict[str, float]] = {}
    for figure, value in row.metrics.items():
        if figure.startswith("writers."):
            name, _, what = figure.removeprefix("writers.").rpartition(".")
            writers.setdefault(name, {})[what] = value or 0.0
    horizon = scenario.variant(row.variant).horizon / SECOND
    run = Run(row.variant, row.seed, horizon, row.metrics, row.status, writers, [], pd.DataFrame(), {}, {})
    bottleneck = diagnose(run).bottleneck
    return NOTHING if bottleneck is None else bottleneck.station


def drawn(system: System) -> str:
    """The figure of a system's picture."""
    figure = system.picture.figure if system.picture is not None else next(iter(system.checks.values())).figure
    assert figure is not None  # a system without either is refused
    return figure
