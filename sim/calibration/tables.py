"""A calibration on a terminal: what was fitted and how well, what lies under the lowest bucket, what could not be told."""

from __future__ import annotations

import math

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sim.calibration.cluster import TITLES, Calibration
from sim.calibration.fit import CDF_ADEQUATE, Fit
from sim.calibration.laws import quantile
from sim.calibration.ridges import Ridge
from sim.report.figure_table import plain_table
from sim.report.human import human

_NOT_TOLD = 0.5
"""Relative standard error from which a quantile is not told."""


def print_calibration(found: Calibration, console: Console) -> None:
    """Everything that `etcdsim calibrate` says on stdout."""
    _head(found, console)
    if found.histograms:
        _fits(found, console)
        _candidates(found, console)
        _hidden(found, console)
    _fio(found, console)
    _stalls(found, console)
    for ridge in found.ridges:
        _ridge(ridge, console)
    if found.remarks:
        _title(console, "Remarks")
        for one in found.remarks:
            console.print(Padding(Text(f"- {one}"), (0, 0, 0, 2)))
        console.print()


def _head(found: Calibration, console: Console) -> None:
    said = [f"etcd {found.version}"] if found.version else []
    said += [f"member {found.member}"] if found.member else []
    said += [f"{human(found.seconds, 'seconds')} observed"] if found.seconds else []
    if said:
        console.print(Text(", ".join(said), style="bold"))
        console.print()


def _fits(found: Calibration, console: Console) -> None:
    _title(console, "What was fitted", "quantiles of the law, with their standard error (?: the buckets do not tell)")
    table = _columns(("samples", "mean"), ("law",), ("p50", "p99", "p99.9"))
    for name, seen in found.histograms.items():
        fitted = found.fits.get(name)
        row = [TITLES[name], human(seen.count, ""), human(seen.mean, "seconds")]
        if fitted is None:
            row += ["all 0 s" if not seen.sum else "too few", "", "", ""]
        else:
            row += [_law(fitted.best), *(_quantile(fitted.best, at) for at in (0.5, 0.99, 0.999))]
        table.add_row(*map(Text, row))
    console.print(table)
    console.print()
    _title(console, "How well", "at the bounds of the buckets")
    table = _columns(("mean", "worst misfit", "KS p", "chi2", "degrees", "chi2 p", "worst tail"))
    for name, fitted in found.fits.items():
        one = fitted.best
        row = [
            TITLES[name],
            f"{one.mean_error:+.2%}",
            f"{100 * one.ks:.3f} pp",
            _small(one.ks_p),
            f"{one.chi2:,.1f}",
            str(one.degrees),
        ]
        table.add_row(*map(Text, [*row, _p(one), _times(one.tail)]))
    console.print(table)
    console.print(
        Text("pp: percentage points; neighbours pooled to 5 expected for chi2; fsyncs are taken for independent", style="dim")
    )
    console.print()


def _columns(*groups: tuple[str, ...]) -> Table:
    """A table whose first column names a metric; numbers to the right, the law to the left."""
    table = plain_table()
    table.add_column("", no_wrap=True, min_width=16)
    for name in (name for group in groups for name in group):
        table.add_column(name, justify="left" if name == "law" else "right", min_width=len(name), no_wrap=True)
    return table


def _candidates(found: Calibration, console: Console) -> None:
    fitted = next(iter(found.fits.values()))
    name = TITLES[next(iter(found.fits))]
    if len(fitted.candidates) < 2:
        return
    _title(console, f"Laws that were tried for the {name}", "AIC, BIC: against a law that reproduces every bucket")
    table = plain_table()
    table.add_column("", min_width=24, no_wrap=True)
    for head in ("parameters", "AIC", "BIC", "misfit", "mean", "tail", "p99.9", "chi2 p"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("")
    for one in fitted.candidates:
        chosen = one is fitted.best
        told = "chosen" if chosen else "" if one.accepted else "refused"
        told = told or (f"{one.free} not told" if one.free else "")
        row = [
            f"  {one.law}", str(one.parameters), f"{one.aic:,.0f}", f"{one.bic:,.0f}", f"{100 * one.ks:.3f}",
            f"{one.mean_error:+.1%}",
            _times(one.tail), human(one.quantile(0.999), "seconds"), _p(one), told,
        ]  # fmt: skip
        table.add_row(*(Text(cell, style="bold" if chosen else "") for cell in row))
    console.print(table)
    console.print(
        Text(
            f"misfit: worst bound, percentage points ({100 * CDF_ADEQUATE:g} is none); tail: worst factor of a share above one",
            style="dim",
        )
    )
    console.print()


def _hidden(found: Calibration, console: Console) -> None:
    hidden = found.hidden
    if hidden is None:
        return
    _title(console, "What the lowest bucket hides")
    bound = human(hidden.bound, "seconds")
    console.print(
        Padding(
            f"{hidden.share:.2%} of the fsyncs took at most {bound}. Their sum leaves a mean of "
            f"{human(hidden.mean[0], 'seconds')} to {human(hidden.mean[1], 'seconds')}; the median of all may be anything from "
            f"{human(hidden.median[0], 'seconds')} to {human(hidden.median[1], 'seconds')}: within that, the "
            "law's form decides. fio or etcdsim probe-disk measures it.",
            (0, 0, 0, 2),
        )
    )
    console.print()


def _fio(found: Calibration, console: Console) -> None:
    fio = found.fio
    if fio is None:
        return
    _title(console, "fio", f"{fio.samples:,} writes of {fio.block_bytes} bytes, each with an fdatasync")
    table = plain_table()
    cells = []
    for name, at in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)):
        table.add_column(name, justify="right", min_width=9)
        cells.append(human(fio.law.values[-1] if at == 1 else quantile(fio.law, at), "seconds"))
    table.add_column("mean", justify="right", min_width=9)
    table.add_row(*cells, human(fio.mean, "seconds"))
    console.print(Padding(table, (0, 0, 0, 2)))
    console.print()


