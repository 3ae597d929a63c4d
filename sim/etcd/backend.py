"""The backend of one member: one applier, one batch lock, and who else takes that lock.

Everything that changes the store takes the batch lock, first come, first served: the applier entry by entry; the commit
timer, 100 ms after its last turn ended; a compaction, turn by turn. Whoever holds it makes the others wait: this is where the
apply tail comes from.

    applier     FIFO of committed entries; each asks for the lock when the one before it is done
    timer       commits what is pending: dirty pages written, two fdatasyncs
    compaction  after an index walk, batches of 1000 revisions: scan, delete [, commit], then a forced commit, then a pause
    list        holds store.mu shared: a compaction's apply (store.mu exclusive) waits for it, and all entries behind that

The applier's customers come in order, so nothing is an event here: the turns of timer and compaction that were asked for
before an entry asks are replayed first (`_run_until`). What is computed ahead stands in journals until its time has come.

A put attaches its key to the lease it names and takes it off the one it had; so does one that names none, and a delete. A revoke
deletes whatever is attached, under one revision; which named keys went stands in `take_revoked` until somebody asks.

Sources: etcd server/storage/backend (backend.go run, batch_tx.go Unlock, commit), mvcc/kvstore_compaction.go
(scheduleCompaction), mvcc/kvstore.go (Compact), mvcc/kvstore_txn.go (put, delete), lease/lessor.go (Revoke, Attach, Detach),
etcdserver/apply.go (checkRequestPut), etcdserver/server.go (applyAll, snapshot).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.etcd import wal
from sim.etcd.bbolt import Pages
from sim.etcd.mvcc import Compacted, CompactedError, FutureRevisionError, KeyState, Mvcc
from sim.etcd.request import COHORT, CREATED, PUT_ONCE, Entry, Many, Op, Outcome, Shape
from sim.etcd.tail import COMMIT, COMPACTION, Tail
from sim.hardware.disk import NEVER, Disk, Stalls
from sim.journal import Journal
from sim.units import MILLISECOND, Bytes, Nanoseconds

GROWTH: Final[Bytes] = 16 * 2**20
"""bbolt: DefaultAllocSize."""
_ONE_OF: Final = 64
"""Of a cohort's entries that waited, the tail looks at one in so many, for all of them."""
GROWS: Final = frozenset({Op.CREATE_ONCE, Op.PUT_ONCE, Op.CREATE, Op.UPDATE, Op.PUT, Op.LEASE_GRANT})
"""What the quota is asked for, and what an alarm refuses (etcdserver/apply/apply.go applierV3Capped)."""
CODES: Final = 16
"""A journal row's code is writer * CODES + outcome."""


@dataclass(frozen=True, slots=True)
class BackendCosts:
    """CPU time of the backend's work, nanoseconds (a revision, a key or a page each)."""

    scan: Nanoseconds
    delete: Nanoseconds
    index_walk: Nanoseconds
    read_key: Nanoseconds
    page_write: Nanoseconds
    defrag: Nanoseconds = 0
    defrag_mb: Nanoseconds = 0


@dataclass(frozen=True, slots=True)
class BackendRules:
    """What the version and the flags decide.

    pause_ticks: the compaction's pause is a ticker's (3.5.16 to 3.5.18): a batch that takes longer is followed by none.
    commit_on_delete: any unlock with a pending bbolt delete commits at once (3.4.30, 3.5.12, 3.6 and later).
    snapshot_count: entries between two snapshots, each a commit in the applier.
    grows_in_steps: a commit for which the file is too short makes it `GROWTH` longer than it needs, with an fsync (bbolt 1.3.7:
    3.4.24, 3.5.8 and later); before, the file grows as it is written.
    """

    batch_interval: Nanoseconds = 100 * MILLISECOND
    batch_limit: int = 10_000
    compaction_batch: int = 1_000
    compaction_pause: Nanoseconds = 10 * MILLISECOND
    pause_ticks: bool = False
    commit_on_delete: bool = True
    snapshot_count: int = 100_000
    grows_in_steps: bool = False


