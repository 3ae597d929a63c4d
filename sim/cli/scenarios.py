"""`etcdsim scenarios`, `show`, `check` and `schema`: what can be simulated, and how a scenario is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from sim.cli.output import json_option, print_json, set_option

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.scenario.controllers import Controller, Resolved
    from sim.scenario.informers import Informer


@click.command(short_help="List the scenarios that come with etcdsim.")
@json_option
def scenarios(as_json: bool) -> None:
    """List the scenarios that come with etcdsim, with a line each."""
    from sim.scenario import scenarios as known

    found = known()
    if as_json:
        print_json({"scenarios": [{"name": name, "about": about} for name, about in found]})
        return
    from sim.report.figure_table import plain_table
    from sim.report.terminal import ResultConsole

    table = plain_table()
    table.add_column("scenario", no_wrap=True)
    table.add_column("about")
    for name, about in found:
        table.add_row(name, " ".join(about.split()))
    ResultConsole().print(table)


@click.command(short_help="Print a scenario with all defaults and units.")
@click.argument("scenario", metavar="NAME")
@set_option
@click.option("--variant", metavar="NAME", help="As this variant makes it.")
@json_option
def show(scenario: str, assignments: Sequence[str], variant: str | None, as_json: bool) -> None:
    """Print a scenario fully resolved: what it extends, defaults and units included."""
    from sim.cli.run import prepare
    from sim.scenario import dump, to_dict

    chosen = prepare(scenario, assignments)
    if variant is not None:
        chosen = chosen.variant(variant)
    if as_json:
        print_json(to_dict(chosen))
    else:
        click.echo(dump(chosen), nl=False)
        for line in _stacks(chosen):
            click.echo(f"# {line}")


def _stacks(scenario: Scenario) -> Iterator[str]:
    """What each controller's stack resolves to, and whether the scenario or the stack said so."""
    from sim.scenario.refusal import shown

    for name, controller in scenario.controllers.items():
        found = controller.resolved()
        stack, election = found.defaults, found.election
        values = {
            "client.qps": "off" if found.qps is None else f"{found.qps:g}/s",
            "client.burst": "-" if found.qps is None else str(found.burst),
            "workers": str(found.workers),
            "queue.kind": found.queue,
            "queue.limiter": shown(found.limiter.model_dump(mode="json", by_alias=True), None)[1:-1],
            "fifo": found.fifo,
            "resync": _period(found.resync),
            "streaming_list": "on" if stack.streaming_list else "off",
            "pause_after_error": _period(stack.pause_after_error),
            "recover_panic": "on" if found.recover_panic else "off",
            "lock": stack.lock if controller.leader_election else "none",
            "leader election": "off",
        }
        if found.every is not None:
            values["reconcile_every"] = _period(found.every)
        if found.queue == "priority":
            values["priority_queue"] = f"rules of {stack.priority_queue}"
        if election is not None:
            clocks = (election.lease, election.renew_deadline, election.retry_period)
            values["leader election"] = " / ".join(map(_period, clocks))
            values["release_on_cancel"] = "on" if election.release_on_cancel else "off"
            values["get_before_renewal"] = "on" if election.get_before_renewal else "off"
        yield f"controllers.{name} with {found.stack} ({stack.version}, client-go {found.client_go}):"
        for path, value in values.items():
            yield f"  {path}: {value}   ({_source(path, controller, found)})"
            if path in ("fifo", "resync", "streaming_list"):
                shared = {f"informers.{informer}": scenario.informers[informer] for informer in controller.informers}
                own = {f"watches.{watch}": watch_ for watch, watch_ in controller.watches.items()}
                yield from _of_informers(path, {**shared, **own})


def _source(path: str, controller: Controller, found: Resolved) -> str:
    """Where a resolved value is from."""
    if path in ("leader election", "lock") and not controller.leader_election:
        return "given here"
    if path == "leader election":
        given = [clock for clock in ("lease_duration", "renew_deadline", "retry_period") if getattr(controller.election, clock)]
        if len(given) == 3:
            return "given here"
        return "; ".join([f"{', '.join(given)} given here"] * bool(given) + [found.defaults.source(path)])
    if path == "release_on_cancel":
        return found.defaults.source(path) if controller.election.release_on_cancel is None else "given here"
    return "given here" if found.origin.get(path) == "scenario" else found.defaults.source(path)


def _of_informers(key: str, informers: Mapping[str, Informer]) -> Iterator[str]:
    """What informers say themselves, in place of the stack."""
    for name, informer in informers.items():
        value = getattr(informer, key)
        if value is not None:
            said = ("on" if value else "off") if isinstance(value, bool) else _period(value) if isinstance(value, int) else value
            yield f"    of {name}: {said}   (given here)"


def _period(period: int | None) -> str:
    from sim.units import format_duration

    return "never" if period is None else format_duration(period)


@click.command(short_help="Say whether a scenario file is valid.")
@click.argument("file")
@json_option
def check(file: str, as_json: bool) -> None:
    """Validate a scenario FILE: exit code 0, or 2 and one line that names the field, the value and what is allowed."""
    from sim.report.declared import check as check_figures
    from sim.report.human import horizon
    from sim.scenario import load, warnings
    from sim.units import seconds

    found = load(file)
    check_figures(found)
    odd = list(warnings(found))
    if as_json:
        print_json({"valid": True, "name": found.name, "variants": found.variant_names(), "warnings": odd})
        return
    click.echo(f"{file} is valid: {horizon(seconds(found.horizon))}, variants {', '.join(found.variant_names())}")
    for warning in odd:
        click.echo(f"warning: {warning}")


@click.command(short_help="Print the JSON Schema of scenario files.")
def schema() -> None:
    """Print the JSON Schema of scenario files, from which editors complete and check them."""
    from sim.scenario import json_schema

    print_json(json_schema())
