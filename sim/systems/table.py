"""The systems for people: the table on a terminal."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.report.figure_table import plain_table
from sim.systems.runs import Tested
from sim.systems.verdict import Verdict

_STYLES: Final[dict[Verdict, str]] = {"reproduced": "green", "refuted": "red", "not comparable": "dim"}


def print_table(tested: list[Tested], console: Console) -> None:
    """A row a check: its system, the figure in both variants, the two compared, the article's words, the verdict."""
    table = plain_table()
    table.add_column("id", no_wrap=True)
    table.add_column("system and pair", overflow="fold", max_width=25)
    table.add_column("observable", overflow="fold", max_width=20)
    for name, width in (("without", 8), ("with", 8), ("compared", 8)):
        table.add_column(name, justify="right", overflow="fold", max_width=width)
    table.add_column("the article", overflow="fold", max_width=16)
    table.add_column("verdict", no_wrap=True)
    for one in tested:
        _add(table, one)
    console.print(table)
    console.print()
    console.print(summary(tested))


def summary(tested: list[Tested]) -> str:
    """How many systems have which verdict."""
    counts = Counter(one.verdict for one in tested)
    parts = [f"{counts[word]} {word}" for word in _STYLES if counts[word]]
    return f"{len(tested)} systems: {', '.join(parts)}. The rule of each: --json, or systems.md with -o."


def _add(table: Table, one: Tested) -> None:
    system, deciding = one.system, one.system.deciding()
    for at, judged in enumerate(one.judged):
        name = Text(system.name)
        name.append(f"\n{system.scenario}: {system.without} / {system.with_}", style="dim")
        said = Text(judged.verdict, style=_STYLES[judged.verdict])
        if judged.name not in deciding:
            said = Text(f"({judged.verdict})", style="dim")
        check = judged.check
        table.add_row(
            system.id if at == 0 else "", name if at == 0 else "", check.shows,
            *judged.sides,
            judged.said(judged.value) if check.compare not in ("without", "with") else "", check.says or "-", said,
        )  # fmt: skip
    if one.failed:
        table.add_row("", Text(f"failed: {one.failed}", style="red"))
