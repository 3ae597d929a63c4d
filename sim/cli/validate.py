"""`etcdsim validate`: the same workloads on a real etcd and in the simulator, prediction beside measurement."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import click

from sim.cli.interrupt import Interrupted
from sim.cli.output import WholeNumber, json_option, print_json, remark, set_option
from sim.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from sim.scenario.load_test import LoadTest
    from sim.validation.measurement import Measurement, Plan
    from sim.validation.suite import Validation

_LONGEST: Final = 600
_MEASURING: Final = ("etcd", "suite_name", "rounds", "seconds", "data_dir", "patience", "retries", "seed")
"""Options that a kept measurement has settled."""
_COLUMNS: Final = {
    "rate": "etcd.requests_per_second", "p50": "etcd.request_seconds.p50", "p90": "etcd.request_seconds.p90",
    "p99": "etcd.request_seconds.p99", "fsyncs": "etcd.wal_fsyncs", "WAL bytes": "etcd.wal_bytes_written",
    "in use": "etcd.db_bytes_in_use", "compact": "etcd.compaction_seconds.mean",
}  # fmt: skip
"""Of the table of errors."""


@click.command(short_help="Compare predictions with a real etcd on this machine.")
@click.option("--etcd", type=click.Path(path_type=Path), metavar="PATH", help="The etcd binary; by default in PATH.")
@click.option(
    "--workload", "workloads", multiple=True, metavar="FILE",
    help="Predict this: a file (JSON or YAML), a scenario with a validate section, or one of a suite by its name; may be repeated.",
)  # fmt: skip
@click.option("--suite", "suite_name", type=click.Choice(["quick", "full"]), help="Predict a suite; without --workload: quick.")
@click.option(
    "--measured", metavar="DIR", help="Measure nothing: predict again what -o DIR has kept, or a measurement of the package."
)
@click.option("--rounds", type=WholeNumber(min=1, max=20), default=2, show_default=True, help="How often each is measured.")
@click.option("--seconds", metavar="DURATION", help="How long each workload of a suite and each probe lasts.")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where etcd's data lie; default: temporary.")
@click.option("--patience", default="0s", metavar="DURATION", help="Wait up to so long before each run until the machine is idle.")
@click.option("--retries", type=WholeNumber(min=0, max=200), default=0, show_default=True, help="Disturbed runs to repeat.")
@click.option("--seed", type=WholeNumber(min=1), default=1, show_default=True, help="Of arrivals, keys and the simulation.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Also save everything in a new directory.")
@set_option
@json_option
def validate(
    etcd: Path | None,
    workloads: Sequence[str],
    suite_name: str | None,
    measured: str | None,
    rounds: int,
    seconds: str | None,
    data_dir: Path | None,
    patience: str,
    retries: int,
    seed: int,
    out: Path | None,
    assignments: Sequence[str],
    as_json: bool,
) -> None:
    """Start a real etcd on loopback, send it loads, simulate the same ones, and print prediction beside measurement.

    CPU costs are fitted to a small probe suite; the loads of the comparison are held out. Keep the machine idle meanwhile: the
    noise stands beside each figure.
    """
    from sim.report.store import check_target
    from sim.scenario import parse_assignment
    from sim.validation import measurement
    from sim.validation.report import save
    from sim.validation.server import find_etcd, version_of
    from sim.validation.suite import check
    from sim.validation.suite import validate as predict
    from sim.validation.workload import read_loads, suite

    changes = dict(parse_assignment(text) for text in assignments)
    if out is not None:
        check_target(out)
    if measured is not None:
        _refuse_options_of_measuring()
        taken = measurement.read(measured)
        taken = taken.only(workloads) if workloads else taken
        check(taken.version, [rounds[0].load for rounds in taken.loads.values()], changes)
    else:
        lasting = None if seconds is None else _seconds("--seconds", seconds, 1)
        loads = [load for called in workloads for load in read_loads(called).values()]
        if suite_name is not None or not workloads:
            loads += _lasting(suite(suite_name or "quick"), lasting)
        binary = find_etcd(etcd)
        plan = measurement.Plan(
            binary, version_of(binary), loads, _lasting(suite("probe"), lasting), rounds, data_dir or Path(tempfile.gettempdir()),
            seed, _seconds("--patience", patience, 0), retries,
        )  # fmt: skip
        plan.check()
        check(plan.version, loads, changes)
        taken = _taken(plan)
    found = predict(taken, changes, remark)
    if out is not None:
        save(found, out)
    if as_json:
        print_json(found.plain())
    else:
        from sim.report.terminal import ResultConsole

        _print(found, ResultConsole())
    for text in found.remarks:
        remark(f"warning: {text}")
    if out is not None:
        remark(f"saved in {out}")


def _refuse_options_of_measuring() -> None:
    """Raises InputError where an option was given that a kept measurement has settled."""
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in _MEASURING and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE:
            raise InputError(f"{option.opts[0]} is about measuring; with --measured nothing is measured")


def _taken(plan: Plan) -> Measurement:
    """Measure, and say beforehand how long that takes. Raises InputError, Interrupted."""
    from sim.validation.measurement import take

    remark(
        f"etcd {plan.version}, {len(plan.used_probes)} probes and {_count(len(plan.loads), 'workload')}, "
        f"{_count(plan.rounds, 'round')}: about {max(plan.seconds / 60, 1):.0f} min, and as long as it takes to simulate them"
    )
    with _hung_up_like_interrupted():
        try:
            return take(plan, remark)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; every etcd that was started has ended, nothing was kept") from None


def _lasting(loads: dict[str, LoadTest], seconds: float | None) -> list[LoadTest]:
    """The loads, as long as they are or as long as is wanted; what happens at a moment beside them keeps its time."""
    return [
        load if seconds is None or load.pause or load.lease_count or load.quota_bytes
        else load.model_copy(update={"seconds": seconds, "warmup_seconds": min(load.warmup_seconds, seconds / 4)})
        for load in loads.values()
    ]  # fmt: skip


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

    machine = found.measurement.machine
    console.print(Text(f"etcd {found.measurement.version} against etcdsim {installed_version()}", style="bold"))
    console.print(Text(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}", style="dim"))
    console.print(Text(f"{_count(found.rounds, 'round')}; noise: (max - min) / median of the rounds", style="dim"))
    for members, inputs in found.inputs.items():
        console.print()
        console.print(Text(f"What predictions of {_count(members, 'member')} are made from", style="bold"))
        table = plain_table()
        table.show_header = False
        above = ""
        for name, one in inputs.plain().items():
            value = str(one["value"]) if isinstance(one["value"], str) else ""
            table.add_row(f"  {name}", value, Text("as above" if one["from"] == above else one["from"]))
            above = one["from"]
        console.print(table)
    for name in found.measurement.rounds:
        _print_workload(found, name, console)
    console.print()
    _print_errors(found, console)
    console.print()
    _print_summary(found, console)


def _print_workload(found: Validation, name: str, console: Console) -> None:
    from rich.text import Text

    from sim.report.figure_table import plain_table
    from sim.validation.report import percent, value

    load = found.plain()["workloads"][name]
    used = load["most_cores_used"]
    console.print()
    probe = "" if load["held_out"] else " (probe: the inputs were fitted to it)"
    console.print(Text(name, style="bold cyan").append(f"  {load['about']}{probe}", style="default"))
    cores = ", ".join(f"{who} {used[who]:.2f}" for who in ("leader", "etcd", "generator", "others"))
    failed = sum(load["failures"].values())
    console.print(Text(f"  cores used at most: {cores}; {failed} failed", style="dim"))
    table = plain_table()
    table.add_column("figure", no_wrap=True, min_width=42)
    for title in ("predicted", "measured", "error", "noise"):
        table.add_column(title, justify="right", min_width=11, no_wrap=True)
    doubts: dict[str, None] = {}
    for row in found.rows:
        if row.workload == name:
            error = "-" if row.error is None else percent(row.error, signed=True)
            beyond = row.error is not None and abs(row.error) > max(row.noise or 0.0, row.goal or 0.05)
            style = "dim" if row.doubt else "yellow" if beyond else "green"
            noise = "-" if row.noise is None else percent(row.noise)
            cells = value(row.predicted, row.figure), value(row.measured, row.figure), Text(error, style=style), noise
            table.add_row(f"  {row.figure}{' *' if row.doubt else ''}", *cells)
            doubts |= {row.doubt: None} if row.doubt else {}
    console.print(table)
    for doubt in doubts:
        console.print(Text(f"  * does not count: {doubt}", style="dim"))


def _print_errors(found: Validation, console: Console) -> None:
    """The errors of the most asked for figures, a load a line."""
    from rich.text import Text

    from sim.report.figure_table import plain_table
    from sim.validation.report import percent

    console.print(Text("Errors by workload", style="bold").append("  (predicted - measured) / measured; * does not count"))
    table = plain_table()
    table.add_column("held out", no_wrap=True, min_width=17)
    for title in (*_COLUMNS, "noise of p99"):
        table.add_column(title, justify="right", no_wrap=True)
    rows = {(row.workload, row.figure): row for row in found.rows}
    for name in found.measurement.loads:
        cells: list[Text | str] = []
        for figure in _COLUMNS.values():
            row = rows.get((name, figure))
            if row is None or row.error is None:
                cells.append("-")
                continue
            style = "dim" if row.doubt else "green" if abs(row.error) <= (row.goal or 0.05) else "yellow"
            cells.append(Text(percent(row.error, signed=True) + ("*" if row.doubt else ""), style=style))
        tail = rows.get((name, _COLUMNS["p99"]))
        table.add_row(f"  {name}", *cells, "-" if tail is None or tail.noise is None else percent(tail.noise))
    console.print(table)


def _print_summary(found: Validation, console: Console) -> None:
    from rich.text import Text

    from sim.report.figure_table import plain_table
    from sim.validation.compare import summary
    from sim.validation.report import percent

    console.print(Text("Over all workloads that were held out", style="bold").append("  sizes of the errors", style="default"))
    table = plain_table()
    table.add_column("figure", no_wrap=True, min_width=36)
    for title in ("median", "worst", "goal"):
        table.add_column(title, justify="right", min_width=8, no_wrap=True)
    table.add_column("worst at", no_wrap=True)
    for figure, one in summary(found.rows).items():
        goal = Text("")
        if "goal" in one:
            goal = Text(percent(one["goal"]), style="green" if one["met"] else "yellow")
            goal.append("" if one["met"] else " missed")
        cells = percent(one["median_error"]), percent(one["worst_error"]), goal, one["worst_at"]
        table.add_row(f"  {figure}", *cells)
    console.print(table)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
