"""The value of an expression at a moment, from scrapes: what Prometheus computes, sample by sample."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.promql.metrics import Metric
from sim.promql.syntax import Binary, Instant, Node, Number, Quantile, Window

Floats = NDArray[np.float64]
LOOKBACK_SECONDS = 300.0
"""How old the newest sample may be (promql engine: DefaultLookbackDelta)."""


class Scrapes:
    """Samples of metrics at rising times, seconds: of a metric's part one column, of `bucket` one a bound and one for all."""

    def __init__(self) -> None:
        self.times = array("d")
        self._columns: dict[tuple[str, str], array[float]] = {}

    def add(self, at: float, samples: Mapping[tuple[str, str], Sequence[float]]) -> None:
        """One scrape of all metrics: name and part to the values of its columns."""
        self.times.append(at)
        for name, row in samples.items():
            self._columns.setdefault(name, array("d")).extend(row)

    def last(self, metric: Metric, part: str, at: float) -> float | None:
        """The newest sample up to a time."""
        place = bisect_right(self.times, at) - 1
        if place < 0 or at - self.times[place] > LOOKBACK_SECONDS:
            return None
        return self._columns[metric.name, part][place]

    def between(self, metric: Metric, part: str, start: float, end: float) -> tuple[Floats, Floats]:
        """The samples after `start` and up to `end`: times of shape (n,), values of shape (n, columns)."""
        first, after = bisect_right(self.times, start), bisect_right(self.times, end)
        column = self._columns[metric.name, part]
        width = len(column) // len(self.times)
        return np.array(self.times[first:after]), np.array(column[first * width : after * width]).reshape(-1, width)


def evaluate(tree: Node, scrapes: Scrapes, at: float) -> float | None:
    """The value at a time, seconds; None: there is none."""
    match tree:
        case Number(value):
            return value
        case Instant(metric, part):
            return scrapes.last(metric, part, at)
        case Window():
            return _window(tree, scrapes, at)
        case Quantile(q, buckets):
            return _histogram_quantile(q, buckets, scrapes, at)
        case Binary():
            return _binary(tree, scrapes, at)


def _binary(tree: Binary, scrapes: Scrapes, at: float) -> float | None:
    left = evaluate(tree.left, scrapes, at)
    if tree.operator == "or" and left is not None:
        return left
    right = evaluate(tree.right, scrapes, at)
    match tree.operator:
        case "or":
            return right
        case "and":
            return left if right is not None else None
    if left is None or right is None:
        return None
    match tree.operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right if right else math.nan if not left or math.isnan(left) else math.copysign(math.inf, left)
        case ">":
            return left if left > right else None
        case "<":
            return left if left < right else None
        case ">=":
            return left if left >= right else None
        case "<=":
            return left if left <= right else None
        case "==":
            return left if left == right else None
        case _:
            return left if left != right else None


def _window(tree: Window, scrapes: Scrapes, at: float) -> float | None:
    times, rows = scrapes.between(tree.metric, tree.part, at - tree.seconds, at)
    found = over_range(tree, times, rows, at)
    return None if found is None else float(found[0])


def over_range(tree: Window, times: Floats, rows: Floats, at: float) -> Floats | None:
    """The function of every column of samples (times of shape (n,), rows of shape (n, columns)); None: too few of them."""
    if len(times) < (1 if tree.function.endswith("_over_time") else 2):
        return None
    match tree.function:
        case "rate" | "increase" | "delta":
            return _extrapolated(tree, times, rows, at)
        case "irate":
            rise = np.where(rows[-1] < rows[-2], rows[-1], rows[-1] - rows[-2])
            return np.asarray(rise / (times[-1] - times[-2]))
        case "deriv" | "predict_linear":
            return _line(tree, times, rows, at)
        case "avg_over_time":
            return np.asarray(rows.mean(axis=0))
        case "max_over_time":
            return np.asarray(rows.max(axis=0))
        case _:
            return np.asarray(rows.min(axis=0))


def _extrapolated(tree: Window, times: Floats, rows: Floats, at: float) -> Floats:
    """rate, increase or delta of the samples in (at - seconds, at]: extrapolated to the ends of the range, as Prometheus does."""
    counter = tree.function != "delta"
    result = rows[-1] - rows[0]
    if counter:
        result = result + np.where(rows[1:] < rows[:-1], rows[:-1], 0.0).sum(axis=0)  # it began anew
    sampled = times[-1] - times[0]
    between = sampled / (len(times) - 1)
    to_start, to_end = times[0] - (at - tree.seconds), at - times[-1]
    threshold = between * 1.1
    starts = np.full(result.shape, to_start if to_start < threshold else between / 2)
    if counter:  # not beyond where it was zero
        rising = (result > 0) & (rows[0] >= 0)
        zero = np.divide(sampled * rows[0], result, out=np.full(result.shape, math.inf), where=rising)
        starts = np.minimum(starts, zero)
    ends = to_end if to_end < threshold else between / 2
    result = result * (sampled + starts + ends) / sampled
    return np.asarray(result / tree.seconds if tree.function == "rate" else result)


def _line(tree: Window, times: Floats, rows: Floats, at: float) -> Floats:
    """Least squares: its slope, or where it will be."""
    when = times - times.mean()
    slope = (when[:, None] * (rows - rows.mean(axis=0))).sum(axis=0) / (when**2).sum()
    if tree.function == "deriv":
        return np.asarray(slope)
    return np.asarray(rows.mean(axis=0) + slope * (at - times.mean() + tree.parameter))


def _histogram_quantile(q: float, buckets: Window, scrapes: Scrapes, at: float) -> float | None:
    times, rows = scrapes.between(buckets.metric, "bucket", at - buckets.seconds, at)
    counts = over_range(buckets, times, rows, at)
    return None if counts is None else bucket_quantile(q, buckets.metric, counts.tolist())


def bucket_quantile(q: float, metric: Metric, cumulative: Sequence[float]) -> float:
    """The quantile of cumulative counts, one for each bound and a last one for all: linear inside its bucket."""
    bounds, total = metric.bounds, cumulative[-1]
    if not total or math.isnan(q):
        return math.nan
    if q < 0 or q > 1:
        return -math.inf if q < 0 else math.inf
    rank = q * total
    place = next(at for at, count in enumerate(cumulative) if count >= rank)
    if place == len(bounds):
        return bounds[-1]
    below = cumulative[place - 1] if place else 0.0
    low = bounds[place - 1] if place else 0.0
    inside = cumulative[place] - below
    return low + (bounds[place] - low) * ((rank - below) / inside if inside else 0.0)
