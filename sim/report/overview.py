"""The picture for a design review: what grows, how fast it answers, and how far the quota is; one colour a variant.

A panel per question, time below, and the value that counts beside each line, so that nobody has to read an axis.
Readers of any colour vision tell the colours apart (Okabe and Ito); file and in use, p99 and p50 differ in stroke too.
What swings is drawn as a line through the band that it mostly keeps to, not as two thousand strokes.
The same run gives the same bytes: the fonts are matplotlib's own, and the file says neither when nor how it was made.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from sim.report.human import brief, horizon, human
from sim.units import format_size

if TYPE_CHECKING:
    from sim.result import Run, Runs

COLOURS: Final = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
_INK: Final = "#222222"
_QUIET: Final = "#6b6b6b"
_FAINT: Final = "#e4e4e4"
_DPI: Final = 110
_SIZE_INCHES: Final = (13.0, 10.0)
STYLE: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": "#b0b0b0",
    "axes.labelcolor": _QUIET,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
}
_TIME_UNITS: Final = (
    (3 * 86_400.0, 86_400.0, "days"), (4 * 3_600.0, 3_600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"),
)  # fmt: skip
"""From this horizon on, the axis counts in this many seconds."""
_QUOTA_IN_SIGHT: Final = 12
"""A quota more than so many times above the file would flatten the curves; it is then told, not drawn."""
_LABEL_GAP: Final = 13.0
"""Least distance between the end labels of two lines, in points."""
_FEW: Final = 4
"""Of more lines than these, those that end at the same value share a label."""
_SHARED: Final = "#444444"
"""Colour of such a label."""
_FLOOR_SECONDS: Final = 1e-6
_BINS: Final = 120
"""Into so many intervals a line that swings is condensed."""


class Picture(Figure):
    """A figure that notebooks show whether or not pyplot was ever imported."""

    def _repr_png_(self) -> bytes:
        return png(self)


def overview(runs: Runs) -> Figure:
    """The overview of a result. Panels: live keys, WAL bytes, database size, queue depth, apply latency."""
    with matplotlib.style.context(["default", STYLE], after_reset=True):
        figure = Picture(figsize=_SIZE_INCHES, dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(
            3, 2, height_ratios=(1, 1, 1.25), left=0.07, right=0.91, top=0.845, bottom=0.05, hspace=0.36, wspace=0.4
        )
        keys, log = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        database, queue = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
        apply = figure.add_subplot(grid[2, :])
        _head(figure, runs)
        _level(keys, runs, "Keys live", "etcd.keys_live", "keys")
        _level(log, runs, "WAL bytes written", "etcd.wal_bytes_written", "bytes")
        _database(database, runs)
        _queue(queue, runs)
        _apply(apply, runs)
        for axes in (keys, log, database, queue, apply):
            _time_axis(axes, runs.horizon_seconds)
        return figure


def png(figure: Figure, dpi: int = _DPI) -> bytes:
    """The picture as PNG bytes that say nothing about when, where or by what they were made."""
    target = io.BytesIO()
    with matplotlib.style.context(["default", STYLE], after_reset=True):
        figure.savefig(target, format="png", dpi=dpi, metadata={"Software": None})
    return target.getvalue()


def _head(figure: Figure, runs: Runs) -> None:
    figure.text(0.07, 0.965, runs.name, fontsize=18, fontweight="bold", va="center")
    said = f"seed {runs.seed} · {horizon(runs.horizon_seconds)} simulated"
    version = getattr(getattr(runs.scenario, "etcd", None), "version", None)
    figure.text(0.98, 0.965, f"{said} · etcd {version}" if version else said, color=_QUIET, ha="right", va="center")
    about = " ".join(str(getattr(runs.scenario, "about", "") or "").split())
    figure.text(0.07, 0.935, textwrap.shorten(about, 150, placeholder=" ..."), fontsize=10.5, color=_QUIET, va="center")
    handles = [Line2D([], [], color=colour, linewidth=3.5, label=variant) for variant, _, colour in _coloured(runs)]
    figure.legend(
        handles=handles, loc="center left", bbox_to_anchor=(0.063, 0.9), ncols=len(handles), frameon=False, fontsize=11,
        handlelength=1.2, columnspacing=2.0, handletextpad=0.6,
    )  # fmt: skip


def _level(axes: Axes, runs: Runs, title: str, figure: str, unit: str) -> None:
    """Lines from zero up."""
    _title(axes, title)
    ends = []
    for _, run, colour in _coloured(runs):
        if (line := _series(run, figure, runs)) is not None:
            axes.plot(*line, color=colour, linewidth=2)
            ends.append((line, colour, human(_last(line[1]), unit)))
    _from_zero(axes, unit)
    _end_labels(axes, ends)
    _nothing(axes, ends)


def _queue(axes: Axes, runs: Runs) -> None:
    _title(axes, "Work queue depth", "mean, band 10% to 90%, dotted: max")
    ends = []
    for _, run, colour in _coloured(runs):
        if (line := _series(run, "workqueue.depth", runs)) is not None:
            at, low, mean, high = _condensed(line, np.mean)
            axes.fill_between(at, low, high, color=colour, alpha=0.22, linewidth=0)
            axes.plot(at, mean, color=colour, linewidth=1.8)
            # The true maximum lies between the moments of observation, so it is a line of its own.
            most = max(run.metrics.get("workqueue.depth.max") or 0.0, float(np.nanmax(line[1])))
            axes.axhline(most, color=colour, linewidth=1, linestyle=(0, (1, 2)))
            ends.append(((at, np.full_like(at, most)), colour, f"max {human(most, 'items')}"))
    _from_zero(axes, "items")
    _end_labels(axes, ends)
    _nothing(axes, ends)


def _database(axes: Axes, runs: Runs) -> None:
    _title(axes, "Database size", "solid: file, dashed: in use")
    ends = []
    highest = 0.0
    for _, run, colour in _coloured(runs):
        if (total := _series(run, "etcd.db_bytes_total", runs)) is not None:
            axes.plot(*total, color=colour, linewidth=2)
            ends.append((total, colour, human(_last(total[1]), "bytes")))
            highest = max(highest, float(np.nanmax(total[1], initial=0.0)))
        if (used := _series(run, "etcd.db_bytes_in_use", runs)) is not None:
            axes.plot(*used, color=colour, linewidth=1.4, linestyle=(0, (3, 2)))
    quota = getattr(getattr(runs.scenario, "etcd", None), "quota", None)
    _from_zero(axes, "bytes")
    if isinstance(quota, int) and quota > 0:
        if quota <= _QUOTA_IN_SIGHT * highest:
            axes.axhline(quota, color=_INK, linewidth=1.2, linestyle=(0, (1, 1.5)))
            axes.set_ylim(0, max(1.16 * quota, axes.get_ylim()[1]))
            where = (0.01, quota)
            axes.annotate(
                f"quota {format_size(quota)} = {human(quota, 'bytes')}", where, xycoords=("axes fraction", "data"),
                xytext=(0, 4), textcoords="offset points", fontsize=9, color=_INK,
            )  # fmt: skip
        else:
            axes.text(
                0.01, 0.93, f"quota {format_size(quota)}: far above", transform=axes.transAxes, fontsize=9, color=_QUIET
            )
    _end_labels(axes, ends)
    _nothing(axes, ends)


def _apply(axes: Axes, runs: Runs) -> None:
    _title(axes, "Apply latency (log scale)", "p99 (thick) and p50 of each 24th of the run, dots: the slowest")
    ends = []
    for _, run, colour in _coloured(runs):
        if (worst := _series(run, "etcd.apply_seconds.max", runs)) is not None:
            axes.plot(worst[0], _positive(worst[1]), ".", color=colour, markersize=3, alpha=0.45, markeredgewidth=0)
        for suffix, quantile, width in (("p50", 0.5, 1.0), ("p99", 0.99, 2.2)):
            if (line := _by_window(run, "etcd.apply_seconds", quantile, runs)) is not None:
                at, values = line[0], _positive(line[1])
                axes.plot(at, values, color=colour, linewidth=width)
                ends.append(((at, values), colour, f"{suffix} {human(_last(values), 'seconds')}"))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(10, numticks=12))
    axes.yaxis.set_major_formatter(_formatter(_round_time))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    _end_labels(axes, ends)
    _nothing(axes, ends)


def _title(axes: Axes, title: str, note: str = "") -> None:
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", pad=9)
    if note:
        axes.set_title(note, loc="right", fontsize=9, color=_QUIET, pad=9)


def _coloured(runs: Runs) -> list[tuple[str, Run, str]]:
    return [(variant, run, COLOURS[place % len(COLOURS)]) for place, (variant, run) in enumerate(runs.items())]


Line = tuple[NDArray[np.float64], NDArray[np.float64]]


def _series(run: Run, figure: str, runs: Runs) -> Line | None:
    """A column over time in the axis' unit; None where the run has none, or nothing in it."""
    if figure not in run.series.columns:
        return None
    values = run.series[figure].to_numpy(dtype=np.float64)
    if not np.isfinite(values).any():
        return None
    return run.series.index.to_numpy(dtype=np.float64) / _time_unit(runs.horizon_seconds)[0], values


