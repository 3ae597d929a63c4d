"""`sim.sweep`: a sweep from a notebook, as a tidy table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from sim.errors import InputError
from sim.scenario import Scenario
from sim.scenario import load as load_scenario
from sim.sweeps.design import Design
from sim.sweeps.plan import Plan
from sim.sweeps.rows import Results
from sim.sweeps.runner import Report, Runner, Tally
from sim.sweeps.store import Store
from sim.sweeps.study import Study, study
from sim.sweeps.until import run_until


class Sweep(pd.DataFrame):
    """A row a run: `point`, a column a knob under its path, `variant`, `replication`, `seed`, and a column a figure.

    knobs: the paths that were varied. failures: reasons of what could not be simulated. Everything else is pandas.
    """

    _metadata = ["knobs", "failures"]  # noqa: RUF012
    knobs: list[str]
    failures: list[str]

    @property
    def _constructor(self) -> type[Sweep]:
        return Sweep

    def grid(self, figure: str) -> Any:
        """The figure as an xarray DataArray with a dimension for each knob, `variant` and `replication`.

        What was not simulated is NaN. Raises InputError without xarray, or where two points have the same values.
        """
        try:
            xarray = import_module("xarray")
        except ImportError:
            raise InputError("grid: xarray is not installed; pip install 'etcdsim[grid]'") from None
        if figure not in self.columns:
            raise InputError(f'grid: "{figure}" is not a figure of this sweep')
        dimensions = [*self.knobs, "variant", "replication"]
        plain = pd.DataFrame(self[[*dimensions, figure]])
        for path in self.knobs:
            if plain[path].dtype == object:
                plain[path] = [value if isinstance(value, str | int | float) else str(value) for value in plain[path]]
        if plain.duplicated(dimensions).any():
            raise InputError("grid: two points have the same values; a grid needs each once")
        return xarray.DataArray.from_series(plain.set_index(dimensions)[figure].astype(float))


def sweep(
    scenario: Scenario | str | Path,
    over: Mapping[str, Any] | None = None,
    replications: int | None = None,
    figures: str | Sequence[str] | None = None,
    workers: int | None = None,
    store: str | Path | None = None,
    *,
    points: Sequence[Mapping[str, Any]] = (),
    design: Design = "grid",
    samples: int | None = None,
    seed: int = 1,
    common: bool = True,
    variants: Sequence[str] | None = None,
    executor: Executor | None = None,
    progress: Report | None = None,
    until: str | Mapping[str, float] | None = None,
) -> Sweep:
    """Simulate a scenario at many settings and return a table with a row a run.

    over: dotted path to values, a list or such as `"log(1, 100, 5)"`; or `points`, a list of {path: value}.
    figures: columns of the table, all where None. workers: processes, all cores where None; any `executor` may be given.
    store: a directory that keeps the runs, so that nothing is simulated twice; a temporary one where None.
    replications: of each point and variant, 5 where None. until: figure to share, such as {"etcd.apply_seconds.p99": 0.05}: go on
    until the half width of its interval is that share of its mean, with `replications` (200 where None) as the most.
    common: whether all points meet the same worlds, replication by replication. Raises InputError.
    """
    chosen = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    wanted = [figures] if isinstance(figures, str) else figures
    given = {"figures": wanted and tuple(wanted), "replications": replications, "until": until}
    asked = study(
        str(chosen.name), chosen, over or {}, list(points), design=design, samples=samples, seed=seed, common=common,
        variants=variants, **{name: value for name, value in given.items() if value is not None},
    )  # fmt: skip
    plan = Plan(asked)
    if store is not None:
        return _swept(plan, Path(store), wanted, executor, workers, progress)
    with tempfile.TemporaryDirectory(prefix="etcdsim-") as folder:
        return _swept(plan, Path(folder) / "sweep", wanted, executor, workers, progress)


def execute(
    plan: Plan, store: Store, executor: Executor | None = None, workers: int | None = None, progress: Report | None = None
) -> Tally:
    """Write a plan down in a store and run what is missing of it; of a study with `until`, as many replications as it takes."""
    if plan.study.until:
        return run_until(plan.study, store, executor, workers, progress)[1]
    store.register(plan)
    return Runner(plan, store, executor, workers, progress).run()


def _swept(
    plan: Plan, directory: Path, figures: Sequence[str] | None, executor: Executor | None, workers: int | None,
    progress: Report | None,
) -> Sweep:  # fmt: skip
    with Store(directory, create=True) as store:
        tally = execute(plan, store, executor, workers, progress)
        if tally.unsaved:
            raise InputError(f"{tally.full}: {tally.unsaved} runs could not be stored; make room and start again")
        if tally.gone:
            raise InputError(f"the executor takes no more ({tally.gone}): {tally.left} runs were not simulated")
        results = Results(store, plan.id)
        frame = table(results, plan.study, figures)
        frame.failures = [f"point {failure.point}: {failure.reason}" for failure in results.failures()]
    return frame


def table(results: Results, asked: Study, figures: Sequence[str] | None) -> Sweep:
    """The tidy table of a study's runs."""
    paths = asked.paths()
    rows = [
        {
            "point": row.point,
            **{path: row.values.get(path) for path in paths},
            "variant": row.variant,
            "replication": row.replication,
            "seed": row.seed,
            **row.metrics,
        }
        for row in results.rows(figures)
    ]
    frame = Sweep(rows, columns=None if rows else ["point", *paths, "variant", "replication", "seed", *(figures or ())])
    frame.knobs = paths
    return frame
