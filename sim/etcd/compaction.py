"""Compactions: after an index walk, batches of 1000 revisions; turns of the batch lock, one job at a time.

    apply      marks the revision and commits, in the applier
    job        a walk over the index, then for each batch: scan and delete [, commit]; a forced commit; a pause
    last one   no forced commit: finishedCompact, and the end

Sources: etcd server/storage/mvcc/kvstore.go (Compact), kvstore_compaction.go (scheduleCompaction).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.etcd.batch_lock import BatchLock
from sim.etcd.bbolt import Pages
from sim.etcd.mvcc import Compacted, CompactedError, FutureRevisionError, Mvcc
from sim.etcd.request import Outcome
from sim.etcd.rules import BackendCosts, BackendRules
from sim.etcd.tail import COMPACTION
from sim.hardware.disk import NEVER, Disk
from sim.journal import Journal
from sim.units import Nanoseconds


@dataclass(slots=True)
class Job:
    """A compaction on its way: which batch comes next, and whether its scan or its forced commit."""

    work: Compacted
    batches: int
    walks_from: Nanoseconds = 0
    started: Nanoseconds = 0
    asked: Nanoseconds = 0
    batch: int = 0
    scanning: bool = True


class Compacting(BatchLock):
    """A batch lock that compactions take turn by turn."""

    __slots__ = (
        "_compactions", "_compacts_until", "_index_until", "_walked_until", "compactions", "fault", "live_by_writer", "removed",
        "turns",
    )  # fmt: skip

    def __init__(
        self, mvcc: Mvcc, pages: Pages, disk: Disk, apply_cost: Callable[[], Nanoseconds], costs: BackendCosts,
        rules: BackendRules, writers: int,
    ):  # fmt: skip
        super().__init__(mvcc, pages, disk, apply_cost, costs, rules, writers)
        self._compactions: deque[Job] = deque()
        self._compacts_until: Nanoseconds = 0  # when the last walk of a compaction over the index ends
        self._walked_until: Nanoseconds = 0  # when the last walk of a read over the index ends
        self._index_until: Nanoseconds = 0  # until when a put may have to wait for the index
        self.fault: float = 0.0  # read from the disk for each revision that a compaction or a list walks, ns on average
        self.live_by_writer = [0] * writers  # of the keys that each created
        self.removed = Journal(1)  # revisions that a compaction batch removed
        self.turns = Journal(1)  # duration of a compaction batch, lock wait included
        self.compactions = Journal(1)  # duration of a compaction's database phase

    def _compact(self, revision: int, begins: Nanoseconds, cost: Nanoseconds) -> tuple[Outcome, Nanoseconds]:
        """Apply a compaction request: a forced commit now, the work as a job of its own."""
        try:
            work = self.mvcc.compact(revision, self._rules.compaction_batch)
        except (CompactedError, FutureRevisionError):
            return Outcome.COMPACTED, begins + cost
        self._pending += 1  # scheduledCompact in bucket `meta`
        done = self._commit(begins + cost)
        job = Job(work, work.walked // self._rules.compaction_batch + 1)
        self._compactions.append(job)
        if len(self._compactions) == 1:
            self._start(job, done)
        return Outcome.UNCHANGED, done

    def _start(self, job: Job, now: Nanoseconds) -> None:
        walk = self.mvcc.keys_live * self._costs.index_walk
        self._work += walk
        job.walks_from = max(now, self._walked_until)
        job.started = self._compacts_until = job.walks_from + walk
        self._index_until = max(self._index_until, job.started)
        self._turn_due = job.started
        self._next_due = min(self._commit_due, self._turn_due)
        self.tail.compacting(self.live_by_writer)

    def _postpone_walk(self, since: Nanoseconds, until: Nanoseconds) -> None:
        """The walk over the index stands still while a read walks it."""
        job = self._compactions[0] if self._compactions else None
        if job is not None and job.started == self._turn_due == self._compacts_until:
            job.started += max(0, until - max(since, job.walks_from))
            self._turn_due = self._compacts_until = job.started
            self._next_due = min(self._commit_due, self._turn_due)

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
    def _removed(job: Job) -> NDArray[np.int64]:
        """The slots that the job's current batch removes."""
        batch_of = job.work.batch_of
        first, end = np.searchsorted(batch_of, [job.batch, job.batch + 1])
        return job.work.removed[first:end]
