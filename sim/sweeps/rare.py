"""Rare events of a scenario over many worlds: how high the worst of a run is, how often apply stalls, how likely a run passes a
bound.

The maximum and the p99.9 of a day are one draw of something, so nothing is said of them from one run. Each variant is simulated in
many worlds as it is declared, and in the same worlds without its declared disk stalls (where it has some): the difference is what
the stalls do, the rest would be there without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sim.analysis import Interval, Refused, Stalls, episodes, passes, stalls_per_day
from sim.analysis.objectives import interval_of
from sim.errors import InputError
from sim.scenario import Scenario
from sim.sweeps.api import execute
from sim.sweeps.plan import Plan
from sim.sweeps.rows import Results
from sim.sweeps.runner import Report
from sim.sweeps.store import Store, StoreFull
from sim.sweeps.study import study

FIGURE: Final = "etcd.apply_seconds"
_POINTS: Final = 2_000
_GAPS: Final = 1.5
"""Steps of the series that may lie between two exceedances of one episode."""


@dataclass(frozen=True, slots=True)
class Rare:
    """What many worlds of a variant say. declared: with its disk stalls; False: the same worlds without them.

    worst, p999: the median over worlds; passing: the probability that a run passes the bound; per_day: episodes beyond it.
    """

    variant: str
    declared: bool
    worlds: int
    worst: Interval | Refused
    p999: Interval | Refused
    passing: Interval | Refused
    per_day: Stalls


def rare(
    scenario: Scenario, store: Store, beyond: float, replications: int, *, variants: list[str] | None = None, seed: int = 1,
    executor: Executor | None = None, workers: int | None = None, progress: Report | None = None,
) -> list[Rare]:  # fmt: skip
    """Simulate `replications` worlds of each variant, with and without its declared stalls. beyond: seconds of apply.

    Raises InputError where no bound or no world is given.
    """
    if not beyond > 0:
        raise InputError(f"beyond: {beyond:g} s is not a bound; it has to be above 0")
    options: dict[str, Any] = {"replications": replications, "seed": seed, "series": _POINTS}
    found: list[Rare] = []
    for declared, changes in _worlds(scenario):
        asked = study(str(scenario.name), scenario.with_(changes), {}, [{}], variants=variants, **options)
        plan = Plan(asked)
        tally = execute(plan, store, executor, workers, progress)
        if tally.unsaved:
            raise StoreFull(tally.full)
        if tally.left or tally.failed:
            why = tally.gone or next(iter(tally.failed.values()), "")
            raise InputError(f"{tally.left + len(tally.failed)} runs are missing: {why}")
        found += _judged(Results(store, plan.id), asked.variant_names(), declared, beyond, scenario.horizon / 1e9)
    return sorted(found, key=lambda one: ([*scenario.variant_names()].index(one.variant), not one.declared))


def _worlds(scenario: Scenario) -> Iterator[tuple[bool, dict[str, Any]]]:
    """As declared, and without the disk stalls that any variant declares."""
    yield True, {}
    names = {
        name
        for variant in scenario.variant_names()
        for name, fault in (scenario.variant(variant) if scenario.variants else scenario).faults.items()
        if fault.kind == "disk_stall"
    }
    if names:
        yield False, {f"faults.{name}": None for name in sorted(names)}


def _judged(results: Results, variants: list[str], declared: bool, beyond: float, horizon: float) -> Iterator[Rare]:
    figures = [f"{FIGURE}.max", f"{FIGURE}.p999"]
    rows = list(results.rows(figures))
    series = results.series(f"{FIGURE}.max")
    for variant in variants:
        mine = [row for row in rows if row.variant == variant]
        worst, p999 = (np.array([row.metrics[figure] or 0.0 for row in mine]) for figure in figures)
        began = []
        for _, world in series[series.variant == variant].groupby("replication"):
            times, values = world["seconds"].to_numpy(), world[f"{FIGURE}.max"].to_numpy()
            step = float(np.diff(times).max()) if len(times) > 1 else horizon
            there = np.isfinite(values)
            began.append(episodes(times[there], values[there], beyond, _GAPS * step))
        yield Rare(
            variant, declared, len(mine), interval_of(figures[0], worst), interval_of(figures[1], p999), passes(worst, beyond),
            stalls_per_day(began, horizon),
        )  # fmt: skip
