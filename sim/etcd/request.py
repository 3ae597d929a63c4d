"""What goes into the log: kinds of requests, the sizes of an object type, and what the applier reads of an entry."""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum, unique
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sim.etcd import leaf, wal
from sim.units import Bytes, Nanoseconds


@unique
class Op(IntEnum):
    """Kinds of requests. `*_ONCE`: under a fresh generated name that nobody writes again."""

    CREATE_ONCE = 0
    PUT_ONCE = 1
    CREATE = 2
    UPDATE = 3
    DELETE = 4
    PUT = 5
    LEASE_GRANT = 6
    LEASE_REVOKE = 7
    COMPACT = 8
    COHORT = 9
    """Many puts under fresh names, as one entry of the model's log (see `sim.processes.cohorts`)."""
    DELETE_ANY = 10
    """A DeleteRange of one key, whatever its revision."""
    ALARM = 11
    """Raise the NOSPACE alarm (`expected` 1) or disarm it (0)."""


class Outcome(IntEnum):
    """What an entry did to the store, as its answer says."""

    CREATED = 0
    UPDATED = 1
    DELETED = 2
    UNCHANGED = 3
    """A grant, a compaction, a revoke without keys."""
    CONFLICT = 4
    """The transaction's compare failed: a WAL entry and an apply, but no revision."""
    COMPACTED = 5
    """The compaction's revision was compacted already."""
    NO_SPACE = 6
    """Refused: the NOSPACE alarm is raised (etcd: ResourceExhausted, database space exceeded)."""
    TOO_MANY_REQUESTS = 7
    """Refused: committed index more than 5000 ahead of the applied one (etcd: ErrTooManyRequests)."""
    LEASE_NOT_FOUND = 8
    """The lease is not granted, or expired (etcd: ErrLeaseNotFound)."""
    TIMEOUT = 9
    """No answer within the request timeout (7 s); the proposal is not withdrawn and may still be applied."""
    NOT_FOUND = 10
    """The API server: there is no such object (404)."""
    THROTTLED = 11
    """The API server: priority and fairness, or the limit of requests in flight, turned it away (429)."""
    UNREACHABLE = 12
    """Nobody listened: connection refused."""
    DENIED = 13
    """A webhook denied it, or did not answer and its failure policy is `fail` (403, 500)."""
    TOO_LARGE = 14
    """The object is larger than the API server (413) or etcd (request is too large) takes."""
    READ_ONLY = 15
    """A breaker of the API server is open: 429 without a Retry-After, which no client sends again by itself."""
    LEASE_EXISTS = 17
    """A grant under an id that another lease has (etcd: ErrLeaseExist)."""
    UNAVAILABLE = 16
    """The member that had it is gone: whether it was done is not known (gRPC: Unavailable)."""


# Looking a member up in its enumeration costs more than the rest of a comparison (Python 3.11): the hot path uses these.
CREATE_ONCE, PUT_ONCE, COHORT, COMPACT = Op.CREATE_ONCE, Op.PUT_ONCE, Op.COHORT, Op.COMPACT
CREATED, CONFLICT = Outcome.CREATED, Outcome.CONFLICT

SERVER_LEASES: Final = 1 << 60
"""Ids of leases that a member gives lie above: numbers of 63 bits, nearly always 9 bytes as a varint (v3_server.go LeaseGrant)."""


class Shape:
    """An object type's sizes, worked out once: key and value bytes and what follows from them.

    lease: whether its keys are attached to a lease (Events). apply_ns: what its size, its watchers and its being a transaction add
    to one apply; request_ns: what the last of these adds to the goroutine of a request, ns.
    entries, frames: how many entries of the log carried it, and their bytes in the file.
    """

    __slots__ = (
        "apply_ns", "create_data", "create_element", "entries", "frames", "key_bytes", "lease", "name", "put_data",
        "request_ns", "tombstone", "value_bytes",
    )  # fmt: skip

    def __init__(
        self, name: str, key_bytes: Bytes, value_bytes: Bytes, leased: bool = False, apply_ns: Nanoseconds = 0,
        request_ns: Nanoseconds = 0,
    ):  # fmt: skip
        self.name = name
        self.key_bytes = key_bytes
        self.value_bytes = value_bytes
        self.lease = SERVER_LEASES if leased else 0
        self.apply_ns, self.request_ns = apply_ns, request_ns
        self.create_data = wal.proposal(wal.create(key_bytes, value_bytes, self.lease))
        self.put_data = wal.proposal(wal.put(key_bytes, value_bytes, self.lease))
        self.tombstone = leaf.tombstone(key_bytes)
        self.create_element = 0
        self.entries = 0
        self.frames: Bytes = 0

    def element(self, created: int, modified: int, version: int, lease: int) -> Bytes:
        """Bytes of one stored version in a leaf of bucket `key`; lease: that it is attached to, 0 for none."""
        return leaf.element(leaf.key_value(self.key_bytes, self.value_bytes, created, modified, version, lease))

    def update_data(self, expected: int) -> Bytes:
        """Bytes of the entry data of an update that expects this mod revision."""
        return wal.proposal(wal.update(self.key_bytes, self.value_bytes, expected, self.lease))

    def delete_data(self, expected: int) -> Bytes:
        """Bytes of the entry data of a delete that expects this mod revision."""
        return wal.proposal(wal.delete(self.key_bytes, expected))


class Entry(Protocol):
    """A request in the log, as the applier needs it; the applier writes `outcome`, `revision` and `done`."""

    op: Op
    shape: Shape
    key: Hashable
    expected: int
    lease: int
    writer: int
    outcome: Outcome
    revision: int
    handed: Nanoseconds
    done: Nanoseconds


class Many(Entry, Protocol):
    """Many puts under fresh names as one entry; the applier writes `times`, when each is done."""

    count: int
    times: NDArray[np.int64]
