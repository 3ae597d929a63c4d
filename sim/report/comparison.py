"""Two saved results side by side: the same figures of the same variants, and what differs in what was simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from sim.metrics.catalogue import describe, order
from sim.report.document import number
from sim.report.figure_table import SHOWN, plain_table
from sim.report.human import ABSENT, factor, human
from sim.report.store import read_scenario, read_summary
from sim.result import SCHEMA_VERSION
from sim.scenario import to_dict

_HEAD: Final = ("scenario", "seed", "version", "mode", "horizon_seconds")
_MOST_DIFFERENCES: Final = 20
_UNSIMULATED: Final = ("name", "about", "objectives", "provenance", "reference", "notes")
"""Parts of a scenario that no figure depends on."""


@dataclass(frozen=True)
class Comparison:
    """Two results; `differences` are the fields of the scenarios that differ: path, first and second value."""

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    differences: list[tuple[str, Any, Any]]

    @classmethod
    def of(cls, first: Path, second: Path) -> Comparison:
        """Read two result directories. Raises InputError."""
        summaries = read_summary(first), read_summary(second)
        fields = [dict(_leaves(to_dict(read_scenario(directory)))) for directory in (first, second)]
        paths = dict.fromkeys([*fields[0], *fields[1]])
        above = {head for path in paths for head in _above(path)}
        differences = [
            (path, fields[0].get(path), fields[1].get(path))
            for path in paths
            if fields[0].get(path) != fields[1].get(path) and path not in above
        ]
        return cls(*summaries, differences)

    def pairs(self) -> list[tuple[str, str]]:
        """The variants that both have; where there is none but each result has just one, these two."""
        mine, theirs = self.first["variants"], self.second["variants"]
        shared = [(name, name) for name in mine if name in theirs]
        if not shared and len(mine) == len(theirs) == 1:
            return [(next(iter(mine)), next(iter(theirs)))]
        return shared

    def to_json(self) -> dict[str, Any]:
        """What `etcdsim compare --json` prints: every figure of every shared variant, first, second and first / second."""
        return {
            "schema_version": SCHEMA_VERSION,
            "first": {key: self.first[key] for key in _HEAD},
            "second": {key: self.second[key] for key in _HEAD},
            "differences": [{"path": path, "first": mine, "second": theirs} for path, mine, theirs in self.differences],
            "variants": {
                _title(mine, theirs): {
                    "metrics": {
                        name: {"first": one, "second": other, "ratio": number(_ratio(one, other))}
                        for name, one, other in self._figures(mine, theirs)
                    }
                }
                for mine, theirs in self.pairs()
            },
        }

    def print_to(self, console: Console) -> None:
        """What `etcdsim compare` prints: fits into 100 columns."""
        self._print_head(console)
        for mine, theirs in self.pairs():
            console.print(Text(f"Variant {_title(mine, theirs)}", style="bold"))
            table = plain_table()
            table.add_column("figure", no_wrap=True, min_width=38)
            for name in ("first", "second"):
                table.add_column(name, justify="right", min_width=14)
            table.add_column("ratio", justify="right", min_width=9)
            for name, one, other in self._figures(mine, theirs):
                if name in SHOWN:
                    cells = (
                        f"  {name}",
                        _say(name, one, self.first["variants"][mine]["status"]),
                        _say(name, other, self.second["variants"][theirs]["status"]),
                        factor(_ratio(one, other)) if one != other else "same",
                    )
                    table.add_row(*map(Text, cells))
            console.print(table)
            console.print()
        lone = [
            f"{name} ({which})"
            for which, mine, theirs in (("first", self.first, self.second), ("second", self.second, self.first))
            for name in mine["variants"]
            if not any(name in pair for pair in self.pairs()) and name not in theirs["variants"]
        ]
        if lone:
            console.print(Text(f"Only in one of them: {', '.join(lone)}"))

    def _print_head(self, console: Console) -> None:
        table = plain_table()
        for name in ("", "first", "second"):
            table.add_column(name, overflow="fold", max_width=40)
        for key in _HEAD:
            table.add_row(*map(Text, (key, str(self.first[key]), str(self.second[key]))))
        for path, mine, theirs in self.differences[:_MOST_DIFFERENCES]:
            table.add_row(*(Text(ABSENT if cell is None else str(cell)) for cell in (path, mine, theirs)))
        console.print(table)
        if len(self.differences) > _MOST_DIFFERENCES:
            console.print(f"and {len(self.differences) - _MOST_DIFFERENCES} more fields of the scenarios differ")
        console.print()

    def _figures(self, mine: str, theirs: str) -> Iterator[tuple[str, float | None, float | None]]:
        one, other = self.first["variants"][mine]["metrics"], self.second["variants"][theirs]["metrics"]
        for name in sorted({*one, *other}, key=order):
            yield name, one.get(name), other.get(name)


def _say(name: str, value: float | None, status: Mapping[str, str]) -> str:
    known = describe(name)
    return human(value, known.unit if known else "") if value is not None else status.get(name, ABSENT)


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _title(mine: str, theirs: str) -> str:
    return mine if mine == theirs else f"{mine} and {theirs}"


def _above(path: str) -> Iterator[str]:
    """The paths above: what is empty in one scenario is a row for each field that the other has there."""
    while path := path.rpartition(".")[0]:
        yield path


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a scenario that a figure may depend on, by its dotted path."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            if path or key not in _UNSIMULATED:
                yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
