"""The store behind the applier against a naive one: lists of versions, and nothing that is worked out.

Whatever is put, deleted, leased, revoked and compacted in whatever order: outcomes and revisions, which versions are still stored
and how long each is, live keys as etcd counts them, what a read of any revision that is left sees, leases and their bucket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from test_bbolt_bytes import conserved

from sim.etcd import leaf
from sim.etcd.backend import Backend
from sim.etcd.bbolt import Pages
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import SERVER_LEASES, Op, Outcome, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.hardware.disk import Disk, Stalls
from sim.units import MICROSECOND, MILLISECOND, SECOND

KEYS = ("a", "b", "c", "d")
LEASES = (1, 300, SERVER_LEASES + 7)
TTL = 90 * SECOND
BATCH = 4
"""Revisions of a compaction's turn: so few that compactions take many, and overlap with what comes next."""


@dataclass
class Version:
    """One stored version; version 0: a tombstone."""

    key: Any
    revision: int
    created: int
    version: int
    size: int
    gone: bool = False


@dataclass
class Lease:
    """What is attached, oldest first."""

    once: list[Any] = field(default_factory=list)
    named: set[str] = field(default_factory=set)


class Naive:
    """History as a list."""

    def __init__(self, keep_tombstone: bool):
        self.keep_tombstone = keep_tombstone
        self.revision, self.compacted = 1, -1
        self.history: list[Version] = []
        self.leases: dict[int, Lease] = {}

    def newest(self, key: Any, revision: int) -> Version | None:
        found = [version for version in self.history if version.key == key and version.revision <= revision]
        return found[-1] if found and found[-1].version else None

    def alive(self, revision: int) -> dict[Any, tuple[int, int, int]]:
        """Keys at a revision, by what was ever written: created, modified, version."""
        return self._seen(self.history, revision)

    def left(self, revision: int) -> dict[Any, tuple[int, int, int]]:
        """The same by what is still stored."""
        return self._seen([version for version in self.history if not version.gone], revision)

    @staticmethod
    def _seen(versions: list[Version], revision: int) -> dict[Any, tuple[int, int, int]]:
        newest = {version.key: version for version in versions if version.revision <= revision}
        return {key: (found.created, found.revision, found.version) for key, found in newest.items() if found.version}

    def put(self, key: Any, shape: Shape, lease: int) -> None:
        old = self.newest(key, self.revision)
        self.revision += 1
        created, version = (old.created, old.version + 1) if old else (self.revision, 1)
        kv = leaf.key_value(shape.key_bytes, shape.value_bytes, created, self.revision, version, lease)
        self.history.append(Version(key, self.revision, created, version, leaf.element(kv)))
        self.detach(key)
        if lease:
            held = self.leases[lease]
            held.named.add(key) if isinstance(key, str) else held.once.append(key)

    def detach(self, key: Any) -> None:
        for lease in self.leases.values():
            lease.named.discard(key)

    def delete(self, keys: list[Any], shape: Shape) -> None:
        if keys:
            self.revision += 1
        for key in keys:
            self.history.append(Version(key, self.revision, 0, 0, leaf.tombstone(shape.key_bytes)))
            self.detach(key)

    def compact(self, revision: int) -> None:
        self.compacted = revision
        newest = {version.key: version for version in self.history if version.revision <= revision}
        for version in self.history:
            kept = newest.get(version.key) is version and (
                version.version > 0 or (self.keep_tombstone and version.revision == revision)
            )
            version.gone = version.gone or (version.revision <= revision and not kept)


class Entry:
    """An entry of the log, as the applier needs it."""

    def __init__(self, op: Op, shape: Shape, key: Any = None, expected: int = 0, lease: int = 0):
        self.op, self.shape, self.key, self.expected, self.lease, self.writer = op, shape, key, expected, lease, 0
        self.outcome, self.revision, self.handed, self.done = Outcome.UNCHANGED, 0, 0, 0


