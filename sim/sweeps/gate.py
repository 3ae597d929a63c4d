"""Replications of a scenario until its objectives are decided: what `etcdsim gate` does, and a search may do at each setting.

All variants meet the same worlds, replication by replication. A variant whose goals are decided runs no further; the first goal
that fails ends everything, for a gate needs no more. Runs go to a store, so that a later gate, or one that was interrupted,
repeats none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Final

from sim.analysis import DecideRule, Goal, Judgement, goals, judge, observed, overall
from sim.analysis.objectives import Outcome
from sim.errors import InputError
from sim.metrics.catalogue import describe
from sim.scenario import Scenario
from sim.scenario.refusal import undeclared
from sim.sweeps.design import Point
from sim.sweeps.plan import Plan
from sim.sweeps.rows import Results
from sim.sweeps.runner import Report, Runner
from sim.sweeps.store import Store, StoreFull
from sim.sweeps.study import Study

_RULE: Final = DecideRule()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a gate found. runs: simulated now; replications: of each variant; failed: why runs failed, each reason once."""

    outcome: Outcome
    judgements: tuple[Judgement, ...]
    replications: dict[str, int]
    runs: int
    failed: tuple[str, ...] = ()


Heard = Callable[[int, Sequence[Judgement]], None]
"""Told after each look: at how many replications, and what is known by then."""


def wanted(scenario: Scenario, names: Iterable[str] | None = None, variants: Iterable[str] | None = None) -> list[tuple[Goal, str]]:
    """The goals to decide, each with a variant. Raises InputError where there are none, or for an unknown name."""
    known = scenario.variant_names()
    for variant in variants or ():
        if variant not in known:
            raise InputError(f"variant: {undeclared(variant, 'variant', known)}")
    for name in names or ():
        if name not in scenario.objectives:
            raise InputError(f"objective: {undeclared(name, 'objective', list(scenario.objectives))}")
    found = [
        (goal, variant)
        for goal in goals(scenario, names)
        for variant in known
        if goal.variant in (None, variant) and (variants is None or variant in variants)
    ]
    if not scenario.objectives:
        example = "objectives: {apply: {figure: etcd.apply_seconds.p99, max: 100ms}}"
        raise InputError(f"{scenario.name} states no objectives; write such as {example}")
    if not found:
        raise InputError(f"{scenario.name}: no objective is about variant {', '.join(variants or ())}")
    for goal, _ in found:
        if describe(goal.figure) is None:
            raise InputError(f"objectives.{goal.name}.figure: no run reports {goal.figure}; `etcdsim metrics` lists all figures")
    return found


def decide(
    scenario: Scenario, store: Store, rule: DecideRule = _RULE, *, names: Iterable[str] | None = None,
    variants: Iterable[str] | None = None, point: Point | None = None, seed: int = 1, executor: Executor | None = None,
    workers: int | None = None, progress: Report | None = None, heard: Heard | None = None,
) -> Decision:  # fmt: skip
    """Run replications until every goal is decided, one has failed, or `rule.most` is reached.

    names, variants: only those objectives and variants. point: values at dotted paths, as a point of a sweep. Raises InputError.
    """
    asked = wanted(scenario, names, variants)
    study = Study(str(scenario.name), scenario, listed=(point or {},), seed=seed, series=0)
    known: dict[tuple[str, str, str], Judgement] = {}
    replications: dict[str, int] = {}
    failed: dict[str, None] = {}
    runs = 0
    for count in rule.looks:
        open_ = [(goal, variant) for goal, variant in asked if _undecided(known.get(_name(goal, variant)))]
        needed = tuple(dict.fromkeys(variant for _, variant in open_))
        plan = Plan(replace(study, replications=count, variants=needed))
        store.register(plan)
        tally = Runner(plan, store, executor, workers, progress).run()
        if tally.unsaved:
            raise StoreFull(tally.full)
        if tally.gone:
            raise InputError(f"the executor takes no more runs ({tally.gone}): {tally.left} were not simulated")
        runs += tally.done
        failed |= dict.fromkeys(tally.failed.values())
        values = _values(Results(store, plan.id), {goal.figure for goal, _ in open_}, count)
        for goal, variant in open_:
            found = judge(goal, values.setdefault((variant, goal.figure), [math.nan] * count), variant, rule.level_of_a_look)
            known[_name(goal, variant)] = found
            replications[variant] = count
        told = [known[_name(goal, variant)] for goal, variant in asked]
        if heard is not None:
            heard(count, told)
        undecided = [one for one in told if one.outcome == "undecided"]
        blind = all(math.isnan(value) for one in undecided for value in values[one.variant, one.goal.figure])
        if not undecided or blind or overall(told) == "fail":
            break
    return Decision(overall(told), tuple(told), replications, runs, tuple(failed))


def _name(goal: Goal, variant: str) -> tuple[str, str, str]:
    return goal.name, goal.bound, variant


def _undecided(found: Judgement | None) -> bool:
    return found is None or found.outcome == "undecided"


def _values(results: Results, figures: set[str], count: int) -> dict[tuple[str, str], list[float]]:
    """What each variant's replications say of each figure; NaN for a run that failed."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in results.rows(sorted(figures)):
        for figure in figures:
            told = found.setdefault((row.variant, figure), [math.nan] * count)
            told[row.replication] = observed(row.metrics.get(figure), row.status.get(figure))
    return found
