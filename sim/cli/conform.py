"""`etcdsim conform`: replay what a real library answered, call for call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from sim.cli.output import json_option, print_json
from sim.errors import InputError


@click.command(short_help="Replay recorded traces of client-go and compare every answer.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@json_option
@click.pass_context
def conform(context: click.Context, files: Sequence[str], as_json: bool) -> None:
    """Replay golden traces (JSON lines) through our mechanisms; print the first difference of each file, or `identical`.

    Exit code 1 when an answer differs, 2 when a trace is not understood.
    """
    from sim.conform.replay import replay

    rows = []
    refused = False
    for file in files:
        try:
            difference = replay(file)
        except InputError as problem:
            refused = True
            rows.append({"file": file, "identical": False, "difference": None, "refused": str(problem)})
            click.echo(f"etcdsim: {problem}", err=True)
            continue
        rows.append({"file": file, "identical": difference is None, "difference": difference and asdict(difference)})
        if not as_json:
            click.echo(f"{file}: identical" if difference is None else str(difference))
    if as_json:
        print_json({"traces": rows})
    if refused:
        context.exit(2)
    if not all(row["identical"] for row in rows):
        context.exit(1)
