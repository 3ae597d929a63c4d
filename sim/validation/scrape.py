"""What /metrics says, and what it said before: values, and histograms as counts by bucket.

Only what is asked for is parsed. A histogram of etcd has few, wide buckets; two distributions are compared by it only after both
went through them, so a prediction is poured into the same buckets (`through`) and read with the same rule (`quantile`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from sim.result import BUCKETS_PER_OCTAVE, Distribution


@dataclass(frozen=True, slots=True)
class Buckets:
    """Samples by bucket: `bounds` are upper bounds in seconds, rising; `counts` one more, for those above the last."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    sum: float

    @property
    def count(self) -> float:
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        return self.sum / self.count if self.count else None

    def since(self, before: Buckets) -> Buckets:
        """What was observed after `before`, of the same metric."""
        if not before.counts:
            return self
        return Buckets(self.bounds, tuple(b - a for a, b in zip(before.counts, self.counts, strict=True)), self.sum - before.sum)

    def shares(self) -> list[float]:
        """For each bound the share of the samples at or below it."""
        total = self.count
        reached = np.cumsum(self.counts[:-1])
        return [float(at) / total for at in reached] if total else []

    def quantile(self, q: float) -> float | None:
        """As Prometheus has it: evenly spread inside a bucket; the last bound for those above it. None without samples."""
        if not self.count:
            return None
        rank, below = q * self.count, 0.0
        for place, (bound, inside) in enumerate(zip(self.bounds, self.counts, strict=False)):
            if below + inside >= rank and inside:
                lower = self.bounds[place - 1] if place else 0.0
                return lower + (bound - lower) * (rank - below) / inside
            below += inside
        return self.bounds[-1]


def through(found: Distribution, bounds: tuple[float, ...]) -> Buckets:
    """A simulated distribution as the buckets of a real metric would have counted it."""
    counts = [0.0] * (len(bounds) + 1)
    width = 2 ** (1 / BUCKETS_PER_OCTAVE)
    for upper, inside in zip(found.upper_seconds.tolist(), found.counts.tolist(), strict=True):
        middle = min(max(upper / width**0.5, found.min_seconds), found.max_seconds)
        at = bisect_right(bounds, middle)
        counts[at - 1 if at and bounds[at - 1] == middle else at] += inside
    return Buckets(bounds, tuple(counts), found.sum_seconds)


class Scrape:
    """One answer of /metrics. Names that it does not have are 0, or have no samples."""

    def __init__(self, text: str):
        self.text = text
        self._lines: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for line in text.splitlines():
            match = _SAMPLE.fullmatch(line)
            if match is not None:
                self._lines[match[1]].append((match[2] or "", float(match[3])))

    def has(self, name: str) -> bool:
        return name in self._lines

    def value(self, name: str) -> float:
        """The sum of a metric over its labels."""
        return sum(value for _, value in self._lines.get(name, ()))

    def histogram(self, name: str, **labels: str) -> Buckets:
        """The buckets of a histogram, summed over the labels that are not asked for."""
        cumulative: dict[float, float] = defaultdict(float)
        for text, value in self._lines.get(f"{name}_bucket", ()):
            if _matches(text, labels):
                bound = _LE.search(text)
                if bound is not None:
                    cumulative[float(bound[1])] += value
        bounds = sorted(cumulative)
        reached = [cumulative[bound] for bound in bounds]
        counts = [b - a for a, b in zip([0.0, *reached], reached, strict=False)]
        total = sum(value for text, value in self._lines.get(f"{name}_sum", ()) if _matches(text, labels))
        return Buckets(tuple(bounds[:-1]), tuple(counts), total)


_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: \d+)?")
_LE = re.compile(r'\ble="([^"]*)"')


def _matches(text: str, labels: dict[str, str]) -> bool:
    return all(f'{name}="{value}"' in text for name, value in labels.items())
