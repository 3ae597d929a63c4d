"""The systems for people: the table on a terminal."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.report.figure_table import plain_table
from sim.systems.declared import System
from sim.systems.runs import Tested
from sim.systems.verdict import Judged, Verdict, telling

_STYLES: Final[dict[Verdict, str]] = {"reproduced": "green", "refuted": "red", "not comparable": "dim"}


def print_table(tested: list[Tested], console: Console, checks: bool) -> None:
    """A row a system, with the check that tells its verdict; or a row for every check. Verdicts of checks are in parentheses."""
    table = plain_table()
    table.add_column("id", no_wrap=True)
    table.add_column("system, observable, the article, pair", overflow="fold")
    for name in ("without", "with", "compared", "verdict"):
        table.add_column(name, justify="left" if name == "verdict" else "right", no_wrap=True)
    for one in tested:
        _add(table, one, checks)
    console.print(table)
    console.print()
    console.print(summary(tested))


def summary(tested: list[Tested]) -> str:
    """How many systems have which verdict."""
    counts = Counter(one.verdict for one in tested)
    parts = [f"{counts[word]} {word}" for word in _STYLES if counts[word]]
    systems = "1 system" if len(tested) == 1 else f"{len(tested)} systems"
    return f"{systems}: {', '.join(parts)}. Every check: --checks; rules: -o DIR."


def _add(table: Table, one: Tested, checks: bool) -> None:
    system, told = one.system, telling(one.system, one.judged)
    for judged in [told, *(other for other in one.judged if checks and other is not told)]:
        first = judged is told
        said = Text(one.verdict, style=_STYLES[one.verdict]) if first else Text(f"({judged.verdict})", style="dim")
        compared = "" if judged.check.one_sided else judged.said(judged.value)
        table.add_row(system.id if first else "", _words(system, judged, first), *judged.sides, compared, said)
    if one.failed:
        table.add_row("", Text(f"failed: {one.failed}", style="red"))


def _words(system: System, judged: Judged, first: bool) -> Text:
    """What is compared, below the name; the pair last, so that names stay whole where the lines are short."""
    words = Text(f"{system.name}\n" if first else "", style="bold")
    words.append(judged.check.shows, style="not bold")
    if judged.check.says:
        words.append(f"\narticle: {judged.check.says}", style="not bold")
    if first:
        words.append(f"\n{system.scenario}: {system.without} / {system.with_}", style="not bold dim")
    return words
