"""Free pages of the backend file: which ones a transaction can take.

Source: bbolt freelist_hmap.go, db.go (allocate), tx.go (Commit).
"""

from __future__ import annotations


class Allocation:
    """The pages of a file: taken free ones first, else at its end; what is given up is free from the next transaction on."""

    __slots__ = ("free", "high_water", "pending")

    def __init__(self) -> None:
        self.free = Spans()
        self.free.release([(2, 1)])
        self.pending: list[tuple[int, int]] = []  # runs freed by the last commit
        self.high_water = 5  # two meta pages, bolt's first freelist page (never used by etcd), root, one leaf

    def begin(self) -> None:
        """A transaction begins: what the last one gave up is free."""
        self.free.release(self.pending)

    def take(self, run: int) -> int:
        """First of `run` neighbouring pages."""
        free = self.free
        if run == 1 and free._single:  # as its `take`, without its call
            free.pages -= 1
            return free._single.pop()
        page = free.take(run)
        if page < 0:
            page = self.high_water
            self.high_water += run
        return page


class Spans:
    """Free pages as maximal runs of neighbours, found by start, by end and by length (bbolt's hashmap freelist).

    Single pages are joined to their neighbours late, when a run is wanted or many have come together: most of them are
    versions of the branch path, which the next commit takes again.
    """

    __slots__ = ("_by_length", "_length_at", "_single", "_start_before", "pages")

    def __init__(self) -> None:
        self.pages = 0
        self._single: list[int] = []
        self._length_at: dict[int, int] = {}
        self._start_before: dict[int, int] = {}
        self._by_length: dict[int, set[int]] = {}

    def release(self, runs: list[tuple[int, int]]) -> None:
        """Add runs (first page, length; 0 for a leaf without a page of its own), and empty the list."""
        for start, length in runs:
            self.pages += length
            if length == 1:
                self._single.append(start)
            elif length:
                self._join(start, length)
        runs.clear()
        if len(self._single) > 32:
            self._join_singles()

    def take(self, length: int) -> int:
        """First of `length` neighbouring free pages, or -1: a run of just that length, else part of a longer one."""
        if length > self.pages:
            return -1
        if self._single:
            if length == 1:
                self.pages -= 1
                return self._single.pop()
            self._join_singles()
        starts = self._by_length.get(length)
        found = length
        if not starts:
            for found, starts in self._by_length.items():
                if found > length and starts:
                    break
            else:
                return -1
        start = starts.pop()
        del self._length_at[start]
        del self._start_before[start + found]
        if found > length:
            self._add(start + length, found - length)
        self.pages -= length
        return start

    def _join_singles(self) -> None:
        for page in self._single:
            self._join(page, 1)
        self._single.clear()

    def _join(self, start: int, length: int) -> None:
        left = self._start_before.pop(start, None)
        if left is not None:
            before = self._length_at.pop(left)
            self._by_length[before].remove(left)
            start, length = left, length + before
        after = self._length_at.pop(start + length, None)
        if after is not None:
            self._by_length[after].remove(start + length)
            length += after
        self._add(start, length)

    def _add(self, start: int, length: int) -> None:
        self._length_at[start] = length
        self._start_before[start + length] = start
        starts = self._by_length.get(length)
        if starts is None:
            self._by_length[length] = {start}
        else:
            starts.add(start)
