"""What is attached to leases, as the store knows it: who goes with a revoke.

Each is an element of bucket `lease`: its id and TTL, put by the grant and deleted by the revoke. Ids are those of the log, so that
their length counts: who gives one himself chooses it, a member's begin at `SERVER_LEASES`.

A put attaches its key to the lease that it names and takes it off the one it had; so does one that names none, and a delete. A
revoke deletes whatever is attached, under one revision.

Sources: etcd server/lease/lessor.go (Grant, Revoke, Attach, Detach, persistTo), storage/schema/lease.go,
mvcc/kvstore_txn.go (put, delete), etcdserver/v3_server.go (LeaseGrant: an id of 63 bits).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from sim.etcd.mvcc import KeyState


@dataclass(slots=True)
class Lease:
    """Write-once keys by slot, with the bytes of their tombstones and their writers; named keys.

    slot: of its own element in bucket `lease`.
    """

    slot: int
    slots: list[int] = field(default_factory=list)
    tombstones: list[int] = field(default_factory=list)
    writers: list[int] = field(default_factory=list)
    named: dict[Hashable, int] = field(default_factory=dict)  # bytes of the tombstone


class Leases:
    """The leases that are granted and not revoked, by id."""

    __slots__ = ("_revoked_names", "held")

    def __init__(self) -> None:
        self.held: dict[int, Lease] = {}
        self._revoked_names: dict[int, list[Hashable]] = {}

    def grant(self, lease: int, slot: int) -> None:
        """A lease without keys, whose element is in that slot of its bucket."""
        self.held[lease] = Lease(slot)

    def revoke(self, lease: int) -> tuple[Lease, list[Hashable]] | None:
        """Take a lease away: it, and its named keys in the order of their names; None where it is not there."""
        gone = self.held.pop(lease, None)
        if gone is None:
            return None
        names = sorted(gone.named, key=str)
        if names:
            self._revoked_names[lease] = names
        return gone, names

    def attach(self, key: Hashable, state: KeyState, lease: int, tombstone: int) -> None:
        """Attach a named key to a lease, which is there; 0: to none."""
        if lease:
            state.lease = lease
            self.held[lease].named[key] = tombstone

    def detach(self, key: Hashable, state: KeyState) -> None:
        """Take a named key off its lease, where it has one."""
        if state.lease:
            del self.held[state.lease].named[key]
            state.lease = 0

    def take_revoked(self, lease: int) -> list[Hashable]:
        """Named keys that went with a revoked lease, in the order of their names; told once."""
        return self._revoked_names.pop(lease, [])
