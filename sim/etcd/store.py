"""What an entry of the log changes in the store, and which of them an alarm refuses.

A put or a delete of a named key is on its condition; a lease is looked up where the condition holds, and before anything changes.

Sources: etcd server/storage/mvcc/kvstore_txn.go (put, delete), etcdserver/apply.go (checkRequestPut), lease/lessor.go (Revoke).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Final

import numpy as np

from sim.etcd import leaf, wal
from sim.etcd.bbolt import Pages
from sim.etcd.compaction import Compacting
from sim.etcd.leases import Leases
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import Entry, Op, Outcome, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.hardware.disk import Disk
from sim.units import SECOND, Nanoseconds

GROWS: Final = frozenset({Op.CREATE_ONCE, Op.PUT_ONCE, Op.CREATE, Op.UPDATE, Op.PUT, Op.LEASE_GRANT})
"""What the quota is asked for, and what an alarm refuses (etcdserver/apply/apply.go applierV3Capped)."""


class Store(Compacting):
    """The store of one member: keys, leases, who created what."""

    __slots__ = ("_element_limit", "_leases", "_reader", "_readers_until", "_shapes", "capped", "revoked")

    def __init__(
        self, mvcc: Mvcc, pages: Pages, disk: Disk, apply_cost: Callable[[], Nanoseconds], costs: BackendCosts,
        rules: BackendRules, shapes: Iterable[Shape], writers: int,
    ):  # fmt: skip
        super().__init__(mvcc, pages, disk, apply_cost, costs, rules, writers)
        self._shapes = list(shapes)
        self._leases = Leases()
        self._element_limit = 0
        self._readers_until: Nanoseconds = 0
        self._reader = 0
        self.capped = False  # the NOSPACE alarm is raised
        self.revoked: deque[tuple[Nanoseconds, int, int]] = deque()  # when, writer of the keys, how many
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

    @property
    def leases_held(self) -> int:
        """Leases that are granted and not revoked."""
        return len(self._leases.held)

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
            outcome, changes = self._grant(entry)
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
        if lease and lease not in self._leases.held:
            return Outcome.LEASE_NOT_FOUND, 0
        revision = mvcc.revision + 1
        if state is None:
            outcome, created, version = Outcome.CREATED, revision, 1
            self.live_by_writer[writer] += 1
        else:
            outcome, created, version = Outcome.UPDATED, state.created, state.version + 1
        state = mvcc.put(entry.key, entry.shape.element(created, revision, version, lease))
        if version == 1:
            state.creator = writer
        entry.revision = revision
        if state.lease or lease:
            self._leases.detach(entry.key, state)
            self._leases.attach(entry.key, state, lease, entry.shape.tombstone)
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
        self._leases.detach(entry.key, state)
        return Outcome.DELETED, 1

    def _grant(self, entry: Entry) -> tuple[Outcome, int]:
        """A lease, and its element in bucket `lease`: the outcome, and how many changes of the store it took."""
        if entry.lease in self._leases.held:
            return Outcome.LEASE_EXISTS, 0
        self._leases.grant(entry.lease, self.pages.leases.append(leaf.lease(entry.lease, entry.expected // SECOND)))
        return Outcome.UNCHANGED, 1

    def _create_leased(self, entry: Entry) -> tuple[Outcome, int]:
        """A write-once key attached to a lease: the outcome, and how many changes of the store it took."""
        lease = self._leases.held.get(entry.lease)
        if lease is None:
            return Outcome.LEASE_NOT_FOUND, 0
        revision = self.mvcc.revision + 1
        lease.slots.append(self.mvcc.create_once(entry.shape.element(revision, revision, 1, entry.lease)))
        lease.tombstones.append(entry.shape.tombstone)
        lease.writers.append(entry.writer)
        entry.revision = self.mvcc.revision
        self.live_by_writer[entry.writer] += 1
        return Outcome.CREATED, 1

    def _revoke(self, entry: Entry, done: Nanoseconds) -> tuple[Outcome, Nanoseconds]:
        """A lease and everything attached to it go: the outcome, and when that is done.

        etcd deletes the keys in the order of their names. Those of write-once keys are not known: they come first here, by age.
        """
        revoked = self._leases.revoke(entry.lease)
        if revoked is None:
            return Outcome.LEASE_NOT_FOUND, done
        lease, names = revoked
        self.pages.leases.free(np.array([lease.slot], dtype=np.int64))
        mvcc = self.mvcc
        writers = lease.writers + [mvcc.named[name].creator for name in names]
        tombstones = lease.tombstones + [lease.named[name] for name in names]
        if mvcc.delete_together(lease.slots, names, tombstones):
            entry.revision = mvcc.revision
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
        return self._leases.take_revoked(lease)

    def _widen(self) -> None:
        """A revision's varint got longer: work out the element size of a new key of each type again."""
        revision = self.mvcc.revision + 1
        for shape in self._shapes:
            shape.create_element = shape.element(revision, revision, 1, shape.lease)
        self._element_limit = (1 << (7 * wal.vl(revision))) - 1
