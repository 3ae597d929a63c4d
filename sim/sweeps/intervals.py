"""What replications of a point say together: each figure with its interval, and each objective with its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.analysis import Interval, Judgement, Refused, goals, interval_of, judge, observed
from sim.analysis.objectives import mean_of_figure
from sim.metrics.catalogue import count_of, describe
from sim.scenario import from_dict
from sim.sweeps.rows import Asked, Results, Row, by_point


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of a point and variant over its replications. samples: of a distribution's figure, in all replications together.

    status: the one word that all replications without a value share; empty where they differ or all have one.
    """

    sweep: str
    point: int
    values: dict[str, Any]
    variant: str
    figure: str
    runs: int
    present: int
    mean: float | None
    found: Interval | Refused
    samples: int | None
    status: str


@dataclass(frozen=True, slots=True)
class Held:
    """An objective held against a point and variant."""

    sweep: str
    point: int
    values: dict[str, Any]
    judgement: Judgement


def estimates(results: Results, figures: Sequence[str], first: Mapping[int, int] | None = None) -> Iterator[Estimate]:
    """Each figure of each point and variant that has runs, in the order of `results.rows`.

    first: for each point, of how many replications; of all where None.
    """
    counts = {figure: count for figure in figures if (count := count_of(figure)) is not None}
    for _, rows in by_point(results.rows(list(dict.fromkeys([*figures, *counts.values()])))):
        kept = rows if first is None else [row for row in rows if row.replication < first[row.point]]
        for variant, mine in _by_variant(kept):
            for figure in figures:
                yield _estimate(mine, variant, figure, counts.get(figure))


def _estimate(rows: Sequence[Row], variant: str, figure: str, count: str | None) -> Estimate:
    values = np.array([observed(row.metrics.get(figure), row.status.get(figure)) for row in rows])
    present = values[np.isfinite(values)]
    found = mean_of_figure(values) if len(present) == len(values) else interval_of(figure, values)
    words = {row.status[figure] for row in rows if figure in row.status and row.metrics.get(figure) is None}
    samples = None if count is None else round(sum(row.metrics.get(count) or 0 for row in rows))
    mean = math.fsum(present) / len(present) if len(present) else None
    at = rows[0]
    status = words.pop() if len(words) == 1 else ""
    return Estimate(
        at.sweep, at.point, at.values, variant, figure, len(rows), len(present), mean, found, samples, status
    )  # fmt: skip


def held(results: Results) -> Iterator[Held]:
    """Each objective of the scenarios against each point and variant that it is about."""
    for asked in results.sweeps:
        yield from _held(results, asked)


def _held(results: Results, asked: Asked) -> Iterator[Held]:
    wanted = [goal for goal in goals(from_dict(asked.scenario)) if describe(goal.figure) is not None]
    if not wanted:
        return
    rows = (row for row in results.rows(list(dict.fromkeys(goal.figure for goal in wanted))) if row.sweep == asked.id)
    for _, group in by_point(rows):
        for variant, mine in _by_variant(group):
            for goal in wanted:
                if goal.variant in (None, variant):
                    values = [observed(row.metrics.get(goal.figure), row.status.get(goal.figure)) for row in mine]
                    yield Held(asked.id, mine[0].point, mine[0].values, judge(goal, values, variant))


def _by_variant(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for variant in dict.fromkeys(row.variant for row in rows):
        yield variant, [row for row in rows if row.variant == variant]
