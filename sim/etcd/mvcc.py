"""MVCC: revisions, tombstones, generations, what a compaction keeps. A plain state machine; order decides everything, time nothing.

Every change gets the next main revision (a revoked lease deletes all its keys under one). A change stores one element in
bucket `key`, in time order: its *slot*. A slot is live (the newest version of a live key), dead (superseded, or a tombstone:
history until a compaction removes it) or gone. Keys that are written once under a generated name are slots only; a key that
can be written again has its own state, looked up by name.

    live slots + dead slots = retained slots;  live slots = live keys

Sources: etcd server/storage/mvcc/kvstore_txn.go, key_index.go (compact, keep), kvstore_compaction.go.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FIRST_REVISION = 1
"""An empty store is at revision 1; the first change makes revision 2 (kvstore.go NewStore)."""


class Slots(Protocol):
    """Where elements are kept, in revision order (see `sim.etcd.bbolt.Pages`)."""

    def append(self, element: int) -> int:
        """Store an element of that many bytes; returns its slot."""
        ...


@dataclass(slots=True)
class KeyState:
    """What the index knows of a key that can be written again; revision 0: deleted, or never written.

    creator, lease: notes of whoever writes it: who created it, and the lease that it is attached to (0: none).
    """

    slot: int = 0
    created: int = 0
    modified: int = 0
    version: int = 0
    creator: int = 0
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction to `revision` walks and removes.

    walked: number of retained slots up to the revision, live ones included; removed: their slots, rising;
    batch_of: for each removed slot the number of the batch (of `batch` walked revisions) in which it is removed.
    """

    revision: int
    walked: int
    removed: NDArray[np.int64]
    batch_of: NDArray[np.int64]


class CompactedError(Exception):
    """The revision was compacted already (etcd: ErrCompacted)."""


class FutureRevisionError(Exception):
    """The revision does not exist yet (etcd: ErrFutureRev)."""