@dataclass(slots=True)
class _Compaction:
    """A compaction on its way: which batch comes next, and whether its scan or its forced commit."""

    work: Compacted
    batches: int
    started: Nanoseconds = 0
    asked: Nanoseconds = 0
    batch: int = 0
    scanning: bool = True


@dataclass(slots=True)
class _Lease:
    """What is attached to a lease: write-once keys by slot, with the bytes of their tombstones and their writers; named keys."""

    slots: list[int] = field(default_factory=list)
    tombstones: list[int] = field(default_factory=list)
    writers: list[int] = field(default_factory=list)
    named: dict[Hashable, int] = field(default_factory=dict)  # bytes of the tombstone


class Backend:
    """Applies committed entries in order; `hand_over` answers when each is done.

    apply_cost: draws the time of one apply under the lock, nanoseconds. disk: the device of the backend file.
    """

    __slots__ = (
        "_applied", "_apply_cost", "_codes", "_commit_due", "_compactions", "_costs", "_disk", "_element_limit",
        "_exclusive", "_executions", "_free", "_index_until", "_latencies", "_leases", "_limit", "_next_due", "_pending",
        "_pending_by", "_reader", "_readers_until", "_resumes", "_revoked_names", "_rules", "_shapes", "_snapshot_at",
        "_store", "_times", "_turn_due", "_walker", "_work", "applied", "capped", "commit_pages", "commits", "compactions",
        "database", "fault", "length", "live_by_writer", "mvcc", "pages", "removed", "revoked", "size", "tail", "turns",
    )  # fmt: skip

    def __init__(
        self, mvcc: Mvcc, pages: Pages, disk: Disk, apply_cost: Callable[[], Nanoseconds], costs: BackendCosts,
        rules: BackendRules, shapes: Iterable[Shape], writers: int,
    ):  # fmt: skip
        self.mvcc, self.pages, self._disk, self._apply_cost = mvcc, pages, disk, apply_cost
        self._costs, self._rules, self._shapes = costs, rules, list(shapes)
        self._store = pages.store
        self._free: Nanoseconds = 0
        self._commit_due: Nanoseconds = rules.batch_interval
        self._turn_due: Nanoseconds = NEVER
        self._next_due: Nanoseconds = self._commit_due
        self._pending = 0
        self._pending_by = [0] * writers
        self._work: Nanoseconds = 0
        self.fault: float = 0.0  # read from the disk for each revision that a compaction or a list walks, ns on average
        self._readers_until: Nanoseconds = 0
        self._resumes: Nanoseconds = 0
        self._reader = self._walker = 0
        self._index_until: Nanoseconds = 0  # when the last walk of a read over the index ends
        self._exclusive: deque[tuple[Nanoseconds, Nanoseconds]] = deque()  # from when a compaction wants store.mu, until it is done
        self._compactions: deque[_Compaction] = deque()
        self._leases: dict[int, _Lease] = {}
        self._revoked_names: dict[int, list[Hashable]] = {}  # by lease
        self._applied = 0
        self._limit = rules.batch_limit
        self._snapshot_at = rules.snapshot_count
        self._element_limit = 0
        self.live_by_writer = [0] * writers  # of the keys that each created
        self.capped = False  # the NOSPACE alarm is raised
        self.length: Bytes = 0  # of the file, as it is allocated
        self.size: Bytes = 0  # up to the high-water mark, as the last commit that was computed leaves it
        self.applied = Journal(3)  # latency, execution, code
        self._times, (self._latencies, self._executions, self._codes) = self.applied.times, self.applied.columns
        self.revoked: deque[tuple[Nanoseconds, int, int]] = deque()  # when, writer of the keys, how many
        self.commits = Journal(1)  # duration
        self.commit_pages: array[int] = array("q")  # of each of them, how many pages it wrote
        self.database = Journal(2)  # bytes in total, in use: as a commit leaves them
        self.removed = Journal(1)  # revisions that a compaction batch removed
        self.turns = Journal(1)  # duration of a compaction batch, lock wait included
        self.compactions = Journal(1)  # duration of a compaction's database phase
        self.tail = Tail(writers)
        self._widen()

    def preload(self, shape: Shape, writer: int, count: int = 1, key: Hashable = None) -> None:
        """Objects that exist before the start:

        `count` write-once keys, or the one named `key`. Committed as a live member would.
        """
        for ordinal in range(count):
            if self.mvcc.revision >= self._element_limit:
                self._widen()
            if key is None:
                self.mvcc.create_once(shape.create_element)
            else:
                self.mvcc.put(key, shape.create_element).creator = writer
            if ordinal % 1000 == 999:
                self.pages.commit()
        self.live_by_writer[writer] += count

    def begin(self) -> None:
        """The preloaded objects are on disk; time starts."""
        self.pages.commit()
        self.pages.commit()
        self.size = self.length = self.pages.bytes_total
        self.database.times.append(0)
        self.database.columns[0].append(self.size)
        self.database.columns[1].append(self.pages.bytes_in_use)

    @property
    def free_at(self) -> Nanoseconds:
        """When everything that has been handed over so far is applied."""
        return self._free

    @property
    def leases_held(self) -> int:
        """Leases that are granted and not revoked."""
        return len(self._leases)

    # ---- entries

    def hand_over(self, now: Nanoseconds, entries: Iterable[Entry]) -> None:
        """Apply committed entries that reach the applier at `now`; writes each entry's `handed`, `done`, `outcome`."""
        times, tail, mvcc = self._times, self.tail, self.mvcc
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
            if self._index_until > begins:  # a put of the index waits for who walks it
                holds.append((self._index_until, begins, self._walker))
                begins = self._index_until
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
                outcome, begins, done = self._apply(entry, asks, begins, done)
            self._applied += 1
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
            if self._applied == self._snapshot_at:
                asks = self._snapshot(done)
        self._work += work

    def _apply_many(self, entry: Many, now: Nanoseconds, asks: Nanoseconds) -> Nanoseconds:
        """As above, for many puts under fresh names: when the next entry may ask. Nothing else holds the lock within a stretch."""
        mvcc, shape, writer, draw, tail = self.mvcc, entry.shape, entry.writer, self._apply_cost, self.tail
        extra, left, parts = shape.apply_ns, entry.count, []
        while left:
            if self._next_due <= asks:
                self._run_until(asks)
            begins = self._free if self._free > asks else asks
            if self._index_until > begins:
                tail.holds.append((self._index_until, begins, self._walker))
                begins = self._index_until
            if mvcc.revision >= self._element_limit:
                self._widen()
            room = min(left, self._limit - self._pending, self._snapshot_at - self._applied, self._element_limit - mvcc.revision)
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
            self._applied += count
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
            parts.append(times)
            left -= count
            asks = done
            if self._applied == self._snapshot_at:
                asks = self._snapshot(done)
        entry.handed, entry.times = now, np.concatenate(parts)
        entry.done = int(entry.times[-1])
        return asks

    def take_work(self) -> Nanoseconds:
        """CPU time of what was applied, committed and compacted since the last call."""
        work, self._work = self._work, 0
        return work

    def _snapshot(self, asks: Nanoseconds) -> Nanoseconds:
        """The applier takes a snapshot: behind running lists (store.mu) a commit, which delays no answer but the next ones."""
        self._snapshot_at += self._rules.snapshot_count
        asks = max(asks, self._readers_until)
        self.advance(asks)
        self._resumes = self._free = self._commit(max(asks, self._free))
        return self._resumes

    def _apply(
        self, entry: Entry, asks: Nanoseconds, begins: Nanoseconds, done: Nanoseconds
    ) -> tuple[Outcome, Nanoseconds, Nanoseconds]:
        """Everything but a write-once key: the outcome, when it got the lock and when it is done, forced commits included."""
        outcome = Outcome.UNCHANGED
        op, writer = entry.op, entry.writer
        changes = 1
        if self.capped and op in GROWS:
            outcome, changes = Outcome.NO_SPACE, 0
        elif op is Op.ALARM:
            raised = entry.expected == 1
            changes, self.capped = int(raised is not self.capped), raised
        elif op is Op.UPDATE or op is Op.CREATE or op is Op.PUT:
            outcome, changes = self._put(entry)
        elif op is Op.DELETE or op is Op.DELETE_ANY:
            outcome, changes = self._delete(entry)
        elif op <= Op.PUT_ONCE:
            outcome, changes = self._create_leased(entry)
        elif op is Op.LEASE_GRANT:
            self._leases[entry.lease] = _Lease()
        elif op is Op.LEASE_REVOKE:
            outcome, done = self._revoke(entry, done)
            changes = 0
        elif op is Op.COMPACT:
            cost = done - begins
            if self._readers_until > asks:  # store.mu, exclusive: behind every list that is running, and only then for the lock
                self._run_until(self._readers_until)
                self.tail.holds.append((self._readers_until, begins, self._reader))
                begins = max(self._readers_until, self._free)
            outcome, done = self._compact(entry.expected, begins, cost)
            self._exclusive.append((asks, done))
            changes = 0
        entry.outcome = outcome
        self._pending += changes
        self._pending_by[writer] += changes
        return outcome, begins, done

    def _put(self, entry: Entry) -> tuple[Outcome, int]:
        """A put of a named key, on its condition: the outcome, and how many changes of the store it took.

        The lease is looked up where the condition holds, and before anything changes.
        """
        mvcc, writer, lease = self.mvcc, entry.writer, entry.lease
        state = mvcc.state(entry.key)
        if entry.op is not Op.PUT and (0 if state is None else state.modified) != entry.expected:
            entry.revision = 0 if state is None else state.modified
            return Outcome.CONFLICT, 0
        if lease and lease not in self._leases:
            return Outcome.LEASE_NOT_FOUND, 0
        revision = mvcc.revision + 1
        if state is None:
            outcome, created, version = Outcome.CREATED, revision, 1
            self.live_by_writer[writer] += 1
        else:
            outcome, created, version = Outcome.UPDATED, state.created, state.version + 1
        state = mvcc.put(entry.key, entry.shape.element(created, revision, version))
        if version == 1:
            state.creator = writer
        entry.revision = revision
        if state.lease or lease:
            self._detach(entry.key, state)
            self._attach(entry.key, state, lease, entry.shape.tombstone)
        return outcome, 1

    def _delete(self, entry: Entry) -> tuple[Outcome, int]:
        """A delete of a named key, on its condition: the outcome, and how many changes of the store it took."""
        mvcc = self.mvcc
        state = mvcc.state(entry.key)
        if entry.op is Op.DELETE_ANY:
            if state is None:
                return Outcome.UNCHANGED, 0
        elif state is None or state.modified != entry.expected:
            entry.revision = 0 if state is None else state.modified
            return Outcome.CONFLICT, 0
        mvcc.delete(entry.key, entry.shape.tombstone)
        entry.revision = mvcc.revision
        self.live_by_writer[state.creator] -= 1
        self._detach(entry.key, state)
        return Outcome.DELETED, 1

    def _attach(self, key: Hashable, state: KeyState, lease: int, tombstone: int) -> None:
        if lease:
            state.lease = lease
            self._leases[lease].named[key] = tombstone

    def _detach(self, key: Hashable, state: KeyState) -> None:
        if state.lease:
            del self._leases[state.lease].named[key]
            state.lease = 0

    def _create_leased(self, entry: Entry) -> tuple[Outcome, int]:
        """A write-once key attached to a lease: the outcome, and how many changes of the store it took."""
        lease = self._leases.get(entry.lease)
        if lease is None:
            return Outcome.LEASE_NOT_FOUND, 0
        if self.mvcc.revision >= self._element_limit:
            self._widen()
        lease.slots.append(self.mvcc.create_once(entry.shape.create_element))
        lease.tombstones.append(entry.shape.tombstone)
        lease.writers.append(entry.writer)
        entry.revision = self.mvcc.revision
        self.live_by_writer[entry.writer] += 1
        return Outcome.CREATED, 1

    def _revoke(self, entry: Entry, done: Nanoseconds) -> tuple[Outcome, Nanoseconds]:
        """A lease and everything attached to it go: the outcome, and when that is done.

        etcd deletes the keys in the order of their names. Those of write-once keys are not known: they come first here, by age.
        """
        lease = self._leases.pop(entry.lease, None)
        if lease is None:
            return Outcome.LEASE_NOT_FOUND, done
        mvcc = self.mvcc
        names = sorted(lease.named, key=str)
        writers = lease.writers + [mvcc.named[name].creator for name in names]
        tombstones = lease.tombstones + [lease.named[name] for name in names]
        if mvcc.delete_together(lease.slots, names, tombstones):
            entry.revision = mvcc.revision
        if names:
            self._revoked_names[entry.lease] = names
        done += len(writers) * self._costs.delete
        for writer in dict.fromkeys(writers):
            count = writers.count(writer)
            self.live_by_writer[writer] -= count
            self._pending_by[writer] += count
            self.revoked.append((done, writer, count))
        self._pending += len(writers) + 1  # and the delete in bucket `lease`
        self._pending_by[entry.writer] += 1
        return Outcome.UNCHANGED, self._commit(done) if self._rules.commit_on_delete else done

    def take_revoked(self, lease: int) -> list[Hashable]:
        """Named keys that went with a revoked lease, in the order of their names; told once."""
        return self._revoked_names.pop(lease, [])

    def _widen(self) -> None:
        """A revision's varint got longer: work out the element size of a new key of each type again."""
        revision = self.mvcc.revision + 1
        for shape in self._shapes:
            shape.create_element = shape.element(revision, revision, 1)
        self._element_limit = (1 << (7 * wal.vl(revision))) - 1

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

    # ---- the lock's other users

    def advance(self, now: Nanoseconds) -> None:
        """Replay the turns of timer and compaction that were asked for by `now`."""
        if self._next_due <= now:
            self._run_until(now)

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

    def reads(self, begins: Nanoseconds, walked: Nanoseconds, ends: Nanoseconds, reader: int) -> None:
        """A read by writer `reader` holds the index shared from `begins` to `walked`, store.mu until `ends`."""
        if walked > self._index_until:
            self._index_until, self._walker = walked, reader
        if ends > self._readers_until:
            self._readers_until, self._reader = ends, reader

    def list_keys(self, now: Nanoseconds, keys: int, reader: int = 0) -> Nanoseconds:
        """A range read of `keys` keys by writer `reader` begins at `now`: when it ends. It holds store.mu shared until then."""
        ends = now + keys * self._costs.read_key + int(keys * self.fault)
        if ends > self._readers_until:
            self._readers_until, self._reader = ends, reader
        return ends

    def defrag(self, now: Nanoseconds) -> Nanoseconds:
        """The file is copied to a smaller one from now on: when that is done. Until then nobody reads, writes or commits here.

        It takes all locks, so it begins when whoever has them is done (backend.go defrag).
        """
        self.advance(now)
        begins = max(now, self._free)
        copied_from = self._commit(begins)
        live = self.pages.defrag()
        ends = self._disk.sync(copied_from + self._costs.defrag + live * self._costs.defrag_mb // 1_000_000, live)
        self.size = self.length = self.pages.bytes_total
        self.database.times.append(ends)
        self.database.columns[0].append(self.size)
        self.database.columns[1].append(self.pages.bytes_in_use)
        self.tail.holds.append((ends, copied_from, COMMIT))
        self._exclusive.append((now, ends))
        self._free = self._resumes = ends
        return ends

    def _run_until(self, asks: Nanoseconds) -> None:
        """Give the lock, in order of asking, to all who asked for it up to `asks`."""
        while self._next_due <= asks:
            if self._commit_due <= self._turn_due:
                self._timer(asks)
            else:
                self._turn()
            self._next_due = min(self._commit_due, self._turn_due)

    def _timer(self, asks: Nanoseconds) -> None:
        interval = self._rules.batch_interval
        begins = max(self._commit_due, self._free)
        if self._pending:
            begins = self._free = self._commit(begins)
        self._commit_due = begins + interval
        if not self._pending and self._commit_due <= asks < self._turn_due:  # an idle timer only comes round again
            self._commit_due += ((asks - self._commit_due) // interval + 1) * interval

    def _commit(self, begins: Nanoseconds, cause: int = COMMIT) -> Nanoseconds:
        """Commit the open bbolt transaction; the time at which it is done. The caller holds the lock until then.

        cause: who is charged for the wait behind it, COMMIT (the writers of what is pending) or COMPACTION.
        """
        pages = self.pages.commit()
        work = pages * self._costs.page_write
        self._work += work
        ends = begins + work
        if self.pages.bytes_total > self.length:
            self.length = self.pages.bytes_total
            if self._rules.grows_in_steps:
                self.length += GROWTH
                ends = self._disk.sync(ends, 0)
        ends = self._disk.sync(ends, pages * 4096)
        ends = self._disk.sync(ends, 4096)
        self._pending = 0
        if cause == COMMIT:
            self.tail.committed(ends - begins, self._pending_by)
        else:
            self.tail.compaction_held(ends - begins)
        self.tail.holds.append((ends, begins, cause))
        self.commits.times.append(ends)
        self.commits.columns[0].append(ends - begins)
        self.commit_pages.append(pages)
        self.database.times.append(ends)
        self.size = self.pages.bytes_total
        self.database.columns[0].append(self.size)
        self.database.columns[1].append(self.pages.bytes_in_use)
        return ends

    def _compact(self, revision: int, begins: Nanoseconds, cost: Nanoseconds) -> tuple[Outcome, Nanoseconds]:
        """Apply a compaction request: a forced commit now, the work as a job of its own."""
        try:
            work = self.mvcc.compact(revision, self._rules.compaction_batch)
        except (CompactedError, FutureRevisionError):
            return Outcome.COMPACTED, begins + cost
        self._pending += 1  # scheduledCompact in bucket `meta`
        done = self._commit(begins + cost)
        job = _Compaction(work, work.walked // self._rules.compaction_batch + 1)
        self._compactions.append(job)
        if len(self._compactions) == 1:
            self._start(job, done)
        return Outcome.UNCHANGED, done

    def _start(self, job: _Compaction, now: Nanoseconds) -> None:
        walk = self.mvcc.keys_live * self._costs.index_walk
        self._work += walk
        job.started = now + walk
        self._turn_due = job.started
        self._next_due = min(self._commit_due, self._turn_due)
        self.tail.compacting(self.live_by_writer)

    def _turn(self) -> None:
        """One turn of the running compaction: a batch, or the forced commit after it."""
        job, rules = self._compactions[0], self._rules
        begins = max(self._turn_due, self._free)
        if not job.scanning:
            if rules.commit_on_delete or self._pending:
                self._free = self._commit(begins, COMPACTION)
            else:
                self._free = begins
            self.turns.times.append(self._free)
            self.turns.columns[0].append(self._free - job.asked)
            job.scanning = True
            job.batch += 1
            rests_from = job.asked if rules.pause_ticks else self._free
            self._turn_due = max(self._free, rests_from + rules.compaction_pause)
            return
        job.asked = self._turn_due
        last = job.batch == job.batches - 1
        walked = job.work.walked - job.batch * rules.compaction_batch if last else rules.compaction_batch
        removed = self._removed(job)
        work = walked * self._costs.scan + len(removed) * self._costs.delete
        self._work += work
        ends = begins + work + int(walked * self.fault)
        self.tail.holds.append((ends, begins, COMPACTION))
        self.tail.compaction_held(ends - begins)
        self._pending += last  # finishedCompact in bucket `meta`
        if len(removed):
            self.pages.free(removed)
            self._pending += len(removed)
        if (len(removed) and rules.commit_on_delete) or self._pending >= rules.batch_limit:
            ends = self._commit(ends, COMPACTION)
        if len(removed):
            self.removed.times.append(ends)
            self.removed.columns[0].append(len(removed))
        self._free = ends
        if not last:
            job.scanning = False
            self._turn_due = ends
            return
        self.compactions.times.append(ends)
        self.compactions.columns[0].append(ends - job.started)
        self._compactions.popleft()
        self._turn_due = NEVER
        if self._compactions:
            self._start(self._compactions[0], ends)

    @staticmethod
    def _removed(job: _Compaction) -> NDArray[np.int64]:
        """The slots that the job's current batch removes."""
        batch_of = job.work.batch_of
        first, end = np.searchsorted(batch_of, [job.batch, job.batch + 1])
        return job.work.removed[first:end]
