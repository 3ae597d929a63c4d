"""The tables of a result as pandas: figures, writers, incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from sim.metrics.catalogue import describe, order
from sim.report.declared import RATIO, references, standing

if TYPE_CHECKING:
    from sim.result import Runs

_OWNED = ("members.", "controllers.", "writers.", "objects.")


def figures(runs: Runs) -> list[str]:
    """The figures of the cluster as a whole that any variant has, in the order of the catalogue."""
    names = {name for run in runs.values() for name in run.metrics if not name.startswith(_OWNED)}
    return sorted(names, key=order)


def ratio(runs: Runs, figure: str) -> float | None:
    """The first variant's value over the second's; None unless there are two and the second is not zero."""
    if len(runs) != 2:
        return None
    first, second = (run.metrics.get(figure) for run in runs.values())
    return first / second if first is not None and second else None


def summary(runs: Runs) -> pd.DataFrame:
    """See `Runs.summary`."""
    names = figures(runs)
    declared = references(runs.scenario)
    columns: dict[str, list[float | None] | list[str]] = {
        variant: [run.metrics.get(name) for name in names] for variant, run in runs.items()
    }
    if len(runs) == 2:
        columns[RATIO] = [ratio(runs, name) for name in names]
    for variant in (*runs, RATIO):
        if variant in declared:
            columns[f"reference.{variant}"] = [declared[variant].get(name) for name in names]
    table = pd.DataFrame(columns, index=pd.Index(names, name="figure"), dtype="float64")
    table["is"] = [standing(runs.scenario, name) for name in names]
    table["unit"] = [known.unit if (known := describe(name)) else "" for name in names]
    return table


def writers(runs: Runs) -> pd.DataFrame:
    """See `Runs.writers`; those who put most stand first."""
    rows: dict[str, dict[tuple[str, str], float]] = {}
    for variant, run in runs.items():
        for writer, values in run.writers.items():
            for figure, value in values.items():
                rows.setdefault(writer, {})[variant, figure] = value
    puts = {writer: sum(run.writers.get(writer, {}).get("puts", 0.0) for run in runs.values()) for writer in rows}
    names = sorted(rows, key=lambda writer: (-puts[writer], writer))
    columns = [
        (variant, figure)
        for variant, run in runs.items()
        for figure in dict.fromkeys(figure for values in run.writers.values() for figure in values)
    ]
    table = pd.DataFrame(
        [[rows[name].get(column) for column in columns] for name in names],
        index=pd.Index(names, name="writer"),
        dtype="float64",
    )
    table.columns = pd.MultiIndex.from_tuples(columns, names=["variant", "figure"]) if columns else table.columns
    return table


def incidents(runs: Runs) -> pd.DataFrame:
    """See `Runs.incidents`."""
    rows = [
        (run.variant, incident.at_seconds, incident.kind, incident.about)
        for run in runs.values()
        for incident in run.incidents
    ]
    rows.sort(key=lambda row: row[1])
    return pd.DataFrame(rows, columns=["variant", "at_seconds", "kind", "about"])
