"""`etcdsim sensitivity`: which knobs matter for a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sim.cli import planning
from sim.cli.output import WholeNumber, json_option, print_json, remark, set_option


@click.command(short_help="Which knobs matter for a figure: Morris screening, Sobol indices, tornado.")
@click.argument("given", metavar="SCENARIO")
@click.option("--vary", multiple=True, required=True, metavar="PATH=RANGE", help="A knob: log(1,100), linear, int, or a,b,c.")
@click.option("--figure", "figures", multiple=True, metavar="NAME", help="Default: etcd.apply_seconds.p99; may be repeated.")
@click.option("--method", metavar="NAME", default="morris", show_default=True, help="morris sorts out many knobs, sobol: shares.")
@click.option("--samples", type=WholeNumber(min=2), metavar="N", help="Trajectories (default 8), or Sobol samples (default 64).")
@set_option
@planning.horizon_option
@planning.variant_option
@click.option("--replications", type=WholeNumber(min=1), default=3, show_default=True, metavar="N", help="Worlds of each setting.")
@planning.confidence_option
@click.option("--seed", type=WholeNumber(min=0), default=1, show_default=True, metavar="N", help="Of the design and first world.")
@planning.out_option
@planning.workers_option
@click.option("--dry-run", is_flag=True, help="Only say how many runs it takes.")
@json_option
def sensitivity(
    given: str, vary: Sequence[str], figures: Sequence[str], method: str, samples: int | None, assignments: Sequence[str],
    horizon: str | None, variant: str | None, replications: int, confidence: float | None, seed: int, out: Path | None,
    workers: int | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Say which of the --vary knobs matter for a figure, and which have no effect.

    DIR (default: SCENARIO.sensitivity) keeps the runs, sensitivity.json and sensitivity.png, the tornado.
    """
    from sim.planning import api
    from sim.scenario import load

    scenario = load(given, set=planning.changed(assignments, horizon))
    asked = api.asked(
        scenario, planning.knobs(vary, "--vary"), list(figures) or None, method=method, samples=samples, variant=variant,
        replications=replications, confidence=confidence or 0.95, seed=seed,
    )  # fmt: skip
    if dry_run:
        if as_json:
            print_json({"settings": asked.settings, "replications": replications, "runs": asked.settings * replications})
        else:
            click.echo(f"{asked.settings} settings x {replications} replications: at most {asked.settings * replications} runs")
        return
    folder = planning.directory(out, str(scenario.name), "sensitivity")
    found = api.answered(asked, store=folder, workers=workers, progress=planning.Teller())
    planning.leave(folder, "sensitivity", found.to_json(), found.plot())
    if as_json:
        print_json(found.to_json())
    else:
        from sim.planning.sensitivity_report import show
        from sim.report.terminal import ResultConsole

        show(found, ResultConsole())
    remark(f"{found.spent.simulated} runs simulated, {len(found.spent.runs) - found.spent.simulated} already there; in {folder}")
