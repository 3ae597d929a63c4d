"""What a store says: one row a run, in an order that depends on what was asked for and on nothing else.

Sweeps that share a store share its runs. Each run is one row of the first sweep that asked for it; larger sweeps come first,
so that one with more replications or values takes in the smaller one that it grew from. Runs of another model version are
shown only where there are none of this one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
import pyarrow as pa

from sim.analysis import Interval, Refused, paired
from sim.errors import InputError, nearest
from sim.metrics.catalogue import catalogue, describe
from sim.sweeps.keys import model_version
from sim.sweeps.store import Store


@dataclass(frozen=True, slots=True)
class Asked:
    """One sweep of a store. runs: different ones that it asks for; done: those that are there."""

    id: str
    name: str
    model: str
    scenario: dict[str, Any]
    figures: tuple[str, ...]
    paths: tuple[str, ...]
    design: str
    replications: int
    seed: int
    runs: int
    done: int
    until: dict[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One run: where it stands in its sweep, and what came out."""

    sweep: str
    point: int
    values: dict[str, Any]
    variant: str
    replication: int
    seed: int
    digest: str
    metrics: dict[str, float | None]
    status: dict[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that failed, or a point that cannot be simulated (variant and replication are None)."""

    sweep: str
    point: int
    values: dict[str, Any]
    variant: str | None
    replication: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a variant minus that of another over the replications that met the same world: mean, and paired t interval."""

    sweep: str
    point: int
    values: dict[str, Any]
    variant: str
    against: str
    figure: str
    mean: float
    pairs: int
    found: Interval | Refused


_SWEEPS = (
    "SELECT s.sweep, s.name, s.model, s.scenario, s.study, count(DISTINCT c.key), count(DISTINCT r.key) FROM sweeps s "
    "LEFT JOIN cells c USING (sweep) LEFT JOIN runs r ON r.key = c.key GROUP BY s.sweep"
)
_CELLS = "FROM cells c JOIN points p USING (sweep, point)"
_ORDER = "ORDER BY c.point, c.place, c.replication"


class Results:
    """The sweeps of a store and their runs. name: only those of that name or id. Raises InputError."""

    def __init__(self, store: Store, name: str | None = None):
        self._store = store
        found = [_asked(*row) for row in store.query(_SWEEPS)]
        known = sorted({asked.name for asked in found})
        chosen = [asked for asked in found if name in (None, asked.name, asked.id)]
        if not found:
            raise InputError(f"{store.directory}: no sweep has begun in this store")
        if not chosen:
            hint = nearest(str(name), known) or f"; there are {', '.join(known) or 'none'}"
            raise InputError(f'{store.directory} has no sweep "{name}"{hint}')
        models = {asked.model for asked in chosen}
        shown = model_version() if model_version() in models else None
        self.others = sorted(models - {shown}) if shown else []
        kept = [asked for asked in chosen if shown in (None, asked.model)]
        self.sweeps = sorted(kept, key=lambda asked: (asked.name, asked.model, -asked.runs, asked.id))

    @property
    def figures(self) -> list[str]:
        """The figures that the sweeps ask to be shown."""
        return list(dict.fromkeys(figure for asked in self.sweeps for figure in asked.figures))

    def rows(self, figures: Sequence[str] | None = None) -> Iterator[Row]:
        """The runs that are there, with these figures or all of them. Raises InputError for a figure that no run reports."""
        for figure in figures or ():
            if describe(figure) is None:
                hint = nearest(figure, [known.name for known in catalogue()]) or "; `etcdsim metrics` lists all figures"
                raise InputError(f'figure: no run reports "{figure}"{hint}')
        select = "c.point, p.given, c.variant, c.replication, c.seed, c.key, r.digest, r.metrics, r.status"
        for asked, cells in self._cells(f"SELECT {select} {_CELLS} JOIN runs r ON r.key = c.key"):
            for point, given, variant, replication, seed, _, told, metrics, status in cells:
                found = json.loads(metrics)
                kept = found if figures is None else {figure: found.get(figure) for figure in figures}
                status = {name: word for name, word in json.loads(status).items() if name in kept}
                yield Row(asked.id, point, json.loads(given), variant, replication, seed, told, kept, status)

    def failures(self) -> Iterator[Failure]:
        """What could not be simulated: points first, then runs."""
        for asked in self.sweeps:
            for point, given, problem in self._store.query(
                "SELECT point, given, problem FROM points WHERE sweep = ? AND problem IS NOT NULL ORDER BY point", (asked.id,)
            ):
                yield Failure(asked.id, point, json.loads(given), None, None, problem)
        select = "c.point, p.given, c.variant, c.replication, c.seed, c.key, f.reason"
        for asked, cells in self._cells(f"SELECT {select} {_CELLS} JOIN failures f ON f.key = c.key"):
            for point, given, variant, replication, _, _, problem in cells:
                yield Failure(asked.id, point, json.loads(given), variant, replication, problem)

    def differences(self, figures: Sequence[str]) -> Iterator[Difference]:
        """Each variant minus the first one of its point, paired by replication."""
        for _, rows in by_point(self.rows(figures)):
            names = list(dict.fromkeys(row.variant for row in rows))
            for name in names[1:]:
                for figure in figures:
                    found = _paired(rows, names[0], name, figure)
                    if found is not None:
                        yield found

    def series(self, figure: str | None = None) -> pd.DataFrame:
        """The time series of a figure, or of all, as a tidy table: a row a run and moment, in the order of `rows`."""
        told = ["sweep", "point", "variant", "replication"]
        places: list[dict[str, Any]] = []
        files: dict[str, None] = {}
        waiting: list[tuple[str, bytes]] = []
        select = "c.point, p.given, c.variant, c.replication, c.seed, c.key, r.file, r.series"
        for asked, cells in self._cells(f"SELECT {select} {_CELLS} JOIN runs r ON r.key = c.key"):
            for point, given, variant, replication, _, key, file, series in cells:
                places.append({"key": key, "sweep": asked.id, "point": point, **json.loads(given), "variant": variant,
                               "replication": replication})  # fmt: skip
                if series is not None:
                    waiting.append((key, series))
                elif file is not None:
                    files[file] = None
        tables = [*map(self._file, files), *(_with_key(key, series) for key, series in dict(waiting).items())]
        wanted = [table if figure is None else table.select(["key", "seconds", figure]) for table in tables
                  if figure is None or figure in table.column_names]  # fmt: skip
        if not wanted:
            return pd.DataFrame(columns=[*told, "seconds", *([] if figure is None else [figure])])
        merged = pa.concat_tables(wanted, promote_options="default").to_pandas()
        order = pd.DataFrame(places).assign(order=range(len(places)))
        found = order.merge(merged, on="key").sort_values(["order", "seconds"], kind="stable", ignore_index=True)
        return found.drop(columns=["key", "order"])

    def _file(self, name: str) -> pa.Table:
        import pyarrow.parquet as pq

        try:
            return pq.read_table(self._store.directory / name)
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"{self._store.directory / name}: {' '.join(str(error).split())[:200]}") from None

    def _cells(self, select: str) -> Iterator[tuple[Asked, Iterator[tuple[Any, ...]]]]:
        """For each sweep the rows of a query that no larger sweep had; second and sixth column are values and key."""
        seen: set[tuple[Any, ...]] = set()
        for asked in self.sweeps:
            yield asked, _new(self._store.query(f"{select} WHERE c.sweep = ? {_ORDER}", (asked.id,)), seen, asked.id)


