"""How the API server shares etcd leases among objects with a time to live (Events): one lease serves for a while.

Source: apiserver pkg/storage/etcd3/lease_manager.go (GetLease): a lease is reused for min(60 s, 5% of the TTL) and for at most 1000
objects; it is granted for the TTL plus that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sim.units import SECOND, Nanoseconds

REUSE: Final[Nanoseconds] = 60 * SECOND
REUSE_SHARE: Final = 20
MAX_OBJECTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease to attach an object to; `granted`: it must be granted first, for `ttl` nanoseconds."""

    id: int
    ttl: Nanoseconds
    granted: bool


class LeaseManager:
    """Leases of one API server for objects of one TTL. Ids are handed out from `first_id`, `step` apart."""

    __slots__ = ("_expires_use", "_id", "_objects", "_reuse", "_step", "_ttl")

    def __init__(self, ttl: Nanoseconds, first_id: int, step: int):
        self._ttl = ttl
        self._reuse = min(REUSE, ttl // REUSE_SHARE)
        self._id = first_id - step
        self._step = step
        self._objects = 0
        self._expires_use: Nanoseconds = -1

    def lease(self, now: Nanoseconds) -> Lease:
        """The lease for one more object at `now`."""
        reused = now < self._expires_use and self._objects < MAX_OBJECTS
        if not reused:
            self._id += self._step
            self._objects = 0
            self._expires_use = now + self._reuse
        self._objects += 1
        return Lease(self._id, self._ttl + self._reuse, granted=not reused)

    def refused(self, lease: int) -> None:
        """It was not granted: the next object asks for another. (The time of use counts from the asking.)"""
        if lease == self._id:
            self._expires_use = -1
