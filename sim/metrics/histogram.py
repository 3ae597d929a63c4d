"""Histograms of durations by logarithmic bucket: memory is flat in the number of samples, a quantile is within 2.2%.

Bucket i holds durations above G**(i-1) and up to G**i nanoseconds, G = 2**(1/32); bucket -1 holds zero.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BUCKETS_PER_OCTAVE: Final = 32
_OCTAVES: Final = 48
"""Up to 2**48 ns, three days: longer ones count in the last bucket, their extremes stay exact."""
_BLOCK: Final = 8192


class Histogram:
    """Counts by bucket, with exact count, sum, minimum and maximum; optionally by consecutive windows of the run."""

    __slots__ = ("_pending", "_waiting", "count", "counts", "max", "min", "sum", "windows")

    def __init__(self, windowed: bool = False) -> None:
        self.counts = np.zeros(_OCTAVES * BUCKETS_PER_OCTAVE + 2, dtype=np.int64)
        self.count = self.sum = self.max = 0
        self.min = 1 << 62
        self._pending: list[NDArray[np.int64]] = []
        self._waiting = 0
        self.windows: list[Histogram] | None = [] if windowed else None

    def record(self, durations: NDArray[np.int64]) -> None:
        """Count durations in nanoseconds; the array is kept until it is counted."""
        if len(durations):
            self._pending.append(durations)
            self._waiting += len(durations)
            if self._waiting >= _BLOCK:
                self._settle()

    def new_window(self) -> None:
        """What is recorded from now on belongs to the next window."""
        if self.windows is not None:
            self._settle()
            self.windows.append(Histogram())

    def _settle(self) -> None:
        """Put what was recorded into its buckets: many at a time, because numpy costs per call."""
        if not self._waiting:
            return
        values = np.concatenate(self._pending)
        self._pending.clear()
        self._waiting = 0
        least = int(values.min())
        if least > 0:
            index = np.ceil(np.log2(values) * BUCKETS_PER_OCTAVE - 1e-9).astype(np.int64) + 1
        else:
            index = np.zeros(len(values), dtype=np.int64)
            positive = values > 0
            index[positive] = np.ceil(np.log2(values[positive]) * BUCKETS_PER_OCTAVE - 1e-9).astype(np.int64) + 1
        np.minimum(index, len(self.counts) - 1, out=index)
        counts = np.bincount(index, minlength=len(self.counts))
        total, most = int(values.sum()), int(values.max())
        for histogram in (self, self.windows[-1]) if self.windows else (self,):
            histogram._add(counts, len(values), total, least, most)

    def _add(self, counts: NDArray[np.int64], count: int, total: int, least: int, most: int) -> None:
        self.counts += counts
        self.count += count
        self.sum += total
        self.max = max(self.max, most)
        self.min = min(self.min, least)

    def buckets(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the buckets that are not empty (-1:

        zero), and their counts. Settles the sums too: call it before reading them.
        """
        self._settle()
        found = np.flatnonzero(self.counts)
        return found - 1, self.counts[found]
