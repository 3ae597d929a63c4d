"""A map whose readers see an immutable snapshot: a write copies it, changes the copy and publishes that.

    old = data . copy = copy of old, changed . data = copy

Who publishes a copy of a snapshot that is no longer the newest takes back what others have published since: their updates are lost.
A lock around the three steps prevents that, and makes writers wait for each other; the published code has none.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping


class SnapshotMap:
    """The newest snapshot; values rise with every put. Counts `puts`, and the updates that another key's put took back (`lost`)."""

    __slots__ = ("_lost", "newest", "puts")

    def __init__(self, entries: Mapping[Hashable, int]):
        self.newest: Mapping[Hashable, int] = dict(entries)
        self.puts = 0
        self._lost: set[int] = set()

    @property
    def lost(self) -> int:
        """Updates that were taken back, each counted once."""
        return len(self._lost)

    def publish(self, old: Mapping[Hashable, int], key: Hashable, value: int) -> None:
        """Publish a copy of the snapshot `old` in which `key` has another value."""
        newest = self.newest
        if newest is not old:
            self._lost.update(stands for name, stands in newest.items() if name != key and old.get(name, -1) < stands)
        self.puts += 1
        self.newest = {**old, key: value}
