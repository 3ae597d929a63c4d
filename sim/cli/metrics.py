"""`etcdsim metrics`: every figure that a run reports, and the real metric to compare it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sim.cli.output import json_option, print_json

if TYPE_CHECKING:
    from sim.metrics.catalogue import Figure


@click.command(short_help="List every figure of a run: unit, meaning, the real metric.")
@json_option
def metrics(as_json: bool) -> None:
    """List every figure that a run reports: name, unit, meaning, and the Prometheus metric that it corresponds to.

    A distribution is reported as .p50 .p90 .p99 .p999 .max .mean .count. The figures of etcd are the leader's; each member's,
    controller's and writer's own stand under members.NAME., controllers.NAME. and writers.NAME.
    """
    from sim.metrics.catalogue import catalogue

    if as_json:
        print_json({"figures": [_plain(figure) for figure in catalogue()]})
        return
    from rich.text import Text

    from sim.report.figure_table import plain_table
    from sim.report.terminal import ResultConsole

    table = plain_table()
    table.add_column("figure", no_wrap=True)
    table.add_column("meaning; the Prometheus metric, its type, where it differs")
    for figure in catalogue():
        real = figure.prometheus
        name, said = Text(_name(figure)), Text(figure.meaning)
        name.append(f"\n  {figure.kind}, {figure.unit}", style="dim")
        if real is not None:
            said.append(f"\n{real.name}, {real.type}{f': {real.quirk}' if real.quirk else ''}", style="dim")
        table.add_row(name, said)
    ResultConsole().print(table)


def _name(figure: Figure) -> str:
    return f"{figure.name}.*" if figure.kind == "distribution" else figure.name


def _plain(figure: Figure) -> dict[str, Any]:
    from sim.metrics.catalogue import SUFFIXES

    real = figure.prometheus
    return {
        "name": figure.name,
        "kind": figure.kind,
        "unit": figure.unit,
        "group": figure.group,
        "meaning": figure.meaning,
        "suffixes": list(SUFFIXES[figure.kind]),
        "prometheus": real and {"name": real.name, "type": real.type, "quirk": real.quirk},
    }
