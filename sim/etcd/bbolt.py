"""The backend file: the pages of the B+tree of bucket `key`, what one commit writes of them, what compaction gives back.

Revisions are keys in time order, so puts arrive at the right edge and a leaf is a run of consecutive *slots*. Between two
commits bbolt only collects: `append` and `free` note what happened. `commit` does what bbolt's does, in its order:

    rebalance   a leaf that lost elements and is small now (a quarter page or less, or fewer than 2 elements) is merged
                with its left neighbour (the first of a branch: with its right one); an empty leaf goes away
    spill       each changed leaf is cut where it does not fit and goes to freshly allocated pages: free ones first, a run
                of neighbours where it needs several, else the file grows. Branch path and root are rewritten too
    release     the old pages become free when the next transaction begins

A leaf that outgrows a page is cut after the elements that fit 90% of it, but at least 2 elements stay on either side, and a
leaf of at most 4 elements is never cut. So how full leaves get depends on how many puts share a commit: with many,
m = max(2, floor(3670 / e)) elements of e bytes; with one put per commit the right half of a cut keeps too much, and 1 KiB
values take 2,068 bytes instead of 1,378.

Invariants: live elements of all leaves = slots appended - slots freed; every page below the high water belongs to a leaf,
a branch, a root, to the runs given up last, or is free: in use + free = high water, which never falls.

Simplified: the levels above the branches are numbers only (full but for the last page of each); no reader holds old pages
back; the other buckets are one page, the leaf of the root.

Sources: bbolt node.go (split, splitTwo, splitIndex, spill, rebalance), freelist_hmap.go, tx.go (Commit), db.go (allocate);
etcd server/storage/backend/batch_tx.go (FillPercent 0.9 for sequential buckets). Against files of etcd 3.5.1: equal to
the page for new keys, within 1.5% after compaction, where bbolt itself is random (tests/etcd/test_bbolt_bytes.py).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.etcd.wal import ld, vl
from sim.units import Bytes

PAGE: Final[Bytes] = 4096
"""Page size: that of the operating system."""
PAGE_HEADER: Final[Bytes] = 16
FILL: Final[Bytes] = 3686
"""A leaf is closed when its size would pass this: int(0.9 * PAGE), set by etcd for buckets written in key order."""
FILL_DEFAULT: Final[Bytes] = 2048
"""The same in a transaction without puts, where bbolt's default of 0.5 holds (bbolt DefaultFillPercent)."""
SMALL: Final[Bytes] = 1024
"""A leaf of at most this size that lost elements is merged with a neighbour (node.go rebalance: a quarter page)."""
NEVER_CUT: Final = 4
"""A leaf of at most this many elements is not split, whatever their size (bbolt: 2 * minKeysPerPage)."""
BRANCH_ELEMENT: Final[Bytes] = 16 + 17
"""An element of a branch page: header and the first key of the page below."""
DEFRAG_BATCH: Final = 10_000
"""etcd: backend.go defragLimit."""
LEAVES_PER_BRANCH: Final = (FILL - PAGE_HEADER) // BRANCH_ELEMENT
"""111."""
_BRANCH_FULL: Final = -(-(PAGE - PAGE_HEADER) // BRANCH_ELEMENT)
"""A branch of so many leaves is cut when it is written."""


def key_value(key: Bytes, value: Bytes, create: int, mod: int, version: int, lease: int = 0) -> Bytes:
    """Bytes of the stored mvccpb.KeyValue: key and value length, create and mod revision, version, lease id."""
    return (
        ld(key)
        + (1 + vl(create))
        + (1 + vl(mod))
        + (1 + vl(version))
        + (ld(value) if value else 0)
        + (1 + vl(lease) if lease else 0)
    )


def element(kv: Bytes) -> Bytes:
    """Bytes of one revision in a leaf: element header 16, bucket key 17 (main revision, `_`, sub revision), value."""
    return 16 + 17 + kv


def tombstone(key: Bytes) -> Bytes:
    """Bytes of a deletion in a leaf: the bucket key is one longer (`t`), the value holds the key only."""
    return 16 + 18 + ld(key)


def elements_per_leaf(e: Bytes) -> int:
    """Equal elements in a closed leaf, where many are written per commit."""
    return max(2, (FILL - PAGE_HEADER) // e)


def pages_of(size: Bytes) -> int:
    """Pages of a leaf whose elements sum up to `size` bytes."""
    return -(-(PAGE_HEADER + size) // PAGE)


def bytes_per_revision(e: Bytes) -> float:
    """Bytes of file per revision for equal elements, branch pages included, where many are written per commit."""
    m = elements_per_leaf(e)
    return PAGE * (pages_of(m * e) + 1 / LEAVES_PER_BRANCH) / m


class Pages:
    """Pages of the backend file. All counts are as of the last commit, like etcd's own metrics.

    Lean: 4 bytes per slot, about 20 per leaf. A slot is the ordinal of a change: slots rise by one per `append`.

    small_follows_fill: bbolt 1.4 (etcd 3.6 and later) takes half of the fill in force, not a quarter page, as the size up
    to which a leaf is merged: 1,843 bytes in a transaction with puts.
    """

    __slots__ = (
        "_branches", "_committed", "_dirty", "_free", "_levels", "_pending", "_rewriting", "_root", "_sizes", "_small_follows_fill",
        "_starts", "_touched", "_upper", "_wanted", "_width", "commits", "leaves", "pages_high_water", "store",
    )  # fmt: skip

    def __init__(self, small_follows_fill: bool = False) -> None:
        self._sizes = array("i")  # per slot: bytes of its element, 0 once it is gone
        self.store = self._sizes.append  # `append` for who does not ask for the slot: no call of ours
        self._small_follows_fill = small_follows_fill
        self._rewriting = False
        self.commits = 0
        self._clear()

    def _clear(self) -> None:
        """An empty file."""
        self._committed = 0  # slots that were spilled; the others wait for the commit
        self._branches = [_Branch()]
        self._branches[0].add(0, 0, 0, page=4, run=1)
        self._starts = [0]  # first slot of each branch
        self._upper: list[int] = []  # pages of the levels above
        self._width, self._wanted, self._levels = 1, 0, 0  # for so many branches: pages and levels above
        self._root = 3  # page of the root bucket's leaf; the small buckets lie in it
        self._touched: set[int] = set()  # leaves (by first slot) that lost elements since the last commit
        self._dirty: list[_Branch] = []  # branches to be written by this commit
        self._free = _Spans()
        self._free.release([(2, 1)])
        self._pending: list[tuple[int, int]] = []  # runs freed by the last commit
        self.leaves = 1
        self.pages_high_water = 5  # two meta pages, bolt's first freelist page (never used by etcd), root, one leaf

    def defrag(self) -> Bytes:
        """Copy what lives into a new file, in order, a commit for each 10,000 elements; returns its bytes (backend.go defragdb).

        What waits for a commit must have had it.
        """
        sizes = self._sizes
        old = np.array(sizes, dtype=np.int32)
        live = np.flatnonzero(old)
        del sizes[:]
        self._clear()
        self._rewriting = True
        for place in range(0, len(live), DEFRAG_BATCH):
            end = int(live[min(place + DEFRAG_BATCH, len(live)) - 1]) + 1
            sizes.frombytes(old[len(sizes) : end].tobytes())
            self.commit()
        self._rewriting = False
        if len(sizes) < len(old):  # slots that are gone at the end
            sizes.frombytes(old[len(sizes) :].tobytes())
            self._committed = len(sizes)
        self.commit()
        return int(old.sum())

    def append(self, element: Bytes) -> int:
        """Store an element of that many bytes; returns its slot. It takes pages at the next `commit`."""
        self._sizes.append(element)
        return len(self._sizes) - 1

    def append_many(self, count: int, element: Bytes) -> None:
        """Store `count` elements of that many bytes each."""
        self._sizes.extend(array("i", [element]) * count)

    def free(self, slots: NDArray[np.int64]) -> None:
        """Delete the elements in these rising slots. Their pages are given back by the next `commit`.

        Raises ValueError for a slot that is gone already.
        """
        sizes, committed = self._sizes, self._committed
        branch, leaf, end = self._branches[0], 0, -1
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

    def commit(self) -> int:
        """Rebalance, spill and write, as bbolt's commit does; returns the pages written, bolt's meta page included."""
        self.commits += 1
        self._free.release(self._pending)
        fill, end, last = FILL_DEFAULT, len(self._sizes), self._branches[-1]
        if end > self._committed:
            fill = FILL
            waiting = self._sizes[self._committed :]
            last.size[-1] += sum(waiting)
            last.count[-1] += len(waiting) - (waiting.count(0) if self._touched or self._rewriting else 0)
        if self._touched:
            changed = self._rebalance(fill // 2 if self._small_follows_fill else SMALL)
            if end > self._committed:
                changed.add(self._branches[-1].first[-1])
            self._committed = end
            written = sum([self._spill_leaf(*self._locate(first), fill) for first in sorted(changed)])
        elif end > self._committed:
            self._committed = end
            written = self._spill_last_leaf(last, end)
        else:
            written = 0
        self._pending.append((self._root, 1))
        self._root = self._take(1)
        return 2 + written + self._spill_branches(fill)

    def _locate(self, slot: int) -> tuple[_Branch, int, int]:
        """Branch and place of the leaf that holds a slot, and the first slot of the next leaf."""
        index = bisect_right(self._starts, slot) - 1
        branch = self._branches[index]
        leaf = bisect_right(branch.first, slot) - 1
        if leaf + 1 < len(branch.first):
            return branch, leaf, branch.first[leaf + 1]
        return branch, leaf, self._starts[index + 1] if index + 1 < len(self._starts) else len(self._sizes)

    def _rebalance(self, small: Bytes) -> set[int]:
        """Merge the leaves that lost elements and became small; returns the leaves to be written, by first slot.

        bbolt goes through them in the order of a Go map, which is random; ours is scattered too, but fixed.
        """
        changed: set[int] = set()
        for first in sorted(self._touched, key=_scattered):
            index = max(bisect_right(self._starts, first) - 1, 0)
            branch = self._branches[index]
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
        branch = self._branches[index]
        self._pending.append((branch.page[leaf], branch.run[leaf]))
        branch.remove(leaf)
        self.leaves -= 1
        self._soil(branch)
        self._starts[index] = branch.first[0]  # a branch is never left empty: it is merged long before
        if len(self._branches) == 1:
            if self.leaves == 1:
                changed.add(branch.first[0])  # the tree is a single leaf again, which takes the place of its branch
            return
        if PAGE_HEADER + BRANCH_ELEMENT * len(branch.first) > small:
            return
        left = max(index - 1, 0)
        gone = self._branches.pop(left + 1)
        del self._starts[left + 1]
        self._branches[left].absorb(gone)
        self._pending.append((gone.own, 1))
        gone.dirty = False
        self._soil(self._branches[left])

    def _soil(self, branch: _Branch) -> None:
        if not branch.dirty:
            branch.dirty = True
            self._dirty.append(branch)

    def _spill_leaf(self, branch: _Branch, leaf: int, end: int, fill: Bytes) -> int:
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
        parts, written = _Branch(), 0
        for begin, count, size in split(sizes, fill):
            run = pages_of(size)
            parts.add(slots[begin] if begin else first, size, count, self._take(run), run)
            written += run
        self.leaves += len(parts.first) - 1
        branch.replace(leaf, parts)
        return written

    def _spill_last_leaf(self, branch: _Branch, end: int) -> int:
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
        (_, count, size), *others = split(sizes, FILL)
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
        sizes = self._sizes[first:end]
        if 0 not in sizes:
            return range(first, end), sizes
        slots = [slot for slot, size in enumerate(sizes, first) if size]
        return slots, [self._sizes[slot] for slot in slots]

    def _spill_branches(self, fill: Bytes) -> int:
        """Split and write the branches above what was written, up to the root of the bucket; returns the pages."""
        written = 0
        dirty, last = self._dirty, self._branches[-1]
        if len(dirty) == 1 and dirty[0] is last and last.own >= 0 and len(last.first) < _BRANCH_FULL and self.leaves > 1:
            dirty.clear()  # puts alone, and room for them: the way of nearly all commits
            last.dirty = False
            self._pending.append((last.own, 1))
            last.own = self._take(1)
            return 1 + self._spill_right_edge()
        places: set[int] = set()
        per_branch = (fill - PAGE_HEADER) // BRANCH_ELEMENT
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
            while PAGE_HEADER + BRANCH_ELEMENT * len(branch.first) >= PAGE:
                right = branch.cut(per_branch)
                branch.own = self._take(1)
                places.add(index)
                written += 1
                index += 1
                self._branches.insert(index, right)
                self._starts.insert(index, right.first[0])
                branch = right
            branch.own = self._take(1)
            places.add(index)
            written += 1
        self._dirty.clear()
        return written + self._spill_upper(places)

    def _spill_right_edge(self) -> int:
        """`_spill_upper` where only the last branch was written: one page a level; their numbers rarely change."""
        width = len(self._branches)
        if width != self._width:
            self._width, self._wanted, self._levels = width, 0, 0
            while width > 1:
                width = -(-width // LEAVES_PER_BRANCH)
                self._wanted += width
                self._levels += 1
        upper, wanted, levels = self._upper, self._wanted, self._levels
        kept = max(min(wanted, len(upper)) - levels, 0)
        for page in upper[kept:]:
            self._pending.append((page, 1))
        del upper[kept:]
        while len(upper) < wanted:
            upper.append(self._take(1))
        return levels

    def _spill_upper(self, places: set[int]) -> int:
        """The levels above the branches, by number only: each full but the last; returns the pages written."""
        width, wanted, dirty = len(self._branches), 0, 0
        while width > 1:
            width = -(-width // LEAVES_PER_BRANCH)
            places = {place // LEAVES_PER_BRANCH for place in places}
            wanted += width
            dirty += len(places)
        kept = min(wanted, len(self._upper)) - min(dirty, wanted)
        for page in self._upper[max(kept, 0) :]:
            self._pending.append((page, 1))
        del self._upper[max(kept, 0) :]
        while len(self._upper) < wanted:
            self._upper.append(self._take(1))
        return dirty

    def _take(self, run: int) -> int:
        """First of `run` neighbouring pages: free ones if there are any, else at the end of the file."""
        free = self._free
        if run == 1 and free._single:  # as `take`, without its call
            free.pages -= 1
            return free._single.pop()
        page = free.take(run)
        if page < 0:
            page = self.pages_high_water
            self.pages_high_water += run
        return page

    @property
    def pages_free(self) -> int:
        """Pages that the next transaction can take; those given up by the last commit are not among them yet."""
        return self._free.pages

    @property
    def pages_in_use(self) -> int:
        """Pages that are not free."""
        return self.pages_high_water - self._free.pages

    @property
    def bytes_total(self) -> Bytes:
        """`etcd_mvcc_db_total_size_in_bytes`: the high-water mark; this is what the quota looks at."""
        return self.pages_high_water * PAGE

    @property
    def bytes_in_use(self) -> Bytes:
        """`etcd_mvcc_db_total_size_in_use_in_bytes`: half-empty leaves count in full, so do pages just given up."""
        return self.pages_in_use * PAGE

    def element_of(self, slot: int) -> Bytes:
        """Bytes of the element in a slot; 0 once it was freed."""
        return self._sizes[slot]


def split(sizes: Sequence[Bytes], fill: Bytes) -> list[tuple[int, int, Bytes]]:
    """The leaves into which bbolt cuts these elements: index of the first, their number, their bytes (node.go split)."""
    leaves = []
    begin, total, rest = 0, len(sizes), sum(sizes)
    while PAGE_HEADER + rest >= PAGE and total - begin > NEVER_CUT:
        # Two elements go in whatever their size; two stay behind, and bbolt's loop ends one element before them.
        size = sizes[begin] + sizes[begin + 1]
        index = begin + 2
        while index < total - 3 and PAGE_HEADER + size + sizes[index] <= fill:
            size += sizes[index]
            index += 1
        leaves.append((begin, index - begin, size))
        rest -= size
        begin = index
    leaves.append((begin, total - begin, rest))
    return leaves


def _scattered(number: int) -> int:
    """A number for another one, so that sorting by it leaves no order (the finaliser of MurmurHash3)."""
    number = (number ^ number >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    number = (number ^ number >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return number ^ number >> 16


class _Branch:
    """A branch page and its leaves, in arrays: first slot, live bytes, live elements, first page, number of pages."""

    __slots__ = ("count", "dirty", "first", "own", "page", "run", "size")

    def __init__(self) -> None:
        self.first = array("i")
        self.size = array("i")
        self.count = array("i")
        self.page = array("i")
        self.run = array("H")
        self.own = -1  # its page; none while the bucket is a single leaf
        self.dirty = False

    def add(self, first: int, size: Bytes, count: int, page: int, run: int) -> None:
        """A leaf at the right end."""
        self.first.append(first)
        self.size.append(size)
        self.count.append(count)
        self.page.append(page)
        self.run.append(run)

    def remove(self, leaf: int) -> None:
        del self.first[leaf], self.size[leaf], self.count[leaf], self.page[leaf], self.run[leaf]

    def replace(self, leaf: int, leaves: _Branch) -> None:
        """Put the leaves of another branch in the place of one leaf."""
        here = slice(leaf, leaf + 1)
        self.first[here], self.size[here], self.count[here] = leaves.first, leaves.size, leaves.count
        self.page[here], self.run[here] = leaves.page, leaves.run

    def absorb(self, right: _Branch) -> None:
        """Take over the leaves of the right neighbour."""
        end = slice(len(self.first), None)
        self.first[end], self.size[end], self.count[end] = right.first, right.size, right.count
        self.page[end], self.run[end] = right.page, right.run

    def cut(self, leaves: int) -> _Branch:
        """Keep the first `leaves` leaves; returns a new branch with the others."""
        right = _Branch()
        rest = slice(leaves, None)
        right.first, right.size, right.count = self.first[rest], self.size[rest], self.count[rest]
        right.page, right.run = self.page[rest], self.run[rest]
        del self.first[rest], self.size[rest], self.count[rest], self.page[rest], self.run[rest]
        return right


class _Spans:
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
        """Add runs (first page, length), and empty the list."""
        for start, length in runs:
            self.pages += length
            if length == 1:
                self._single.append(start)
            else:
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
