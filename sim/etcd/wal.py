"""The write-ahead log to the byte: request -> raft entry -> record -> frame, and the segments they fill.

Sizes only: what a member writes is a pure function of key length, value length, lease, revision and raft index. `vl(x)` is
the length of a protobuf varint, `ld(n)` that of a length-delimited field with a one-byte tag.

Sources: etcd server/storage/wal/encoder.go (encode, encodeFrameSize), wal.go (Save, cut, SegmentSizeBytes);
walpb/record.proto; raftpb/raft.proto; api/etcdserverpb/raft_internal.proto; kube-apiserver storage/etcd3/store.go (Create,
GuaranteedUpdate, conditionalDelete). Verified against files of etcd 3.5.1 (tests/etcd/test_wal_bytes.py). No auth: with it
the header grows by user name and auth revision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sim.units import Bytes

HARD_STATE_FRAME: Final[Bytes] = 40
"""One HardState record: term, vote (64-bit member id), commit; 40 bytes in practice always."""
SEGMENT: Final[Bytes] = 64_000_000
"""Preallocated size of a segment file: 64 MB, not MiB (wal.go SegmentSizeBytes)."""
SEGMENT_HEAD: Final[Bytes] = 96
"""Records at the head of a new segment: crc 16, metadata 40, state 40."""
CRC_BYTES: Final[Bytes] = 5
"""Varint of a record's crc: 4 bytes in 1 of 16 records, which saves 8 bytes of padding at times. Always counted as 5."""
ID_BYTES: Final[Bytes] = 10
"""Varint of a request id: 9 in a member whose id has bit 15 clear (half of them), as that bit is the id's highest."""


