"""The systems for people: the table on a terminal."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.report.figure_table import plain_table
from sim.systems.runs import Tested
from sim.systems.verdict import Verdict, telling

_STYLES: Final[dict[Verdict, str]] = {"reproduced": "green", "refuted": "red", "not comparable": "dim"}


def print_table(tested: list[Tested], console: Console, checks: bool) -> None:
    """A row a system, with the check that tells its verdict; or a row for every check. Verdicts of checks are in parentheses."""
    table = plain_table()
    table.add_column("id", no_wrap=True)
    table.add_column("system and pair", overflow="fold", max_width=26)
    table.add_column("observable", overflow="fold", max_width=20)
    for name, width in (("without", 8), ("with", 8), ("compared", 8)):
        table.add_column(name, justify="right", overflow="fold", max_width=width)
    table.add_column("the article", overflow="fold", max_width=16)
    table.add_column("verdict", no_wrap=True)
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
    name = Text(system.name)
    name.append(f"\n{system.scenario}: {system.without} / {system.with_}", style="dim")
    for judged in [told, *(other for other in one.judged if checks and other is not told)]:
        first = judged is told
        said = Text(one.verdict, style=_STYLES[one.verdict]) if first else Text(f"({judged.verdict})", style="dim")
        compared = judged.said(judged.value) if judged.check.compare not in ("without", "with") else ""
        cells = system.id if first else "", name if first else "", judged.check.shows
        table.add_row(*cells, *judged.sides, compared, judged.check.says or "-", said)
    if one.failed:
        table.add_row("", Text(f"failed: {one.failed}", style="red"))
