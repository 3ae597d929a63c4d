"""The search: which settings to try next, by Optuna, from how those before came out.

Rounds of eight settings are asked for, simulated side by side and told in order, so that the answer depends on the seed alone and
not on the workers. The sampler is TPE with constraints: figures of settings that break a requirement guide it away by how far they
break it (the logarithm of the margin), goals guide it among the others; it takes noise as it is, all settings meet the same worlds.
Each knob is a share from 0 to 1 of its own range, so a logarithmic range is searched in the logarithm. Where there are no more
combinations than trials, all of them are tried.
"""

from __future__ import annotations

import itertools
import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sim.analysis.objectives import Goal, observations
from sim.planning.aims import Aims
from sim.planning.bench import Answer, Ask, Bench
from sim.sweeps.design import Point
from sim.sweeps.values import Space, Values

ROUND: Final = 8
_FURTHEST: Final = 20.0
"""Margins beyond exp(20) tell the search no more than that."""
_WORST: Final = -1e18


@dataclass(frozen=True, slots=True)
class Tried:
    """A setting of the search. means: figure -> mean over the replications (median where some never come), None where absent;
    violations: of each requirement, the logarithm of value over limit: above 0 it is broken; noise: the standard deviation of the
    largest one over the replications; wishes: means of the goals."""

    point: Point
    means: dict[str, float | None]
    violations: tuple[float, ...]
    wishes: tuple[float | None, ...]
    problem: str = ""
    noise: float = 0.0

    @property
    def feasible(self) -> bool:
        """Whether the means keep every requirement, and every goal has a value."""
        return not self.problem and all(one <= 0 for one in self.violations) and None not in self.wishes

    @property
    def slack(self) -> float:
        """The logarithm of the least margin; infinite without requirements."""
        return -max(self.violations, default=-math.inf)


def search(bench: Bench, knobs: Mapping[str, Space], aims: Aims, trials: int, replications: int, seed: int) -> list[Tried]:
    """The settings that were tried, in order, each once."""
    listed = _all(knobs, trials)
    if listed is not None:
        asked = [Ask(point, 0, replications) for point in listed]
        return [tried(ask.point, answer, aims) for ask, answer in zip(asked, bench.answer(asked), strict=True)]
    return _guided(bench, knobs, aims, trials, replications, seed)


def tried(point: Point, answer: Answer, aims: Aims) -> Tried:
    """What an answer says of a setting."""
    if answer.problem:
        return Tried(point, {}, tuple(_FURTHEST for _ in aims.requirements), tuple(None for _ in aims.wishes), answer.problem)
    means = {figure: _mean(figure, answer) for figure in aims.figures}
    violations = tuple(violation(goal, means[goal.figure]) for goal in aims.requirements)
    wishes = tuple(value if (value := means[wish.figure]) is not None and math.isfinite(value) else None for wish in aims.wishes)
    return Tried(point, means, violations, wishes, noise=_noise(answer, aims, violations))


def _noise(answer: Answer, aims: Aims, violations: Sequence[float]) -> float:
    if not violations or len(answer.metrics) < 2:
        return 0.0
    goal = aims.requirements[max(range(len(violations)), key=lambda place: violations[place])]
    runs = list(zip(answer.metrics, answer.status, strict=True))
    each = [violation(goal, None if math.isnan(value) else value) for value in observations(goal.figure, runs)]
    return statistics.stdev(each)


def violation(goal: Goal, value: float | None) -> float:
    """The logarithm of value over limit (limit over value), 0 at the bound, above 0 where it is broken."""
    if value is None:
        return _FURTHEST
    over, under = (goal.limit, value) if goal.bound == "min" else (value, goal.limit)
    if over > 0 and under > 0 and not (math.isinf(over) and math.isinf(under)):
        found = -math.inf if math.isinf(under) else math.log(over) - math.log(under) if math.isfinite(over) else math.inf
    else:
        found = over - under  # a bound at zero has no ratio
    return min(max(found, -_FURTHEST), _FURTHEST) if goal.keeps(value) else max(min(found, _FURTHEST), 1e-12)


