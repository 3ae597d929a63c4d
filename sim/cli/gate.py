"""`etcdsim gate`: replications until the objectives of a scenario are decided; for the CI of whoever writes controllers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.kept import store_at
from sim.cli.output import WholeNumber, executor_at, json_option, print_json, remark, scheduler_option, set_option
from sim.errors import InputError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from sim.analysis import DecideRule, Judgement
    from sim.scenario import Scenario
    from sim.sweeps.gate import Decision

SCHEMA_VERSION = 1
EXIT_CODES = {"pass": 0, "fail": 1, "undecided": 3}


@click.command(short_help="Exit 0, 1 or 3: objectives pass, fail, or stay undecided.")
@click.argument("scenario")
@set_option
@click.option("--horizon", metavar="DURATION", help="How much time is simulated, such as 1h; as --set horizon=1h.")
@click.option("--objective", "objectives", multiple=True, metavar="NAME", help="Only this objective; may be repeated.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--first", type=WholeNumber(min=1), default=5, show_default=True, metavar="N", help="Replications at the first look.")
@click.option(
    "--replications", "most", type=WholeNumber(min=1), default=80, show_default=True, metavar="N",
    help="Where to give up; looks are at --first, twice that, and so on.",
)  # fmt: skip
@click.option("--level", type=float, default=0.95, show_default=True, help="Confidence over all looks together.")
@click.option("--seed", type=WholeNumber(min=0), default=1, show_default=True, help="Of the first replication.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Keep the runs in this store, old or new.")
@click.option("--workers", type=WholeNumber(min=1), metavar="N", help="Processes; default: all cores.")
@scheduler_option
@json_option
def gate(
    scenario: str, assignments: Sequence[str], horizon: str | None, objectives: Sequence[str], variants: Sequence[str], first: int,
    most: int, level: float, seed: int, out: Path | None, workers: int | None, scheduler: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Run replications of SCENARIO until each of its objectives is decided.

    The exit code is 0 if all pass, 1 if one fails, 3 if some are still undecided at the last look, and 2 for a mistake. The
    confidence holds for all looks together, so that looking often does not pass what should fail.
    """
    from sim.analysis import DecideRule
    from sim.cli.run import prepare
    from sim.sweeps.gate import wanted
    from sim.sweeps.store import check_target

    chosen = prepare(scenario, assignments, horizon)
    try:
        rule = DecideRule(min(first, most), most, level)
    except ValueError as error:
        raise InputError(f"--level: {error}") from None
    wanted(chosen, objectives or None, variants or None)
    if out is not None:
        check_target(out)
    with executor_at(scheduler) as executor:
        found = _decide(chosen, rule, objectives, variants, seed, out, executor, workers)
    if as_json:
        print_json(document(chosen, rule, seed, found))
    else:
        _print(chosen, rule, found)
    if EXIT_CODES[found.outcome]:
        click.get_current_context().exit(EXIT_CODES[found.outcome])


def _decide(
    scenario: Scenario, rule: DecideRule, objectives: Sequence[str], variants: Sequence[str], seed: int, out: Path | None,
    executor: Executor | None, workers: int | None,
) -> Decision:  # fmt: skip
    from sim.sweeps.gate import decide

    def heard(count: int, known: Sequence[Judgement]) -> None:
        told = ", ".join(f"{one.goal.name} ({one.variant}) {one.outcome}" for one in known)
        remark(f"at {count} replications: {told}")

    with store_at(out) as (store, watch):
        return decide(
            scenario, store, rule, names=objectives or None, variants=variants or None, seed=seed, executor=executor,
            workers=workers, progress=watch.show, heard=heard,
        )  # fmt: skip


def document(scenario: Scenario, rule: DecideRule, seed: int, found: Decision) -> dict[str, Any]:
    """The object of `--json`: the same for the same scenario, seed and version."""
    from sim.report.document import number
    from sim.report.objectives import objective_object
    from sim.result import installed_version

    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": str(scenario.name),
        "seed": seed,
        "version": installed_version(),
        "verdict": found.outcome,
        "level": number(rule.level),
        "looks": list(rule.looks),
        "replications": found.replications,
        "objectives": [objective_object(one) for one in found.judgements],
        "failures": list(found.failed),
    }


def _print(scenario: Scenario, rule: DecideRule, found: Decision) -> None:
    from sim.report.objectives import objectives_table, reasons
    from sim.report.terminal import ResultConsole

    console = ResultConsole()
    counts = sorted(set(found.replications.values()))
    said = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    console.print(f"{scenario.name}: {said} replications, {rule.level:.0%} confidence over at most {len(rule.looks)} looks")
    console.print()
    console.print(objectives_table(found.judgements))
    for line in reasons(found.judgements):
        console.print(f"undecided: {line}", soft_wrap=True)
    for reason in found.failed:
        console.print(f"failed: {reason}", soft_wrap=True)
    console.print()
    console.print(found.outcome if found.outcome != "fail" else "FAIL")
