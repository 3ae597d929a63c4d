"""`etcdsim recommend`: the setting that meets the constraints and comes out best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sim.cli import planning
from sim.cli.output import WholeNumber, json_option, print_json, remark, set_option

_EXIT = {"pass": 0, "fail": 1, "undecided": 3}


@click.command(short_help="The setting that meets the objectives and comes out best, with its margin.")
@click.argument("given", metavar="STUDY")
@set_option
@planning.horizon_option
@planning.variant_option
@click.option("--trials", type=WholeNumber(min=1), metavar="N", help="Settings to try; default: the study's, or 48.")
@click.option("--replications", type=WholeNumber(min=1), metavar="N", help="Runs of each in the search; default: 3.")
@click.option("--most", type=WholeNumber(min=1), metavar="N", help="Runs of a candidate before it stays undecided; default: 20.")
@click.option("--candidates", type=WholeNumber(min=1), metavar="N", help="How many of the best are judged; default: 4.")
@planning.confidence_option
@click.option("--seed", type=WholeNumber(min=0), metavar="N", help="Of the search and of the first replication; default: 1.")
@planning.out_option
@planning.workers_option
@json_option
def recommend(
    given: str, assignments: Sequence[str], horizon: str | None, variant: str | None, trials: int | None, replications: int | None,
    most: int | None, candidates: int | None, confidence: float | None, seed: int | None, out: Path | None, workers: int | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Search the knobs of STUDY, a YAML file or a name, for the setting that keeps its bounds and is best in its goals.

    DIR (default: STUDY.recommend) keeps the runs, recommend.json, recommend.png and recommended.yaml, the scenario with the
    recommended values. Exit code 1: nothing tried satisfies the constraints; 3: undecided.
    """
    from sim.planning import api
    from sim.planning.study import load
    from sim.scenario import dump

    study = load(
        given, planning.changed(assignments, horizon), variant=variant, trials=trials, replications=replications,
        most_replications=most, candidates=candidates, confidence=confidence, seed=seed,
    )  # fmt: skip
    folder = planning.directory(out, study.name, "recommend")
    found = api.recommended(study, store=folder, workers=workers, progress=planning.Teller())
    files = {"recommended.yaml": dump(found.scenario).encode()} if found.chosen is not None else {}
    planning.leave(folder, "recommend", found.to_json(), found.plot(), files)
    if as_json:
        print_json(found.to_json())
    else:
        from sim.planning.recommend_report import show
        from sim.report.terminal import ResultConsole

        show(found, ResultConsole())
    remark(f"{found.spent.simulated} runs simulated, {len(found.spent.runs) - found.spent.simulated} already there; in {folder}")
    if code := _EXIT[found.outcome]:
        click.get_current_context().exit(code)
