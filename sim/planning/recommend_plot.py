"""What was tried, the front and the recommended setting; and what one step beside it changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.analysis import Interval
from sim.planning.aims import unit
from sim.planning.draw import BAD, CHOSEN, GOOD, OPEN, QUIET, head, in_unit, sheet, spans_decades
from sim.planning.recommend import Candidate, Recommendation
from sim.planning.recommend_report import value_of
from sim.planning.report import bound, short, value
from sim.planning.search import Tried

_MOST_MARGIN = 1e3


def draw(found: Recommendation) -> Figure:
    """See `Recommendation.plot`."""
    aims = found.study.aims
    asked = ", ".join(f"{goal.figure} {bound(goal)}" for goal in aims.requirements)
    wished = ", ".join(f"{wish.figure} {wish.direction}" for wish in aims.wishes)
    figures = _of_interest(found) if found.around else []
    title = f"{found.study.name}: {'recommended' if found.chosen else 'nothing satisfies the constraints'}"
    width = 7.5 + 4.2 * len(figures)
    under = " · ".join(part for part in (found.study.variant, asked, wished) if part)
    with sheet(max(width, 8.5), 5.4, title, under) as figure:
        panels = figure.subplots(1, 1 + len(figures), squeeze=False, width_ratios=[1.7, *([1] * len(figures))])[0]
        _tried(panels[0], found)
        for axes, name in zip(panels[1:], figures, strict=True):
            _steps(axes, found, name)
    return figure


def _of_interest(found: Recommendation) -> list[str]:
    """The figure that is wished for, and the one nearest to its bound."""
    figures = [wish.figure for wish in found.study.aims.wishes[:1]]
    tightest = found.chosen.probe.binding if found.chosen is not None else None
    if tightest is not None:
        figures.append(tightest.goal.figure)
    return list(dict.fromkeys(figures))


def _tried(axes: Axes, found: Recommendation) -> None:
    wishes = found.study.aims.wishes
    across = len(wishes) > 1
    good = [one for one in found.tried if one.feasible and _place(one, found) is not None]
    bad = [one for one in found.tried if not one.feasible and not one.problem and _place(one, found) is not None]
    head(axes, "What was tried", "means of the search; the star with its interval on fresh worlds")
    for group, colour, marker, said in ((bad, BAD, "x", "breaks a constraint"), (good, GOOD, "o", "keeps all")):
        at = [place for one in group if (place := _place(one, found)) is not None]
        if at:
            axes.plot(*zip(*at, strict=True), marker, color=colour, markersize=5, alpha=0.65, label=said)
    line = _front(found, good)
    if len(line) > 1:
        axes.plot(*zip(*line, strict=True), color=QUIET, linewidth=1.2, drawstyle="default", label="front", zorder=1)
    for one, marker, colour, size, said in _marked(found):
        place = _place(one.tried, found, one)
        if place is not None:
            axes.plot(*place, marker, color=colour, markersize=size, label=said, zorder=4, markeredgecolor="white")
            given = one.wishes[1 if across else 0] if one is found.chosen and one.wishes else None
            if isinstance(given, Interval):
                axes.vlines(place[0], given.low, given.high, color=colour, linewidth=2, zorder=3)
    places = [place for one in (*good, *bad) if (place := _place(one, found)) is not None]
    if spans_decades([x for x, _ in places]):
        axes.set_xscale("log")
    if spans_decades([y for _, y in places]):
        axes.set_yscale("log")
    in_unit(axes.xaxis, unit(wishes[0].figure) if across else "", log=axes.get_xscale() == "log")
    of = unit(wishes[1 if across else 0].figure) if wishes else ""
    in_unit(axes.yaxis, of, log=axes.get_yscale() == "log")
    axes.set_xlabel(wishes[0].figure if across else "least margin of the constraints (below 1: broken)")
    axes.set_ylabel(wishes[1 if across else 0].figure if wishes else "number tried")
    if not across and found.study.aims.requirements:
        axes.axvline(1, color="#222222", linewidth=1, linestyle=(0, (2, 2)))
    axes.legend(frameon=False, fontsize=8.5, loc="best")


def _marked(found: Recommendation) -> list[tuple[Candidate, str, str, float, str]]:
    marked = [(found.now, "D", "#000000", 7.0, "as it is now")]
    if found.chosen is not None:
        marked.append((found.chosen, "*", CHOSEN, 16.0, "recommended"))
    return marked


def _place(one: Tried, found: Recommendation, fresh: Candidate | None = None) -> tuple[float, float] | None:
    """Where a setting stands: the goals of two, the margin and the goal of one, the margin and its number without."""
    wishes = found.study.aims.wishes
    values = list(one.wishes)
    slack = one.slack
    if fresh is not None and fresh.wishes:
        values = [given.estimate for given in fresh.wishes]
    if fresh is not None and fresh.probe.binding is not None and fresh.probe.binding.margin:
        slack = math.log(fresh.probe.binding.margin)
    if any(given is None for given in values):
        return None
    known = [given for given in values if given is not None]
    if len(wishes) > 1:
        return known[0], known[1]
    margin = min(math.exp(min(slack, 700.0)), _MOST_MARGIN)
    if wishes:
        return margin, known[0]
    return margin, float(found.tried.index(one)) if one in found.tried else 0.0


def _front(found: Recommendation, good: Sequence[Tried]) -> list[tuple[float, float]]:
    """The line that no setting beats: in both goals, or in goal and margin."""
    wishes = found.study.aims.wishes
    if not wishes:
        return []
    signs = (wishes[0].sign, wishes[1].sign) if len(wishes) > 1 else (1.0, wishes[0].sign)
    places = [place for one in good if (place := _place(one, found)) is not None]
    best = [
        one for one in places
        if not any(all(s * (b - a) >= 0 for a, b, s in zip(one, other, signs, strict=True)) and other != one for other in places)
    ]  # fmt: skip
    return sorted(set(best))


def _steps(axes: Axes, found: Recommendation, figure: str) -> None:
    head(axes, figure, "changed by one step beside it; line: its interval")
    names = short(list(found.study.knobs))
    labels: list[str] = []
    for knob in found.study.knobs:
        for one in found.around:
            given = one.changes.get(figure)
            if one.knob != knob:
                continue
            row = len(labels)
            labels.append(f"{names[knob]} {value_of(one.point[knob])}")
            if isinstance(given, Interval):
                words = {judged.outcome for judged in one.judgements}
                colour = BAD if "fail" in words else OPEN if "undecided" in words else GOOD
                axes.barh(row, given.estimate, color=colour, alpha=0.75, height=0.62)
                axes.hlines(row, given.low, given.high, color="#222222", linewidth=1.2)
            else:
                axes.annotate(
                    "no value", (0, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5, color=QUIET
                )
    axes.axvline(0, color="#222222", linewidth=1)
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    in_unit(axes.xaxis, unit(figure))
    axes.tick_params(axis="x", labelsize=8)
    chosen = found.chosen
    if chosen is not None:
        here = next((one.estimate for one in chosen.probe.judgements if one.goal.figure == figure), None)
        if here is None:
            place = next((at for at, wish in enumerate(found.study.aims.wishes) if wish.figure == figure), None)
            here = chosen.wishes[place].estimate if place is not None else None
        if here is not None:
            axes.set_xlabel(f"change from {value(here, unit(figure))}")
