"""The frontier: the largest count that still meets the requirements, for each setting of a limiter.

From the smallest count it doubles until one does not pass, then halves the gap on both sides of what stays undecided: the largest
count that is shown to meet everything, and the smallest that is shown to fail. Between them lies the undecided band.

That supposes that more is never better: whoever fails at n fails above it. Nothing guarantees it (a limiter may bite first where
there are few), so it is checked at counts that the search passed over, in the widest gaps below and above, and said where it does
not hold; the frontier is then the largest count below which everything tried passed.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from sim.analysis.deciding import DecideRule
from sim.errors import InputError
from sim.planning.aims import Aims
from sim.planning.bench import Bench, Spent
from sim.planning.probes import Probe, probe
from sim.sweeps.design import Point

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WITHIN: Final = 0.05
"""The largest count is found to within this share of itself."""
Search = Generator[int, Probe, None]
"""Asks for a count, takes what is known of it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The frontier at one setting. meets: the largest count shown to meet all, None where not even the smallest does; fails: the
    smallest count shown to fail, None where none did up to the largest allowed; probes: all that was tried, by count.
    monotone: whether no count passed above one that failed."""

    setting: Point
    probes: dict[int, Probe]
    most: int

    @property
    def monotone(self) -> bool:
        failed = [count for count, one in self.probes.items() if one.outcome == "fail"]
        return not any(one.outcome == "pass" and count > min(failed, default=count) for count, one in self.probes.items())

    @property
    def meets(self) -> int | None:
        least = min((count for count, one in self.probes.items() if one.outcome == "fail"), default=math.inf)
        return max((count for count, one in self.probes.items() if one.outcome == "pass" and count < least), default=None)

    @property
    def fails(self) -> int | None:
        return min((count for count, one in self.probes.items() if one.outcome == "fail"), default=None)

    @property
    def undecided(self) -> list[int]:
        """The counts that stayed undecided."""
        return [count for count, one in sorted(self.probes.items()) if one.outcome == "undecided"]

    @property
    def binds(self) -> str:
        """The figure that ends it: of the smallest failing count, else the nearest to failing; or why a run cannot be."""
        at = self.fails if self.fails is not None else max(self.probes)
        one = self.probes[at]
        return one.problem or (one.binding.goal.figure if one.binding is not None else "")


@dataclass(frozen=True, slots=True)
class Frontier:
    """What was found: a limit for each setting."""

    name: str
    variant: str
    knob: str
    aims: Aims
    level: float
    seed: int
    limits: tuple[Limit, ...]
    spent: Spent

    def table(self) -> pd.DataFrame:
        """A row a setting: its values, `meets`, `fails`, `binds`, `monotone`."""
        from sim.planning.frontier_report import table

        return table(self)

    def probes(self) -> pd.DataFrame:
        """A row a setting, count and requirement: outcome, estimate, interval, margin, runs."""
        from sim.planning.frontier_report import probes

        return probes(self)

    def plot(self) -> Figure:
        """The capacity curve, and the margin of each requirement against the count."""
        from sim.planning.frontier_plot import draw

        return draw(self)

    def to_json(self) -> dict[str, Any]:
        """The object that `etcdsim frontier --json` prints."""
        from sim.planning.frontier_report import document

        return document(self)


def frontier(
    bench: Bench, knob: str, most: int, aims: Aims, settings: Sequence[Point] = ({},), least: int = 1,
    rule: DecideRule | None = None, within: float = WITHIN,
) -> Frontier:  # fmt: skip
    """The largest count at `knob`, from `least` to `most`, for each setting. Raises InputError where nothing can be run."""
    rule = rule if rule is not None else DecideRule()
    known: list[dict[int, Probe]] = [{} for _ in settings]
    searches = [_search(mine, least, most, within) for mine in known]
    wanted = {place: count for place, one in enumerate(searches) if (count := _next(one)) is not None}
    while wanted:
        points = [{**settings[place], knob: count} for place, count in wanted.items()]
        probes = probe(bench, points, aims.requirements, rule)
        after: dict[int, int] = {}
        for (place, count), found in zip(wanted.items(), probes, strict=True):
            known[place][count] = found
            further = _next(searches[place], found)
            if further is not None:
                after[place] = further
        wanted = after
    judged = [one for mine in known for each in mine.values() for one in each.judgements]
    for goal in aims.requirements:
        if judged and all(one.estimate is None for one in judged if one.goal == goal):
            raise InputError(f"figure: {goal.figure} has no value in any run: too short, or nothing of the kind happens")
    limits = tuple(Limit(dict(setting), dict(sorted(mine.items())), most) for setting, mine in zip(settings, known, strict=True))
    return Frontier(bench.name, bench.variant, knob, aims, rule.level, bench.seed, limits, bench.spent)


def _next(search: Search, found: Probe | None = None) -> int | None:
    try:
        return next(search) if found is None else search.send(found)
    except StopIteration:
        return None


def _search(known: dict[int, Probe], least: int, most: int, within: float) -> Search:
    """The counts to try, one by one; `known` fills up between them."""
    count = least
    while True:
        yield count
        if known[count].outcome == "fail" or count == most:
            break
        count = min(2 * count, most)
    yield from _halved(known, least, within)
    for count in _unseen(known, most):
        if count not in known:
            yield count
    yield from _halved(known, least, within)  # where the check has found another place to end


def _halved(known: dict[int, Probe], least: int, within: float) -> Search:
    for sure in ("pass", "fail"):
        while (middle := _between(known, sure, least, within)) is not None:
            yield middle


def _between(known: dict[int, Probe], sure: str, least: int, within: float) -> int | None:
    """The next count of a bisection: for the largest that passes, or the smallest that fails; None where it is found."""
    if sure == "pass":
        high = min((count for count, one in known.items() if one.outcome != "pass"), default=None)
        low = max(
            (count for count, one in known.items() if one.outcome == "pass" and (high is None or count < high)), default=least
        )
    else:
        high = min((count for count, one in known.items() if one.outcome == "fail"), default=None)
        low = max((count for count in known if high is None or count < high), default=least)
    if high is None or high - low <= max(1, math.floor(within * low)):
        return None
    return (low + high) // 2


def _unseen(known: dict[int, Probe], most: int) -> list[int]:
    """Where it could be otherwise than supposed: the middle of the widest gap (by ratio) among those that pass, and one beyond."""
    found = []
    good = sorted(count for count, one in known.items() if one.outcome == "pass")
    gaps = [(high / low, low, high) for low, high in pairwise(good) if high - low > 1]
    if gaps:
        _, low, high = max(gaps)
        found.append(round(math.sqrt(low * high)))
    bad = max((count for count, one in known.items() if one.outcome == "fail"), default=None)
    if bad is not None and bad < most:
        found.append(min(2 * bad, most))
    return found
