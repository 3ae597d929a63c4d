"""Golden traces of etcd's store: what puts, deletes, transactions, compactions and reads of old revisions answered.

The mechanism keeps sizes, not values; a read of the past is answered here from the slots that it says a compaction has left, so a
slot removed too early shows as another answer, one removed too late in the number of removed revisions (`store`).

Sources: etcd server/storage/mvcc/kvstore_txn.go (rangeKeys, deleteRange), kvstore.go (Compact), api/v3rpc/rpctypes/error.go.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

from sim.conform.format import Answer, Config, Mechanism, Operation, Operations, read_text, read_whole, read_whole_or_0
from sim.etcd.mvcc import CompactedError, FutureRevisionError, Mvcc

_COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
_FUTURE: Final = "etcdserver: mvcc: required revision is a future revision"
_KEEPS_TOMBSTONE_SINCE: Final = {4: 34, 5: 16}
"""By minor version the patch since which a tombstone exactly at the compaction revision is kept."""
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class _Version:
    """What a slot holds; version 0 is a tombstone."""

    revision: int
    created: int
    version: int


@dataclass(slots=True)
class _Slots:
    """Where elements are kept: here only their number counts."""

    count: int = 0

    def append(self, element: int) -> int:
        self.count += 1
        return self.count - 1


@dataclass(slots=True)
class _Store:
    """The mechanism, and what each of its slots holds."""

    mvcc: Mvcc
    slots: _Slots
    content: list[_Version] = field(default_factory=list)
    by_key: dict[str, list[int]] = field(default_factory=dict)
    removed: int = 0

    def note(self, key: str, version: _Version) -> None:
        """The newest slot belongs to that key."""
        self.content.append(version)
        self.by_key.setdefault(key, []).append(len(self.content) - 1)
        if len(self.content) != self.slots.count:
            raise AssertionError("a slot was stored that nobody noted")

    def put(self, key: str) -> None:
        state = self.mvcc.put(key, 100)
        self.note(key, _Version(state.modified, state.created, state.version))

    def delete(self, keys: list[str]) -> int:
        alive = [key for key in keys if self.mvcc.state(key) is not None]
        if len(alive) == 1:
            self.mvcc.delete(alive[0], 20)
        else:
            self.mvcc.delete_together([], alive, [20] * len(alive))
        for key in alive:
            self.content.append(_Version(self.mvcc.revision, 0, 0))
            self.by_key[key].append(len(self.content) - 1)
        return len(alive)

    def compact(self, revision: int) -> None:
        found = self.mvcc.compact(revision, _BATCH)
        gone = set(found.removed.tolist())
        self.removed += len(gone)
        for key in list(self.by_key):
            self.by_key[key] = [slot for slot in self.by_key[key] if slot not in gone]

    def within(self, key: str, end: str) -> list[str]:
        """The keys that were ever written of a range, in order."""
        return sorted(name for name in self.by_key if (key <= name < end if end else name == key))

    def at(self, key: str, revision: int) -> _Version | None:
        """What the surviving slots say of a key at a revision; None: it was not there."""
        slots = self.by_key[key]
        place = bisect_right(slots, revision, key=lambda slot: self.content[slot].revision)
        found = self.content[slots[place - 1]] if place else None
        return found if found is not None and found.version else None


def _store(config: Config) -> Operations:
    patch = config.take(read_whole, "patch")
    config.finish("patch")
    minor, slots = config.release[1], _Slots()
    store = _Store(Mvcc(slots, patch >= _KEEPS_TOMBSTONE_SINCE.get(minor, 0) if minor <= 5 else True), slots)
    mvcc = store.mvcc

    def put(now: int, key: str) -> Answer:
        store.put(key)
        return {"revision": mvcc.revision}

    def delete(now: int, key: str, end: str) -> Answer:
        return {"deleted": store.delete(store.within(key, end)), "revision": mvcc.revision}

    def txn(now: int, key: str, expected: int) -> Answer:
        state = mvcc.state(key)
        modified = 0 if state is None else state.modified
        if modified != expected:
            return {"succeeded": False, "modified": modified, "revision": mvcc.revision}
        store.put(key)
        return {"succeeded": True, "modified": mvcc.revision, "revision": mvcc.revision}

    def compact(now: int, revision: int) -> Answer:
        error = ""
        try:
            store.compact(revision)
        except CompactedError:
            error = _COMPACTED
        except FutureRevisionError:
            error = _FUTURE
        return {"error": error}

    def read(now: int, key: str, end: str, revision: int, limit: int) -> Answer:
        at = revision or mvcc.revision
        if at > mvcc.revision:
            return {"error": _FUTURE, "kvs": [], "count": 0, "more": False}
        if at < mvcc.compacted:
            return {"error": _COMPACTED, "kvs": [], "count": 0, "more": False}
        kvs = [
            [name, found.created, found.revision, found.version]
            for name in store.within(key, end)
            if (found := store.at(name, at)) is not None
        ]
        more = bool(limit) and len(kvs) > limit
        return {"error": "", "kvs": kvs[:limit] if limit else kvs, "count": len(kvs), "more": more}

    def tell(now: int) -> Answer:
        return {"keys": mvcc.keys_live, "revision": mvcc.revision, "compacted": mvcc.compacted, "removed": store.removed}

    reads, tells = ("error", "kvs", "count", "more"), ("keys", "revision", "compacted", "removed")
    return {
        "put": Operation(put, (read_text,), ("revision",), ("revision",)),
        "delete": Operation(delete, (read_text, read_text), ("deleted", "revision"), ("deleted", "revision")),
        "txn": Operation(txn, (read_text, read_whole), ("succeeded", "modified", "revision"), ("succeeded", "revision")),
        "compact": Operation(compact, (read_whole,), ("error",), ("error",)),
        "range": Operation(read, (read_text, read_text, read_whole_or_0, read_whole_or_0), reads, reads),
        "store": Operation(tell, (), tells, tells),
    }


STORE_MECHANISMS: Final = (Mechanism("etcd.store", _store),)
