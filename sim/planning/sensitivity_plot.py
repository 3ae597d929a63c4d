"""The tornado around the scenario as it is, and how much each knob moves the figure over the whole space."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.analysis import Interval
from sim.planning.aims import unit
from sim.planning.draw import CHOSEN, OPEN, QUIET, head, in_unit, sheet
from sim.planning.report import short, value
from sim.planning.sensitivity import Effect, Sensitivity
from sim.scenario.refusal import shown

_HIGH = "#E69F00"
_MOST_FIGURES = 4


def draw(found: Sensitivity) -> Figure:
    """See `Sensitivity.plot`."""
    figures = found.figures[:_MOST_FIGURES]
    rows = len(found.knobs)
    tall = 1.1 + len(figures) * (1.4 + 0.42 * rows)
    title = f"{found.name}: which knobs matter"
    said = f"{found.variant} · {len(found.spent.runs)} runs, each setting on {found.replications} worlds"
    with sheet(13.5, tall, title, said) as figure:
        panels = figure.subplots(len(figures), 2, squeeze=False)
        for place, name in enumerate(figures):
            effects = found.of(name)
            _tornado(panels[place][0], found, name, effects)
            _indices(panels[place][1], found, name, effects)
    return figure


def _tornado(axes: Axes, found: Sensitivity, figure: str, effects: list[Effect]) -> None:
    base = found.base[figure]
    head(axes, figure, "each knob alone at the ends of its range, the others as they are; line: interval")
    names = short(list(found.knobs))
    drawn = False
    for row, effect in enumerate(effects):
        for one in found.swings:
            size = one.change.estimate
            if one.figure != figure or one.knob != effect.knob or not size:
                continue
            drawn = True
            colour = CHOSEN if one.end == "low" else _HIGH
            place = row + (-0.17 if one.end == "low" else 0.17)
            axes.barh(place, size, color=colour, alpha=0.8, height=0.32)
            if isinstance(one.change, Interval):
                axes.hlines(place, one.change.low, one.change.high, color="#222222", linewidth=1)
            right = size > 0
            axes.annotate(
                shown(one.value)[1:-1], (size, place), xytext=(5 if right else -5, 0), textcoords="offset points",
                ha="left" if right else "right", va="center", fontsize=8, color=colour, fontweight="bold",
                bbox={"facecolor": "white", "alpha": 0.7, "pad": 0.5, "linewidth": 0},
            )  # fmt: skip
    axes.axvline(0, color="#222222", linewidth=1)
    _rows(axes, [names[one.knob] for one in effects])
    axes.margins(x=0.18)
    if not drawn:
        axes.text(0.5, 0.5, "none of them alone changes it", transform=axes.transAxes, ha="center", color=QUIET)
    in_unit(axes.xaxis, unit(figure))
    axes.set_xlabel(f"change from {value(base, unit(figure))}" if base is not None else "change")


def _indices(axes: Axes, found: Sensitivity, figure: str, effects: list[Effect]) -> None:
    morris = found.method == "morris"
    note = (
        "mean size of the change over its range, wherever the others stand (mu*)"
        if morris
        else "share of the variance, total (bar) and alone (mark)"
    )
    head(axes, "over the whole space", f"{note}; {found.level:.0%}")
    for row, one in enumerate(effects):
        colour = {"matters": CHOSEN, "no effect": QUIET}.get(one.word, OPEN)
        axes.barh(row, one.size, color=colour, alpha=0.8, height=0.62)
        if one.word == "no effect":
            axes.annotate("no effect", (0, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5, color=QUIET)
            continue
        axes.hlines(row, one.low, one.high, color="#222222", linewidth=1.2)
        if not morris:
            axes.plot(one.first, row, "D", color="#222222", markersize=5)
        if one.word != "matters":
            axes.annotate(
                one.word, (one.high, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5, color=QUIET
            )
    names = short(list(found.knobs))
    _rows(axes, [names[one.knob] for one in effects])
    in_unit(axes.xaxis, unit(figure) if morris else "")
    axes.set_xlim(left=0)
    axes.margins(x=0.15)
    if effects and all(one.size == 0 for one in effects):
        axes.set_xlim(0, 1)
    axes.set_xlabel("size of the change" if morris else "share of the variance")


def _rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
