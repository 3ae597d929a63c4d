"""`etcdsim frontier`: the largest count that still meets the objectives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sim.cli import planning
from sim.cli.output import WholeNumber, json_option, print_json, remark, set_option


@click.command(short_help="The largest count that still meets the objectives, per limiter setting.")
@click.argument("given", metavar="SCENARIO")
@click.option("--knob", required=True, metavar="PATH", help="The count, such as controllers.NAME.count.")
@click.option("--max", "most", type=WholeNumber(min=1), required=True, metavar="N", help="The largest count to try.")
@click.option("--min", "least", type=WholeNumber(min=1), default=1, show_default=True, metavar="N", help="The smallest.")
@click.option("--per", multiple=True, metavar="PATH=VALUES", help="Settings to repeat it for, such as 5,20,50; may be repeated.")
@planning.require_option
@set_option
@planning.horizon_option
@planning.variant_option
@click.option("--replications", type=WholeNumber(min=1), default=5, show_default=True, metavar="N", help="Runs at the first look.")
@click.option("--most", "most_runs", type=WholeNumber(min=1), default=20, show_default=True, metavar="N", help="At the last one.")
@planning.confidence_option
@click.option("--within", type=planning.Share(), default="5%", show_default=True, metavar="SHARE", help="How closely it is found.")
@click.option("--seed", type=WholeNumber(min=0), default=1, show_default=True, metavar="N", help="Of the first replication.")
@planning.out_option
@planning.workers_option
@json_option
def frontier(
    given: str, knob: str, most: int, least: int, per: Sequence[str], require: Sequence[str], assignments: Sequence[str],
    horizon: str | None, variant: str | None, replications: int, most_runs: int, confidence: float | None, within: float, seed: int,
    out: Path | None, workers: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Find the largest count at --knob that still meets what is required, for each setting of --per.

    It doubles the count until a requirement fails, then halves the gap. Each count is simulated until it is decided, or stays
    undecided. DIR (default: SCENARIO.frontier) keeps the runs, frontier.json and frontier.png.
    """
    from sim.planning import api
    from sim.scenario import load

    scenario = load(given, set=planning.changed(assignments, horizon))
    folder = planning.directory(out, str(scenario.name), "frontier")
    found = api.frontier(
        scenario, knob, most, per=planning.knobs(per, "--per"), require=require, variant=variant, least=least,
        replications=replications, most_replications=max(most_runs, replications), confidence=confidence or 0.95, within=within,
        seed=seed, store=folder, workers=workers, progress=planning.Teller(),
    )  # fmt: skip
    planning.leave(folder, "frontier", found.to_json(), found.plot())
    if as_json:
        print_json(found.to_json())
    else:
        from sim.planning.frontier_report import show
        from sim.report.terminal import ResultConsole

        show(found, ResultConsole())
    remark(f"{found.spent.simulated} runs simulated, {len(found.spent.runs) - found.spent.simulated} already there; in {folder}")
