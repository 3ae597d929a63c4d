"""What has been observed and is not counted yet: samples of now, and journals of what was computed ahead.

A station knows beforehand when its work will be done; observers may see only what has happened by now. So it writes rows into
a journal, and whoever counts takes those whose time has come. Both are machine integers that grow by plain appends (the
cheapest observation there is) and are taken as arrays: counting costs numpy, not Python.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.units import Nanoseconds

NONE: Final[NDArray[np.int64]] = np.zeros(0, dtype=np.int64)
"""No samples: an observer looks at two dozen places a step, and at most of them nothing has happened."""


class Samples:
    """Durations that are observed as they happen. `add(duration)` is the array's own append."""

    __slots__ = ("_values", "add")

    def __init__(self) -> None:
        self._values: array[int] = array("q")
        self.add = self._values.append

    def extend(self, durations: NDArray[np.int64]) -> None:
        """Observe many at once."""
        self._values.frombytes(durations.astype(np.int64).tobytes())

    def take(self) -> NDArray[np.int64]:
        """Everything since the last call, nanoseconds."""
        if not self._values:
            return NONE
        values = np.array(self._values, dtype=np.int64)
        del self._values[:]
        return values


class Journal:
    """Rows (time, value, ...) with rising times. Writers append to `times` and each of `columns`; `take` removes what is due."""

    __slots__ = ("_last", "_taps", "columns", "times")

    def __init__(self, columns: int = 1):
        self._last = [0] * columns
        self._taps: list[Tap] = []
        self.times: array[Nanoseconds] = array("q")
        self.columns: tuple[array[int], ...] = tuple(array("q") for _ in range(columns))

    def take(self, now: Nanoseconds) -> list[NDArray[np.int64]]:
        """Rows with a time up to `now`, removed: one array a column, the times first."""
        end = bisect_right(self.times, now)
        if not end:
            return [NONE] * (1 + len(self.columns))
        self._last = [column[end - 1] for column in self.columns]
        rows = [np.array(column[:end], dtype=np.int64) for column in (self.times, *self.columns)]
        for column in (self.times, *self.columns):
            del column[:end]
        for tap in self._taps:
            tap.keep(rows)
        return rows

    def extend(self, times: NDArray[np.int64], *columns: NDArray[np.int64]) -> None:
        """Append many rows at once."""
        for own, values in zip((self.times, *self.columns), (times, *columns), strict=True):
            own.frombytes(values.astype(np.int64).tobytes())

    def tap(self) -> Tap:
        """A second reader, who misses nothing that `take` removes."""
        tap = Tap(self)
        self._taps.append(tap)
        return tap

    def ahead(self, now: Nanoseconds) -> int:
        """Number of rows whose time has not come."""
        return len(self.times) - bisect_right(self.times, now)

    def reached(self, column: int, least: int) -> Nanoseconds:
        """Time of the first row that is left whose value is `least` or more; 0 where the last one taken was."""
        if self._last[column] >= least:
            return 0
        return next((at for at, value in zip(self.times, self.columns[column], strict=True) if value >= least), 0)

    def value_at(self, now: Nanoseconds, column: int) -> int:
        """The newest value of a column at `now`; 0 before the first row."""
        index = bisect_right(self.times, now)
        return self.columns[column][index - 1] if index else self._last[column]


class Tap:
    """A second reader of a journal: each row once, when its time has come, whoever else takes it meanwhile."""

    __slots__ = ("_journal", "_kept", "_seen")

    def __init__(self, journal: Journal):
        self._journal = journal
        self._kept: list[list[NDArray[np.int64]]] = []
        self._seen = 0  # rows at the head of the journal that were read already

    def keep(self, rows: list[NDArray[np.int64]]) -> None:
        """These rows leave the journal."""
        count = len(rows[0])
        if count > self._seen:
            self._kept.append([column[self._seen :] for column in rows])
        self._seen = max(0, self._seen - count)

    def read(self, now: Nanoseconds) -> list[NDArray[np.int64]]:
        """Rows with a time up to `now` that were not read yet: one array a column, the times first."""
        journal = self._journal
        columns = (journal.times, *journal.columns)
        end = bisect_right(journal.times, now)
        fresh = [np.array(column[self._seen : end], dtype=np.int64) for column in columns]
        self._seen = max(self._seen, end)
        kept, self._kept = [*self._kept, fresh], []
        return [np.concatenate([rows[index] for rows in kept]) for index in range(len(columns))]