def _by_window(run: Run, figure: str, quantile: float, runs: Runs) -> Line | None:
    """A quantile of all samples of each window that the run kept, at the window's middle; None where nothing was observed."""
    windows = run.windows.get(figure, [])
    found = (window.quantile(quantile) for window in windows)
    values: NDArray[np.float64] = np.array([math.nan if value is None else value for value in found])
    if not np.isfinite(values).any():
        return None
    width = runs.horizon_seconds / len(windows)
    middles = (np.arange(len(windows), dtype=np.float64) + 0.5) * (width / _time_unit(runs.horizon_seconds)[0])
    return middles, values


def _last(values: NDArray[np.float64]) -> float:
    return float(values[np.isfinite(values)][-1])


def _condensed(
    line: Line, centre: Callable[[NDArray[np.float64]], Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Times, 10%, centre and 90% of consecutive intervals; what has few points stays as it is."""
    known = np.isfinite(line[1])
    at, values = line[0][known], line[1][known]
    if not len(at):
        return at, values, values, values
    parts = np.array_split(np.arange(len(at)), min(_BINS, len(at)))
    times = np.array([at[part].mean() for part in parts])
    times[0], times[-1] = at[0], at[-1]
    low, high = (np.array([np.quantile(values[part], q) for part in parts]) for q in (0.1, 0.9))
    return times, low, np.array([float(centre(values[part])) for part in parts]), high


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero has no place on a log scale."""
    return np.where(values > 0, np.maximum(values, _FLOOR_SECONDS), np.nan)


def _from_zero(axes: Axes, unit: str) -> None:
    top = max(axes.get_ylim()[1], 0.0)
    axes.set_ylim(0, top * 1.04 if top > 0 else 1)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=4, integer=unit in ("keys", "items")))
    axes.yaxis.set_major_formatter(_formatter(lambda value: brief(value, unit)))