def vl(value: int) -> int:
    """Length of the varint of a non-negative integer."""
    return max(1, (value.bit_length() + 6) // 7)


def ld(size: int) -> int:
    """Length of a length-delimited field of `size` bytes with a one-byte tag."""
    return 1 + vl(size) + size


def put(key: Bytes, value: Bytes, lease: int = 0) -> Bytes:
    """A Put message (no proposal yet): key, value, lease id."""
    return ld(key) + (ld(value) if value else 0) + (1 + vl(lease) if lease else 0)


def create(key: Bytes, value: Bytes, lease: int = 0) -> Bytes:
    """The API server's create: Txn{mod_revision(key) = 0; put; no else}. The revision is written although 0."""
    return ld(2 + ld(key) + 1 + vl(0)) + ld(ld(put(key, value, lease)))


def update(key: Bytes, value: Bytes, expected: int, lease: int = 0) -> Bytes:
    """The API server's update: Txn{mod_revision(key) = expected; put; else range key}."""
    return ld(2 + ld(key) + 1 + vl(expected)) + ld(ld(put(key, value, lease))) + ld(ld(ld(key)))


def delete(key: Bytes, expected: int) -> Bytes:
    """The API server's delete: Txn{mod_revision(key) = expected; delete key; else range key}."""
    return ld(2 + ld(key) + 1 + vl(expected)) + 2 * ld(ld(ld(key)))


def delete_range(key: Bytes) -> Bytes:
    """DeleteRange of one key."""
    return ld(key)


def lease_grant(ttl_seconds: int, lease: int) -> Bytes:
    """LeaseGrant{TTL, ID}."""
    return 1 + vl(ttl_seconds) + 1 + vl(lease)


def lease_revoke(lease: int) -> Bytes:
    """LeaseRevoke{ID}."""
    return 1 + vl(lease)


def compaction(revision: int, physical: bool = False) -> Bytes:
    """Compaction{revision, physical}."""
    return 1 + vl(revision) + (2 if physical else 0)


def alarm(member_bytes: Bytes = 10) -> Bytes:
    """Alarm{action, member, NOSPACE}; member_bytes: varint of the member's id."""
    return 2 + 1 + member_bytes + 2


def proposal(request: Bytes, id_bytes: Bytes = ID_BYTES) -> Bytes:
    """Length of a raft entry's data: the request as one field of InternalRaftRequest, and its header with the id."""
    return ld(request) + 1 + ld(1 + id_bytes)  # the header is field 100: a tag of two bytes


def entry(data: Bytes, index: int, term: int = 2) -> Bytes:
    """Bytes of a raft entry whose data are `data` bytes long, as raft's limits count them."""
    return 2 + 1 + vl(term) + 1 + vl(index) + (ld(data) if data else 0)


def entry_frame(data: Bytes, index: int, term: int = 2, crc_bytes: Bytes = CRC_BYTES) -> Bytes:
    """Bytes in the file of one entry record whose data are `data` bytes long (0: a new leader's empty entry)."""
    return frame(entry(data, index, term), crc_bytes)


def hard_state_frame(commit: int, term: int = 2, vote_bytes: Bytes = 10, crc_bytes: Bytes = CRC_BYTES) -> Bytes:
    """Bytes in the file of one HardState record; vote_bytes: varint of the member voted for (1 before the first vote)."""
    return frame(1 + vl(term) + 1 + vote_bytes + 1 + vl(commit), crc_bytes)


def snapshot_frame(index: int, voters: int = 3, term: int = 2) -> Bytes:
    """Bytes in the file of the record of a snapshot: index and term, since 3.5 also the members (0 voters: before)."""
    members = ld(voters * (1 + ID_BYTES) + 2) if voters else 0
    return frame(1 + vl(index) + 1 + vl(term) + members)


def frame(data: Bytes, crc_bytes: Bytes = CRC_BYTES) -> Bytes:
    """Length field, record (type, crc, data; a crc record has no data) and padding to 8 bytes."""
    record = 2 + 1 + crc_bytes + (ld(data) if data else 0)
    return 8 + 8 * -(-record // 8)


class Framed(Protocol):
    """An entry as the log needs it: bytes of its data, who wrote it, and what."""

    data: int
    writer: int

    @property
    def shape(self) -> Tallied:
        """The type of the object in it."""
        ...


class Tallied(Protocol):
    """An object type, as the log counts it: entries with it, and their bytes in the file."""

    entries: int
    frames: Bytes


class Segments:
    """The segment files of one member: how many bytes were written, and when a segment is cut.

    A segment is cut after a save whose end lies at or beyond 64,000,000 bytes; cutting costs an fdatasync of the old file, one of
    the new one and an fsync of the directory (wal.go cut).
    """

    __slots__ = ("_frames", "_frames_until", "_size", "index", "offset", "segments", "written")

    def __init__(self, size: Bytes = SEGMENT) -> None:
        self._size = size
        self.written: Bytes = 0
        self.offset: Bytes = 584
        self.segments = 1
        self.index = 0
        self._frames: dict[Bytes, Bytes] = {}
        self._frames_until = 128

    def append(self, entries: Sequence[Framed], by_writer: list[Bytes]) -> Bytes:
        """Frame entries at the next raft indices: their bytes, which also count for their writers. `write` writes them."""
        size = 0
        last = self.index + len(entries)
        if last >= self._frames_until:  # the index's varint gets longer on the way
            for entry in entries:
                self.index += 1
                frame = entry_frame(entry.data, self.index)
                size += frame
                by_writer[entry.writer] += frame
                entry.shape.entries += 1
                entry.shape.frames += frame
            self._frames.clear()
            self._frames_until <<= 7
            return size
        self.index = last
        frames = self._frames
        for entry in entries:
            data = entry.data
            if data in frames:
                frame = frames[data]
            else:
                frame = frames[data] = entry_frame(data, last)
            size += frame
            by_writer[entry.writer] += frame
            shape = entry.shape
            shape.entries += 1
            shape.frames += frame
        return size

    def append_many(self, count: int, data: Bytes, shape: Tallied) -> Bytes:
        """Frame `count` entries of equal data at the next raft indices: their bytes. `write` writes them."""
        size = 0
        while count:
            if self.index + 1 >= self._frames_until:  # the index's varint gets longer
                self._frames.clear()
                self._frames_until <<= 7
            some = min(count, self._frames_until - 1 - self.index)
            self.index += some
            size += some * entry_frame(data, self.index)
            shape.entries += some
            count -= some
        shape.frames += size
        return size

    def write(self, size: Bytes) -> bool:
        """Write `size` bytes of frames; true when the segment is full: a save that ends there is followed by a cut."""
        self.written += size
        self.offset += size
        return self.offset >= self._size

    def cut(self) -> None:
        """A new segment, which begins with its head."""
        self.segments += 1
        self.offset = SEGMENT_HEAD
        self.written += SEGMENT_HEAD
