"""etcd's requests as protobuf, by hand: as much of it as a load needs.

Source: etcd api/etcdserverpb/rpc.proto, api/mvccpb/kv.proto.
"""

from __future__ import annotations

from collections.abc import Iterator

PUT, RANGE, DELETE, TXN, COMPACT = (f"/etcdserverpb.KV/{what}" for what in ("Put", "Range", "DeleteRange", "Txn", "Compact"))
GRANT, REVOKE = (f"/etcdserverpb.Lease/{what}" for what in ("LeaseGrant", "LeaseRevoke"))
WATCH = "/etcdserverpb.Watch/Watch"
STATUS, ALARM, DEFRAGMENT = (f"/etcdserverpb.Maintenance/{what}" for what in ("Status", "Alarm", "Defragment"))


def varint(value: int) -> bytes:
    """A non-negative integer, seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number(field: int, value: int) -> bytes:
    """An integer field; left out where it is 0, as proto3 does."""
    return varint(field << 3) + varint(value) if value else b""


def text(field: int, value: bytes) -> bytes:
    """A field of bytes, or of an encoded message."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def put(key: bytes, value: bytes, lease: int = 0) -> bytes:
    """PutRequest."""
    return text(1, key) + text(2, value) + number(3, lease)


def delete(key: bytes, end: bytes = b"") -> bytes:
    """DeleteRangeRequest of one key, or of those up to `end`."""
    return text(1, key) + (text(2, end) if end else b"")


def read(
    key: bytes, end: bytes = b"", serializable: bool = False, limit: int = 0, keys_only: bool = False, count_only: bool = False
) -> bytes:
    """RangeRequest. serializable: answered from memory, without asking the other members."""
    return (
        text(1, key) + (text(2, end) if end else b"") + number(3, limit) + number(7, serializable) + number(8, keys_only)
        + number(9, count_only)
    )  # fmt: skip


def update(key: bytes, expected: int, value: bytes) -> bytes:
    """TxnRequest of the API server's update: if the key's mod revision is the expected one, put; else get the key."""
    compare = number(2, 2) + text(3, key) + varint(6 << 3) + varint(expected)
    return text(1, compare) + text(2, text(2, put(key, value))) + text(3, text(1, text(1, key)))


def watch(key: bytes, end: bytes) -> bytes:
    """WatchRequest that creates a watch from now on."""
    return text(1, text(1, key) + text(2, end))


def compact(revision: int, physical: bool = False) -> bytes:
    """CompactionRequest. physical: answered when the revisions are gone from the backend, too."""
    return number(1, revision) + number(2, physical)


def disarm(member: int) -> bytes:
    """AlarmRequest that takes a member's NOSPACE alarm back."""
    return number(1, 2) + number(2, member) + number(3, 1)


def grant(ttl_seconds: int, lease: int) -> bytes:
    """LeaseGrantRequest."""
    return number(1, ttl_seconds) + number(2, lease)


def revoke(lease: int) -> bytes:
    """LeaseRevokeRequest."""
    return number(1, lease)


def revision_of(answer: bytes) -> int:
    """The store's revision, from the header that every answer of the KV service begins with; 0 if it has none."""
    return integer(answer, 1, 3)


def integer(message: bytes, *path: int) -> int:
    """The number at a path of field numbers; 0 where there is none."""
    found = find(message, *path)
    return found if isinstance(found, int) else 0


def find(message: bytes, *path: int) -> int | bytes:
    """The first value at a path of field numbers: an integer or bytes; 0 where there is none."""
    here: int | bytes = message
    for wanted in path:
        here = next((value for field, value in fields(here) if field == wanted), 0) if isinstance(here, bytes) else 0
    return here


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with their values, in order; only integers and bytes are spoken here."""
    at = 0
    while at < len(message):
        tag, at = _varint_at(message, at)
        value, at = _varint_at(message, at)
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + value]
            at += value
        else:
            yield tag >> 3, value


def _varint_at(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
