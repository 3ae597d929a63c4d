"""What has been observed and is not counted yet: samples of now, and journals of what was computed ahead.

A station knows beforehand when its work will be done; observers may see only what has happened by now. So it writes rows into
a journal, and whoever counts takes those whose time has come. Both are machine integers that grow by plain appends (the
cheapest observation there is) and are taken as arrays: counting costs numpy, not Python.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from sim.units import Nanoseconds


class Samples:
    """Durations that are observed as they happen. `add(duration)` is the array's own append."""

    __slots__ = ("_values", "add")

    def __init__(self) -> None:
        self._values: array[int] = array("q")
        self.add = self._values.append

    def take(self) -> NDArray[np.int64]:
        """Everything since the last call, nanoseconds."""
        values = np.array(self._values, dtype=np.int64)
        del self._values[:]
        return values


class Journal:
    """Rows (time, value, ...) with rising times. Writers append to `times` and each of `columns`; `take` removes what is due."""

    __slots__ = ("_last", "columns", "times")

    def __init__(self, columns: int = 1):
        self._last = [0] * columns
        self.times: array[Nanoseconds] = array("q")
        self.columns: tuple[array[int], ...] = tuple(array("q") for _ in range(columns))

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
