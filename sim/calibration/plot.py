"""Fit against data: the share that took longer, on logarithmic axes, and the residuals at the bounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from sim.calibration import scrape as names
from sim.calibration.cluster import TITLES, Calibration
from sim.calibration.fit import CDF_ADEQUATE, Fitted
from sim.calibration.laws import quantile
from sim.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN: Final = (names.WAL_FSYNC, names.COMMIT, names.APPLY, names.RTT)
_DATA, _LAW, _OTHER = "#202020", "#1f6fb4", "#c44e00"


def plot(found: Calibration) -> Figure:
    """A column for each fitted metric: above the share slower than a duration, below what the law misses at each bound."""
    from matplotlib.figure import Figure

    shown = [(name, found.fits[name]) for name in _SHOWN if name in found.fits]
    if not shown:
        raise InputError("plot: there is no histogram to plot; fio alone gives percentiles")
    figure = Figure(figsize=(1.2 + 4.6 * len(shown), 6.2), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False, sharex="col", height_ratios=(3, 1))
    for column, (name, fitted) in enumerate(shown):
        _above(axes[0][column], fitted)
        _missed(axes[1][column], fitted)
        axes[0][column].set_title(f"{TITLES[name]}: {fitted.best.histogram.count:,} observations", fontsize=10)
    axes[0][0].set_ylabel("share that took longer")
    axes[1][0].set_ylabel("fit - data,\npercentage points")
    return figure


def save(found: Calibration, path: Path) -> None:
    """Write the plot; the file's ending says in which format. Raises InputError."""
    figure = plot(found)
    try:
        figure.savefig(path, dpi=140)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None


def _above(ax: Axes, fitted: Fitted) -> None:
    histogram, best = fitted.best.histogram, fitted.best
    bounds = np.array(histogram.bounds)
    above = 1 - histogram.cumulative
    left = min(bounds[0] / 3, quantile(best.law, 0.02))
    right = bounds[min(int(np.argmax(above <= 0)) if bool(np.any(above <= 0)) else len(bounds) - 1, len(bounds) - 1)] * 1.6
    x = np.geomspace(left, right, 500)
    plain = next((one for one in fitted.candidates if str(one.law) == "lognormal" and one is not best), None)
    if plain is not None:
        ax.plot(x, 1 - plain.law.cdf(x), color=_OTHER, lw=1, ls="--", label="lognormal alone")
    ax.plot(x, 1 - best.law.cdf(x), color=_LAW, lw=1.8, label=str(best.law))
    seen = above > 0
    # What the sample leaves open at each bound: two standard deviations of a share.
    error = 2 * np.sqrt(above * (1 - above) / histogram.count)
    ax.errorbar(
        bounds[seen], above[seen], yerr=np.minimum(error[seen], 0.9 * above[seen]), fmt="o", ms=4, color=_DATA, lw=1, capsize=2,
        label="data at the bounds",
    )  # fmt: skip
    for bound in bounds[bounds <= right]:
        ax.axvline(bound, color="0.88", lw=0.6, zorder=0)
    if histogram.counts[0]:
        ax.axvspan(left, bounds[0], color="0.93", zorder=0)
        ax.text(np.sqrt(left * bounds[0]), 0.04, "hidden in the\nlowest bucket", transform=ax.get_xaxis_transform(), fontsize=7,
                ha="center", color="0.35")  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(left, right)
    ax.set_ylim(0.3 / histogram.count, 1.6)
    ax.legend(fontsize=8, loc="upper right", frameon=True)


def _missed(ax: Axes, fitted: Fitted) -> None:
    histogram, best = fitted.best.histogram, fitted.best
    bounds = np.array(histogram.bounds)
    off = 100 * (best.law.cdf(bounds) - histogram.cumulative)
    ax.axhspan(-100 * CDF_ADEQUATE, 100 * CDF_ADEQUATE, color="0.92", zorder=0)
    ax.axhline(0, color="0.6", lw=0.8)
    ax.vlines(bounds, 0, off, color=_LAW, lw=1.2)
    ax.plot(bounds, off, "o", ms=4, color=_LAW)
    limit = max(float(np.abs(off).max()) * 1.3, 100 * CDF_ADEQUATE * 1.6)
    ax.set_ylim(-limit, limit)
    ax.set_xlabel("seconds")
    ax.text(0.99, 0.95, f"mean {best.mean_error:+.2%}", transform=ax.transAxes, ha="right", va="top", fontsize=8)
