"""`sim.frontier`, `sim.recommend`, `sim.sensitivity`: planning from a notebook; the commands call the same functions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.analysis.deciding import DecideRule
from sim.errors import InputError
from sim.planning import aims
from sim.planning.bench import Bench, Told
from sim.planning.frontier import WITHIN, Frontier
from sim.scenario import Scenario
from sim.scenario import load as load_scenario
from sim.scenario.refusal import shown, undeclared
from sim.sweeps.design import Point, points
from sim.sweeps.store import Store
from sim.sweeps.values import read

MOST_REPLICATIONS = 20
"""Where a probe gives up and stays undecided."""


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
    with opened(store) as kept:
        bench = Bench(str(chosen.name), chosen, name, kept, seed, executor, workers, progress)
        for setting in settings:
            bench.check({**setting, knob: least})
        found = search(bench, knob, most, aim, settings, least, rule, within)
        tried = [{**limit.setting, knob: count} for limit in found.limits for count, one in limit.probes.items() if not one.problem]
        bench.write_down("frontier", tried, 0, replications, aim.figures)
    return found


def variant_of(scenario: Scenario, variant: str | None) -> str:
    """The variant that is meant: the one that is named, or the only one there is. Raises InputError."""
    names = scenario.variant_names()
    if variant is None:
        if len(names) > 1:
            raise InputError(
                f"variant: {scenario.name} has {', '.join(names)}; say which one is meant, such as --variant {names[-1]}"
            )
        return names[0]
    if variant not in names:
        raise InputError(f"variant: {undeclared(variant, 'variant', names)}")
    return variant


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
