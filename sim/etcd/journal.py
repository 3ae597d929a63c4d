"""What a station computed ahead, kept until its time has come: observers see only what has happened by now.

Columns grow by plain list appends (the cheapest observation there is) and are taken as arrays, so counting costs numpy, not Python.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from sim.units import Nanoseconds


class Journal:
    """Rows (time, value, ...) with rising times. Writers append to `times` and each of `columns`; `take` removes what is due."""

    __slots__ = ("_last", "columns", "times")

    def __init__(self, columns: int = 1):
        self._last = [0] * columns
        self.times: list[Nanoseconds] = []
        self.columns: tuple[list[int], ...] = tuple([] for _ in range(columns))

    def take(self, now: Nanoseconds) -> list[NDArray[np.int64]]:
        """Rows with a time up to `now`, removed: one array a column, the times first."""
        end = bisect_right(self.times, now)
        if end:
            self._last = [column[end - 1] for column in self.columns]
        rows = [np.array(column[:end], dtype=np.int64) for column in (self.times, *self.columns)]
        for column in (self.times, *self.columns):
            del column[:end]
        return rows

    def ahead(self, now: Nanoseconds) -> int:
        """Number of rows whose time has not come."""
        return len(self.times) - bisect_right(self.times, now)

    def value_at(self, now: Nanoseconds, column: int) -> int:
        """The newest value of a column at `now`; 0 before the first row."""
        index = bisect_right(self.times, now)
        return self.columns[column][index - 1] if index else self._last[column]