def _mean(figure: str, answer: Answer) -> float | None:
    values = sorted(observations(figure, zip(answer.metrics, answer.status, strict=True)))
    if any(math.isnan(value) for value in values):
        return None
    if math.isinf(values[-1]):
        return values[(len(values) - 1) // 2]
    return math.fsum(values) / len(values)


def _all(knobs: Mapping[str, Space], most: int) -> list[Point] | None:
    """Every combination, where there are few; None where a knob has a range or there are too many."""
    spaces = list(knobs.values())
    if not all(isinstance(space, Values) for space in spaces):
        return None
    listed = [space.values for space in spaces if isinstance(space, Values)]
    if math.prod(len(values) for values in listed) > most:
        return None
    return [dict(zip(knobs, chosen, strict=True)) for chosen in itertools.product(*listed)]


def _guided(bench: Bench, knobs: Mapping[str, Space], aims: Aims, trials: int, replications: int, seed: int) -> list[Tried]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions: list[Literal["maximize", "minimize"]]
    directions = ["maximize" if wish.direction == "high" else "minimize" for wish in aims.wishes] or ["maximize"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        startup = min(max(2 * ROUND, 4 * len(knobs)), max(trials // 2, 1))
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True)
        study = optuna.create_study(directions=directions, sampler=sampler)
        known: dict[str, Tried] = {}
        while len(known) < trials:
            asked = [study.ask() for _ in range(min(ROUND, trials - len(known)))]
            points = [{path: space.at(_share(trial, path, space)) for path, space in knobs.items()} for trial in asked]
            fresh = {_name(point): point for point in points if _name(point) not in known}
            answers = bench.answer([Ask(point, 0, replications) for point in fresh.values()])
            for (name, point), answer in zip(fresh.items(), answers, strict=True):
                known[name] = tried(point, answer, aims)
            for trial, point in zip(asked, points, strict=True):
                _tell(study, trial, known[_name(point)], aims)
            if not fresh and len(study.trials) > 4 * trials:
                break  # few different settings are left: whole numbers, lists
    return list(known.values())


def _share(trial: Any, path: str, space: Space) -> float:
    """A place in a knob's range; lists of things without an order are told apart as such."""
    if isinstance(space, Values) and not all(isinstance(value, int | float) for value in space.values):
        place = trial.suggest_categorical(path, list(range(len(space.values))))
        return float((place + 0.5) / len(space.values))
    return float(trial.suggest_float(path, 0.0, 1.0))


def _tell(study: Any, trial: Any, found: Tried, aims: Aims) -> None:
    for goal, one in zip(aims.requirements, found.violations, strict=True):
        trial.set_constraint(f"{goal.name} {goal.bound}", one)
    if aims.wishes:
        values = [wish.sign * _WORST if value is None else value for wish, value in zip(aims.wishes, found.wishes, strict=True)]
    else:
        values = [_WORST if found.problem else max(min(found.slack, _FURTHEST), -_FURTHEST)]
    study.tell(trial, values)


def _name(point: Mapping[str, Any]) -> str:
    return repr(sorted(point.items()))


def front(found: Sequence[Tried], aims: Aims) -> list[Tried]:
    """The feasible settings that no other feasible one beats in every goal; without goals the one with the most slack."""
    good = [one for one in found if one.feasible]
    if not aims.wishes:
        return sorted(good, key=lambda one: -one.slack)[:1]
    return [one for one in good if not any(_beats(other, one, aims) for other in good)]


def _beats(one: Tried, other: Tried, aims: Aims) -> bool:
    mine, theirs = (_oriented(each, aims) for each in (one, other))
    return all(a >= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs


def _oriented(one: Tried, aims: Aims) -> list[float]:
    return [wish.sign * value for wish, value in zip(aims.wishes, one.wishes, strict=True) if value is not None]
