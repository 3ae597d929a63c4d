"""`etcdsim results`: what the sweeps of a store have found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.cli.output import json_option, print_json, remark

if TYPE_CHECKING:
    from sim.sweeps.rows import Results

SCHEMA_VERSION = 1


@click.command(short_help="Print what a sweep has found.")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--figure", "figures", multiple=True, metavar="NAME", help="A column of the table; may be repeated.")
@click.option("--sweep", "name", metavar="NAME", help="Only this sweep, by name or id, where several share the store.")
@click.option("--sql", metavar="QUERY", help="Answer a query over the tables runs, series, status, sweeps, failures (DuckDB).")
@json_option
def results(directory: Path, figures: Sequence[str], name: str | None, sql: str | None, as_json: bool) -> None:
    """Print the runs in DIR, the store of one or more sweeps: means over replications, and paired differences between variants.

    With --json every run is a row with all its figures, or those of --figure, in a fixed order and without wall times.

    With --sql the answer is that of the query, such as: select variant, avg("etcd.puts") from runs group by variant
    """
    from sim.sweeps.rows import Results
    from sim.sweeps.store import Store

    with Store(directory) as store:
        if sql is not None:
            _print_answer(Results(store, name), sql, as_json)
            return
        print_results(Results(store, name), list(dict.fromkeys(figures)) or None, as_json)


def print_results(found: Results, figures: Sequence[str] | None, as_json: bool) -> None:
    """Everything that a store says; `figures` are what was asked for, None for what the sweeps show."""
    if found.others:
        remark(f"runs of another model version are not shown: {', '.join(found.others)}")
    if as_json:
        from sim.report.sweep_document import document

        print_json(document(found, figures))
        return
    from sim.report.sweep_table import print_sweeps
    from sim.report.terminal import ResultConsole

    print_sweeps(found, list(figures or found.figures), ResultConsole())


def _print_answer(found: Results, text: str, as_json: bool) -> None:
    """What a query answers: a table, or one object with the rows as objects."""
    from sim.sweeps.sql import query

    answer = query(found, text)
    if as_json:
        rows = json.loads(answer.to_json(orient="records", date_format="iso", double_precision=12))
        print_json({"schema_version": SCHEMA_VERSION, "columns": [str(name) for name in answer.columns], "rows": rows})
        return
    click.echo(answer.to_string(index=False, na_rep="-") if len(answer.columns) else "")
