"""What a store of sweeps says, for people: means with intervals, verdicts, paired differences, idle knobs, failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.analysis import Interval, Judgement, Refused
from sim.metrics.catalogue import describe
from sim.report.figure_table import plain_table
from sim.report.human import ABSENT, factor, human
from sim.report.objectives import bracketed, verdict
from sim.scenario.refusal import shown
from sim.sweeps.effects import NoEffect, without_effect
from sim.sweeps.intervals import Estimate, Held, estimates, held
from sim.sweeps.rows import Asked, Difference, Results


def print_sweeps(found: Results, figures: list[str], console: Console) -> None:
    """A table of means and one of paired differences for each sweep, knobs without effect, and what failed."""
    idle = without_effect(found)
    means = list(estimates(found, figures))
    differences = list(found.differences(figures))
    judged = list(held(found))
    failures = list(found.failures())
    for asked in found.sweeps:
        mine = [one for one in means if one.sweep == asked.id]
        if not mine and len(found.sweeps) > 1:
            continue  # all its runs stand in a larger one
        runs = f"{asked.done} of {asked.runs} runs"
        release = asked.model.partition("+")[0]
        console.print(f"{asked.name}: {asked.scenario['name']}, {asked.design}, {runs}, etcdsim {release}", soft_wrap=True)
        console.print()
        console.print(_means(asked, mine, [one for one in judged if one.sweep == asked.id], figures))
        console.print(_footnote(mine), soft_wrap=True)
        console.print()
        _print_differences(asked, [one for one in differences if one.sweep == asked.id], figures, console)
        for one in (one for one in idle if one.sweep == asked.id):
            console.print(_idle(one), soft_wrap=True)
        for failure in (one for one in failures if one.sweep == asked.id):
            run = f", {failure.variant}, replication {failure.replication}" if failure.variant else ""
            console.print(f"failed: point {failure.point}{run}: {failure.reason}", soft_wrap=True)


def _means(asked: Asked, found: Sequence[Estimate], judged: Sequence[Held], figures: Sequence[str]) -> Table:
    """A row a point and variant: the mean of each figure over its replications, and what the objectives say."""
    table = _table(asked, "runs", figures)
    if judged:
        table.add_column("objectives", overflow="fold")
    by_row: dict[tuple[int, str], list[Estimate]] = {}
    for one in found:
        by_row.setdefault((one.point, one.variant), []).append(one)
    for (point, variant), told in by_row.items():
        cells = [str(point), *_values(asked, told[0].values), variant, str(told[0].runs), *map(_cell, told)]
        if judged:
            cells.append(_verdicts([one.judgement for one in judged if (one.point, one.judgement.variant) == (point, variant)]))
        table.add_row(*cells)
    return table


def _cell(one: Estimate) -> str:
    """Mean, interval, and how many samples a quantile is from."""

    if one.mean is None:
        return one.status or ABSENT
    unit = _unit(one.figure)
    lines = [human(_rounded(one.mean), unit)]
    if one.present < one.runs:
        lines[0] += f" ({one.present} of {one.runs})"
    elif isinstance(one.found, Interval) and one.found.low < one.found.high:
        lines.append(bracketed(one.found, unit))
    if one.samples is not None:
        lines.append(f"n {human(one.samples, '')}")
    return "\n".join(lines)


def _footnote(found: Sequence[Estimate]) -> str:
    """What the brackets are, or why there are none."""

    refused = {one.found.reason for one in found if isinstance(one.found, Refused) and one.mean is not None}
    told = "Means over replications (95% interval); n: samples behind a quantile, all replications together."
    return f"{told} No interval: {'; '.join(sorted(refused))}." if refused else told


def _verdicts(judged: Sequence[Judgement]) -> str:
    """`pass x3.2` with the smallest margin, or a line for each objective that does not pass."""

    lines = [
        f"{verdict(one)} {one.goal.name}" + (f" {factor(one.margin)}" if one.margin is not None else "")
        for one in judged
        if verdict(one) != "pass"
    ]
    if lines or not judged:
        return "\n".join(lines)
    margins = [one.margin for one in judged if one.margin is not None]
    return f"pass {factor(min(margins))}" if margins else "pass"


def _print_differences(asked: Asked, found: Sequence[Difference], figures: Sequence[str], console: Console) -> None:
    if not found:
        return
    console.print("Paired differences: mean over replications that met the same world (95% interval)")
    table = _table(asked, "pairs", figures)
    by_pair: dict[tuple[int, str, str], dict[str, Difference]] = {}
    for one in found:
        by_pair.setdefault((one.point, one.variant, one.against), {})[one.figure] = one
    for (point, variant, against), told in by_pair.items():
        first = next(iter(told.values()))
        cells = [_between(told.get(figure)) for figure in figures]
        table.add_row(str(point), *_values(asked, first.values), f"{variant} - {against}", str(first.pairs), *cells)
    console.print(table)
    console.print()


def _table(asked: Asked, counted: str, figures: Sequence[str]) -> Table:


    table = plain_table()
    table.add_column("point", justify="right")
    for name in _short(asked.paths):
        table.add_column(Text(name.replace(".", ".\n")), justify="right", overflow="fold")
    table.add_column("variant", overflow="fold")
    table.add_column(counted, justify="right")
    for figure in figures:
        table.add_column(Text(figure.replace(".", ".\n")), justify="right", overflow="fold")
    return table


def _short(paths: Sequence[str]) -> list[str]:
    """The ends of paths, as long as it takes to tell them apart."""
    parts = [path.split(".") for path in paths]
    for size in range(1, max(map(len, parts), default=1) + 1):
        names = [".".join(part[-size:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)


def _values(asked: Asked, values: dict[str, Any]) -> list[str]:
    return [shown(values[path])[1:-1] if path in values else "" for path in asked.paths]


def _between(one: Difference | None) -> str:
    if one is None:
        return ABSENT
    unit = _unit(one.figure)
    mean = human(_rounded(one.mean), unit)
    spread = isinstance(one.found, Interval) and one.found.low < one.found.high
    return f"{mean}\n{bracketed(one.found, unit)}" if spread and isinstance(one.found, Interval) else mean


def _unit(figure: str) -> str:
    known = describe(figure)
    return known.unit if known else ""


def _rounded(value: float) -> float:
    """Without the last digits of a sum, which would only show as noise."""
    return float(f"{value:.12g}")


def _idle(one: NoEffect) -> str:
    where = "" if one.all_variants else f" in {', '.join(one.variants)}"
    values = ", ".join(map(str, one.values[:6])) + (", ..." if len(one.values) > 6 else "")
    return f"no effect{where}: {one.path} ({values})\n  every figure is the same" + (f"; {one.why}" if one.why else "")
