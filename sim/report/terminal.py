"""A result on a terminal: the figures, who did it, what happened, whether it is good enough, and what it rests on.

Everything fits into 100 columns and says the same without colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sim.analysis import Interval, Refused
from sim.metrics.catalogue import count_of, describe
from sim.report.declared import parameters
from sim.report.figure_table import figure_tables, plain_table
from sim.report.human import ABSENT, clock, factor, horizon, human
from sim.report.intervals import interval, judgements
from sim.report.objectives import objectives_table, reasons, said_value
from sim.report.sensitivity import wal_ratio
from sim.report.summary import writers

if TYPE_CHECKING:
    from sim.result import Runs

WIDTH: Final = 100
_MOST_INCIDENTS: Final = 20
_WRITER_COLUMNS: Final = (
    ("keys_created", "keys", "keys"), ("puts", "puts", "puts"), ("wal_bytes_written", "WAL", "bytes"),
    ("apply_tail_share", "tail", "share"),
)  # fmt: skip


SURE: Final = (
    "etcd.keys_created", "etcd.wal_bytes_written", "etcd.apply_seconds.p99", "etcd.apply_seconds.p999", "etcd.apply_seconds.max",
    "etcd.request_seconds.p99", "apiserver.request_seconds.p99", "workqueue.queue_seconds.p99",
)  # fmt: skip
"""What is shown with its interval and its samples; all figures stand in the JSON."""


def print_run(runs: Runs, console: Console) -> None:
    """Everything that `etcdsim run` says on stdout."""
    _print_head(runs, console)
    for table in figure_tables(runs):
        console.print(table)
        console.print()
    _print_writers(runs, console)
    _print_sensitivity(runs, console)
    _print_incidents(runs, console)
    _print_intervals(runs, console)
    _print_objectives(runs, console)
    _print_notes(runs, console)
    _print_parameters(runs, console)


class ResultConsole(Console):
    """A console for results: 100 columns into a pipe, and what fits onto a terminal."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)
        if not self.is_terminal:
            self.width = WIDTH

    def on_broken_pipe(self) -> None:
        """Whoever calls decides what a reader that went away means; rich would exit with 1."""
        raise BrokenPipeError


def _print_head(runs: Runs, console: Console) -> None:
    console.print(Text(runs.name, style="bold"))
    about = " ".join(str(getattr(runs.scenario, "about", None) or "").split())
    if about:
        console.print(about)
    etcd = getattr(getattr(runs.scenario, "etcd", None), "version", None)
    said = [f"{horizon(runs.horizon_seconds)} simulated", f"seed {runs.seed}", f"etcdsim {runs.version}"]
    console.print(", ".join([*said, f"etcd {etcd}"] if etcd else said), style="dim")
    console.print()


def _print_writers(runs: Runs, console: Console) -> None:
    table = writers(runs)
    if table.empty:
        return
    _title(console, "Who did it", "keys created, puts, WAL bytes, share of the apply tail (above p99)")
    variants = list(runs)
    for at in range(0, len(variants), 2):
        shown = plain_table()
        shown.add_column("writer", overflow="fold", max_width=30)
        for variant in variants[at : at + 2]:
            for place, (_, short, _) in enumerate(_WRITER_COLUMNS):
                head = f"{variant if place == 0 else ''}\n{short}"
                shown.add_column(Text(head, justify="right"), justify="right", min_width=7, no_wrap=place > 0)
        for writer, row in table.iterrows():
            cells = [
                human(row.get((variant, figure)), unit)
                for variant in variants[at : at + 2]
                for figure, _, unit in _WRITER_COLUMNS
            ]
            shown.add_row(Text(f"  {writer}"), *map(Text, cells))
        console.print(shown)
        console.print()


def _print_sensitivity(runs: Runs, console: Console) -> None:
    found = wal_ratio(runs)
    if not found:
        return
    _title(console, "The WAL ratio if assumed sizes were others", "value bytes: ratio")
    table = plain_table()
    for one in found:
        cells = [f"{size:,} B: {factor(ratio)}" for size, ratio in zip(one.sizes, one.ratios, strict=True)]
        table.add_row(Text(f"  {one.object}"), Text(f"{cells[0]} (assumed)"), *map(Text, cells[1:]))
    table.show_header = False
    console.print(table)
    console.print()


