"""`etcdsim diagnose`: what held a finished run back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.cli.output import json_option, print_json

if TYPE_CHECKING:
    from sim.diagnosis import Diagnosis, Finding

SCHEMA_VERSION = 1


@click.command(short_help="Name the bottleneck of a saved result.")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@json_option
def diagnose(directory: Path, as_json: bool) -> None:
    """Name the bottleneck of the result saved in DIR, variant by variant: station, who causes it, what moves it, and the figures.

    It looks at figures, series and writers only, so it says the same whatever the scenario and its parts are called.
    """
    from sim.diagnosis import diagnose as diagnosis_of
    from sim.result import Runs

    runs = Runs.load(directory)
    found = {variant: diagnosis_of(run) for variant, run in runs.items()}
    if as_json:
        variants = {variant: one.to_json() for variant, one in found.items()}
        print_json({"schema_version": SCHEMA_VERSION, "scenario": runs.name, "seed": runs.seed, "variants": variants})
        return
    for variant, one in found.items():
        _print(variant, one)


def _print(variant: str, found: Diagnosis) -> None:
    from sim.report.human import human

    if found.bottleneck is None:
        click.echo(f"{variant}: nothing is saturated")
    else:
        click.echo(f"{variant}: {found.bottleneck.station}: {found.bottleneck.says}")
        _details(found.bottleneck)
        for other in found.findings[1:]:
            click.echo(f"  then {other.station}: {other.says}")
            _details(other, "    ")
    for coming in found.coming:
        when = "already" if coming.in_seconds == 0 else f"in {human(coming.in_seconds, 'seconds')}"
        click.echo(f"  if nothing is done: {when} {coming.what}")


def _details(one: Finding, indent: str = "  ") -> None:
    from sim.metrics.catalogue import describe
    from sim.report.human import human

    if one.writer:
        click.echo(f"{indent}cause: {one.writer}")
    click.echo(f"{indent}knob: {one.knob}")
    for name, value in one.evidence.items():
        known = describe(name)
        unit = known.unit if known is not None else ("share" if "share" in name or name.endswith(("busy", "compacting")) else "")
        click.echo(f"{indent}{name} = {human(value, unit)}")
