"""client-go's RealFIFO: the default queue between reflector and store from client-go 0.33 (InOrderInformers).

One flat list of single deltas in the order of the watch; nothing is merged and nothing is dropped: deletions of
unknown objects are delivered too. A relist first tells the deletions, then the listed objects. From 0.35 the consumer
takes batches: up to 1000 deltas with distinct keys, for one lock of the store.

Not modelled: the atomic mode of 0.36 (AtomicFIFO), where a relist or resync is one entry that is taken apart when
popped.

Source: k8s.io/client-go v0.35.0, tools/cache/the_real_fifo.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

from sim.clientgo.deltas import Delta, DeltaType, Popped, key_of
from sim.clientgo.keys import DeletedFinalStateUnknown, KeyFunc, meta_namespace_key
from sim.clientgo.store import KnownObjects

BATCH_SIZE: Final = 1000
"""defaultBatchSize of the_real_fifo.go."""


class RealFIFO:
    """Pending deltas in watch order. Methods that take objects raise ValueError if `key_func` cannot key one.

    known_objects: the store behind it, asked at relist and resync.
    """

    __slots__ = ("_initial_population", "_items", "_key_func", "_known", "_populated")

    def __init__(self, known_objects: KnownObjects, key_func: KeyFunc = meta_namespace_key):
        self._known = known_objects
        self._key_func = key_func
        self._items: deque[tuple[str, Delta]] = deque()
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
        """A Deleted event, delivered whether or not anybody knows the object."""
        self._populated = True
        self._append(DeltaType.DELETED, obj)

    def replace(self, objects: Iterable[object]) -> None:
        """A relist: tell the deletion of everything pending or known that is not listed, then every listed object."""
        listed = [(key_of(self._key_func, obj), obj) for obj in objects]
        keys = {key for key, _ in listed}
        pending = dict(self._items)  # the last delta of each key, in order of the first
        for key, last in pending.items():
            if key not in keys and last.type is not DeltaType.DELETED:
                self._append(DeltaType.DELETED, DeletedFinalStateUnknown(key, last.object))
        for key in self._known.list_keys():
            if key not in keys and key not in pending:
                self._append(DeltaType.DELETED, DeletedFinalStateUnknown(key, self._known.get_by_key(key)))
        self._items.extend((key, Delta(DeltaType.REPLACED, obj)) for key, obj in listed)
        if not self._populated:
            self._populated = True
            self._initial_population = len(self._items)

    def resync(self) -> None:
        """Tell every known object again that has nothing pending."""
        pending = {key for key, _ in self._items}
        for key in self._known.list_keys():
            if key not in pending and key in self._known:
                self._append(DeltaType.SYNC, self._known.get_by_key(key))

    def pop(self) -> Popped | None:
        """The oldest delta; None would block."""
        if not self._items:
            return None
        in_initial_list = not self.has_synced
        key, delta = self._items.popleft()
        if self._initial_population > 0:
            self._initial_population -= 1
        return Popped(key, [delta], in_initial_list)

    def pop_batch(self) -> list[Popped]:
        """The oldest deltas up to the first repeated key, the end of the initial list or `BATCH_SIZE`.

        Empty would block.
        """
        in_initial_list = not self.has_synced
        limit = min(BATCH_SIZE, self._initial_population or BATCH_SIZE)
        batch: dict[str, Popped] = {}
        for key, delta in islice(self._items, limit):
            if key in batch:
                break
            batch[key] = Popped(key, [delta], in_initial_list)
        for _ in batch:
            self._items.popleft()
        if self._initial_population > 0:
            self._initial_population -= len(batch)
        return list(batch.values())

    @property
    def has_synced(self) -> bool:
        """Whether the first relist has been popped, or a watch event came before any relist."""
        return self._populated and self._initial_population == 0

    def pending_keys(self) -> Iterable[str]:
        """Keys of the deltas in the order in which they will be popped."""
        return (key for key, _ in self._items)

    def swap(self, one: str, other: str) -> None:
        """Exchange the places of the oldest deltas of two pending keys."""
        keys = [key for key, _ in self._items]
        i, j = keys.index(one), keys.index(other)
        self._items[i], self._items[j] = self._items[j], self._items[i]

    def __len__(self) -> int:
        """Pending deltas."""
        return len(self._items)

    def _append(self, kind: DeltaType, obj: object) -> None:
        self._items.append((key_of(self._key_func, obj), Delta(kind, obj)))
