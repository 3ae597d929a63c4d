"""Versions of objects as somebody knows them: etcd itself, or an API server's watch cache, which hears of a write a little later.

What is learned ahead of its time holds from that time on: until then, the version before it does.

Source: apiserver pkg/storage/cacher. Simplified: of an object only the last two versions are told apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from sim.apiserver.objects import ABSENT, ObjectKey, Version
from sim.units import MINUTE, Nanoseconds

_KEPT: Final[Nanoseconds] = MINUTE
"""How long a deleted object is remembered: longer than any event is under way."""

_Known = tuple[Nanoseconds, Version, Version]
_UNKNOWN: Final[_Known] = (0, ABSENT, ABSENT)


class Versions:
    """The newest known version of each object, by resource."""

    __slots__ = ("_gone", "_known")

    def __init__(self) -> None:
        self._known: dict[str, dict[ObjectKey, _Known]] = {}
        self._gone: deque[tuple[Nanoseconds, ObjectKey]] = deque()

    def learn(self, key: ObjectKey, version: Version, at: Nanoseconds) -> None:
        """From `at` on the object is at `version` (revision 0: deleted). Times of one key never fall."""
        known = self._known.get(key.resource)
        if known is None:
            known = self._known[key.resource] = {}
        since, newest, before = known.get(key, _UNKNOWN)
        known[key] = (at, version, newest if at > since else before)
        if not version.revision:
            self._gone.append((at, key))
        while self._gone and self._gone[0][0] < at - _KEPT:
            _, old = self._gone.popleft()
            here = self._known[old.resource]
            if old in here and not here[old][1].revision:
                del here[old]

    def at(self, key: ObjectKey, now: Nanoseconds) -> Version:
        """The version that is known at `now`; revision 0: none."""
        since, newest, before = self._known.get(key.resource, {}).get(key, _UNKNOWN)
        return newest if now >= since else before

    def newest(self, key: ObjectKey) -> Version:
        """The last version that was learned, even where it holds only later."""
        return self._known.get(key.resource, {}).get(key, _UNKNOWN)[1]

    def of(self, resource: str, now: Nanoseconds) -> Iterator[tuple[ObjectKey, Version]]:
        """All objects of a resource that exist at `now`, in the order in which they were first known."""
        for key, (since, newest, before) in list(self._known.get(resource, {}).items()):
            version = newest if now >= since else before
            if version.revision:
                yield key, version
