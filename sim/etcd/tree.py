"""The B+tree of one bucket of the backend file: what a commit merges, cuts and writes of it.

Keys arrive in rising order at the right edge, so a leaf is a run of consecutive *slots*. Between two commits bbolt only collects:
`append` and `free` note what happened. A commit does what bbolt's does, in its order:

    rebalance   a leaf that lost elements and is small now (a quarter page or less, or fewer than 2 elements) is merged
                with its left neighbour (the first of a branch: with its right one); an empty leaf goes away
    spill       each changed leaf is cut where it does not fit and goes to freshly allocated pages: free ones first, a run
                of neighbours where it needs several, else the file grows. The branch path is rewritten, too

Invariant: live elements of all leaves = slots appended - slots freed.

Simplified: the levels above the branches are numbers only (full but for the last page of each).

Source: bbolt node.go (spill, rebalance).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.etcd.branch import Branch
from sim.etcd.freelist import Allocation
from sim.etcd.leaf import FILL, FILL_DEFAULT, INLINE, NEVER_CUT, PAGE, PAGE_HEADER, SMALL, pages_of, split
from sim.units import Bytes


class Tree:
    """The pages of one bucket. Lean: 4 bytes per slot, about 20 per leaf. Slots rise by one per `append`.

    pages: from where it takes them; page: the first leaf's. key: bytes of a key in a branch. fill: up to which size leaves and
    branches are filled in a transaction with puts. small_follows_fill: bbolt 1.4 (etcd 3.6 and later) takes half of the fill in
    force, not a quarter page, as the size up to which a leaf is merged.
    """

    __slots__ = (
        "_branch_element",
        "_branch_full",
        "_committed",
        "_dirty",
        "_fill",
        "_fill_with_puts",
        "_levels",
        "_pages",
        "_pending",
        "_per_upper",
        "_rewriting",
        "_small_follows_fill",
        "_starts",
        "_take",
        "_touched",
        "_wanted",
        "_width",
        "branches",
        "leaves",
        "sizes",
        "upper",
    )  # fmt: skip

    def __init__(self, pages: Allocation, key: Bytes, fill: Bytes, small_follows_fill: bool, page: int) -> None:
        self.sizes = array("i")  # per slot: bytes of its element, 0 once it is gone
        self._branch_element = 16 + key
        self._branch_full = -(-(PAGE - PAGE_HEADER) // self._branch_element)  # a branch of so many leaves is cut when it is written
        self._per_upper = (fill - PAGE_HEADER) // self._branch_element  # pages below one of the levels above
        self._fill = self._fill_with_puts = fill
        self._small_follows_fill = small_follows_fill
        self._rewriting = False
        self.clear(pages, page)

    def clear(self, pages: Allocation, page: int) -> None:
        """No elements, in a new file: one leaf, at `page` (-1: nowhere)."""
        self._take, self._pending = pages.take, pages.pending
        self._committed = 0  # slots that were spilled; the others wait for the commit
        self.branches = [Branch()]
        self.branches[0].add(0, 0, 0, page=page, run=1 if page >= 0 else 0)
        self._starts = [0]  # first slot of each branch
        self.upper: list[int] = []  # pages of the levels above
        self._width, self._wanted, self._levels = 1, 0, 0  # for so many branches: pages and levels above
        self._touched: set[int] = set()  # leaves (by first slot) that lost elements since the last commit
        self._dirty: list[Branch] = []  # branches to be written by this commit
        self.leaves = 1

    def append(self, element: Bytes) -> int:
        """Store an element of that many bytes; returns its slot. It takes pages at the next `commit`."""
        self.sizes.append(element)
        return len(self.sizes) - 1

    def append_many(self, count: int, element: Bytes) -> None:
        """Store `count` elements of that many bytes each."""
        self.sizes.extend(array("i", [element]) * count)

    def free(self, slots: NDArray[np.int64]) -> None:
        """Delete the elements in these rising slots. Their pages are given back by the next `commit`.

        Raises ValueError for a slot that is gone already.
        """
        sizes, committed = self.sizes, self._committed
        branch, leaf, end = self.branches[0], 0, -1
        for slot in slots.tolist():
            if slot >= end:
                branch, leaf, end = self._locate(min(slot, committed))
                self._touched.add(branch.first[leaf])
            size = sizes[slot]
            if not size:
                raise ValueError(f"slot {slot} is gone already")
            sizes[slot] = 0
            if slot < committed:
                branch.size[leaf] -= size
                branch.count[leaf] -= 1

    @property
    def changed(self) -> bool:
        """Whether a commit has something to write of it."""
        return bool(self._touched) or self._committed < len(self.sizes)

    def spill_leaves(self) -> int:
        """Rebalance and spill the leaves; returns the pages written. The branches come after the root: `spill_branches`."""
        fill, end, last = FILL_DEFAULT, len(self.sizes), self.branches[-1]
        if end > self._committed:
            fill = FILL if self._rewriting else self._fill_with_puts
            waiting = self.sizes[self._committed :]
            last.size[-1] += sum(waiting)
            last.count[-1] += len(waiting) - (waiting.count(0) if self._touched or self._rewriting else 0)
        self._fill = fill
        if self._touched:
            changed = self._rebalance(fill // 2 if self._small_follows_fill else SMALL)
            if end > self._committed:
                changed.add(self.branches[-1].first[-1])
            self._committed = end
            return sum([self._spill_leaf(*self._locate(first), fill) for first in sorted(changed)])
        if end > self._committed:
            self._committed = end
            return self._spill_last_leaf(last, end)
        return 0

    def _locate(self, slot: int) -> tuple[Branch, int, int]:
        """Branch and place of the leaf that holds a slot, and the first slot of the next leaf."""
        index = bisect_right(self._starts, slot) - 1
        branch = self.branches[index]
        leaf = bisect_right(branch.first, slot) - 1
        if leaf + 1 < len(branch.first):
            return branch, leaf, branch.first[leaf + 1]
        return branch, leaf, self._starts[index + 1] if index + 1 < len(self._starts) else len(self.sizes)

    def _rebalance(self, small: Bytes) -> set[int]:
        """Merge the leaves that lost elements and became small; returns the leaves to be written, by first slot.

        bbolt goes through them in the order of a Go map, which is random; ours is scattered too, but fixed.
        """
        changed: set[int] = set()
        for first in sorted(self._touched, key=scattered):
            index = max(bisect_right(self._starts, first) - 1, 0)
            branch = self.branches[index]
            leaf = bisect_left(branch.first, first)
            if leaf == len(branch.first) or branch.first[leaf] != first:
                continue  # went into its neighbour in an earlier turn
            changed.add(first)
            if (PAGE_HEADER + branch.size[leaf] > small and branch.count[leaf] > 1) or self.leaves == 1:
                continue
            if not branch.count[leaf]:
                changed.remove(first)
                self._remove_leaf(index, leaf, changed, small)
            elif len(branch.first) > 1:
                left = max(leaf - 1, 0)
                branch.size[left] += branch.size[left + 1]
                branch.count[left] += branch.count[left + 1]
                changed.add(branch.first[left])
                changed.discard(branch.first[left + 1])
                self._remove_leaf(index, left + 1, changed, small)
        self._touched.clear()
        return changed

    def _remove_leaf(self, index: int, leaf: int, changed: set[int], small: Bytes) -> None:
        """Take a leaf out of the tree and free its pages; a branch that is small then is merged with a neighbour."""
        branch = self.branches[index]
        self._pending.append((branch.page[leaf], branch.run[leaf]))
        branch.remove(leaf)
        self.leaves -= 1
        self._soil(branch)
        self._starts[index] = branch.first[0]  # a branch is never left empty: it is merged long before
        if len(self.branches) == 1:
            if self.leaves == 1:
                changed.add(branch.first[0])  # the tree is a single leaf again, which takes the place of its branch
            return
        if PAGE_HEADER + self._branch_element * len(branch.first) > small:
            return
        left = max(index - 1, 0)
        gone = self.branches.pop(left + 1)
        del self._starts[left + 1]
        self.branches[left].absorb(gone)
        self._pending.append((gone.own, 1))
        gone.dirty = False
        self._soil(self.branches[left])

    def _soil(self, branch: Branch) -> None:
        if not branch.dirty:
            branch.dirty = True
            self._dirty.append(branch)

    def _spill_leaf(self, branch: Branch, leaf: int, end: int, fill: Bytes) -> int:
        """Split a changed leaf, whose slots end before `end`, and write it to new pages; returns how many."""
        self._soil(branch)
        self._pending.append((branch.page[leaf], branch.run[leaf]))
        size = branch.size[leaf]
        if PAGE_HEADER + size < PAGE or branch.count[leaf] <= NEVER_CUT:
            run = pages_of(size)
            branch.page[leaf] = self._take(run)
            branch.run[leaf] = run
            return run
        first = branch.first[leaf]
        slots, sizes = self._live(first, end)
        parts, written = Branch(), 0
        for begin, count, size in split(sizes, fill):
            run = pages_of(size)
            parts.add(slots[begin] if begin else first, size, count, self._take(run), run)
            written += run
        self.leaves += len(parts.first) - 1
        branch.replace(leaf, parts)
        return written

    def _spill_last_leaf(self, branch: Branch, end: int) -> int:
        """`_spill_leaf` for the rightmost one, to which everything new is appended: the only one in nearly all commits."""
        if not branch.dirty:
            branch.dirty = True
            self._dirty.append(branch)
        pages, runs = branch.page, branch.run
        self._pending.append((pages[-1], runs[-1]))
        size = branch.size[-1]
        if PAGE_HEADER + size < PAGE:
            pages[-1] = self._take(1)
            runs[-1] = 1
            return 1
        if branch.count[-1] <= NEVER_CUT:
            runs[-1] = run = pages_of(size)
            pages[-1] = self._take(run)
            return run
        slots, sizes = self._live(branch.first[-1], end)
        (_, count, size), *others = split(sizes, self._fill)
        branch.size[-1], branch.count[-1] = size, count
        runs[-1] = run = pages_of(size)
        pages[-1] = self._take(run)
        written = run
        for begin, count, size in others:
            run = pages_of(size)
            branch.add(slots[begin], size, count, self._take(run), run)
            written += run
        self.leaves += len(others)
        return written

    def _live(self, first: int, end: int) -> tuple[Sequence[int], Sequence[int]]:
        """Slots from `first` to `end` that hold an element, and its size."""
        sizes = self.sizes[first:end]
        if 0 not in sizes:
            return range(first, end), sizes
        slots = [slot for slot, size in enumerate(sizes, first) if size]
        return slots, [self.sizes[slot] for slot in slots]

    def spill_branches(self) -> int:
        """Split and write the branches above what was written, up to the root of the bucket; returns the pages."""
        written = 0
        dirty, last = self._dirty, self.branches[-1]
        if len(dirty) == 1 and dirty[0] is last and last.own >= 0 and len(last.first) < self._branch_full and self.leaves > 1:
            dirty.clear()  # puts alone, and room for them: the way of nearly all commits
            last.dirty = False
            self._pending.append((last.own, 1))
            last.own = self._take(1)
            return 1 + self._spill_right_edge()
        places: set[int] = set()
        per_branch = (self._fill - PAGE_HEADER) // self._branch_element
        for branch in dirty:
            if not branch.dirty:
                continue  # merged away
            branch.dirty = False
            if branch.own >= 0:
                self._pending.append((branch.own, 1))
                branch.own = -1
            if self.leaves == 1:
                continue  # the bucket is a single leaf
            index = bisect_right(self._starts, branch.first[0]) - 1
            while PAGE_HEADER + self._branch_element * len(branch.first) >= PAGE:
                right = branch.cut(per_branch)
                branch.own = self._take(1)
                places.add(index)
                written += 1
                index += 1
                self.branches.insert(index, right)
                self._starts.insert(index, right.first[0])
                branch = right
            branch.own = self._take(1)
            places.add(index)
            written += 1
        self._dirty.clear()
        return written + self._spill_upper(places)

    def _spill_right_edge(self) -> int:
        """`_spill_upper` where only the last branch was written: one page a level; their numbers rarely change."""
        width = len(self.branches)
        if width != self._width:
            self._width, self._wanted, self._levels = width, 0, 0
            while width > 1:
                width = -(-width // self._per_upper)
                self._wanted += width
                self._levels += 1
        upper, wanted, levels = self.upper, self._wanted, self._levels
        kept = max(min(wanted, len(upper)) - levels, 0)
        for page in upper[kept:]:
            self._pending.append((page, 1))
        del upper[kept:]
        while len(upper) < wanted:
            upper.append(self._take(1))
        return levels

    def _spill_upper(self, places: set[int]) -> int:
        """The levels above the branches, by number only: each full but the last; returns the pages written."""
        width, wanted, dirty = len(self.branches), 0, 0
        while width > 1:
            width = -(-width // self._per_upper)
            places = {place // self._per_upper for place in places}
            wanted += width
            dirty += len(places)
        kept = min(wanted, len(self.upper)) - min(dirty, wanted)
        for page in self.upper[max(kept, 0) :]:
            self._pending.append((page, 1))
        del self.upper[max(kept, 0) :]
        while len(self.upper) < wanted:
            self.upper.append(self._take(1))
        return dirty

    def rewrite(self, pages: Allocation, page: int, batch: int, commit: Callable[[], object]) -> Bytes:
        """Copy what lives into another file, a `commit` for each `batch` elements; returns its bytes.

        What waits for a commit must have had it.
        """
        sizes = self.sizes
        old = np.array(sizes, dtype=np.int32)
        live = np.flatnonzero(old)
        del sizes[:]
        self.clear(pages, page)
        self._rewriting = True
        for place in range(0, len(live), batch):
            end = int(live[min(place + batch, len(live)) - 1]) + 1
            sizes.frombytes(old[len(sizes) : end].tobytes())
            commit()
        self._rewriting = False
        if len(sizes) < len(old):  # slots that are gone at the end
            sizes.frombytes(old[len(sizes) :].tobytes())
            self._committed = len(sizes)
        return int(old.sum())


class SmallTree(Tree):
    """The pages of a bucket that has none while it is small: its leaf is a value in the root's leaf then (bucket.go inlineable)."""

    __slots__ = ()

    def _spill_leaf(self, branch: Branch, leaf: int, end: int, fill: Bytes) -> int:
        if self.leaves == 1 and PAGE_HEADER + branch.size[0] <= INLINE:
            return self._move_in(branch)
        return super()._spill_leaf(branch, leaf, end, fill)

    def _spill_last_leaf(self, branch: Branch, end: int) -> int:
        if self.leaves == 1 and PAGE_HEADER + branch.size[0] <= INLINE:
            return self._move_in(branch)
        return super()._spill_last_leaf(branch, end)

    def _move_in(self, branch: Branch) -> int:
        self._soil(branch)
        self._pending.append((branch.page[0], branch.run[0]))
        branch.page[0], branch.run[0] = -1, 0
        return 0


def scattered(number: int) -> int:
    """A number for another one, so that sorting by it leaves no order (the finaliser of MurmurHash3)."""
    number = (number ^ number >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    number = (number ^ number >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return number ^ number >> 16
