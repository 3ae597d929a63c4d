"""A backend whose writes somebody watches at etcd itself: it tells watchers of them, and gives way to rounds for who is behind.

A round is one more user of the lock: it holds `watchableStore.mu`, for which the end of every apply waits, and reads under the lock
that commits take exclusively. Whoever asked first goes first.

Sources: etcd server/storage/mvcc/watchable_store_txn.go (End), watchable_store.go (syncWatchers), backend/batch_tx.go (commit).
Simplified: an apply that has the batch lock already when a round begins is done before it (real: it waits at its end).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.etcd.backend import Backend
from sim.etcd.bbolt import Pages
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import COHORT, Entry, Outcome, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.etcd.watchers import RETRY, Watchers
from sim.hardware.disk import Disk
from sim.units import Nanoseconds

_LAST: Final = Outcome.DELETED


class WatchedBackend(Backend):
    """As `Backend`. watcher: the writer who is charged for what waits behind rounds."""

    __slots__ = ("_watcher", "watchers")

    def __init__(
        self, mvcc: Mvcc, pages: Pages, disk: Disk, apply_cost: Callable[[], Nanoseconds], costs: BackendCosts,
        rules: BackendRules, shapes: Iterable[Shape], writers: int, watchers: Watchers, watcher: int,
    ):  # fmt: skip
        super().__init__(mvcc, pages, disk, apply_cost, costs, rules, shapes, writers)
        self.watchers, self._watcher = watchers, watcher

    def preload(self, shape: Shape, writer: int, count: int = 1, key: Hashable = None) -> None:
        """As of `Backend`; watchers may begin with them."""
        first = self.mvcc.revision + 1
        super().preload(shape, writer, count, key)
        self.watchers.existed(shape, first, count)

    def hand_over(self, now: Nanoseconds, entries: Sequence[Entry], handed: Nanoseconds = -1, past: bool = False) -> int:
        """As of `Backend`; after each entry its watchers hear of it."""
        watchers = self.watchers
        for place, entry in enumerate(entries):
            if not super().hand_over(now, (entry,), handed, past):
                self._look_again(self._free)
                return place
            if entry.op is not COHORT and entry.outcome <= _LAST:
                watchers.wrote(entry.shape, entry.revision, np.array([entry.done], dtype=np.int64))
            self._look_again(self._free)
        return len(entries)

    def advance(self, now: Nanoseconds) -> None:
        """As of `Backend`."""
        if self._next_due <= now or self.watchers.due <= now:
            self._run_until(min(now, self._asked))

    def _stored(self, shape: Shape, revision: int, times: NDArray[np.int64]) -> None:
        self.watchers.wrote(shape, revision, times)
        self._look_again(self._free)

    def _look_again(self, after: Nanoseconds) -> None:
        """Writes of a cohort are told in stretches so short that no victim's next try falls into one."""
        self._next_due = min(self._commit_due, self._turn_due, self.watchers.due, after + RETRY)

    def _run_until(self, asks: Nanoseconds) -> None:
        watchers = self.watchers
        while (first := min(self._commit_due, self._turn_due, watchers.due)) <= asks:
            if watchers.due == first:
                self._watch_turn()
            elif self._commit_due == first:
                self._timer(asks)
            else:
                self._turn()
        self._look_again(asks)

    def _watch_turn(self) -> None:
        held = self.watchers.turn(self._free, self.mvcc.revision, self.mvcc.compacted)
        if held is not None:
            begins, ends = held
            self._free = ends
            self._work += ends - begins
            self.tail.holds.append((ends, begins, self._watcher))

    def move(self, now: Nanoseconds, disk: Disk, apply_cost: Callable[[], Nanoseconds], commits_in: Nanoseconds) -> None:
        """As of `Backend`; watchers go on with the new leader, where they were."""
        super().move(now, disk, apply_cost, commits_in)
        self._look_again(now)
