"""The capacity curve: how many, for each setting of the limiter; and how the margin shrinks with the count."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sim.planning.draw import BAD, CHOSEN, GOOD, LINES, OPEN, QUIET, WORDS, head, in_unit, numeric, sheet, spans_decades
from sim.planning.frontier import Frontier, Limit
from sim.planning.report import bound, setting, short


def draw(found: Frontier) -> Figure:
    """See `Frontier.plot`."""
    several = len(found.limits) > 1
    asked = ", ".join(f"{goal.figure} {bound(goal)}" for goal in found.aims.requirements)
    title = f"{found.name}: the largest {'.'.join(found.knob.split('.')[1:]) or found.knob}"
    with sheet(12.5 if several else 8.5, 5.4, title, f"{found.variant} · {asked} · each count at {found.level:.0%}") as figure:
        panels = figure.subplots(1, 2 if several else 1, squeeze=False)[0]
        if several:
            _capacity(panels[0], found)
        _margins(panels[-1], found)
    return figure


def _capacity(axes: Axes, found: Frontier) -> None:
    paths = list(found.limits[0].setting)
    names = short(paths)
    single = len(paths) == 1
    values = [one.setting[paths[0]] if single else setting(one.setting, names) for one in found.limits]
    at: list[Any] = values if single and numeric(values) else list(range(len(values)))
    head(axes, "The largest count, by setting", "line: meets all; band: not known, or undecided")
    low = [one.meets or 0 for one in found.limits]
    high = [one.fails if one.fails is not None else max(one.probes) for one in found.limits]
    order = sorted(range(len(at)), key=lambda place: at[place])
    axes.fill_between(
        [at[p] for p in order], [low[p] for p in order], [high[p] for p in order], color=OPEN, alpha=0.25, linewidth=0
    )
    axes.plot([at[p] for p in order], [low[p] for p in order], color=CHOSEN, linewidth=2, marker="o", markersize=5)
    for place, one in enumerate(found.limits):
        for count, probe in one.probes.items():
            axes.plot(at[place], count, ".", color=WORDS[probe.outcome], markersize=5, alpha=0.7, zorder=1)
        said = f"{one.meets}" if one.meets is not None else "none"
        if one.fails is None and one.meets == one.most:
            said = f"{one.meets} and more"
        axes.annotate(said, (at[place], low[place]), xytext=(7, 7), textcoords="offset points", fontsize=9.5, color=CHOSEN,
                      fontweight="bold", bbox={"facecolor": "white", "alpha": 0.75, "pad": 1, "linewidth": 0})  # fmt: skip
    if at is values:
        if min(values) > 0 and max(values) >= 5 * min(values):
            axes.set_xscale("log")
            axes.set_xticks(values, [f"{value:g}" for value in values])
            axes.minorticks_off()
        axes.set_xlabel(names[paths[0]])
    else:
        axes.set_xticks(at, [str(value) for value in values], rotation=20, ha="right")
    counts = [float(count) for one in found.limits for count in one.probes]
    if spans_decades(counts):
        axes.set_yscale("log")
    in_unit(axes.yaxis, "items", log=axes.get_yscale() == "log")
    axes.set_ylabel(".".join(found.knob.split(".")[1:]))
    axes.margins(x=0.1, y=0.12)
    dots = [Line2D([], [], marker=".", linestyle="", color=colour, label=word) for word, colour in WORDS.items()]
    axes.legend(handles=[*dots, Patch(color=OPEN, alpha=0.25, label="band")], frameon=False, fontsize=8.5, loc="best", ncols=2)


def _margins(axes: Axes, found: Frontier) -> None:
    names = short([path for one in found.limits for path in one.setting])
    head(axes, "The least margin, by count", "limit over value: below 1 it is broken; bars: interval of that requirement")
    for place, one in enumerate(found.limits):
        colour = LINES[place % len(LINES)]
        rows = _tightest(one)
        if not rows:
            continue
        counts = [count for count, _, _, _ in rows]
        axes.plot(counts, [margin for _, margin, _, _ in rows], color=colour, linewidth=1.6, marker="o", markersize=4,
                  label=setting(one.setting, names) or found.variant)  # fmt: skip
        axes.vlines(
            counts, [low for _, _, low, _ in rows], [high for _, _, _, high in rows], color=colour, linewidth=1.2, alpha=0.6
        )
    axes.axhline(1, color="#222222", linewidth=1, linestyle=(0, (2, 2)))
    low, top = axes.get_ylim()
    axes.axhspan(0 if low > 0 else low, 1, color=BAD, alpha=0.05, zorder=0)
    axes.axhspan(1, max(top, 1), color=GOOD, alpha=0.05, zorder=0)
    axes.set_ylim(0, max(top, 1.2))
    margins = [margin for one in found.limits for _, margin, _, _ in _tightest(one)]
    if spans_decades(margins):
        axes.set_yscale("log")
        axes.set_ylim(min(margins) / 1.5, max([*margins, 1.2]) * 1.5)
        in_unit(axes.yaxis, "", log=True)
    tried = [count for one in found.limits for count in one.probes]
    if spans_decades(tried):
        axes.set_xscale("log")
    in_unit(axes.xaxis, "items", log=axes.get_xscale() == "log")
    axes.set_xlabel(".".join(found.knob.split(".")[1:]))
    axes.set_ylabel("margin", color=QUIET)
    if len(found.limits) > 1:
        axes.legend(frameon=False, fontsize=8.5, loc="best")


def _tightest(one: Limit) -> list[tuple[int, float, float, float]]:
    """(count, margin, worst, best) of the requirement nearest to failing."""
    rows = []
    for count, probe in one.probes.items():
        judged = probe.binding
        if judged is None or judged.margin is None:
            continue
        ends = [judged.margin]
        if judged.interval is not None:
            ends += [m for end in (judged.interval.low, judged.interval.high) if (m := judged.goal.margin(end)) is not None]
        rows.append((count, judged.margin, min(ends), max(ends)))
    return rows
