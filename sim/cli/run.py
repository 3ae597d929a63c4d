"""`etcdsim run`: simulate a scenario's variants and say what they do to etcd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.interrupt import Interrupted
from sim.cli.output import WholeNumber, json_option, print_json, remark, set_option
from sim.errors import InputError, nearest

if TYPE_CHECKING:
    from sim.result import Runs
    from sim.scenario import Scenario


@click.command(short_help="Simulate a scenario and print what it does to etcd.")
@click.argument("scenario")
@set_option
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--seed", type=WholeNumber(min=0), default=1, show_default=True, help="The world that all variants meet.")
@click.option(
    "--replications", type=WholeNumber(min=1), default=1, show_default=True, metavar="N",
    help="Worlds, of seeds from --seed on: several give intervals.",
)  # fmt: skip
@click.option(
    "--until-half-width", "until", multiple=True, metavar="[FIGURE=]SHARE",
    help="As many worlds as it takes until the interval is as narrow, such as 5%; --replications is then the most (200).",
)  # fmt: skip
@click.option("--horizon", metavar="DURATION", help="How much time is simulated, such as 1h; as --set horizon=1h.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Also save the result in a new directory.")
@json_option
@click.option("--workers", type=WholeNumber(min=1), metavar="N", help="Processes for the variants; default: all cores.")
def run(
    scenario: str,
    assignments: Sequence[str],
    variants: Sequence[str],
    seed: int,
    replications: int,
    until: Sequence[str],
    horizon: str | None,
    out: Path | None,
    as_json: bool,
    workers: int | None,
) -> None:
    """Simulate SCENARIO, a name from `etcdsim scenarios` or a YAML file, and print what it does to etcd.

    Variants run side by side and meet the same world. The result is the same for the same scenario, seed and version. With
    --replications the figures are those of the first world, and intervals those over all of them.
    """
    chosen = prepare(scenario, assignments, horizon)
    names = _choose(chosen, variants)
    rule = _rule(until)
    if out is not None:
        from sim.report.store import check_target

        check_target(out)

    from sim.cli.progress import Watch
    from sim.simulation import run as simulate

    with Watch(names or chosen.variant_names(), replications) as watch:
        try:
            if rule:
                runs = _until(chosen, rule, replications, seed=seed, variants=names, workers=workers, progress=watch.show)
            else:
                runs = simulate(
                    chosen, seed=seed, variants=names, workers=workers, progress=watch.show, replications=replications
                )  # fmt: skip
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted {watch.where()}; nothing was kept") from None
    if out is not None:
        try:
            runs.save(out)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted while {out} was written; nothing was kept") from None
    if as_json:
        print_json(runs.to_json())
    else:
        from sim.report.terminal import ResultConsole, print_run

        print_run(runs, ResultConsole())
    if out is not None:
        remark(f"saved in {out}")


def _rule(until: Sequence[str]) -> dict[str, float]:
    """Figure to share, of --until-half-width. Raises InputError."""
    from sim.metrics.catalogue import describe
    from sim.sweeps.study import until as read

    rule = dict(read(list(until), ())) if until else {}
    for figure in rule:
        if describe(figure) is None:
            raise InputError(f'--until-half-width: no run reports "{figure}"; `etcdsim metrics` lists all figures')
    return rule


def _until(scenario: Scenario, rule: dict[str, float], most: int, **options: Any) -> Runs:
    """Worlds until the rule is met; what was given up is told."""
    from sim.sweeps.study import MOST_UNTIL
    from sim.sweeps.worlds import run_until

    runs, looks = run_until(scenario, rule, most if most > 1 else MOST_UNTIL, **options)
    for (variant, figure), look in looks.items():
        remark(f"{variant}, {figure}: {look.reason}")
    return runs


def prepare(scenario: str, assignments: Sequence[str], horizon: str | None = None) -> Scenario:
    """The scenario that a command is about, checked; what is allowed but odd is remarked on. Raises InputError."""
    from sim.report.declared import check
    from sim.scenario import load, parse_assignment, warnings

    values: dict[str, Any] = dict(parse_assignment(text) for text in assignments)
    if horizon is not None:
        values["horizon"] = horizon
    chosen = load(scenario, set=values)
    check(chosen)
    for warning in warnings(chosen):
        remark(f"warning: {warning}")
    return chosen


def _choose(scenario: Scenario, variants: Sequence[str]) -> list[str] | None:
    """The variants to run, in the scenario's order; None for all of them. Raises InputError."""
    known = scenario.variant_names()
    for name in variants:
        if name not in known:
            raise InputError(
                f'--variant: {scenario.name} has no "{name}"; allowed: {", ".join(known)}{nearest(name, known)}'
            )
    return [name for name in known if name in variants] if variants else None
