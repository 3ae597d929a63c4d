"""The backend of one member: one applier, one batch lock, and who else takes that lock.

Everything that changes the store takes the batch lock, first come, first served: the applier entry by entry; the commit
timer, 100 ms after its last turn ended; a compaction, turn by turn. Whoever holds it makes the others wait: this is where the
apply tail comes from.

    applier     FIFO of committed entries; each asks for the lock when the one before it is done (here)
    changes     what an entry does to keys and leases (`sim.etcd.store`, `sim.etcd.leases`, `sim.etcd.mvcc`)
    compaction  turn by turn (`sim.etcd.compaction`)
    timer       commits what is pending (`sim.etcd.batch_lock`, `sim.etcd.bbolt`)
    list        holds store.mu shared: a compaction's apply (store.mu exclusive) waits for it, and all entries behind that

The applier's customers come in order, so nothing is an event here: the turns of timer and compaction that were asked for
before an entry asks are replayed first (`_run_until`). What is computed ahead stands in journals until its time has come.

Sources: etcd server/storage/backend/batch_tx.go, mvcc/kvstore_txn.go, etcdserver/server.go (applyAll, snapshot).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.etcd.bbolt import Pages
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import COHORT, COMPACT, CREATED, PUT_ONCE, Entry, Many, Op, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.etcd.store import Store
from sim.etcd.tail import COMPACTION
from sim.hardware.disk import NEVER, Disk, Stalls
from sim.journal import Journal
from sim.units import MICROSECOND, Nanoseconds

LIST: Final[Nanoseconds] = 50 * MICROSECOND
"""A read that walks the index for so long is a list."""
_ONE_OF: Final = 64
"""Of a cohort's entries that waited, the tail looks at one in so many, for all of them."""
CODES: Final = 32
"""A journal row's code is writer * CODES + outcome."""


