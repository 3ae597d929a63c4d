"""Points, law and bands: how a figure grows, and what that says further out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.analysis import Interval
from sim.planning.aims import unit
from sim.planning.draw import CHOSEN, LINES, OPEN, QUIET, head, in_unit, sheet, spans_decades
from sim.planning.growth import TIME, Growth

_GRID = 60
_MOST_PANELS = 4


def draw(growths: Sequence[Growth], at: Sequence[float] = ()) -> Figure:
    """A panel a growth, as far as the points or `at` go."""
    panels = list(growths)[:_MOST_PANELS]
    first = panels[0]
    title = f"{first.figure} against {first.against}"
    said = "points: runs; line: the law; bands: of the law (dark) and of a further run"
    with sheet(7.2 * len(panels) + 1.3, 5.2, title, f"{said} · {first.level:.0%}") as figure:
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for place, one in zip(axes, panels, strict=True):
            _panel(place, one, at)
    return figure


def _panel(axes: Axes, found: Growth, at: Sequence[float]) -> None:
    scale, name = _time_unit(found, at)
    last = float(max([found.x.max(), *at]))
    spaced = np.geomspace if found.against != TIME and found.x.min() > 0 else np.linspace
    grid = spaced(max(float(found.x.min()) * 0.8, 1e-9), last * 1.03, _GRID)
    best = found.best.law.name if found.best is not None else None
    note = found.statement.partition(";")[0]
    head(axes, found.variant or found.figure, note if len(note) < 95 else f"{note[:92]}...")
    if best is not None:
        for of, alpha, label in (("run", 0.13, "a further run"), ("law", 0.3, "the law")):
            bands = [getattr(found.at(float(x), best), of) for x in grid]
            if all(isinstance(one, Interval) for one in bands):
                axes.fill_between(grid / scale, [one.low for one in bands], [one.high for one in bands], color=CHOSEN, alpha=alpha,
                                  linewidth=0, label=label)  # fmt: skip
    drawn = [best] if best is not None else []
    others = list(found.rivals) if best is not None else [one.law.name for one in found.fits if one.sigma is not None]
    for place, law in enumerate([*drawn, *others][:5]):
        curve = [found.at(float(x), law).estimate for x in grid]
        chosen = law == best
        colour = CHOSEN if chosen else LINES[1:][place % (len(LINES) - 1)]
        axes.plot(
            grid / scale, curve, color=colour, linewidth=2 if chosen else 1.3, linestyle="-" if chosen else (0, (4, 2)), label=law
        )
    axes.plot(found.x / scale, found.y, "o", color="#222222", markersize=4, alpha=0.5, label="runs", zorder=5)
    if last > float(found.x.max()) * 1.01:
        axes.axvspan(float(found.x.max()) / scale, last * 1.03 / scale, color=OPEN, alpha=0.09, linewidth=0)
        axes.annotate("beyond the points", (float(found.x.max()) / scale, 0.02), xycoords=("data", "axes fraction"), xytext=(4, 0),
                      textcoords="offset points", fontsize=8.5, color=QUIET)  # fmt: skip
    positive = found.y[found.y > 0]
    if found.against != TIME and len(positive) == len(found.y) and spans_decades(found.x.tolist()):
        axes.set_xscale("log")
        axes.set_yscale("log")
        top = max([float(found.y.max()), *(found.at(last, law).estimate for law in drawn)])
        axes.set_ylim(top=min(axes.get_ylim()[1], 300 * top))
        in_unit(axes.xaxis, "", log=True)
    else:
        in_unit(axes.xaxis, "")
        axes.set_xlim(left=0)
        top = max(float(found.y.max()), *(found.at(last, law).estimate for law in drawn)) if drawn else float(found.y.max())
        axes.set_ylim(0, 1.25 * top)
    in_unit(axes.yaxis, unit(found.figure), log=axes.get_yscale() == "log")
    axes.set_xlabel(name if found.against == TIME else found.against)
    axes.set_ylabel(found.figure)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")


def _time_unit(found: Growth, at: Sequence[float]) -> tuple[float, str]:
    if found.against != TIME:
        return 1.0, ""
    last = max([float(found.x.max()), *at])
    units = ((3 * 86_400.0, 86_400.0, "days"), (3 * 3_600.0, 3_600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
    return next((size, name) for least, size, name in units if last >= least)
