"""client-go's DeltaFIFO: the queue between reflector and store up to client-go 0.32.

    items    key -> its deltas since it was last popped, oldest first
    queue    keys in the order of their first pending delta; a key is here if and only if it is in items

A change appends a delta to its key's list and the key keeps its place. Only two adjacent deletions merge into one
(that which knows the object is kept over a tombstone): updates are NOT merged, N of them are N handler calls. It is
the work queue that compresses, not the informer.

A relist (`replace`) tells every listed object, then a tombstone for every key that is pending or known and not
listed. The FIFO has synced when what the first relist brought has been popped, or at once if a watch event came
first.

Source: k8s.io/client-go v0.35.0, tools/cache/delta_fifo.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from sim.clientgo.deltas import Delta, DeltaType, Popped, key_of
from sim.clientgo.keys import DeletedFinalStateUnknown, KeyFunc, meta_namespace_key
from sim.clientgo.store import KnownObjects


class DeltaFIFO:
    """Pending deltas by key. Methods that take objects raise ValueError if `key_func` cannot key one.

    known_objects: the store behind it (None: deletions of unknown objects are judged by what is pending alone, and a
    relist misses deletions). emit_delta_type_replaced: relists say Replaced, as shared informers ask for, instead of
    Sync.
    """

    __slots__ = (
        "_emit_replaced", "_initial_population", "_items", "_key_func", "_known", "_populated", "_queue",
    )  # fmt: skip

    def __init__(
        self,
        known_objects: KnownObjects | None = None,
        key_func: KeyFunc = meta_namespace_key,
        emit_delta_type_replaced: bool = False,
    ):
        self._known = known_objects
        self._key_func = key_func
        self._emit_replaced = emit_delta_type_replaced
        self._items: dict[str, list[Delta]] = {}
        self._queue: deque[str] = deque()
        self._populated = False
        self._initial_population = 0

    def add(self, obj: object) -> None:
        """An Added event."""
        self._populated = True
        self._append(DeltaType.ADDED, obj)

    def update(self, obj: object) -> None:
        """A Modified event."""
        self._populated = True
        self._append(DeltaType.UPDATED, obj)

    def delete(self, obj: object) -> None:
        """A Deleted event; dropped if the object is neither pending nor known."""
        key = key_of(self._key_func, obj)
        self._populated = True
        if key not in self._items and (self._known is None or key not in self._known):
            return
        self._append(DeltaType.DELETED, obj)

    def replace(self, objects: Iterable[object]) -> None:
        """A relist: tell every object of `objects`, then the deletion of everything else."""
        listed = set()
        told = DeltaType.REPLACED if self._emit_replaced else DeltaType.SYNC
        for obj in objects:
            listed.add(key_of(self._key_func, obj))
            self._append(told, obj)
        deletions = 0
        for key in [key for key in self._items if key not in listed]:
            last = self._items[key][-1].object
            if isinstance(last, DeletedFinalStateUnknown):
                last = last.obj
            self._append(DeltaType.DELETED, DeletedFinalStateUnknown(key, last))
            deletions += 1
        if self._known is not None:
            for key in self._known.list_keys():
                if key not in listed and key not in self._items:
                    tombstone = DeletedFinalStateUnknown(key, self._known.get_by_key(key))
                    self._append(DeltaType.DELETED, tombstone)
                    deletions += 1
        if not self._populated:
            self._populated = True
            self._initial_population = len(listed) + deletions

    def resync(self) -> None:
        """Tell every known object again that has nothing pending."""
        if self._known is None:
            return
        for key in self._known.list_keys():
            if key in self._known:
                obj = self._known.get_by_key(key)
                if key_of(self._key_func, obj) not in self._items:
                    self._append(DeltaType.SYNC, obj)

    def pop(self) -> Popped | None:
        """All pending deltas of the key that has been pending longest; None would block."""
        if not self._queue:
            return None
        in_initial_list = not self.has_synced
        key = self._queue.popleft()
        if self._initial_population > 0:
            self._initial_population -= 1
        return Popped(key, self._items.pop(key), in_initial_list)

    @property
    def has_synced(self) -> bool:
        """Whether the first relist has been popped, or a watch event came before any relist."""
        return self._populated and self._initial_population == 0

    def pending_keys(self) -> Iterable[str]:
        """Keys in the order in which they will be popped."""
        return self._queue

    def swap(self, one: str, other: str) -> None:
        """Exchange the places of two pending keys."""
        i, j = self._queue.index(one), self._queue.index(other)
        self._queue[i], self._queue[j] = other, one

    def __len__(self) -> int:
        """Keys with pending deltas."""
        return len(self._queue)

    def _append(self, kind: DeltaType, obj: object) -> None:
        key = key_of(self._key_func, obj)
        deltas = self._items.get(key)
        if deltas is None:
            self._items[key] = [Delta(kind, obj)]
            self._queue.append(key)
            return
        if kind is DeltaType.DELETED and deltas[-1].type is DeltaType.DELETED:
            if isinstance(deltas[-1].object, DeletedFinalStateUnknown):
                deltas[-1] = Delta(kind, obj)
            return
        deltas.append(Delta(kind, obj))
