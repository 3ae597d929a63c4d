"""The look that all pictures of this room share: the report's style, axes in the words of people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from sim.report.human import brief
from sim.report.overview import COLOURS, STYLE, Picture

GOOD: Final = "#009E73"
BAD: Final = "#D55E00"
OPEN: Final = "#8a8a8a"
CHOSEN: Final = "#0072B2"
QUIET: Final = "#6b6b6b"
LINES: Final = ("#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#009E73", "#D55E00", "#000000")
WORDS: Final = {"pass": GOOD, "fail": BAD, "undecided": OPEN}


@contextmanager
def sheet(width: float, height: float, title: str, under: str) -> Iterator[Picture]:
    """An empty picture of so many inches with its head, in the style of the room."""
    with matplotlib.style.context(["default", STYLE], after_reset=True):
        picture = Picture(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")
        FigureCanvasAgg(picture)
        picture.get_layout_engine().set(rect=(0.01, 0.01, 0.98, 1 - 0.85 / height))  # type: ignore[union-attr, call-arg]
        picture.text(0.02, 1 - 0.28 / height, title, fontsize=15, fontweight="bold", va="center")
        picture.text(0.02, 1 - 0.6 / height, under, fontsize=10, color=QUIET, va="center")
        yield picture


def head(axes: Axes, title: str, note: str = "") -> None:
    """A panel's title, and a quiet note below it."""
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", pad=22 if note else 9)
    if note:
        axes.annotate(
            note, (0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points", fontsize=9, color=QUIET
        )  # fmt: skip


def in_unit(axis: Axis, unit: str, log: bool = False) -> None:
    """Ticks as people write the unit."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: brief(float(f"{value:.6g}"), unit)))
    if log:
        low, high = axis.get_view_interval()
        wide = low > 0 and high / low > 1e4
        axis.set_major_locator(LogLocator(10, subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=12))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def spans_decades(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows them better."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= 20


def numeric(values: Sequence[Any]) -> bool:
    """Whether all of them are plain numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


__all__ = [
    "BAD", "CHOSEN", "COLOURS", "GOOD", "LINES", "OPEN", "QUIET", "WORDS", "head", "in_unit", "numeric", "sheet", "spans_decades",
]  # fmt: skip
