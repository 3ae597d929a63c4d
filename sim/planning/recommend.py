"""A recommendation: searched, then judged on worlds that the search has not seen, then looked at from all sides.

The best of many noisy settings looks better than it is, and a setting just inside a bound on these worlds may be just outside
on others. So the search only proposes: its best settings, from the one that looks best to one with more room, are run again with
fresh seeds until their requirements are decided, at a confidence that all of them share (Bonferroni). Recommended is the best of
those that pass; where several are as good as that (the paired difference may be zero), the one with the largest margin.

With several goals the one nearest to the best of each is taken, all goals counting the same, each in the width of the front.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sim.analysis import Interval, Refused, paired
from sim.analysis.deciding import DecideRule
from sim.analysis.objectives import Goal, Judgement, Outcome, mean_of_figure, observations
from sim.errors import InputError
from sim.planning.bench import Ask, Bench, Spent
from sim.planning.probes import Probe, judged, probe
from sim.planning.search import Tried, front, search, tried
from sim.planning.steps import around
from sim.planning.study import Study
from sim.scenario import Scenario
from sim.sweeps.design import Point

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


_ROOMS: Final = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Room to a bound that the candidates are to have, in standard deviations of a run: the first is likely to stay undecided."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting judged on fresh replications. wishes: each goal's mean with its interval."""

    tried: Tried
    probe: Probe
    wishes: tuple[Interval | Refused, ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def worst(self) -> float:
        """The least margin, at the unfavourable end of its interval; infinite where no ratio says it."""
        return min((one.worst for one in self.probe.judgements if one.worst is not None), default=math.inf)


@dataclass(frozen=True, slots=True)
class Step:
    """One knob, one step beside the recommended setting, on the same worlds. changes: figure -> paired difference."""

    knob: str
    point: Point
    judgements: tuple[Judgement, ...]
    changes: dict[str, Interval | Refused]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """How a requirement fared in the search. kept: settings that keep it; only: settings that break nothing else."""

    goal: Goal
    kept: int
    only: int


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What is recommended, or why nothing is. chosen: None where no candidate passes; now: the scenario as it is; front: the
    settings that no other one beats in every goal; around: one step to each side of the chosen one."""

    study: Study
    tried: tuple[Tried, ...]
    now: Candidate
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    front: tuple[Tried, ...]
    requirements: tuple[Kept, ...]
    around: tuple[Step, ...]
    spent: Spent

    @property
    def outcome(self) -> Outcome:
        """pass: something is recommended; fail: nothing meets the requirements; undecided: some setting may."""
        if self.chosen is not None:
            return "pass"
        return "undecided" if any(one.probe.outcome == "undecided" for one in self.candidates) else "fail"

    @property
    def binds(self) -> list[Goal]:
        """The requirements without which some setting would do; where no single one is in the way, those kept by the fewest."""
        alone = [one.goal for one in self.requirements if one.only]
        fewest = min((one.kept for one in self.requirements), default=0)
        return alone or [one.goal for one in self.requirements if one.kept == fewest]

    @property
    def point(self) -> Point | None:
        """The recommended setting: path -> value."""
        return None if self.chosen is None else dict(self.chosen.tried.point)

    @property
    def scenario(self) -> Scenario:
        """The scenario with the recommended setting; as it is where there is none."""
        return self.study.scenario if self.chosen is None else self.study.scenario.with_(self.chosen.tried.point)

    def table(self) -> pd.DataFrame:
        """A row a setting that was tried: knobs, means of the figures, least margin, whether it keeps all, whether on the front."""
        from sim.planning.recommend_report import table

        return table(self)

    def plot(self) -> Figure:
        """What was tried, the front, and the steps around the recommended setting."""
        from sim.planning.recommend_plot import draw

        return draw(self)

    def to_json(self) -> dict[str, Any]:
        """The object that `etcdsim recommend --json` prints."""
        from sim.planning.recommend_report import document

        return document(self)


def recommend(bench: Bench, study: Study) -> Recommendation:
    """Search, judge, look around. Raises InputError where nothing can be run."""
    aims = study.aims
    found = search(bench, study.knobs, aims, study.trials, study.replications, study.seed)
    for figure in aims.figures:
        if all(one.means.get(figure) is None for one in found if not one.problem) and not all(one.problem for one in found):
            raise InputError(f"figure: {figure} has no value in any run: too short, or nothing of the kind happens")
    proposed = _proposed(found, study)
    # What is there now is judged beside the candidates, for comparison only.
    here = tried({}, bench.answer([Ask({}, 0, study.replications)])[0], aims)
    rule = DecideRule(study.replications, study.most_replications, study.confidence) if aims.requirements else None
    probes = _probes(bench, [here.point, *(one.point for one in proposed)], study, rule, len(proposed))
    now, *candidates = [_candidate(bench, one, probed, study) for one, probed in zip([here, *proposed], probes, strict=True)]
    chosen = _chosen(candidates, study)
    steps = _steps(bench, chosen, study) if chosen is not None else []
    kept = tuple(_kept(goal, place, found) for place, goal in enumerate(aims.requirements))
    return Recommendation(
        study, tuple(found), now, tuple(candidates), chosen, tuple(front(found, aims)), kept, tuple(steps), bench.spent
    )  # fmt: skip


def _proposed(found: Sequence[Tried], study: Study) -> list[Tried]:
    """The setting that looks best, then the best of those with more and more room; where none keeps all, those nearest to it."""
    good = [one for one in found if one.feasible]
    if not good:
        return sorted((one for one in found if not one.problem), key=lambda one: -one.slack)[: study.candidates]
    ordered = sorted(good, key=lambda one: (_distance(one.wishes, good, study), -one.slack))
    noise = statistics.median(one.noise for one in good)
    chosen: list[Tried] = []
    for room in _ROOMS:
        further = next((one for one in ordered if one.slack >= room * noise and one not in chosen), None)
        if further is not None:
            chosen.append(further)
    chosen += [one for one in ordered if one not in chosen]
    return chosen[: study.candidates]


def _distance(wishes: Sequence[float | None], among: Sequence[Tried], study: Study) -> float:
    """How far from the best of each goal among the feasible, each in the width of what they reach; 0 without goals."""
    squares = 0.0
    for place, wish in enumerate(study.aims.wishes):
        reached = [wish.sign * value for one in among if (value := one.wishes[place]) is not None]
        mine = wishes[place]
        if mine is None:
            return math.inf
        width = (max(reached) - min(reached)) or 1.0
        squares += ((max(reached) - wish.sign * mine) / width) ** 2
    return math.sqrt(squares)


def _probes(bench: Bench, points: Sequence[Point], study: Study, rule: DecideRule | None, shared: int) -> list[Probe]:
    if rule is not None:
        return probe(bench, points, study.aims.requirements, rule, first=study.replications, shared=max(shared, 1))
    count = min(2 * study.replications, study.most_replications)
    answers = bench.answer([Ask(point, study.replications, count) for point in points])
    return [
        Probe(point, "fail" if answer.problem else "pass", (), count, answer.problem)
        for point, answer in zip(points, answers, strict=True)
    ]


def _candidate(bench: Bench, one: Tried, probed: Probe, study: Study) -> Candidate:
    if probed.problem:
        return Candidate(one, probed, (), ())
    (answer,) = bench.answer([Ask(one.point, study.replications, probed.runs)])
    runs = list(zip(answer.metrics, answer.status, strict=True))
    values = tuple(tuple(observations(wish.figure, runs)) for wish in study.aims.wishes)
    wishes = tuple(
        Refused("some runs have no value", None, len(each)) if any(map(math.isnan, each)) else mean_of_figure(each)
        for each in values
    )
    return Candidate(one, probed, wishes, values)


def _chosen(candidates: Sequence[Candidate], study: Study) -> Candidate | None:
    passed = [one for one in candidates if one.probe.outcome == "pass"]
    if not passed:
        return None
    fresh = [Tried(one.tried.point, {}, (), tuple(each.estimate for each in one.wishes)) for one in passed]
    distances = [_distance(one.wishes, fresh, study) for one in fresh]
    best = passed[min(range(len(passed)), key=lambda place: (distances[place], -passed[place].worst))]
    alike = [one for one in passed if one is best or _alike(one, best)]
    return max(alike, key=lambda one: one.worst) if len(alike) > 1 else best


def _alike(one: Candidate, best: Candidate) -> bool:
    """Whether no goal tells them apart on the worlds that both have met."""
    for mine, theirs in zip(one.values, best.values, strict=True):
        pairs = min(len(mine), len(theirs))
        found = paired(theirs[:pairs], mine[:pairs]) if all(map(math.isfinite, (*mine, *theirs))) else None
        if not isinstance(found, Interval) or 0 not in found:
            return False
    return True


def _steps(bench: Bench, chosen: Candidate, study: Study) -> list[Step]:
    beside = around(study.knobs, chosen.tried.point)
    count = chosen.probe.runs
    asks = [Ask(point, study.replications, count) for _, point in beside]
    base, *answers = bench.answer([Ask(chosen.tried.point, study.replications, count), *asks])
    steps = []
    for (knob, point), answer in zip(beside, answers, strict=True):
        if answer.problem:
            steps.append(Step(knob, point, (), {}, answer.problem))
            continue
        changes = {}
        for figure in study.aims.figures:
            before, after = (observations(figure, zip(one.metrics, one.status, strict=True)) for one in (base, answer))
            known = all(map(math.isfinite, (*before, *after)))
            changes[figure] = paired(before, after) if known else Refused("some runs have no value", None, count)
        steps.append(Step(knob, point, judged(answer, study.aims.requirements, bench.variant, study.confidence), changes))
    return steps


def _kept(goal: Goal, place: int, found: Sequence[Tried]) -> Kept:
    kept = sum(not one.problem and one.violations[place] <= 0 for one in found)
    only = sum(
        not one.problem
        and one.violations[place] > 0
        and all(value <= 0 for at, value in enumerate(one.violations) if at != place)
        for one in found
    )  # fmt: skip
    return Kept(goal, kept, only)
