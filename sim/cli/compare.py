"""`etcdsim compare`: two saved results side by side."""

from __future__ import annotations

from pathlib import Path

import click

from sim.cli.output import json_option, print_json


@click.command(short_help="Print two saved results side by side.")
@click.argument("first", type=click.Path(path_type=Path), metavar="DIR1")
@click.argument("second", type=click.Path(path_type=Path), metavar="DIR2")
@json_option
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Print the results saved in DIR1 and DIR2 side by side, variant by variant, with what differs in their scenarios."""
    from sim.report.comparison import Comparison

    found = Comparison.of(first, second)
    if as_json:
        print_json(found.to_json())
        return
    from sim.report.terminal import ResultConsole

    found.print_to(ResultConsole())
