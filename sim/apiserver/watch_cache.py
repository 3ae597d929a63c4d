"""The API server's watch cache: what it believes the newest revision of an object to be.

It learns of a write when etcd's watch event reaches it, so for a short while after each write it is behind. A write that
starts from a stale copy fails its transaction's compare and is retried by the server (GuaranteedUpdate), or refused where the
caller named the revision.

What it remembers of the past, for watches that come back, is in watch_history.py; how an event reaches watchers in
watch_dispatch.py.

Source: apiserver pkg/storage/cacher, pkg/storage/etcd3/store.go (GuaranteedUpdate). Simplified: only the last two versions of
an object are told apart.
"""

from __future__ import annotations

from collections.abc import Hashable

from sim.units import Nanoseconds


class WatchCache:
    """Newest known mod revision by key; 0: does not exist."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[Nanoseconds, int, int]] = {}

    def learn(self, key: Hashable, revision: int, at: Nanoseconds) -> None:
        """The event of `revision` (0: deleted) arrives at `at`."""
        known = self._known.get(key)
        if known is None:
            before = 0
        else:
            before = known[1] if at >= known[0] else known[2]
            if at <= known[0]:
                before = known[2]
        self._known[key] = (at, revision, before)

    def forget(self, key: Hashable) -> None:
        """Drop a key that is deleted and will not come back under this name."""
        self._known.pop(key, None)

    def revision(self, key: Hashable, now: Nanoseconds) -> int:
        """Mod revision of the cached object at `now`."""
        known = self._known.get(key)
        if known is None:
            return 0
        at, newest, before = known
        return newest if now >= at else before