class Mvcc:
    """The store of one member. Sizes of elements come in, slots go to `pages`.

    keep_tombstone_at_compaction: a tombstone exactly at the compaction revision stays until the next one (3.4.34, 3.5.16 and
    later).
    """

    __slots__ = (
        "_append", "_dead", "_dead_at", "_extra", "_extra_at", "_gone", "_keep_tombstone", "_removed", "compacted", "keys_live",
        "named", "revision",
    )  # fmt: skip

    def __init__(self, pages: Slots, keep_tombstone_at_compaction: bool = True):
        self._append = pages.append
        self.revision = FIRST_REVISION
        self.compacted = -1
        self.keys_live = 0
        self._removed = 0
        self.named: dict[Hashable, KeyState] = {}
        self._keep_tombstone = keep_tombstone_at_compaction
        self._dead: deque[int] = deque()
        self._dead_at: deque[int] = deque()
        self._extra_at: list[int] = []
        self._extra: list[int] = []
        self._gone = _Gone()

    def create_once(self, element: int) -> int:
        """A key under a fresh generated name: created, never written again. Returns its slot."""
        self.revision += 1
        self.keys_live += 1
        return self._append(element)

    def state(self, key: Hashable) -> KeyState | None:
        """The index entry of a named key that is alive, else None."""
        state = self.named.get(key)
        return state if state is not None and state.version else None

    def put(self, key: Hashable, element: int) -> KeyState:
        """Write a named key: created if it is not alive, else its old version is dead. Returns its state after the put."""
        self.revision += 1
        state = self.named.get(key)
        if state is None:
            state = self.named[key] = KeyState()
        if state.version:
            self._dead.append(state.slot)
            self._dead_at.append(self.revision)
        else:
            state.created = self.revision
            self.keys_live += 1
        state.slot = self._append(element)
        state.modified = self.revision
        state.version += 1
        return state

    def delete(self, key: Hashable, tombstone: int) -> bool:
        """Delete a named key; false (and no revision) where it is not alive."""
        state = self.named.get(key)
        if state is None or not state.version:
            return False
        self.revision += 1
        self._dead.append(state.slot)
        self._dead_at.append(self.revision)
        self._dig(tombstone)
        del self.named[key]
        return True

    def delete_together(self, slots: list[int], keys: Sequence[Hashable], tombstones: list[int]) -> int:
        """Delete write-once keys by slot, then named keys, all of them alive, under ONE revision (a revoked lease).

        tombstones: bytes of each, in that order. Returns how many were deleted; none of them: no revision.
        """
        gone = slots + [self.named.pop(key).slot for key in keys]
        if not gone:
            return 0
        self.revision += 1
        self._dead.extend(gone)
        self._dead_at.extend([self.revision] * len(gone))
        for tombstone in tombstones:
            self._dig(tombstone)
        if len(gone) > 1:
            self._extra_at.append(self.revision)
            self._extra.append((self._extra[-1] if self._extra else 0) + len(gone) - 1)
        return len(gone)

    def _dig(self, tombstone: int) -> None:
        """Store a tombstone: history itself, from the next revision on where one AT the compaction revision is kept."""
        self.keys_live -= 1
        self._dead.append(self._append(tombstone))
        self._dead_at.append(self.revision + self._keep_tombstone)

    @property
    def dead(self) -> int:
        """Retained slots that a compaction to the current revision (or the next) would remove."""
        return len(self._dead)

    @property
    def retained(self) -> int:
        """Slots that no compaction has removed: live and dead."""
        return self.slots_up_to(self.revision) - self._removed

    def slots_up_to(self, revision: int) -> int:
        """Number of slots written by revisions up to and including `revision`."""
        index = bisect_right(self._extra_at, revision)
        return revision - FIRST_REVISION + (self._extra[index - 1] if index else 0)

    def compact(self, revision: int, batch: int) -> Compacted:
        """Discard history up to `revision`, `batch` revisions a turn. Raises CompactedError or FutureRevisionError as etcd does."""
        if revision <= self.compacted:
            raise CompactedError
        if revision > self.revision:
            raise FutureRevisionError
        self.compacted = revision
        removed = []
        while self._dead_at and self._dead_at[0] <= revision:
            removed.append(self._dead.popleft())
            self._dead_at.popleft()
        dead = np.array(sorted(removed), dtype=np.int64)
        end = max(0, self.slots_up_to(revision))  # revision 0 is before the first
        walked = end - self._gone.count_below(end)
        ranks = dead - self._gone.counts_below(dead)
        self._gone.add(dead)
        self._removed += len(dead)
        return Compacted(revision, walked, dead, ranks // batch)


class _Gone:
    """Slots that are gone: how many lie below a given one. Runs of gone slots are merged, so it stays small.

    Kept as rising arrays of run starts and ends with the cumulative count before each run.
    """

    __slots__ = ("_before", "_ends", "_starts")

    def __init__(self) -> None:
        self._starts = np.empty(0, dtype=np.int64)
        self._ends = np.empty(0, dtype=np.int64)
        self._before = np.zeros(1, dtype=np.int64)

    def counts_below(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each slot, how many gone slots are smaller."""
        run = np.searchsorted(self._starts, slots, side="right")
        below = self._before[run]
        inside = np.where(run > 0, np.maximum(self._ends[run - 1] - slots, 0), 0) if len(self._ends) else 0
        return np.asarray(below - inside, dtype=np.int64)

    def count_below(self, slot: int) -> int:
        """How many gone slots are smaller than `slot`."""
        return int(self.counts_below(np.array([slot], dtype=np.int64))[0])

    def add(self, slots: NDArray[np.int64]) -> None:
        """Mark rising slots as gone; none may be gone already."""
        if not len(slots):
            return
        starts = np.concatenate([self._starts, slots])
        ends = np.concatenate([self._ends, slots + 1])
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
        first = np.concatenate([[True], starts[1:] > ends[:-1]])
        last = np.concatenate([first[1:], [True]])
        self._starts, self._ends = starts[first], ends[last]
        self._before = np.concatenate([[0], np.cumsum(self._ends - self._starts)])