def _formatter(write: Callable[[float], str]) -> FuncFormatter:
    return FuncFormatter(lambda value, _: write(value))


def _round_time(value: float) -> str:
    return f"{value:g} s" if value >= 1 else brief(value, "seconds")


def _time_unit(horizon_seconds: float) -> tuple[float, str]:
    return next((size, name) for least, size, name in _TIME_UNITS if horizon_seconds >= least)


def _time_axis(axes: Axes, horizon_seconds: float) -> None:
    size, name = _time_unit(horizon_seconds)
    end = horizon_seconds / size
    steps = (1, 2, 3, 4, 6, 12, 24) if name == "hours" else (1, 2, 5, 10, 15, 20, 30, 60, 120)
    step: float = next((step for step in steps if end / step <= 8), math.ceil(end / 8))
    if end < 4:
        step = end / 4
    axes.set_xlim(0, end)
    axes.xaxis.set_major_locator(FixedLocator(list(np.arange(0, end * (1 + 1e-9), step))))
    axes.xaxis.set_major_formatter(_formatter(lambda value: f"{value:g}"))
    axes.annotate(
        name, (1, 0), xycoords="axes fraction", xytext=(12, -6), textcoords="offset points", ha="left", va="top",
        fontsize=9, color=_QUIET, annotation_clip=False,
    )  # fmt: skip


def _end_labels(axes: Axes, ends: Sequence[tuple[Line, str, str]]) -> None:
    """The last value of each line beside it, pushed apart where they would cover each other."""
    axes.get_ylim()  # settles the limits, which decide where the ends are
    box = axes.get_window_extent()
    gap = _LABEL_GAP * axes.figure.dpi / 72 / box.height
    heights = [
        (float(axes.transData.transform((0, max(_last(values), _FLOOR_SECONDS)))[1]) - box.y0) / box.height
        for (_, values), _, _ in ends
    ]
    labels: list[tuple[float, str, str]] = []
    for height, (_, colour, said) in sorted(zip(heights, ends, strict=True), key=lambda one: one[0]):
        if len(ends) > _FEW and labels and labels[-1][2] == said:
            labels[-1] = labels[-1][0], _SHARED, said
        else:
            labels.append((height, colour, said))
    for place, (_, colour, said) in zip(_apart([height for height, _, _ in labels], gap), labels, strict=True):
        axes.annotate(
            said, (1, place), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points", color=colour,
            fontsize=9.5 if len(labels) * gap <= 1 else 7.5, fontweight="bold", va="center", annotation_clip=False,
        )  # fmt: skip


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Rising places from 0 to 1, near these rising ones and `gap` apart; less where so many do not fit."""
    step = min(gap, 1 / max(len(heights) - 1, 1))
    places, lowest = [], 0.0
    for height in heights:
        places.append(max(height, lowest))
        lowest = places[-1] + step
    highest = 1.0
    for number in reversed(range(len(places))):
        places[number] = min(places[number], highest)
        highest = places[number] - step
    return places


def _nothing(axes: Axes, ends: Sequence[object]) -> None:
    if not ends:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=_QUIET)
