"""Objects without their names, and what they do to an informer: many share one key, and the store keeps one of them.

    key of an object without a name           `namespace/`
    key of an object without metadata         the empty one

FIFO and store take such keys like any other (keys.py): an add over a stored object is an update of it, a deletion of one removes
the entry of all. The ledger knows which objects there really are, and so what the store has lost.

No API server sends such objects, it refuses to store them; the hypothesis `degenerate_keys` of a scenario lets them come.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace

from sim.apiserver.objects import ApiObject, EventType
from sim.clientgo.keys import meta_namespace_key
from sim.clientgo.store import Store


class Malformer:
    """Takes from a share of all objects, always the same ones, their names, and from half of these their namespaces, too.

    It remembers under which key each of them goes: `collisions` counts the objects that came to a key that another one had.
    """

    def __init__(self, share: float):
        self._share = share
        self._there: dict[str, set[str]] = {}  # degenerate key: the real keys behind it
        self.collisions = 0

    def malformed(self, item: ApiObject) -> ApiObject:
        """The object as it reaches the informer."""
        at = zlib.crc32(meta_namespace_key(item).encode()) / 2**32
        if at >= self._share:
            return item
        return replace(item, name="") if at < self._share / 2 else replace(item, name="", namespace="")

    def event(self, kind: EventType, item: ApiObject) -> ApiObject:
        """A watch event brings the object."""
        sent = self.malformed(item)
        if not sent.name:
            there = self._there.setdefault(meta_namespace_key(sent), set())
            if kind is EventType.DELETED:
                there.discard(meta_namespace_key(item))
            else:
                self._arrives(there, meta_namespace_key(item))
        return sent

    def list(self, items: Iterable[ApiObject]) -> list[ApiObject]:
        """A list brings all objects there are."""
        before, self._there = self._there, {}
        sent = []
        for item in items:
            made = self.malformed(item)
            sent.append(made)
            if not made.name:
                key, real = meta_namespace_key(made), meta_namespace_key(item)
                there = self._there.setdefault(key, set())
                if real in before.get(key, ()):
                    there.add(real)
                else:
                    self._arrives(there, real)
        return sent

    def _arrives(self, there: set[str], real: str) -> None:
        if real not in there:
            self.collisions += bool(there)
            there.add(real)

    def keys(self, store: Store) -> int:
        """Keys of the store that name no object."""
        return sum(key in store for key in self._there)

    def lost(self, store: Store) -> int:
        """Objects that exist, and that no entry of the store stands for."""
        return sum(len(there) - (bool(there) and key in store) for key, there in self._there.items())
