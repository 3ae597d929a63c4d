"""The batch lock of one member, and who takes it by himself: the commit timer and compactions.

Whoever holds the lock makes the others wait; it is given first come, first served. The turns that were asked for before somebody
else asks are replayed first (`_run_until`), so nothing is an event here. What is computed ahead stands in journals until its time
has come.

    timer       100 ms after its last turn ended: commits what is pending, dirty pages written, two fdatasyncs
    compaction  turn by turn (`sim.etcd.compaction`)
    defrag      all locks

Sources: etcd server/storage/backend (backend.go run, defrag; batch_tx.go Unlock, commit).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections import deque
from collections.abc import Callable

from sim.etcd.bbolt import Pages
from sim.etcd.leaf import PAGE
from sim.etcd.mvcc import Mvcc
from sim.etcd.rules import GROWTH, BackendCosts, BackendRules
from sim.etcd.tail import COMMIT, Tail
from sim.hardware.disk import NEVER, Disk
from sim.journal import Journal
from sim.units import Bytes, Nanoseconds


class BatchLock(ABC):
    """The open bbolt transaction and the lock around it.

    pending: changes of the store since the last commit, of them each writer's. commits: when each was done, and how long it took.
    """

    __slots__ = (
        "_apply_cost", "_asked", "_commit_due", "_costs", "_disk", "_exclusive", "_free", "_limit", "_next_due", "_pending",
        "_pending_by", "_resumes", "_rules", "_turn_due", "_work", "commit_pages", "commits", "database", "length", "mvcc", "pages",
        "size", "tail",
    )  # fmt: skip

    def __init__(
        self, mvcc: Mvcc, pages: Pages, disk: Disk, apply_cost: Callable[[], Nanoseconds], costs: BackendCosts,
        rules: BackendRules, writers: int,
    ):  # fmt: skip
        self.mvcc, self.pages, self._disk, self._apply_cost = mvcc, pages, disk, apply_cost
        self._costs, self._rules = costs, rules
        self._limit = rules.batch_limit
        self._free: Nanoseconds = 0
        self._commit_due: Nanoseconds = rules.batch_interval
        self._turn_due: Nanoseconds = NEVER
        self._next_due: Nanoseconds = self._commit_due
        self._resumes: Nanoseconds = 0
        self._asked: Nanoseconds = NEVER  # when an entry asked that is not applied yet
        self._exclusive: deque[tuple[Nanoseconds, Nanoseconds]] = deque()  # from when somebody wants store.mu, until he is done
        self._pending = 0
        self._pending_by = [0] * writers
        self._work: Nanoseconds = 0
        self.length: Bytes = 0  # of the file, as it is allocated
        self.size: Bytes = 0  # up to the high-water mark, as the last commit that was computed leaves it
        self.commits = Journal(1)  # duration
        self.commit_pages: array[int] = array("q")  # of each of them, how many pages it wrote
        self.database = Journal(2)  # bytes in total, in use: as a commit leaves them
        self.tail = Tail(writers)

    @property
    def free_at(self) -> Nanoseconds:
        """When everything that has been handed over so far is applied."""
        return self._free

    def take_work(self) -> Nanoseconds:
        """CPU time of what was applied, committed and compacted since the last call."""
        work, self._work = self._work, 0
        return work

    def advance(self, now: Nanoseconds) -> None:
        """Replay the turns of timer and compaction that were asked for by `now`."""
        if self._next_due <= now:
            self._run_until(min(now, self._asked))

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

    @abstractmethod
    def _turn(self) -> None:
        """One turn of the running compaction."""

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
        ends = self._disk.sync(ends, pages * PAGE)
        ends = self._disk.sync(ends, PAGE)
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

    def begin(self) -> None:
        """The preloaded objects are on disk; time starts."""
        self.pages.commit()
        self.pages.commit()
        self.length = self.pages.bytes_total
        self._sized(0)

    def defrag(self, now: Nanoseconds) -> Nanoseconds:
        """The file is copied to a smaller one from now on: when that is done. Until then nobody reads, writes or commits here.

        It takes all locks, so it begins when whoever has them is done (backend.go defrag).
        """
        self.advance(now)
        begins = max(now, self._free)
        copied_from = self._commit(begins)
        live = self.pages.defrag()
        ends = self._disk.sync(copied_from + self._costs.defrag + live * self._costs.defrag_mb // 1_000_000, live)
        self.length = self.pages.bytes_total
        self._sized(ends)
        self.tail.holds.append((ends, copied_from, COMMIT))
        self._exclusive.append((now, ends))
        self._free = self._resumes = ends
        return ends

    def _sized(self, at: Nanoseconds) -> None:
        """The file is of the size that `pages` says, from `at` on."""
        self.size = self.pages.bytes_total
        self.database.times.append(at)
        self.database.columns[0].append(self.size)
        self.database.columns[1].append(self.pages.bytes_in_use)
