"""`sim.frontier`, `sim.recommend`, `sim.sensitivity`, `sim.growth`: planning from a notebook; commands call the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sim.analysis.deciding import DecideRule
from sim.errors import InputError
from sim.planning import aims
from sim.planning import study as studies
from sim.planning.bench import Bench, Told
from sim.planning.frontier import WITHIN, Frontier
from sim.planning.growth import Growth
from sim.planning.recommend import Recommendation
from sim.planning.sensitivity import METHODS, Method, Sensitivity
from sim.planning.study import Study, variant_of
from sim.scenario import Scenario
from sim.scenario import load as load_scenario
from sim.scenario.refusal import shown
from sim.sweeps.design import Point, points
from sim.sweeps.store import Store
from sim.sweeps.values import Space, read

if TYPE_CHECKING:
    import pandas as pd

MOST_REPLICATIONS = 20
"""Where a probe gives up and stays undecided."""
_FIGURE = "etcd.apply_seconds.p99"


def frontier(
    scenario: Scenario | str | Path,
    knob: str,
    most: int,
    *,
    per: Mapping[str, Any] | None = None,
    require: Sequence[str] = (),
    variant: str | None = None,
    least: int = 1,
    replications: int = 5,
    most_replications: int = MOST_REPLICATIONS,
    confidence: float = 0.95,
    within: float = WITHIN,
    seed: int = 1,
    store: str | Path | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Told | None = None,
) -> Frontier:
    """The largest count at `knob` (from `least` to `most`) that meets the requirements, for each combination of `per`.

    require: such as `"etcd.apply_seconds.p99 <= 100ms"`; the scenario's own objectives where there are none. A count is looked at
    with `replications` runs, then twice as many up to `most_replications`, until it is decided at `confidence` over all looks.
    Raises InputError.
    """
    from sim.planning.frontier import frontier as search

    chosen = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    name = variant_of(chosen, variant)
    aim = aims.required(chosen, name, require)
    rule = rule_of(replications, most_replications, confidence)
    if isinstance(least, bool) or isinstance(most, bool) or not 1 <= least <= most:
        raise InputError(f"--max: {shown(most)} is not allowed; a whole number, at least --min, which is {least}")
    if not 0 < within < 1:
        raise InputError(f"within: {shown(within)} is not a share between 0 and 1")
    given = {path: read(values, path) for path, values in (per or {}).items()}
    if knob in given:
        raise InputError(f"--per: {knob} is the count that is searched for; name another field")
    settings: list[Point] = points("grid", given, None, seed) if given else [{}]
    for setting in settings:
        if problem := studies.problem_of(chosen, name, {**setting, knob: least}):
            raise InputError(problem)
    with opened(store) as kept:
        bench = Bench(str(chosen.name), chosen, name, kept, seed, executor, workers, progress)
        found = search(bench, knob, most, aim, settings, least, rule, within)
        tried = [{**limit.setting, knob: count} for limit in found.limits for count, one in limit.probes.items() if not one.problem]
        bench.write_down("frontier", tried, 0, replications, aim.figures)
    return found


def recommend(
    study: str | Path | Scenario,
    over: Mapping[str, Any] | None = None,
    objectives: Mapping[str, Any] | None = None,
    *,
    variant: str | None = None,
    store: str | Path | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Told | None = None,
    **options: Any,
) -> Recommendation:
    """The setting that keeps its bounds and is best in its goals, from a study (a name, a file) or a scenario with knobs.

    over: dotted path to a range such as `"log(1, 100)"` or a list; objectives: as a study writes them, the scenario's own where
    None. options: trials, replications, most_replications, candidates, confidence, seed. Raises InputError.
    """
    if over is None and not isinstance(study, Scenario):
        made = studies.load(str(study), variant=variant, **options)
    else:
        scenario = study if isinstance(study, Scenario) else load_scenario(study)
        made = studies.study(str(scenario.name), scenario, over, objectives, variant=variant, **options)
    return recommended(made, store, workers, executor, progress)


def recommended(
    study: Study, store: str | Path | None = None, workers: int | None = None, executor: Executor | None = None,
    progress: Told | None = None,
) -> Recommendation:  # fmt: skip
    """What a study recommends; its runs are kept in `store`, where there is one, as the sweeps `tried` and `judged`."""
    from sim.planning.recommend import recommend as search

    with opened(store) as kept:
        bench = Bench(study.name, study.scenario, study.variant, kept, study.seed, executor, workers, progress)
        found = search(bench, study)
        tried = [one.point for one in found.tried if not one.problem]
        bench.write_down("tried", tried, 0, study.replications, study.aims.figures)
        for count in sorted({one.probe.runs for one in found.candidates if one.probe.runs}):
            judged = [one.tried.point for one in found.candidates if one.probe.runs == count]
            bench.write_down(f"judged with {count}", judged, study.replications, count, study.aims.figures)
    return found


def growth(
    source: pd.DataFrame | str | Path,
    figure: str | None = None,
    against: str | None = None,
    *,
    variant: str | None = None,
    where: Mapping[str, Any] | None = None,
    laws: Sequence[str] = (),
    confidence: float = 0.95,
) -> Growth:
    """How a figure grows with a knob or with `time`, in the table of `sim.sweep`, a store, or a CSV file of one's own.

    `variant` and `where` (path -> value) choose the runs; one variant has to remain. Raises InputError.
    """
    from sim.planning.growth_source import read as read_growth

    found = read_growth(source, figure, against, variant=variant, where=where, laws=laws, level=confidence).growths
    if len(found) > 1:
        raise InputError(f"variant: there are {', '.join(one.variant for one in found)}; name one")
    return found[0]


@dataclass(frozen=True, slots=True)
class Asked:
    """What to find out with `sensitivity`, checked."""

    scenario: Scenario
    variant: str
    knobs: dict[str, Space]
    figures: tuple[str, ...]
    method: Method
    samples: int
    replications: int
    confidence: float
    seed: int

    @property
    def settings(self) -> int:
        """How many there are at most."""
        wide = len(self.knobs)
        return self.samples * (wide + (1 if self.method == "morris" else 2)) + 1 + 2 * wide


def sensitivity(
    scenario: Scenario | str | Path,
    over: Mapping[str, Any],
    figures: str | Sequence[str] | None = None,
    *,
    method: Method = "morris",
    samples: int | None = None,
    variant: str | None = None,
    replications: int = 3,
    confidence: float = 0.95,
    seed: int = 1,
    store: str | Path | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Told | None = None,
) -> Sensitivity:
    """Which of the knobs of `over` (path -> range) matter for the figures: Morris screening or Sobol indices, and a tornado.

    samples: trajectories (8), or samples of Sobol (64, a power of two). Raises InputError.
    """
    chosen = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    made = asked(
        chosen, over, [figures] if isinstance(figures, str) else figures, method=method, samples=samples, variant=variant,
        replications=replications, confidence=confidence, seed=seed,
    )  # fmt: skip
    return answered(made, store, workers, executor, progress)


def asked(
    scenario: Scenario, over: Mapping[str, Any], figures: Sequence[str] | None = None, *, method: str = "morris",
    samples: int | None = None, variant: str | None = None, replications: int = 3, confidence: float = 0.95, seed: int = 1,
) -> Asked:  # fmt: skip
    """The checked question. Raises InputError."""
    if method not in METHODS:
        raise InputError(f"method: {shown(method)} is not allowed; {' or '.join(METHODS)}")
    name = variant_of(scenario, variant)
    knobs = {path: read(values, path) for path, values in over.items()}
    if not knobs:
        raise InputError("over: nothing is varied; give a knob and its range, such as etcd.quota: [2GiB, 8GiB]")
    for path, space in knobs.items():
        studies.check_knob(scenario, name, path, space)
    wanted = tuple(dict.fromkeys(aims.check_figure(figure, "figure") for figure in figures or (_FIGURE,)))
    count = samples if samples is not None else (8 if method == "morris" else 64)
    for what, value, least in (("samples", count, 2), ("replications", replications, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 1_000_000:
            raise InputError(f"{what}: {shown(value)} is not allowed; a whole number from {least} on")
    if method == "sobol" and count & (count - 1):
        below = 1 << (count.bit_length() - 1)
        raise InputError(f'samples: "{count}" is not a power of two, where Sobol points are balanced; {below} or {2 * below}')
    if not 0 < confidence < 1:
        raise InputError(f"confidence: {shown(confidence)} is not a share between 0 and 1, such as 95%")
    return Asked(scenario, name, knobs, wanted, cast(Method, method), count, replications, confidence, seed)


def answered(
    given: Asked, store: str | Path | None = None, workers: int | None = None, executor: Executor | None = None,
    progress: Told | None = None,
) -> Sensitivity:  # fmt: skip
    """Run what is asked for; the runs are kept in `store`, where there is one."""
    from sim.planning.sensitivity import sensitivity as analyse

    with opened(store) as kept:
        bench = Bench(str(given.scenario.name), given.scenario, given.variant, kept, given.seed, executor, workers, progress)
        return analyse(bench, given.knobs, given.figures, given.method, given.samples, given.replications, given.confidence)


def rule_of(first: int, most: int, level: float) -> DecideRule:
    """When replications are looked at. Raises InputError."""
    for name, value in (("replications", first), ("most replications", most)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:
            raise InputError(f"{name}: {shown(value)} is not allowed; a whole number from 1 to 10,000")
    if first > most:
        raise InputError(f"replications: {shown(first)} to begin with are more than the most, {most}")
    if not 0 < level < 1:
        raise InputError(f"confidence: {shown(level)} is not a share between 0 and 1, such as 95%")
    return DecideRule(first, most, level)


@contextmanager
def opened(store: str | Path | None) -> Iterator[Store]:
    """The store of a directory, or one that is gone afterwards."""
    if store is not None:
        with Store(Path(store), create=True) as kept:
            yield kept
        return
    with tempfile.TemporaryDirectory(prefix="etcdsim-") as folder, Store(Path(folder) / "runs", create=True) as kept:
        yield kept
