"""What all answers share: plain data of judgements, words for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.analysis.objectives import Goal, Judgement
from sim.planning.aims import unit
from sim.report.document import number
from sim.report.human import ABSENT, brief, factor, human
from sim.scenario.refusal import shown


def plain(one: Judgement) -> dict[str, Any]:
    """A judgement for `--json`; what never comes has no number and `never: true`."""
    goal = one.goal
    return {
        "objective": goal.name,
        "figure": goal.figure,
        "bound": goal.bound,
        "limit": number(goal.limit),
        "outcome": one.outcome,
        "estimate": finite(one.estimate),
        "never": one.estimate == float("inf"),
        "low": finite(one.interval.low) if one.interval else None,
        "high": finite(one.interval.high) if one.interval else None,
        "margin": finite(one.margin),
        "worst_margin": finite(one.worst),
        "replications": one.runs,
        "why": one.why,
    }


def finite(value: float | None) -> float | None:
    """The number as `--json` writes it; None for none and for infinity."""
    return None if value is None or value in (float("inf"), float("-inf")) or value != value else number(value)


def bound(goal: Goal) -> str:
    """`at most 100 ms`."""
    return f"{'at least' if goal.bound == 'min' else 'at most'} {brief(goal.limit, unit(goal.figure))}"


def estimate(one: Judgement) -> str:
    """`12.3 ms (11.9 ms .. 12.8 ms)`, `never`."""
    of = unit(one.goal.figure)
    if one.estimate is None:
        return ABSENT
    said = value(one.estimate, of)
    if one.interval is None or one.interval.low == one.interval.high:
        return said
    low = max(one.interval.low, 0.0) if one.estimate >= 0 else one.interval.low  # no figure is below zero
    return f"{said} ({value(low, of)} .. {value(one.interval.high, of)})"


def value(given: float, of: str) -> str:
    """A value as people say it; infinity is never."""
    return "never" if given == float("inf") else human(float(f"{given:.6g}"), of)


def margin(one: Judgement) -> str:
    """`x3.1 (at worst x2.8)`."""
    if one.margin is None:
        return ""
    said = factor(one.margin)
    return said if one.worst is None or factor(one.worst) == said else f"{said} (at worst {factor(one.worst)})"


def setting(point: Mapping[str, Any], names: Mapping[str, str] | None = None) -> str:
    """`client.qps 20, workers 5`."""
    return ", ".join(f"{(names or {}).get(path, path)} {shown(given)[1:-1]}" for path, given in point.items())


def short(paths: Sequence[str], least: int = 2) -> dict[str, str]:
    """The ends of paths, at least so many parts long where there are, as long as it takes to tell them apart."""
    parts = {path: path.split(".") for path in paths}
    for size in range(least, max((len(one) for one in parts.values()), default=least) + 1):
        names = {path: ".".join(one[-size:]) for path, one in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {path: path for path in paths}
