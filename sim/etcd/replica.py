"""A follower's own applier as a station: what the leader has told it to be committed, entry by entry, behind its own commits.

    learns      the commit index rides in the leader's next message; the entries up to it are handed over in the Ready that has it
    applier     FIFO; each entry its own time, drawn from the member's own stream
    commits     the member's own timer and limit of operations; the pages are those of the leader's last commit, for both have
                applied the same

Sources: etcd server/etcdserver/raft.go (start: what is committed is handed over before the save of the same Ready),
server/storage/backend (backend.go run, batch_tx.go Unlock). Simplified: turns of a compaction and reads take no time from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from sim.etcd.leaf import PAGE
from sim.etcd.member import Member
from sim.etcd.request import COHORT, Entry, Op
from sim.journal import Journal, Samples
from sim.units import Nanoseconds

_FORCE: Final = frozenset({Op.COMPACT, Op.LEASE_REVOKE})
"""What commits as it is applied."""


class Replica:
    """The applier of a member that follows. pages: how many pages a commit writes now, 0 where that is not known; page_write: CPU
    time of one, nanoseconds.

    interval: of its commit timer, which first rings at `due`; limit: operations that commit without it. behind: how much later
    than the leader each entry is applied here, nanoseconds.
    """

    def __init__(
        self, member: Member, pages: Callable[[], int], page_write: Nanoseconds, interval: Nanoseconds, due: Nanoseconds,
        limit: int,
    ):  # fmt: skip
        self.member, self._pages, self._page_write = member, pages, page_write
        self._interval, self._limit, self._commit_due = interval, limit, due
        self._pending = 0
        self._last_pages = 1
        self.free_at: Nanoseconds = 0
        """When everything that has been handed over so far is applied."""
        self.applied = Journal(0)
        self.behind = Samples()
        self._work: Nanoseconds = 0

    def hand_over(self, at: Nanoseconds, entries: Iterable[Entry]) -> list[Nanoseconds]:
        """Entries that reach the applier at `at`: when each is applied."""
        draw, dones, free, down = self.member.apply, [], self.free_at, self.member.down
        at = down.after(at)
        asks = free if free > at else at
        for entry in entries:
            if self._commit_due <= asks:
                asks = self._timer(asks)
            count, extra = (entry.count, entry.shape.apply_ns) if entry.op is COHORT else (1, entry.shape.apply_ns)  # type: ignore[attr-defined]
            done = asks
            for _ in range(count):
                done += draw() + extra
            self._work += done - asks
            self._pending += count
            if self._pending >= self._limit or entry.op in _FORCE:
                done = self._commit(done)
            if down.after(asks) > asks or down.next_start(asks) < done:
                done = down.finish(asks, done)
            dones.append(done)
            self.behind.add(max(0, done - entry.done))
            asks = done
        self.free_at = asks
        self.applied.times.extend(dones)
        return dones

    def ahead(self, now: Nanoseconds) -> int:
        """Entries that are known to be committed and not applied yet."""
        return self.applied.ahead(now)

    def take_work(self) -> Nanoseconds:
        """CPU time of what was applied and committed since the last call."""
        work, self._work = self._work, 0
        return work

    def starts(self, now: Nanoseconds) -> None:
        """It follows from now on; what it was handed as the leader it has applied."""
        self.free_at = max(self.free_at, now)

    def _timer(self, asks: Nanoseconds) -> Nanoseconds:
        """The commit timer rang before an entry asked: when the entry has the lock."""
        begins = max(self._commit_due, self.free_at)
        ends = self._commit(begins) if self._pending else begins
        self._commit_due = begins + self._interval if ends == begins else ends + self._interval
        if self._commit_due <= asks:  # an idle timer only comes round again
            self._commit_due += ((asks - self._commit_due) // self._interval + 1) * self._interval
        return max(asks, ends)

    def _commit(self, begins: Nanoseconds) -> Nanoseconds:
        """Pages and meta page, each with an fdatasync: when they are on the disk."""
        file = self.member.file
        pages = self._last_pages = self._pages() or self._last_pages
        self._pending = 0
        work = pages * self._page_write
        self._work += work
        return file.sync(file.sync(begins + work, pages * PAGE), PAGE)
