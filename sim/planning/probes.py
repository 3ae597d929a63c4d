"""Probes: settings tried with as many replications as it takes to say whether they meet the requirements.

A probe looks at 5, 10, 20 ... replications and stops as soon as every requirement passes or one fails; each look has its share of
the error (`sim.analysis.deciding`). Several probes go on side by side, so that all workers are busy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.analysis.deciding import DecideRule
from sim.analysis.objectives import Goal, Judgement, Outcome, judge, observations, overall
from sim.planning.bench import Answer, Ask, Bench
from sim.sweeps.design import Point


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of a setting. problem: why it cannot be simulated, and fails, or why a run of it failed: undecided then."""

    point: Point
    outcome: Outcome
    judgements: tuple[Judgement, ...]
    runs: int
    problem: str = ""

    @property
    def binding(self) -> Judgement | None:
        """The requirement that is nearest to failing, or furthest beyond its bound."""
        return tightest(self.judgements)


def tightest(judgements: Sequence[Judgement]) -> Judgement | None:
    """The judgement with the least margin; where no ratio says it, the first that is not kept."""
    known = [(one.margin, place) for place, one in enumerate(judgements) if one.margin is not None]
    if known:
        return judgements[min(known)[1]]
    return next((one for one in judgements if one.outcome != "pass"), None)


def judged(answer: Answer, requirements: Sequence[Goal], variant: str, level: float) -> tuple[Judgement, ...]:
    """Each requirement held against the replications of an answer."""
    runs = list(zip(answer.metrics, answer.status, strict=True))
    return tuple(judge(goal, observations(goal.figure, runs), variant, level) for goal in requirements)


def probe(
    bench: Bench, points: Sequence[Point], requirements: Sequence[Goal], rule: DecideRule, first: int = 0, shared: int = 1
) -> list[Probe]:
    """Each setting, decided or looked at to the end. first: the replication to begin with; shared: among how many settings the
    error of the rule is to be divided."""
    level = 1 - (1 - rule.level_of_a_look) / shared
    found: list[Probe | None] = [None] * len(points)
    for count in rule.looks:
        open_ = [place for place, one in enumerate(found) if one is None or (one.outcome == "undecided" and not one.problem)]
        if not open_:
            break
        answers = bench.answer([Ask(points[place], first, count) for place in open_])
        for place, answer in zip(open_, answers, strict=True):
            found[place] = _seen(points[place], answer, requirements, bench.variant, level, count)
    return [one for one in found if one is not None]


def _seen(point: Point, answer: Answer, requirements: Sequence[Goal], variant: str, level: float, count: int) -> Probe:
    if answer.problem:
        return Probe(point, "undecided" if answer.failed else "fail", (), 0, answer.problem)
    found = judged(answer, requirements, variant, level)
    return Probe(point, overall(found), found, count)
