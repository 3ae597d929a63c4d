"""One picture a system: a figure over time, or at the end of each variant's run."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from sim.analysis.outcome import Refused
from sim.metrics.catalogue import describe
from sim.report.human import brief, human
from sim.report.overview import COLOURS, png
from sim.systems.declared import Picture
from sim.systems.growth import Line, lines
from sim.systems.runs import Tested, drawn

_SIZE_INCHES = (7.2, 4.2)


def picture(one: Tested) -> bytes:
    """The system's picture as PNG bytes; the same for the same runs."""
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        return png(plot(one))


def plot(one: Tested) -> Figure:
    """The picture, not yet painted."""
    system, figure = one.system, drawn(one.system)
    declared = system.picture or Picture(figure=figure)
    found = describe(figure)
    unit = "" if found is None else found.unit
    canvas = Figure(figsize=_SIZE_INCHES, dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.add_subplot()
    axes.set_title(f"{system.id}  {system.name}", loc="left", fontweight="bold")
    if system.growth is not None:
        _growth(axes, one)
    elif declared.at:
        _line(axes, one, declared)
    elif not one.series.empty:
        _series(axes, one)
    else:
        _bars(axes, one, figure, unit)
        if declared.log:
            axes.set_xscale("log")
        return canvas
    if declared.log:
        axes.set_yscale("log")
    elif axes.get_yscale() != "log" and axes.get_ylim()[0] > 0:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: brief(float(value), unit)))
    axes.set_ylabel(figure if system.growth is None else system.growth.figure)
    return canvas


def _series(axes: Axes, one: Tested) -> None:
    """A line a variant over the hours (or minutes) of the run."""
    hours = one.horizon_seconds >= 3 * 3600
    for colour, name in zip(_endless(), one.system.variant_names(), strict=False):
        rows = one.series[one.series["variant"] == name]
        axes.plot(rows["seconds"] / (3600 if hours else 60), rows[drawn(one.system)], color=colour, label=name, linewidth=1.8)
    axes.set_xlabel("hours" if hours else "minutes")
    axes.legend(frameon=False)


def _growth(axes: Axes, one: Tested) -> None:
    """Points, and the band of the best law for a further run; of all laws where the points choose none."""
    growth = one.system.growth
    assert growth is not None
    top = 0.0
    for colour, line in zip(_endless(), lines(one), strict=False):
        axes.plot([x for x, _ in line.points], [y for _, y in line.points], "o", color=colour, label=f"{line.name}: {_best(line)}")
        top = max(top, *(y for _, y in line.points))
        at = np.linspace(1, growth.predict, 200)
        for fit in [line.choice.best] if line.choice.best is not None else line.choice.fits:
            axes.plot(at, fit.predict(at), color=colour, linewidth=1)
            if not isinstance(band := fit.band(at), Refused):
                axes.fill_between(at, band.low, band.high, color=colour, alpha=0.12, linewidth=0)
    axes.set_ylim(0.5, top * 100)
    axes.set_yscale("log")
    axes.set_xscale("log")
    axes.set_xlabel(growth.over)
    axes.legend(frameon=False)


def _best(line: Line) -> str:
    return line.choice.best.law.name if line.choice.best is not None else "no law can be chosen"


def _line(axes: Axes, one: Tested, declared: Picture) -> None:
    """A point a variant at its place."""
    places = sorted((at, name) for name, at in declared.at.items())
    values = [_value(one, name, declared.figure) for _, name in places]
    axes.plot([at for at, _ in places], values, "o-", color=COLOURS[0], linewidth=1.6)
    axes.set_xlabel(declared.axis)


def _bars(axes: Axes, one: Tested, figure: str, unit: str) -> None:
    """A bar a variant."""
    names = one.system.variant_names()
    values = [_value(one, name, figure) for name in names]
    axes.barh(names, np.nan_to_num(values), color=[colour for colour, _ in zip(_endless(), names, strict=False)])
    for at, value in enumerate(values):
        axes.annotate(
            human(None if np.isnan(value) else value, unit), (np.nan_to_num(value), at), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=9,
        )  # fmt: skip
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: brief(float(value), unit)))
    axes.set_xlabel(figure)


def _value(one: Tested, name: str, figure: str) -> float:
    side = one.sides.get(name)
    value = None if side is None else side.metrics.get(figure)
    return float("nan") if value is None else value


def _endless() -> list[str]:
    return list(COLOURS) * 8