def _new(rows: Iterable[tuple[Any, ...]], seen: set[tuple[Any, ...]], sweep: str) -> Iterator[tuple[Any, ...]]:
    """Rows of this sweep that none before it had; within one, two equal points stay two."""
    mine = []
    for row in rows:
        name = (row[1], row[2], row[5])
        if name not in seen:
            mine.append(name)
            yield row
    seen.update(mine)


def _with_key(key: str, series: bytes) -> pa.Table:
    from sim.sweeps.work import unpacked

    table = unpacked(series)
    return table.add_column(0, "key", pa.array([key] * table.num_rows, pa.string()))


def by_point(rows: Iterable[Row]) -> Iterator[tuple[tuple[str, int], list[Row]]]:
    """Consecutive rows of the same point."""
    for name, group in groupby(rows, key=_where):
        yield name, list(group)


def _where(row: Row) -> tuple[str, int]:
    return row.sweep, row.point


def _paired(rows: list[Row], first: str, second: str, figure: str) -> Difference | None:
    before = {row.seed: row.metrics[figure] for row in rows if row.variant == first}
    pairs = []
    for row in rows:
        old, new = before.get(row.seed), row.metrics[figure]
        if row.variant == second and old is not None and new is not None:
            pairs.append((old, new))
    if not pairs:
        return None
    at, (olds, news) = rows[0], zip(*pairs, strict=True)
    mean = math.fsum(new - old for old, new in pairs) / len(pairs)
    return Difference(at.sweep, at.point, at.values, second, first, figure, mean, len(pairs), paired(olds, news))


def _asked(sweep: str, name: str, model: str, scenario: str, study: str, runs: int, done: int) -> Asked:
    told = json.loads(study)
    return Asked(
        sweep, name, model, json.loads(scenario), tuple(told["figures"]), tuple(told["paths"]), told["design"],
        told["replications"], told["seed"], runs, done, dict(told.get("until") or {}),
    )  # fmt: skip
