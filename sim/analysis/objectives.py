"""Objectives held against runs: pass, fail, or undecided where the interval straddles the bound.

    goals(scenario)         what the scenario asks for, one goal a bound
    observed(value, status) what one run says of a figure: its value, infinity for what never comes, NaN for what it cannot tell
    judge(goal, values)     one value a replication -> a `Judgement` with interval, margin and the reason where nothing is decided
    judge_by(goal, found)   the same from an interval that is already there (of one steady run, from a model of one's own)

What is judged is the mean over replications (t), or the median (order statistics, exact whatever the distribution) of figures
that are one draw a run: a maximum, a p99.9, a time that may never come; and of values that are all the same, whose spread says
nothing. An objective passes where the whole interval keeps the bound, fails where none of it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from sim.analysis.outcome import LEVEL, Interval, Refused, Values
from sim.analysis.replications import mean_of_replications, quantile_of_replications
from sim.scenario import Scenario

Outcome = Literal["pass", "fail", "undecided"]
Bound = Literal["min", "max"]
_ONE_DRAW: Final = (".max", ".p999", "seconds_to_quota")


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure has to keep. limit: in the figure's unit; variant: whose, None for all of them."""

    name: str
    figure: str
    bound: Bound
    limit: float
    variant: str | None = None

    def keeps(self, value: float) -> bool:
        """Whether a value is on the right side of the bound."""
        return value >= self.limit if self.bound == "min" else value <= self.limit

    def margin(self, value: float) -> float | None:
        """How often the value fits into the limit, or the limit into it: above 1 is good; None where that is infinite."""
        over, under = (value, self.limit) if self.bound == "min" else (self.limit, value)
        return over / under if under and math.isfinite(over) else None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A goal held against the runs of one variant.

    estimate: mean or median, infinite for never, None where there is none; keeps: whether it, taken alone, is good enough;
    interval: None where there is none, then `why` says so; margin: of the estimate; worst: of the interval's end nearest to
    failing.
    """

    goal: Goal
    variant: str
    outcome: Outcome
    estimate: float | None
    interval: Interval | None
    runs: int
    why: str = ""

    @property
    def keeps(self) -> bool | None:
        return None if self.estimate is None else self.goal.keeps(self.estimate)

    @property
    def margin(self) -> float | None:
        return None if self.estimate is None else self.goal.margin(self.estimate)

    @property
    def worst(self) -> float | None:
        if self.interval is None:
            return None
        return self.goal.margin(self.interval.low if self.goal.bound == "min" else self.interval.high)


def goals(scenario: Scenario, names: Iterable[str] | None = None) -> list[Goal]:
    """The bounds that a scenario declares, in its order. names: only those objectives."""
    chosen = scenario.objectives if names is None else {name: scenario.objectives[name] for name in names}
    found = []
    for name, one in chosen.items():
        if one.min is not None:
            found.append(Goal(name, one.figure, "min", one.min, one.variant))
        if one.max is not None:
            found.append(Goal(name, one.figure, "max", one.max, one.variant))
    return found


def observed(value: float | None, status: str | None) -> float:
    """What one run says of a figure, as a number: infinity for what never comes, NaN for what the run cannot tell."""
    if value is not None:
        return float(value)
    return math.inf if status == "never" else math.nan


def observations(figure: str, runs: Iterable[tuple[Mapping[str, Any], Mapping[str, str]]]) -> list[float]:
    """`observed` of a figure for the (metrics, status) of each replication."""
    return [observed(metrics.get(figure), status.get(figure)) for metrics, status in runs]


def interval_of(figure: str, values: Values, level: float = LEVEL) -> Interval | Refused:
    """The interval by which a figure is judged. values: one a replication, infinity allowed, NaN where a run cannot tell."""
    found = np.asarray(values, dtype=np.float64)
    unknown = int(np.isnan(found).sum())
    if unknown:
        return Refused(f"{unknown} of {len(found)} runs cannot tell: too short, or nothing of the kind happened", None, len(found))
    if figure.endswith(_ONE_DRAW) or not np.isfinite(found).all() or len(set(found.tolist())) == 1:
        return quantile_of_replications(found, 0.5, level)
    return mean_of_figure(found, level)


def mean_of_figure(values: Values, level: float = LEVEL) -> Interval | Refused:
    """`mean_of_replications` of a figure, of which none is negative: so its interval does not begin below zero either."""
    found = mean_of_replications(values, level)
    if isinstance(found, Interval) and found.low < 0 <= min(values):
        return replace(found, low=0.0)
    return found


def judge(goal: Goal, values: Values, variant: str = "default", level: float = LEVEL) -> Judgement:
    """Hold a goal against replications of one variant. values: as `observations` gives them, shape (n,)."""
    return judge_by(goal, interval_of(goal.figure, values, level), variant, len(values))


def judge_by(goal: Goal, found: Interval | Refused, variant: str = "default", runs: int = 1) -> Judgement:
    """Hold a goal against an interval; a refusal decides nothing."""
    if isinstance(found, Refused):
        return Judgement(goal, variant, "undecided", found.estimate, None, runs, found.reason)
    ends = goal.keeps(found.low), goal.keeps(found.high)
    if all(ends):
        return Judgement(goal, variant, "pass", found.estimate, found, runs)
    if not any(ends):
        return Judgement(goal, variant, "fail", found.estimate, found, runs)
    return Judgement(goal, variant, "undecided", found.estimate, found, runs, "the interval straddles the bound")


def overall(judgements: Sequence[Judgement]) -> Outcome:
    """Of several: fail where one fails, pass where all pass."""
    outcomes = {one.outcome for one in judgements}
    return "fail" if "fail" in outcomes else "undecided" if "undecided" in outcomes else "pass"
