"""SQL over a store, by DuckDB, on tables in memory: nothing in the store can be changed by a query.

    runs       a row a run: sweep, point, a column a knob, variant, replication, seed, and a column a figure
    status     sweep, point, variant, replication, figure, status: reached, extrapolated, never or unknown
    series     a row a run and moment: sweep, point, a column a knob, variant, replication, seconds, and a column a figure
    sweeps     sweep, name, scenario, model, design, replications, seed, runs asked for, done
    failures   sweep, point, variant, replication, reason

Names with dots stand in double quotes: `select variant, avg("etcd.puts") from runs group by variant`. Of a large store only the
figures that the query names are read.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import pandas as pd

from sim.errors import InputError
from sim.sweeps.rows import Results

TABLES: Final = ("runs", "status", "series", "sweeps", "failures")


def query(results: Results, text: str) -> pd.DataFrame:
    """What a query answers. Raises InputError without DuckDB, or with what DuckDB says of the query."""
    try:
        duckdb = import_module("duckdb")
    except ImportError:
        raise InputError("--sql: DuckDB is not installed; pip install 'etcdsim[sql]'") from None
    connection = duckdb.connect(":memory:", config={"threads": "1"})
    try:
        for name in TABLES:
            if name in text.lower():
                connection.register(name, _TABLES[name](results, text))
        relation = connection.sql(text)
        if relation is None:
            raise InputError("--sql: the query answers nothing; write a select")
        found: pd.DataFrame = relation.df()
    except duckdb.Error as error:
        raise InputError(f"--sql: {' '.join(str(error).split())}") from None
    finally:
        connection.close()
    return found


def _runs(results: Results, text: str) -> pd.DataFrame:
    every = "*" in text
    rows = [
        {
            "sweep": row.sweep, "point": row.point, **_plain(row.values), "variant": row.variant, "replication": row.replication,
            "seed": row.seed, **{figure: value for figure, value in row.metrics.items() if every or figure in text},
        }
        for row in results.rows()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=None if rows else ["sweep", "point", "variant", "replication", "seed"])


def _status(results: Results, text: str) -> pd.DataFrame:
    columns = ["sweep", "point", "variant", "replication", "figure", "status"]
    rows = [
        (row.sweep, row.point, row.variant, row.replication, figure, word)
        for row in results.rows()
        for figure, word in sorted(row.status.items())
    ]
    return pd.DataFrame(rows, columns=columns)


def _sweeps(results: Results, text: str) -> pd.DataFrame:
    rows = [
        (one.id, one.name, str(one.scenario["name"]), one.model, one.design, one.replications, one.seed, one.runs, one.done)
        for one in results.sweeps
    ]
    return pd.DataFrame(
        rows, columns=["sweep", "name", "scenario", "model", "design", "replications", "seed", "runs", "done"]
    )  # fmt: skip


def _failures(results: Results, text: str) -> pd.DataFrame:
    rows = [(one.sweep, one.point, one.variant, one.replication, one.reason) for one in results.failures()]
    return pd.DataFrame(rows, columns=["sweep", "point", "variant", "replication", "reason"])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that a column can hold: numbers and text."""
    return {
        path: value if isinstance(value, str | int | float | None) else str(value) for path, value in values.items()
    }  # fmt: skip


def _series(results: Results, text: str) -> pd.DataFrame:
    return results.series()


_TABLES: Final[dict[str, Callable[[Results, str], pd.DataFrame]]] = {
    "runs": _runs, "status": _status, "sweeps": _sweeps, "failures": _failures,
    "series": _series,
}  # fmt: skip
