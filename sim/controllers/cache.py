"""The controller's own map from key to object, and what a deletion leaves in it.

    live     the key has an object
    zero     the key is still there, its value is nil or empty: `keep-zero-value`, the bug of the source article
    absent   no key: never seen, or removed (`remove-key`: presence, nil and empty-UID check before use, then delete)

A pass over a zero entry is counted each time, as the article's exporter does: `zero_values_seen` is
controller_cache_zero_value_keys_total, a counter of stock times passes, not of growth.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum


class Found(Enum):
    """What the map gives for a key."""

    LIVE = "live"
    ZERO = "zero"
    ABSENT = "absent"


LIVE, ZERO, ABSENT = Found.LIVE, Found.ZERO, Found.ABSENT


class ObjectMap:
    """map[key]*Pod of one controller. keep_zero_values: a deleted object's key stays with a zero value."""

    __slots__ = ("_keep", "_live", "_zero", "zero_values_seen")

    def __init__(self, keep_zero_values: bool):
        self._keep = keep_zero_values
        self._live: set[Hashable] = set()
        self._zero: set[Hashable] = set()
        self.zero_values_seen = 0

    def look(self, key: Hashable, exists: bool) -> Found:
        """Bring the entry in line with the informer's store, where the object exists or not, and say what it is now."""
        if exists:
            self._zero.discard(key)
            self._live.add(key)
            return LIVE
        if key in self._zero:
            if not self._keep:  # present, but nil or without a UID: deleted before use
                self._zero.remove(key)
                return ABSENT
            self.zero_values_seen += 1
            return ZERO
        if key in self._live:
            self._live.remove(key)
            if self._keep:
                self._zero.add(key)
                self.zero_values_seen += 1
                return ZERO
        return ABSENT

    def remove_zero_values(self) -> int:
        """Delete the keys of all zero values; how many there were."""
        found = len(self._zero)
        self._zero.clear()
        return found

    def insert(self, key: Hashable) -> None:
        """A key whose value is zero from the start."""
        self._live.discard(key)
        self._zero.add(key)

    @property
    def zero_values(self) -> int:
        """Entries without an object."""
        return len(self._zero)

    def __len__(self) -> int:
        return len(self._live) + len(self._zero)
