"""`etcdsim rare`: the worst of a run, how often apply stalls, how likely a run passes a bound; over many worlds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.kept import store_at
from sim.cli.output import WholeNumber, executor_at, json_option, print_json, scheduler_option, set_option
from sim.errors import InputError

if TYPE_CHECKING:
    from sim.analysis import Interval, Refused
    from sim.scenario import Scenario
    from sim.sweeps.rare import Rare

SCHEMA_VERSION = 1


@click.command(short_help="Maxima, stalls and the chance to pass a bound, over many worlds.")
@click.argument("scenario")
@click.option("--beyond", required=True, metavar="DURATION", help="The bound on etcd's apply, such as 1.8s.")
@set_option
@click.option("--horizon", metavar="DURATION", help="How much time is simulated, such as 24h; as --set horizon=24h.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--replications", type=WholeNumber(min=1), default=20, show_default=True, metavar="N", help="Worlds.")
@click.option("--seed", type=WholeNumber(min=0), default=1, show_default=True, help="Of the first world.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Keep the runs in this store, old or new.")
@click.option("--workers", type=WholeNumber(min=1), metavar="N", help="Processes; default: all cores.")
@scheduler_option
@json_option
def rare(
    scenario: str, beyond: str, assignments: Sequence[str], horizon: str | None, variants: Sequence[str], replications: int,
    seed: int, out: Path | None, workers: int | None, scheduler: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Simulate many worlds of SCENARIO and say how high the maximum and the p99.9 of apply come, how many episodes a day go beyond
    a bound, and how likely a run passes it: with the disk stalls that the scenario declares, and without them.
    """
    from sim.cli.run import prepare
    from sim.scenario.refusal import undeclared
    from sim.sweeps.store import check_target

    chosen = prepare(scenario, assignments, horizon)
    bound = _seconds(beyond)
    for name in variants:
        if name not in chosen.variant_names():
            raise InputError(f"--variant: {undeclared(name, 'variant', chosen.variant_names())}")
    if out is not None:
        check_target(out)
    with executor_at(scheduler) as executor:
        found = _simulated(chosen, out, bound, replications, list(variants) or None, seed, executor, workers)
    if as_json:
        print_json(document(chosen, bound, seed, found))
    else:
        _print(chosen, bound, found)


def _seconds(text: str) -> float:
    from sim.units import SECOND, parse_duration

    try:
        found = parse_duration(text) / SECOND
    except ValueError as error:
        raise InputError(f"--beyond: {error}") from None
    if found <= 0:
        raise InputError(f'--beyond: "{text}" is not a bound; it has to be above 0')
    return found


def _simulated(
    scenario: Scenario, out: Path | None, bound: float, replications: int, variants: list[str] | None, seed: int, executor: Any,
    workers: int | None,
) -> list[Rare]:  # fmt: skip
    from sim.sweeps.rare import rare as simulate

    with store_at(out) as (store, watch):
        return simulate(
            scenario, store, bound, replications, variants=variants, seed=seed, executor=executor, workers=workers,
            progress=watch.show,
        )  # fmt: skip


def document(scenario: Scenario, bound: float, seed: int, found: Sequence[Rare]) -> dict[str, Any]:
    """The object of `--json`."""
    from sim.report.document import number
    from sim.report.intervals import interval_object
    from sim.result import installed_version

    def told(one: Interval | Refused) -> dict[str, Any]:
        if hasattr(one, "reason"):
            return {"estimate": number(one.estimate), "low": None, "high": None, "why": one.reason}
        return interval_object(one)

    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": str(scenario.name),
        "seed": seed,
        "version": installed_version(),
        "horizon_seconds": number(scenario.horizon / 1e9),
        "beyond_seconds": number(bound),
        "rows": [
            {
                "variant": one.variant,
                "declared_stalls": one.declared,
                "worlds": one.worlds,
                "apply_seconds.max": told(one.worst),
                "apply_seconds.p999": told(one.p999),
                "probability_of_passing": told(one.passing),
                "episodes_per_day": told(one.per_day.everything),
                "evenly_spread": one.per_day.evenly_spread,
            }
            for one in found
        ],
    }


def _print(scenario: Scenario, bound: float, found: Sequence[Rare]) -> None:
    from rich.text import Text

    from sim.analysis import Interval
    from sim.report.figure_table import plain_table
    from sim.report.human import ABSENT, brief, horizon, human
    from sim.report.terminal import ResultConsole

    def cell(one: Interval | Refused, unit: str) -> str:
        if not isinstance(one, Interval):
            return ABSENT if one.estimate is None else f"{human(one.estimate, unit)}\n(no interval)"
        return f"{human(one.estimate, unit)}\n({human(one.low, unit)} .. {human(one.high, unit)})"

    console = ResultConsole()
    worlds, limit = max(one.worlds for one in found), brief(bound, "seconds")
    console.print(f"{scenario.name}: {worlds} worlds of {horizon(scenario.horizon / 1e9)}, etcd.apply_seconds beyond {limit}")
    console.print()
    table = plain_table()
    for name in ("variant", "disk stalls"):
        table.add_column(name)
    for name in ("max\nmedian world", "p99.9\nmedian world", f"a run passes\n{limit}", "episodes\na day"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        figures = ((one.worst, "seconds"), (one.p999, "seconds"), (one.passing, "share"), (one.per_day.everything, ""))
        cells = [cell(figure, unit) for figure, unit in figures]
        table.add_row(*map(Text, (one.variant, "as declared" if one.declared else "without", *cells)))
    console.print(table)
    reasons = {one.reason for row in found for one in (row.worst, row.p999) if not isinstance(one, Interval)}
    console.print("In brackets 95% intervals: by ranks, Clopper-Pearson, exact Poisson.", soft_wrap=True)
    for line in [*sorted(reasons), *(_clustered(one) for one in found if not one.per_day.evenly_spread)]:
        console.print(line, soft_wrap=True)


def _clustered(one: Rare) -> str:
    where = f"{one.variant}, stalls {'as declared' if one.declared else 'left out'}"
    return f"{where}: episodes are not spread as a Poisson process would have them; their interval is too narrow, or too wide"
