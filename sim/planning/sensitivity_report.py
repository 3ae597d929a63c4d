"""A sensitivity as a table, as plain data, and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from sim.analysis import Interval
from sim.planning.aims import unit
from sim.planning.report import finite, short, value
from sim.planning.sensitivity import Effect, Sensitivity, Swing
from sim.scenario.refusal import shown

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1


def table(found: Sensitivity) -> pd.DataFrame:
    """See `Sensitivity.table`."""
    names = _columns(found)
    rows = [
        {"figure": one.figure, "knob": one.knob, names[0]: one.size, "low": one.low, "high": one.high, names[1]: one.first,
         "sigma": one.sigma, "chance": one.chance, "is": one.word}
        for one in found.effects
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame if found.method == "morris" else frame.drop(columns="sigma")


def _columns(found: Sensitivity) -> tuple[str, str]:
    return ("mu_star", "mu") if found.method == "morris" else ("total", "first")


def document(found: Sensitivity) -> dict[str, Any]:
    """See `Sensitivity.to_json`."""
    size, first = _columns(found)
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": found.name,
        "variant": found.variant,
        "method": found.method,
        "samples": found.samples,
        "replications": found.replications,
        "seed": found.seed,
        "confidence": found.level,
        "knobs": list(found.knobs),
        "effects": [
            {"figure": one.figure, "knob": one.knob, size: finite(one.size), "low": finite(one.low), "high": finite(one.high),
             first: finite(one.first), f"{first}_low": finite(one.first_low), f"{first}_high": finite(one.first_high),
             "sigma": finite(one.sigma), "chance": finite(one.chance), "is": one.word}
            for one in found.effects
        ],
        "tornado": [_swing(one) for one in found.swings],
        "as_it_is": {figure: finite(mean) for figure, mean in found.base.items()},
        "without_effect": found.without_effect,
        "runs": len(found.spent.runs),
    }  # fmt: skip


def _swing(one: Swing) -> dict[str, Any]:
    known = isinstance(one.change, Interval)
    return {
        "figure": one.figure,
        "knob": one.knob,
        "value": one.value,
        "change": finite(one.change.estimate),
        "low": finite(one.change.low) if isinstance(one.change, Interval) else None,
        "high": finite(one.change.high) if isinstance(one.change, Interval) else None,
        "why": "" if known else getattr(one.change, "reason", ""),
    }


def show(found: Sensitivity, console: Console) -> None:
    """Everything that `etcdsim sensitivity` says on stdout."""
    worlds = f"{found.replications} worlds" if found.replications > 1 else "1 world"
    design = f"{found.samples} trajectories" if found.method == "morris" else f"Sobol, {found.samples} samples"
    console.print(
        f"{found.name}, {found.variant}: {len(found.knobs)} knobs, {design}, {worlds}, {len(found.spent.runs)} runs", soft_wrap=True
    )
    for figure in found.figures:
        console.print()
        _figure(found, figure, console)
    if found.without_effect:
        console.print()
        console.print(f"no effect on any figure of any run: {', '.join(found.without_effect)}", soft_wrap=True)


def _figure(found: Sensitivity, figure: str, console: Console) -> None:
    from rich.text import Text

    from sim.report.figure_table import plain_table

    of = unit(figure)
    base = found.base[figure]
    console.print(f"{figure}: {value(base, of) if base is not None else 'absent'} as it is", soft_wrap=True)
    heads = ("over its range", "on average", "spread") if found.method == "morris" else ("total", "alone")
    shown_ = plain_table()
    names = short(list(found.knobs), 1)
    shown_.add_column("knob", overflow="fold")
    for head in heads:
        shown_.add_column(head, justify="right", no_wrap=True)
    shown_.add_column("alone, at its ends", overflow="fold")
    shown_.add_column("is", no_wrap=True)
    for one in found.of(figure):
        cells = _morris(one, of) if found.method == "morris" else _sobol(one)
        swings = [each for each in found.swings if each.figure == figure and each.knob == one.knob]
        shown_.add_row(*map(Text, (names[one.knob], *cells, _ends(swings, of), one.word)))
    console.print(shown_)


def _morris(one: Effect, of: str) -> list[str]:
    if one.word == "no effect":
        return ["0", "0", "0"]
    sign = "+" if one.first > 0 else ""
    low, high = value(one.low, of), value(one.high, of)
    return [f"{value(one.size, of)} ({low} .. {high})", f"{sign}{value(one.first, of)}", value(one.sigma or 0.0, of)]


def _sobol(one: Effect) -> list[str]:
    if one.word == "no effect":
        return ["0", "0"]
    first = f"{one.first:.2f}" if one.first_low is None else f"{one.first:.2f} ({one.first_low:.2f} .. {one.first_high:.2f})"
    return [f"{one.size:.2f} ({one.low:.2f} .. {one.high:.2f})", first]


def _ends(swings: list[Swing], of: str) -> str:
    parts = []
    for one in swings:
        change = one.change.estimate
        said = "-" if change is None else "0" if change == 0 else f"{'+' if change > 0 else ''}{value(change, of)}"
        parts.append(f"{shown(one.value)[1:-1]}: {said}")
    return "; ".join(parts)
