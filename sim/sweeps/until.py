"""`--until-half-width 5%`: replications of each point until the interval of a named figure is narrow enough.

Each point is looked at on its own: first at ten replications, then where its interval is expected to suffice
(`sim.analysis.StopRule`: few looks, so that stopping costs little coverage). All variants of a point get the same worlds, as many
as the slowest of them needs, so that differences stay paired. The sweep keeps its name in the store while it grows: started
again, it takes the same looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

from sim.analysis import Interval, Look, Refused, StopRule
from sim.analysis.stopping import FIRST
from sim.sweeps.intervals import Estimate, estimates
from sim.sweeps.plan import Plan
from sim.sweeps.rows import Results
from sim.sweeps.runner import Report, Runner, Tally
from sim.sweeps.store import Store
from sim.sweeps.study import Study


@dataclass(frozen=True, slots=True)
class Reached:
    """What became of the rule at a point, variant and figure. asked, half_width: shares of the mean; None where there is none."""

    point: int
    variant: str
    figure: str
    asked: float
    half_width: float | None
    runs: int
    reached: bool
    why: str


def run_until(
    study: Study, store: Store, executor: Executor | None = None, workers: int | None = None, progress: Report | None = None
) -> tuple[Plan, Tally]:
    """Run replications of every point until the study's rule is met, or `study.replications` are done; returns the last plan."""
    first = min(FIRST, study.replications)
    counts = dict.fromkeys(range(len(study.points())), first)
    whole = Tally(total=0)
    while True:
        plan = Plan(study, counts)
        store.register(plan)
        tally = Runner(plan, store, executor, workers, progress).run()
        whole = _together(whole, tally)
        more = _further(study, Results(store, plan.id), counts)
        if not more or tally.gone or tally.unsaved:
            return plan, whole
        counts |= more


def _further(study: Study, results: Results, counts: dict[int, int]) -> dict[int, int]:
    """The points that need more replications, and how many then."""
    found: dict[int, int] = {}
    for one, look in _looks(study, results, counts):
        if look.next is not None and look.next > counts[one.point]:
            found[one.point] = max(found.get(one.point, 0), look.next)
    return found


def _looks(study: Study, results: Results, counts: dict[int, int] | None = None) -> Iterator[tuple[Estimate, Look]]:
    """Each interval with what the rule says of it. counts: only so many replications of each point, although a store that an
    earlier sweep has left may hold more: the looks are the same as they were then.
    """
    shares = dict(study.until)
    for one in estimates(results, list(shares), counts):
        rule = StopRule(shares[one.figure], min(FIRST, study.replications), study.replications)
        yield one, rule.look(one.found, one.runs)


def reached(study: Study, results: Results) -> list[Reached]:
    """How far the rule was met, for each point, variant and figure."""
    return [
        Reached(
            one.point, one.variant, one.figure, dict(study.until)[one.figure],
            one.found.relative_half_width if isinstance(one.found, Interval) else None, one.runs, look.reached,
            one.found.reason if isinstance(one.found, Refused) else look.reason,
        )
        for one, look in _looks(study, results)
    ]  # fmt: skip


def _together(before: Tally, now: Tally) -> Tally:
    """What two rounds did. What was there before the second one had been done by the first."""
    return Tally(
        total=now.total, present=now.present - before.done - before.elsewhere, done=before.done + now.done,
        elsewhere=before.elsewhere + now.elsewhere, failed={**before.failed, **now.failed}, unsaved=now.unsaved,
        full=before.full or now.full, gone=now.gone, began=before.began,
    )  # fmt: skip
