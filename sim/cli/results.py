"""`etcdsim results`: what the sweeps of a store have found, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.output import json_option, print_json, remark

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sim.sweeps.effects import NoEffect
    from sim.sweeps.rows import Asked, Difference, Results, Row

SCHEMA_VERSION = 1


@click.command(short_help="Print what a sweep has found.")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--figure", "figures", multiple=True, metavar="NAME", help="A column of the table; may be repeated.")
@click.option("--sweep", "name", metavar="NAME", help="Only this sweep, by name or id, where several share the store.")
@json_option
def results(directory: Path, figures: Sequence[str], name: str | None, as_json: bool) -> None:
    """Print the runs in DIR, the store of one or more sweeps: means over replications, and paired differences between variants.

    With --json every run is a row with all its figures, or those of --figure, in a fixed order and without wall times.
    """
    from sim.sweeps.rows import Results
    from sim.sweeps.store import Store

    with Store(directory) as store:
        print_results(Results(store, name), list(dict.fromkeys(figures)) or None, as_json)


def print_results(found: Results, figures: Sequence[str] | None, as_json: bool) -> None:
    """Everything that a store says; `figures` are what was asked for, None for what the sweeps show."""
    if found.others:
        remark(f"runs of another model version are not shown: {', '.join(found.others)}")
    if as_json:
        print_json(document(found, figures))
        return
    from sim.report.terminal import ResultConsole

    _print(found, list(figures or found.figures), ResultConsole())


def document(found: Results, figures: Sequence[str] | None) -> dict[str, Any]:
    """The object of `--json`: the same bytes for the same runs, whoever made them in which order."""
    from sim.sweeps.effects import without_effect

    return {
        "schema_version": SCHEMA_VERSION,
        "sweeps": [_sweep(asked) for asked in found.sweeps],
        "rows": [_row(row) for row in found.rows(figures)],
        "failures": [
            {"sweep": one.sweep, "point": one.point, "values": one.values, "variant": one.variant, "replication": one.replication,
             "reason": one.reason}
            for one in found.failures()
        ],
        "differences": [_difference(one) for one in found.differences(list(figures or found.figures))],
        "without_effect": [
            {"sweep": one.sweep, "path": one.path, "values": list(one.values), "variants": list(one.variants), "why": one.why}
            for one in without_effect(found)
        ],
    }  # fmt: skip


def _sweep(asked: Asked) -> dict[str, Any]:
    return {
        "sweep": asked.id,
        "name": asked.name,
        "scenario": asked.scenario["name"],
        "model": asked.model,
        "design": asked.design,
        "knobs": list(asked.paths),
        "replications": asked.replications,
        "seed": asked.seed,
        "runs": asked.runs,
        "done": asked.done,
    }


def _row(row: Row) -> dict[str, Any]:
    from sim.report.document import number

    return {
        "sweep": row.sweep,
        "point": row.point,
        "values": row.values,
        "variant": row.variant,
        "replication": row.replication,
        "seed": row.seed,
        "metrics": {name: number(value) for name, value in sorted(row.metrics.items())},
        "status": dict(sorted(row.status.items())),
    }


def _difference(one: Difference) -> dict[str, Any]:
    from sim.report.document import number

    return {
        "sweep": one.sweep,
        "point": one.point,
        "values": one.values,
        "variant": one.variant,
        "against": one.against,
        "figure": one.figure,
        "mean": number(one.mean),
        "low": number(one.low),
        "high": number(one.high),
        "pairs": one.pairs,
    }


# ---- for people


def _print(found: Results, figures: list[str], console: Console) -> None:
    from sim.sweeps.effects import without_effect

    idle = without_effect(found)
    rows = list(found.rows(figures))
    differences = list(found.differences(figures))
    failures = list(found.failures())
    for asked in found.sweeps:
        mine = [row for row in rows if row.sweep == asked.id]
        if not mine and len(found.sweeps) > 1:
            continue  # all its runs stand in a larger one
        runs = f"{asked.done} of {asked.runs} runs"
        release = asked.model.partition("+")[0]
        console.print(f"{asked.name}: {asked.scenario['name']}, {asked.design}, {runs}, etcdsim {release}", soft_wrap=True)
        console.print()
        console.print(_means(asked, mine, figures))
        console.print()
        _print_differences(asked, [one for one in differences if one.sweep == asked.id], figures, console)
        for one in (one for one in idle if one.sweep == asked.id):
            console.print(_idle(one), soft_wrap=True)
        for failure in (one for one in failures if one.sweep == asked.id):
            run = f", {failure.variant}, replication {failure.replication}" if failure.variant else ""
            console.print(f"failed: point {failure.point}{run}: {failure.reason}", soft_wrap=True)


def _means(asked: Asked, rows: Iterable[Row], figures: Sequence[str]) -> Table:
    """A row a point and variant: the mean of each figure over its replications."""
    from sim.sweeps.rows import by_point

    table = _table(asked, "runs", figures)
    for (_, point), group in by_point(rows):
        for variant in dict.fromkeys(row.variant for row in group):
            mine = [row for row in group if row.variant == variant]
            cells = [_mean(mine, figure) for figure in figures]
            table.add_row(str(point), *_values(asked, mine[0].values), variant, str(len(mine)), *cells)
    return table


def _print_differences(asked: Asked, found: Sequence[Difference], figures: Sequence[str], console: Console) -> None:
    if not found:
        return
    console.print("Paired differences: mean over replications that met the same world (lowest .. highest)")
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
    from rich.text import Text

    from sim.report.figure_table import plain_table

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
    from sim.scenario.refusal import shown

    return [shown(values[path])[1:-1] if path in values else "" for path in asked.paths]


def _mean(rows: Sequence[Row], figure: str) -> str:
    from sim.metrics.catalogue import describe
    from sim.report.human import ABSENT, human

    found = [value for row in rows if (value := row.metrics[figure]) is not None]
    if not found:
        words = {row.status[figure] for row in rows if figure in row.status}
        return words.pop() if len(words) == 1 else ABSENT
    known = describe(figure)
    said = human(_rounded(math.fsum(found) / len(found)), known.unit if known else "")
    return said if len(found) == len(rows) else f"{said} ({len(found)} of {len(rows)})"


def _between(one: Difference | None) -> str:
    from sim.metrics.catalogue import describe
    from sim.report.human import ABSENT, human

    if one is None:
        return ABSENT
    known = describe(one.figure)
    unit = known.unit if known else ""
    mean, low, high = (human(_rounded(value), unit) for value in (one.mean, one.low, one.high))
    return mean if one.low == one.high else f"{mean}\n({low} .. {high})"


def _rounded(value: float) -> float:
    """Without the last digits of a sum, which would only show as noise."""
    return float(f"{value:.12g}")


def _idle(one: NoEffect) -> str:
    where = "" if one.all_variants else f" in {', '.join(one.variants)}"
    values = ", ".join(map(str, one.values[:6])) + (", ..." if len(one.values) > 6 else "")
    return f"no effect{where}: {one.path} ({values})\n  every figure is the same" + (f"; {one.why}" if one.why else "")