def _print_incidents(runs: Runs, console: Console) -> None:
    happened = runs.incidents
    if happened.empty:
        return
    _title(console, "What happened")
    table = plain_table()
    for name in ("", "variant", "kind", "about"):
        table.add_column(name)
    for variant, at_seconds, kind, about in happened.head(_MOST_INCIDENTS).to_numpy().tolist():
        table.add_row(*map(Text, (clock(at_seconds), variant, kind, about)))
    table.show_header = False
    console.print(table)
    if len(happened) > _MOST_INCIDENTS:
        console.print(f"  and {len(happened) - _MOST_INCIDENTS} more, in the JSON and in incidents.json")
    console.print()


def _print_intervals(runs: Runs, console: Console) -> None:
    """How sure the figures are that one looks at first: interval and samples of each tail, or why there is no interval."""
    worlds = max(map(len, runs.replications.values()), default=1)
    shown = [name for name in SURE if any(run.metrics.get(name) is not None for run in runs.values())]
    found = {(name, variant): interval(runs, variant, name) for name in shown for variant in runs}
    given = any(isinstance(one, Interval) for one in found.values())
    figures = shown if given else [name for name in shown if name.endswith(".p99")]
    if not figures:
        return
    _title(console, "How sure", f"{worlds} worlds, 95% intervals" if worlds > 1 else "one world, 95% intervals")
    table = plain_table()
    for name in ("figure", "variant"):
        table.add_column(name, no_wrap=True)
    for name in ("mean" if worlds > 1 else "value", *(("from", "to") if given else ()), "samples"):
        table.add_column(name, justify="right", no_wrap=True)
    refused: dict[str, None] = {}
    for figure in figures:
        for variant, run in runs.items():
            if run.metrics.get(figure) is None:
                continue
            one = found[figure, variant]
            value, *ends, samples = _sure(runs, variant, figure, one)
            table.add_row(*map(Text, (f"  {figure}", variant, value, *(ends if given else ()), samples)))
            refused |= dict.fromkeys([one.reason] if isinstance(one, Refused) else one.notes)
    console.print(table)
    for reason in refused:
        console.print(Padding(Text(reason, style="dim"), (0, 0, 0, 2)))
    console.print()


def _sure(runs: Runs, variant: str, figure: str, found: Interval | Refused) -> tuple[str, str, str, str]:
    """Value, interval and samples of a figure, as cells."""
    known, count = describe(figure), count_of(figure)
    unit = known.unit if known else ""
    worlds = runs.replications.get(variant) or (runs[variant],)
    samples = human(sum(world.metrics.get(count) or 0 for world in worlds), "") if count is not None else ABSENT
    if isinstance(found, Refused):
        return human(runs[variant].metrics.get(figure), unit), ABSENT, ABSENT, samples
    return said_value(found.estimate, unit), said_value(found.low, unit), said_value(found.high, unit), samples


def _print_objectives(runs: Runs, console: Console) -> None:
    found = judgements(runs)
    if not found:
        return
    _title(console, "Objectives")
    console.print(objectives_table(found))
    single = any(one.runs == 1 and one.interval is None for one in found)
    said = ["one world, no interval: `etcdsim gate` runs replications until they are decided"] if single else reasons(found)
    for line in said:
        console.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))
    console.print()


def _print_parameters(runs: Runs, console: Console) -> None:
    found = [one for word in ("fitted", "assumed") for one in parameters(runs.scenario) if one.standing == word]
    if not found:
        return
    values = _values(runs)
    _title(console, "What it rests on")
    standing = ""
    for one in found:
        if one.standing != standing:
            standing = one.standing
            console.print(f"  {standing}")
        given = values(one.path)
        named = one.path if given is None else f"{one.path} = {_yaml(given)}"
        console.print(Padding(Text.assemble((named, "bold"), f": {one.why}"), (0, 0, 0, 4)))
    console.print()


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(runs: Runs) -> Callable[[str], object]:
    """A look-up of a parameter's value by its path, as the scenario writes it; None for what is not a plain value."""
    from sim.scenario import to_dict

    fields = to_dict(runs.scenario)

    def look_up(path: str) -> object:
        found: object = fields
        for part in path.split("."):
            if not isinstance(found, Mapping) or part not in found:
                return None
            found = found[part]
        return None if isinstance(found, Mapping | list) else found

    return look_up


def _print_notes(runs: Runs, console: Console) -> None:
    notes = getattr(runs.scenario, "notes", None)
    if not notes:
        return
    _title(console, "What cannot be true together")
    table = Table.grid(padding=(0, 1))
    for note in notes:
        table.add_row("  -", Text(" ".join(str(note).split())))
    console.print(table)
    console.print()


def _title(console: Console, title: str, note: str = "") -> None:
    console.print(Text.assemble((title, "bold"), (f"  {note}" if note else "", "dim")))