class Backend(Store):
    """Applies committed entries in order; `hand_over` answers when each is done.

    apply_cost: draws the time of one apply under the lock, nanoseconds. disk: the device of the backend file.
    """

    __slots__ = (
        "_codes", "_executions", "_latencies", "_lists", "_snapshot_at", "_store", "_times", "_walker", "applied", "barrier",
        "computed",
    )  # fmt: skip

    def __init__(
        self, mvcc: Mvcc, pages: Pages, disk: Disk, apply_cost: Callable[[], Nanoseconds], costs: BackendCosts,
        rules: BackendRules, shapes: Iterable[Shape], writers: int,
    ):  # fmt: skip
        super().__init__(mvcc, pages, disk, apply_cost, costs, rules, shapes, writers)
        self._store = pages.store
        self.computed = 0  # entries whose outcome and time are known
        self._snapshot_at = rules.snapshot_count
        self._walker = 0
        self._lists = False
        self.barrier: Nanoseconds = NEVER  # when to come again with entries that were not applied
        self.applied = Journal(3)  # latency, execution, code
        self._times, (self._latencies, self._executions, self._codes) = self.applied.times, self.applied.columns

    # ---- entries

    def hand_over(self, now: Nanoseconds, entries: Sequence[Entry], handed: Nanoseconds = -1, past: bool = False) -> int:
        """Apply committed entries that reach the applier now; writes each entry's `handed`, `done`, `outcome`.

        Returns how many: the others have to come again at `barrier` (what happens until then decides about them), and whoever
        is handed over meanwhile behind them. handed: when they reached the applier, if before now. past: no barrier stops them.
        """
        times, tail, mvcc = self._times, self.tail, self.mvcc
        clock = NEVER if past else now
        if handed >= 0:
            now, self._asked, self.barrier = handed, NEVER, NEVER
        holds = tail.holds
        if holds and holds[-1][0] <= now:
            holds.clear()  # nobody will wait for them any more, and their memory stays warm
        asks = times[-1] if times and times[-1] > now else now
        if self._resumes > asks:
            asks = self._resumes
        work = 0
        for entry in entries:
            if entry.op is COHORT:
                asks = self._apply_many(entry, now, asks)  # type: ignore[arg-type]
                continue
            if self._next_due <= asks:
                self._run_until(asks)
            begins = self._free if self._free > asks else asks
            if self._index_until > begins and entry.op is not COMPACT:
                if self._lists and begins > clock:
                    self._work += work
                    return self._stop_at(begins, asks, entries, entry)
                begins = self._index(begins)
            shape, writer = entry.shape, entry.writer
            done = begins + self._apply_cost() + shape.apply_ns
            work += done - begins
            if entry.op <= PUT_ONCE and not entry.lease and not self.capped:
                if mvcc.revision >= self._element_limit:
                    self._widen()
                entry.revision = mvcc.revision = mvcc.revision + 1  # as `mvcc.create_once`, without its calls
                mvcc.keys_live += 1
                self._store(shape.create_element)
                entry.outcome = outcome = CREATED
                self.live_by_writer[writer] += 1
                self._pending += 1
                self._pending_by[writer] += 1
            else:
                if entry.op is COMPACT and self._lists and asks > clock:
                    self._work += work - (done - begins)
                    self._draw_again(done - begins)
                    return self._stop_at(asks, asks, entries, entry)
                outcome, begins, done = self._apply(entry, asks, begins, done)
            self.computed += 1
            if self._pending >= self._limit:
                done = self._commit(done)
            entry.handed = now
            entry.done = self._free = done
            holds.append((done, begins, writer))
            times.append(done)
            self._latencies.append(done - now)
            self._executions.append(done - asks)
            self._codes.append(writer * CODES + outcome)
            if begins > now and done - now > tail.threshold:
                tail.waited(now, begins, done - now)
            asks = done
            if self.computed == self._snapshot_at:
                asks = self._snapshot(done)
        self._work += work
        return len(entries)

    def _stop_at(self, at: Nanoseconds, asks: Nanoseconds, entries: Sequence[Entry], entry: Entry) -> int:
        """An entry that asks for the lock at `asks` is not looked at before `at`: how many are before it."""
        self.barrier, self._asked = at, asks
        return entries.index(entry)

    def _draw_again(self, cost: Nanoseconds) -> None:
        """An entry had its time drawn, and will ask for it again."""
        draw = self._apply_cost

        def kept() -> Nanoseconds:
            self._apply_cost = draw
            return cost

        self._apply_cost = kept

    def _index(self, begins: Nanoseconds) -> Nanoseconds:
        """When an entry that has the lock from `begins` on has the index, too.

        A read's walk has it to the end; that of a compaction gives it away after each key, to whoever gets hold of it.
        """
        if self._walked_until > begins:
            self.tail.holds.append((self._walked_until, begins, self._walker))
            begins = self._walked_until
        if self._compacts_until > begins:
            self.tail.holds.append((begins + self._costs.index_turn, begins, COMPACTION))
            begins += self._costs.index_turn
        return begins

    def _apply_many(self, entry: Many, now: Nanoseconds, asks: Nanoseconds) -> Nanoseconds:
        """As above, for many puts under fresh names: when the next entry may ask. Nothing else holds the lock within a stretch."""
        mvcc, shape, writer, draw, tail = self.mvcc, entry.shape, entry.writer, self._apply_cost, self.tail
        left, parts = entry.count, []
        while left:
            if self._next_due <= asks:
                self._run_until(asks)
            extra = shape.apply_ns
            begins = self._free if self._free > asks else asks
            if self._index_until > begins:
                begins = self._index(begins)
            if mvcc.revision >= self._element_limit:
                self._widen()
            room = min(left, self._limit - self._pending, self._snapshot_at - self.computed, self._element_limit - mvcc.revision)
            done, due, dones = begins, self._next_due, array("q")
            for _ in range(room):
                done += draw() + extra
                dones.append(done)
                if done >= due:
                    break
            count = len(dones)
            self._work += done - begins
            entry.revision = mvcc.revision = mvcc.revision + count
            mvcc.keys_live += count
            self.pages.append_many(count, shape.create_element)
            self.live_by_writer[writer] += count
            self._pending += count
            self._pending_by[writer] += count
            self.computed += count
            if self._pending >= self._limit:
                done = dones[-1] = self._commit(done)
            self._free = done
            tail.holds.append((done, begins, writer))
            times = np.array(dones, dtype=np.int64)
            latencies = times - now
            starts = np.concatenate([[begins], times[:-1]])
            asked = np.concatenate([[asks], times[:-1]])
            self.applied.extend(times, latencies, times - asked, np.full(count, writer * CODES + CREATED))
            waited = np.flatnonzero((starts > now) & (latencies > tail.threshold))[:: _ONE_OF]
            for place in waited.tolist():
                tail.waited(now, int(starts[place]), int(latencies[place]), _ONE_OF)
            self._stored(shape, entry.revision, times)
            parts.append(times)
            left -= count
            asks = done
            if self.computed == self._snapshot_at:
                asks = self._snapshot(done)
        entry.handed, entry.times = now, np.concatenate(parts)
        entry.done = int(entry.times[-1])
        return asks

    def _stored(self, shape: Shape, revision: int, times: NDArray[np.int64]) -> None:
        """A stretch of a cohort is in the store, up to `revision`, each put at its time: for who wants to know."""

    def _snapshot(self, asks: Nanoseconds) -> Nanoseconds:
        """The applier takes a snapshot: behind running lists (store.mu) a commit, which delays no answer but the next ones."""
        self._snapshot_at += self._rules.snapshot_count
        asks = max(asks, self._readers_until)
        self.advance(asks)
        self._resumes = self._free = self._commit(max(asks, self._free))
        return self._resumes

    # ---- the member that does all this, and when it does nothing

    def postpone(self, now: Nanoseconds, entries: Sequence[Entry], down: Stalls) -> None:
        """The entries that were just handed over, at `now`, are applied by a process that does nothing at times."""
        times, latencies, executions = self._times, self._latencies, self._executions
        for place in range(bisect_right(times, down.next_start(now)), len(times)):
            shift = down.finish(now, times[place]) - times[place]
            times[place] += shift
            latencies[place] += shift
            executions[place] += shift
        for entry in entries:
            entry.done = down.finish(now, entry.done)
            if entry.op is Op.COHORT:
                entry.times = np.array([down.finish(now, int(done)) for done in entry.times], dtype=np.int64)  # type: ignore[attr-defined]
        self._free = down.finish(now, self._free)

    def freeze(self, now: Nanoseconds, until: Nanoseconds) -> None:
        """Its process does nothing from now to `until`: the lock is given to nobody."""
        self.advance(now)
        self._free = max(self._free, until)

    def move(self, now: Nanoseconds, disk: Disk, apply_cost: Callable[[], Nanoseconds], commits_in: Nanoseconds) -> None:
        """Another member leads: its own disk, its own commit timer, which rings in `commits_in`; the same store.

        Simplified: it has applied by now what was handed to the old leader's applier; a commit or a compaction's turn that runs
        there ends here now.
        """
        self.advance(now)
        self._disk, self._apply_cost = disk, apply_cost
        for journal in (self.applied, self.commits, self.database, self.removed, self.turns, self.compactions):
            first = len(journal.times) - journal.ahead(now)
            for place in range(first, len(journal.times)):
                if journal is self.applied:
                    early = journal.times[place] - now
                    for column in journal.columns[:2]:
                        column[place] = max(0, column[place] - early)
                journal.times[place] = now
        self._free = self._resumes = now
        self._readers_until = min(self._readers_until, now)
        self._commit_due = now + commits_in
        if self._turn_due != NEVER:
            self._turn_due = max(self._turn_due, now)
        self._next_due = min(self._commit_due, self._turn_due)

    # ---- reads

    def reads_from(self, now: Nanoseconds) -> Nanoseconds:
        """When a read that wants to begin now can: not while a commit publishes what it wrote, nor while a compaction waits for
        running reads or marks its revision (store.mu prefers writers)."""
        self.advance(now)
        times, (durations,) = self.commits.times, self.commits.columns
        place = bisect_right(times, now)
        begins = times[place] if place < len(times) and times[place] - durations[place] <= now else now
        while self._exclusive and self._exclusive[0][1] <= now:
            self._exclusive.popleft()
        if self._exclusive and self._exclusive[0][0] <= now:
            begins = max(begins, self._exclusive[0][1])
        return begins

    def lists_come(self) -> None:
        """Reads walk the index for long: from now on no entry's wait for it is computed ahead."""
        self._lists, self._index_until = True, NEVER

    def reads(self, begins: Nanoseconds, walked: Nanoseconds, ends: Nanoseconds, reader: int) -> None:
        """A read by writer `reader` holds the index shared from `begins` to `walked`, store.mu until `ends`."""
        if walked - begins >= LIST:
            self.lists_come()
        if walked > self._walked_until:
            if self._compacts_until > begins:
                self._postpone_walk(max(begins, self._walked_until), walked)
            self._walked_until, self._walker = walked, reader
        self._index_until = max(self._walked_until, self._index_until)
        if ends > self._readers_until:
            self._readers_until, self._reader = ends, reader
