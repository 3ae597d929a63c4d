"""An informer's local cache: objects by key, and keys by indexed values.

The store takes any key, the empty one included, and any object, None included: it is as trusting as client-go's
threadSafeMap. Its indices follow each change; an index value that no object has any more disappears, so that values
of short-lived objects do not pile up. Go lists in random order; here lists come in the order in which keys were first
added, and index lookups sorted by key.

Source: k8s.io/client-go v0.35.0, tools/cache/thread_safe_store.go, store.go (cache), index.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from sim.clientgo.keys import KeyFunc, meta_namespace_key

IndexFunc = Callable[[object], list[str]]
"""The values under which an object is indexed; a list, since it may be none or several."""


class KnownObjects(Protocol):
    """What a FIFO asks of the store behind it (cache.KeyListerGetter)."""

    def list_keys(self) -> list[str]:
        """All keys."""

    def get_by_key(self, key: str) -> object:
        """The object under `key`; None if there is none."""

    def __contains__(self, key: object) -> bool:
        """Whether there is an object under `key`."""


class Store:
    """Objects by key with indices (cache.Indexer).

    Methods that take an object raise ValueError if `key_func` cannot key it.
    """

    __slots__ = ("_indexers", "_indices", "_items", "_key_func")

    def __init__(self, key_func: KeyFunc = meta_namespace_key, indexers: Mapping[str, IndexFunc] | None = None):
        self._key_func = key_func
        self._items: dict[str, object] = {}
        self._indexers: dict[str, IndexFunc] = dict(indexers or {})
        self._indices: dict[str, dict[str, set[str]]] = {name: {} for name in self._indexers}

    def add(self, obj: object) -> None:
        """Put `obj` under its key, over whatever was there."""
        self.update(obj)

    def update(self, obj: object) -> None:
        """The same as `add`, as in client-go."""
        key = self._key_func(obj)
        if self._indexers:
            self._reindex(key, self._items.get(key), obj)
        self._items[key] = obj

    def delete(self, obj: object) -> None:
        """Remove what is under the key of `obj`, if anything."""
        key = self._key_func(obj)
        if key in self._items:
            self._reindex(key, self._items.pop(key), None)

    def discard(self, key: str) -> None:
        """Remove what is under `key`, if anything."""
        if key in self._items:
            self._reindex(key, self._items.pop(key), None)

    def replace(self, objects: Iterable[object]) -> None:
        """Hold exactly `objects`; of two with one key the later."""
        self._items = {self._key_func(obj): obj for obj in objects}
        self._indices = {name: {} for name in self._indexers}
        for key, obj in self._items.items():
            self._reindex(key, None, obj)

    def get(self, obj: object) -> object:
        """The object under the key of `obj`; None if there is none."""
        return self._items.get(self._key_func(obj))

    def get_by_key(self, key: str) -> object:
        """The object under `key`; None if there is none (or None is what was stored: ask `key in store`)."""
        return self._items.get(key)

    def __contains__(self, key: object) -> bool:
        """Whether anything is stored under `key`."""
        return key in self._items

    def __len__(self) -> int:
        """Number of objects."""
        return len(self._items)

    def list_objects(self) -> list[object]:
        """All objects (List)."""
        return list(self._items.values())

    def list_keys(self) -> list[str]:
        """All keys."""
        return list(self._items)

    def add_indexers(self, indexers: Mapping[str, IndexFunc]) -> None:
        """Index by further functions, what is stored already included. Raises ValueError if a name is taken."""
        taken = sorted(self._indexers.keys() & indexers.keys())
        if taken:
            raise ValueError(f"indexer conflict: {', '.join(taken)}")
        self._indexers.update(indexers)
        for name in indexers:
            self._indices[name] = {}
            for key, obj in self._items.items():
                self._reindex_one(name, key, None, obj)

    def index_keys(self, index_name: str, value: str) -> list[str]:
        """Keys of the objects with `value` in the index, sorted. Raises ValueError if there is no such index."""
        if index_name not in self._indexers:
            raise ValueError(f"Index with name {index_name} does not exist")
        return sorted(self._indices[index_name].get(value, ()))

    def by_index(self, index_name: str, value: str) -> list[object]:
        """Objects with `value` in the index, by key. Raises ValueError if there is no such index."""
        return [self._items[key] for key in self.index_keys(index_name, value)]

    def index(self, index_name: str, obj: object) -> list[object]:
        """Objects that share an indexed value with `obj`, by key. Raises ValueError if there is no such index."""
        if index_name not in self._indexers:
            raise ValueError(f"Index with name {index_name} does not exist")
        values = self._indices[index_name]
        keys = {key for value in self._indexers[index_name](obj) for key in values.get(value, ())}
        return [self._items[key] for key in sorted(keys)]

    def list_index_func_values(self, index_name: str) -> list[str]:
        """Values that at least one object has in the index; empty for an unknown index."""
        return list(self._indices.get(index_name, ()))

    def _reindex(self, key: str, old: object, new: object) -> None:
        for name in self._indexers:
            self._reindex_one(name, key, old, new)

    def _reindex_one(self, name: str, key: str, old: object, new: object) -> None:
        function, index = self._indexers[name], self._indices[name]
        before = function(old) if old is not None else []
        after = function(new) if new is not None else []
        if before == after:
            return
        for value in before:
            keys = index.get(value)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del index[value]
        for value in after:
            index.setdefault(value, set()).add(key)