class Stores(RuleBasedStateMachine):
    """Both stores, one request after the other, at small or large distances in time."""

    @initialize(keep=st.booleans(), commit_on_delete=st.booleans(), follows=st.booleans())
    def begin(self, keep: bool, commit_on_delete: bool, follows: bool) -> None:
        self.naive = Naive(keep)
        self.pages = Pages(small_follows_fill=follows)
        self.mvcc = Mvcc(self.pages, keep)
        self.shape = Shape("named", 31, 50)
        self.backend = Backend(
            self.mvcc, self.pages, Disk(lambda: MILLISECOND, 1e12, Stalls()), lambda: 10 * MICROSECOND,
            BackendCosts(1000, 1000, 1000, 1000, 1000),
            BackendRules(compaction_batch=BATCH, commit_on_delete=commit_on_delete), [self.shape], 1,
        )  # fmt: skip
        self.backend.begin()
        self.now = self.fresh = 0

    def do(self, op: Op, key: Any = None, expected: int = 0, lease: int = 0) -> Entry:
        entry = Entry(op, self.shape, key, expected, lease)
        self.now = max(self.now, self.backend.free_at)
        assert self.backend.hand_over(self.now, [entry]) == 1
        return entry

    def written(self, op: Op, key: Any, expected: int, lease: int) -> None:
        entry, naive = self.do(op, key, expected, lease), self.naive
        old = naive.newest(key, naive.revision)
        if op is not Op.PUT and op > Op.PUT_ONCE and (old.revision if old else 0) != expected:
            assert (entry.outcome, entry.revision) == (Outcome.CONFLICT, old.revision if old else 0)
        elif lease and lease not in naive.leases:
            assert entry.outcome is Outcome.LEASE_NOT_FOUND
        else:
            naive.put(key, self.shape, lease)
            assert (entry.outcome, entry.revision) == (Outcome.UPDATED if old else Outcome.CREATED, naive.revision)

    @rule(key=st.sampled_from(KEYS), lease=st.sampled_from((0, 0, *LEASES)))
    def put(self, key: str, lease: int) -> None:
        self.written(Op.PUT, key, 0, lease)

    @rule(key=st.sampled_from(KEYS), lease=st.sampled_from((0, *LEASES)), right=st.booleans())
    def transaction(self, key: str, lease: int, right: bool) -> None:
        old = self.naive.newest(key, self.naive.revision)
        expected = (old.revision if old else 0) if right else self.naive.revision + 1
        self.written(Op.UPDATE if expected else Op.CREATE, key, expected, lease)

    @rule(lease=st.sampled_from((0, *LEASES)))
    def put_once(self, lease: int) -> None:
        self.fresh += 1
        if lease:
            self.written(Op.CREATE_ONCE, self.fresh, 0, lease)
            return
        self.naive.put(self.fresh, self.shape, 0)
        entry = self.do(Op.PUT_ONCE)
        assert (entry.outcome, entry.revision) == (Outcome.CREATED, self.naive.revision)

    @rule(key=st.sampled_from(KEYS), condition=st.sampled_from(("none", "right", "wrong")))
    def delete(self, key: str, condition: str) -> None:
        naive = self.naive
        old = naive.newest(key, naive.revision)
        expected = old.revision if old and condition == "right" else naive.revision + 1
        entry = self.do(Op.DELETE_ANY if condition == "none" else Op.DELETE, key, expected)
        if old and condition != "wrong":
            naive.delete([key], self.shape)
            assert (entry.outcome, entry.revision) == (Outcome.DELETED, naive.revision)
        else:
            assert entry.outcome is (Outcome.UNCHANGED if condition == "none" else Outcome.CONFLICT)

    @rule(lease=st.sampled_from(LEASES))
    def grant(self, lease: int) -> None:
        there = lease in self.naive.leases
        assert self.do(Op.LEASE_GRANT, None, TTL, lease).outcome is (Outcome.LEASE_EXISTS if there else Outcome.UNCHANGED)
        self.naive.leases.setdefault(lease, Lease())

    @rule(lease=st.sampled_from(LEASES))
    def revoke(self, lease: int) -> None:
        held = self.naive.leases.get(lease)
        entry = self.do(Op.LEASE_REVOKE, None, 0, lease)
        if held is None:
            assert entry.outcome is Outcome.LEASE_NOT_FOUND
            return
        names = sorted(held.named)
        self.naive.delete([*held.once, *names], self.shape)
        del self.naive.leases[lease]
        assert entry.outcome is Outcome.UNCHANGED
        assert self.backend.take_revoked(lease) == names

    @rule(share=st.floats(0, 1.2))
    def compact(self, share: float) -> None:
        naive = self.naive
        revision = round(naive.compacted + share * (naive.revision - naive.compacted))
        entry = self.do(Op.COMPACT, None, revision)
        if naive.compacted < revision <= naive.revision:
            assert entry.outcome is Outcome.UNCHANGED
            naive.compact(revision)
        else:
            assert entry.outcome is Outcome.COMPACTED  # etcd: or that it is a future revision

    @rule(wait=st.sampled_from((MILLISECOND, 20 * MILLISECOND, SECOND)))
    def time_goes_by(self, wait: int) -> None:
        self.now += wait
        self.backend.advance(self.now)

    @rule()
    def defragment(self) -> None:
        self.now = self.backend.defrag(max(self.now, self.backend.free_at))

    @invariant()
    def counts_agree(self) -> None:
        mvcc, naive = self.mvcc, self.naive
        assert (mvcc.revision, mvcc.compacted) == (naive.revision, naive.compacted)
        assert mvcc.keys_live == len(naive.alive(naive.revision)) == sum(self.backend.live_by_writer)
        stored = sum(not version.gone for version in naive.history)
        assert (mvcc.retained, mvcc.slots_up_to(naive.revision)) == (stored, len(naive.history))
        assert mvcc.retained == mvcc.keys_live + mvcc.dead

    @invariant()
    def what_is_left_answers_for_every_revision_that_is_left(self) -> None:
        for revision in range(max(self.naive.compacted, 1), self.naive.revision + 1):
            assert self.naive.left(revision) == self.naive.alive(revision)

    @invariant()
    def leases_hold_the_same_keys(self) -> None:
        held = self.backend._leases.held
        assert {lease: set(mine.named) for lease, mine in held.items()} == {
            lease: mine.named for lease, mine in self.naive.leases.items()
        }
        elements = [size for size in self.pages.leases.sizes if size]
        assert sorted(elements) == sorted(leaf.lease(lease, TTL // SECOND) for lease in self.naive.leases)

    @precondition(lambda self: not self.backend._compactions)
    @invariant()
    def the_same_versions_are_stored(self) -> None:
        expected = [0 if version.gone else version.size for version in self.naive.history]
        assert list(self.pages.keys.sizes) == expected

    def teardown(self) -> None:
        if hasattr(self, "backend"):
            self.backend.advance(self.now + 1000 * SECOND)
            self.the_same_versions_are_stored()
            self.pages.commit()
            conserved(self.pages)
            removed = sum(chain(self.backend.removed.columns[0]))
            assert removed == sum(version.gone for version in self.naive.history)


Stores.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStores = Stores.TestCase
