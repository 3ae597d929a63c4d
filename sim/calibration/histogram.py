"""A Prometheus histogram as data: how many observations fell between which bounds, and their sum.

A histogram is a censored sample: of each observation only its bucket is known, and of all together the exact sum. Bounds and
sums are seconds. Bucket i holds what is above bound i-1 (0 for the first) and at most bound i; one more holds what is above
the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

Floats = NDArray[np.float64]
_MOST: Final = 2.0**53
"""Counts from which a floating-point number no longer counts."""


@dataclass(frozen=True)
class Histogram:
    """Counts between rising bounds (seconds), one more count than bounds, and the sum of all observations (seconds)."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """How many observations."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Seconds; nan for an empty histogram."""
        return self.sum / self.count if self.count else float("nan")

    @property
    def lower(self) -> Floats:
        """Lower end of each bucket, seconds; the first is 0. Shape (len(counts),)."""
        return np.array([0.0, *self.bounds])

    @property
    def upper(self) -> Floats:
        """Upper end of each bucket, seconds; the last is infinite. Shape (len(counts),)."""
        return np.array([*self.bounds, np.inf])

    @property
    def cumulative(self) -> Floats:
        """Share of observations at or below each bound. Shape (len(bounds),)."""
        return np.cumsum(self.counts)[:-1] / self.count

    def bracket(self, probability: float) -> tuple[float, float]:
        """The ends (seconds) of the bucket in which this quantile lies: all that the histogram itself says of it."""
        at = int(np.searchsorted(np.cumsum(self.counts), probability * self.count, side="left"))
        at = min(at, len(self.counts) - 1)
        return float(self.lower[at]), float(self.upper[at])

    def minus(self, before: Histogram) -> Histogram:
        """What was observed since `before`. Raises ValueError if this is not a later state of the same histogram."""
        if self.bounds != before.bounds:
            raise ValueError("has other buckets")
        counts = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        if min(counts) < 0 or self.sum < before.sum:
            raise ValueError("went down")
        return Histogram(self.bounds, counts, self.sum - before.sum)

    def plus(self, other: Histogram) -> Histogram:
        """Both samples as one. Raises ValueError for other buckets."""
        if self.bounds != other.bounds:
            raise ValueError("has other buckets")
        counts = tuple(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True))
        return Histogram(self.bounds, counts, self.sum + other.sum)


def from_cumulative(cumulative: Sequence[tuple[float, float]], total: float, called: str) -> Histogram:
    """A histogram from (bound in seconds, observations at or below it) with `inf` last, and the sum in seconds.

    Raises InputError, beginning with `called`, for what no histogram can be.
    """
    bounds = [bound for bound, _ in cumulative]
    reached = [count for _, count in cumulative]
    if not bounds or bounds[-1] != float("inf"):
        raise InputError(f'{called}: the bucket le="+Inf" is missing; the text is truncated, or filtered too far')
    if len(bounds) < 3 or bounds[0] <= 0 or any(low >= high for low, high in pairwise(bounds)):
        raise InputError(f"{called}: the bounds {_shown(bounds)} do not rise from above 0")
    if not all(0 <= count < _MOST and count == round(count) for count in reached) or any(
        low > high for low, high in pairwise(reached)
    ):
        raise InputError(f"{called}: the counts {_shown(reached)} are not whole numbers that rise from bucket to bucket")
    counts = [round(count) for count in np.diff([0.0, *reached])]
    if not 0 <= total < float("inf"):
        raise InputError(f"{called}: the sum {total:g} is not a time in seconds")
    least = float(np.dot(counts, [0.0, *bounds[:-1]]))
    most = float("inf") if counts[-1] else float(np.dot(counts[:-1], bounds[:-1]))
    if not least * (1 - 1e-6) <= total <= most * (1 + 1e-6):
        raise InputError(f"{called}: the sum {total:g} s does not fit its buckets, which allow {least:.6g} to {most:.6g} s")
    return Histogram(tuple(bounds[:-1]), tuple(counts), total)


def from_sample(values: Floats, bounds: Sequence[float]) -> Histogram:
    """The histogram that a program would show after these observations (seconds)."""
    at = np.searchsorted(np.asarray(bounds), values, side="left")
    return Histogram(tuple(bounds), tuple(np.bincount(at, minlength=len(bounds) + 1).tolist()), float(values.sum()))


def _shown(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers[:6]) + (" ..." if len(numbers) > 6 else "")