def _stalls(found: Calibration, console: Console) -> None:
    one = found.stalls
    if one is None:
        return
    _title(console, "When slow fsyncs came", f"{one.slow:,} above {human(one.threshold, 'seconds')} in {one.intervals:,} intervals")
    table = plain_table()
    for head in ("each fsync by itself", "stalls in time", "episodes in time"):
        table.add_column(head, justify="right")
    table.add_row(*(f"AIC {one.aic[kind]:,.1f}" for kind in ("each fsync", "stalls", "episodes")))
    console.print(Padding(table, (0, 0, 0, 2)))
    low, high = (human(3600 * end, "") for end in one.rate_interval)
    often = f"{human(3600 * one.rate, '')} times an hour ({low} to {high})"
    what = {
        "each fsync": f"Each fsync is slow by itself, {human(one.q, 'share')} of them, whatever the time",
        "stalls": f"The device stalls {often} for {human(one.length, 'seconds')} on average",
        "episodes": f"Slow episodes come {often}, make {one.per_episode:.1f} fsyncs slow and last "
        f"{human(one.length, 'seconds')} on average",
    }[one.kind]
    sure = "" if one.decided else "; the next likely explanation is nearly as likely"
    console.print(
        Padding(
            f"{what}{sure}. Slow ones last {human(one.slow_seconds, 'seconds')} on average; their number varies "
            f"{one.dispersion:.2g} times as much from interval to interval as independent ones would (p {one.p_value:.2g}).",
            (0, 0, 0, 2),
        )
    )
    console.print()


def _ridge(ridge: Ridge, console: Console) -> None:
    _title(console, f"Not told apart: {ridge.name}")
    console.print(Padding(f"{ridge.why}.", (0, 0, 0, 2)))
    table = plain_table()
    table.add_column("")
    for name, _ in ridge.columns:
        table.add_column(name, justify="right", min_width=12)
    table.add_column("")
    for place, (point, note) in enumerate(zip(ridge.points, ridge.notes, strict=True)):
        cells = [_cell(value, unit) for value, (_, unit) in zip(point, ridge.columns, strict=True)]
        table.add_row(">" if place == ridge.chosen else " ", *cells, f" {note}{' (written)' * (place == ridge.chosen)}")
    console.print(table)
    console.print(Padding(f"Apart: {ridge.apart}.", (0, 0, 0, 2)))
    console.print()


def _cell(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    if unit == "factor":
        return f"x{value:.2f}"
    return human(value, "" if unit == "per_hour" else unit)


def _law(one: Fit) -> str:
    short = str(one.law).removeprefix("mixture of ")
    return short if not one.free else f"{short}, spread assumed"


def _quantile(one: Fit, at: float) -> str:
    error = one.spread.get(at)
    said = human(one.quantile(at), "seconds")
    if error is None:
        return said
    if math.isnan(error) or error > _NOT_TOLD:
        return f"{said} ?"
    return f"{said} {100 * error:.0f}%" if error >= 0.005 else said


def _times(factor: float) -> str:
    return f"x{factor:.2f}" if factor < 100 else f"x{factor:.0e}"


def _p(one: Fit) -> str:
    return _small(one.p_value) if one.degrees else "-"


def _small(probability: float) -> str:
    return f"{probability:.2g}" if probability >= 1e-4 else "<1e-4"


def _title(console: Console, title: str, note: str = "") -> None:
    console.print(Text.assemble((title, "bold"), (f"  {note}" if note else "", "dim")))
