"""`etcdsim validate`: the same workloads on a real etcd and in the simulator, prediction beside measurement."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from sim.cli.interrupt import Interrupted
from sim.cli.output import WholeNumber, json_option, print_json, remark, set_option
from sim.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from sim.validation.compare import Row
    from sim.validation.suite import Validation

_LONGEST = 600


@click.command(short_help="Compare predictions with a real etcd on this machine.")
@click.option("--etcd", type=click.Path(path_type=Path), metavar="PATH", help="The etcd binary; by default in PATH.")
@click.option("--members", type=click.Choice(["1", "3"]), default="1", show_default=True, help="Members of the cluster.")
@click.option("--workloads", multiple=True, metavar="NAMES", help="Only these, such as c1-1k,lease; may be repeated.")
@click.option("--for", "lasting", default="20s", show_default=True, metavar="DURATION", help="How long each workload runs.")
@click.option("--rounds", type=WholeNumber(min=1, max=20), default=3, show_default=True, help="How often.")
@click.option("--device", metavar="PROFILE", help="Predict with this device profile (a name or a YAML file), not with a probe.")
@click.option("--probe", is_flag=True, help="Predict with a probe of the disk, made now: the default.")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where etcd's data lie; default: temporary.")
@click.option("--patience", default="0s", metavar="DURATION", help="Wait up to so long before each run until the machine is idle.")
@click.option("--retries", type=WholeNumber(min=0, max=200), default=0, show_default=True, help="Disturbed runs to repeat.")
@click.option("--seed", type=WholeNumber(min=0), default=1, show_default=True, help="Of arrivals, keys and the simulation.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Also save everything in a new directory.")
@set_option
@json_option
def validate(
    etcd: Path | None,
    members: str,
    workloads: Sequence[str],
    lasting: str,
    rounds: int,
    device: str | None,
    probe: bool,
    data_dir: Path | None,
    patience: str,
    retries: int,
    seed: int,
    out: Path | None,
    assignments: Sequence[str],
    as_json: bool,
) -> None:
    """Start a real etcd on loopback, send it workloads, simulate the same ones, and print prediction beside measurement.

    Nothing is fitted to the workloads: the prediction uses a probe of the disk and of the loopback, and defaults. Keep the
    machine idle meanwhile: the noise stands beside each figure.
    """
    from sim.report.store import check_target
    from sim.scenario import parse_assignment
    from sim.validation.server import find_etcd, version_of
    from sim.validation.suite import Plan
    from sim.validation.suite import validate as compare
    from sim.validation.workload import choose

    if probe and device is not None:
        raise InputError("--probe and --device exclude each other")
    seconds = _seconds("--for", lasting, 1)
    chosen = choose([name.strip() for text in workloads for name in text.split(",") if name.strip()])
    if out is not None:
        check_target(out)
    binary = find_etcd(etcd)
    plan = Plan(
        binary, version_of(binary), int(members), chosen, seconds, rounds, data_dir or Path(tempfile.gettempdir()), device, seed,
        _seconds("--patience", patience, 0), retries, dict(parse_assignment(text) for text in assignments),
    )  # fmt: skip
    plan.check()
    minutes = len(chosen) * rounds * (seconds + 2.5) / 60
    remark(f"etcd {plan.version}, {len(chosen)} workloads x {_rounds(rounds)} x {seconds:g} s: about {max(minutes, 1):.0f} min")
    with _hung_up_like_interrupted():
        try:
            found = compare(plan, remark)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; every etcd that was started has ended, nothing was kept") from None
    if out is not None:
        found.save(out)
    if as_json:
        print_json(found.plain())
    else:
        from sim.report.terminal import ResultConsole

        _print(found, ResultConsole())
    for text in found.remarks:
        remark(f"warning: {text}")
    if out is not None:
        remark(f"saved in {out}")


@contextmanager
def _hung_up_like_interrupted() -> Iterator[None]:
    """While open, a terminal that goes away ends the command as Ctrl-C does: the real processes would stay otherwise."""
    if sys.platform == "win32":
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGHUP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _seconds(option: str, text: str, least: float) -> float:
    from sim.units import parse_duration
    from sim.units import seconds as in_seconds

    try:
        found = in_seconds(parse_duration(text))
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None
    if not least <= found <= _LONGEST:
        raise InputError(f"{option}: {text} is not between {least:g}s and {_LONGEST}s")
    return found


def _print(found: Validation, console: Console) -> None:
    from rich.text import Text

    from sim.report.figure_table import plain_table
    from sim.result import installed_version

    plan, machine = found.plan, found.machine
    who = "1 member" if plan.members == 1 else f"{plan.members} members on one machine"
    console.print(Text(f"etcd {plan.version}, {who}, against etcdsim {installed_version()}", style="bold"))
    console.print(Text(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}", style="dim"))
    console.print(Text(f"{_rounds(plan.rounds)} of {plan.seconds:g} s; noise: (max - min) / median of the rounds", style="dim"))
    console.print()
    console.print(Text("What the predictions are made from", style="bold"))
    table = plain_table()
    table.show_header = False
    for name, one in found.inputs.plain().items():
        table.add_row(f"  {name}", Text(one["from"]))
    console.print(table)
    for name in found.rounds:
        _print_workload(found, name, console)
    console.print()
    _print_summary(found, console)


def _print_workload(found: Validation, name: str, console: Console) -> None:
    from rich.text import Text

    from sim.report.figure_table import plain_table

    load = found.plain()["workloads"][name]
    used = load["most_cores_used"]
    console.print()
    console.print(Text(name, style="bold cyan").append(f"  {found.rounds[name][0].workload.about}", style="default"))
    cores = ", ".join(f"{who} {used[who]:.2f}" for who in ("leader", "etcd", "generator", "others"))
    console.print(Text(f"  cores used at most: {cores}; {load['failed']} failed", style="dim"))
    table = plain_table()
    table.add_column("figure", no_wrap=True, min_width=42)
    for title in ("predicted", "measured", "error", "noise"):
        table.add_column(title, justify="right", min_width=11, no_wrap=True)
    for row in found.rows:
        if row.workload == name:
            table.add_row(f"  {row.figure}", *_cells(row))
    console.print(table)


def _cells(row: Row) -> list[Any]:
    from rich.text import Text

    unit = _unit(row.figure)
    error = "-" if row.error is None else _percent(row.error, signed=True)
    beyond = row.error is not None and abs(row.error) > max(row.noise or 0.0, 0.05)
    return [
        _value(row.predicted, unit), _value(row.measured, unit), Text(error, style="yellow" if beyond else "green"),
        "-" if row.noise is None else _percent(row.noise),
    ]  # fmt: skip


def _print_summary(found: Validation, console: Console) -> None:
    from rich.text import Text

    from sim.report.figure_table import plain_table
    from sim.validation.compare import ORDER, summary

    console.print(Text("Over all workloads", style="bold").append("  sizes of the errors", style="default"))
    table = plain_table()
    table.add_column("figure", no_wrap=True, min_width=42)
    for title in ("median error", "worst error"):
        table.add_column(title, justify="right", min_width=12, no_wrap=True)
    table.add_column("worst at", no_wrap=True)
    errors = summary(found.rows)
    for figure in ORDER:
        if figure not in errors:
            continue
        worst = max(
            (row for row in found.rows if row.figure == figure and row.error is not None), key=lambda row: abs(row.error or 0.0)
        )
        cells = [_percent(errors[figure][key]) for key in ("median_error", "worst_error")]
        table.add_row(f"  {figure}", *cells, worst.workload)
    console.print(table)


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"


def _unit(figure: str) -> str:
    if "within_" in figure:
        return "share"
    if "_bytes" in figure:
        return "bytes"
    return "seconds" if "_seconds." in figure and not figure.endswith(".count") else ""


def _value(value: float | None, unit: str) -> str:
    from sim.report.human import human

    if unit == "bytes" and value is not None:
        return f"{value:,.0f}" if value < 1e6 else f"{value / 1e6:,.3f} MB"
    return human(value, unit)


def _percent(part: float, signed: bool = False) -> str:
    """Three digits of a part as a percentage; thousandths of a percent where it is small."""
    percent = 100 * part
    size = abs(percent)
    digits = 0 if size >= 99.95 else 1 if size >= 0.995 else 3
    text = f"{percent:{'+' if signed else ''}.{digits}f}%"
    return "0%" if not percent else text
