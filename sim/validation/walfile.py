"""What a real member wrote to its log: how many records of which kind, and their bytes in the files.

Segments are preallocated, so the size of a file says nothing: the frames are walked up to the zeros behind the last one. Framing:
8 bytes of length and padding, the record, zeros to a multiple of 8 (etcd: server/storage/wal/decoder.go).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_LENGTH: Final = struct.Struct("<Q")
_SIZE_BITS: Final = 56
_ENTRY: Final = 2
"""Types of records: 1 metadata, 2 entry, 3 hard state, 4 crc, 5 snapshot (server/storage/wal/wal.go)."""


@dataclass(slots=True)
class Written:
    """Frames by type of record: how many, and their bytes."""

    records: dict[int, int] = field(default_factory=dict)
    bytes_by_type: dict[int, int] = field(default_factory=dict)
    segments: int = 0

    @property
    def bytes(self) -> int:
        return sum(self.bytes_by_type.values())

    @property
    def entries(self) -> int:
        return self.records.get(_ENTRY, 0)


def written(folder: Path) -> Written:
    """Count everything in the segments of a member's log. A segment that is written to meanwhile counts as far as it is whole."""
    total = Written()
    for path in sorted(folder.glob("*.wal")):
        total.segments += 1
        _count(path, total)
    return total


def _count(path: Path, total: Written) -> None:
    content = path.read_bytes()
    records, sizes, at, end = total.records, total.bytes_by_type, 0, len(content)
    while at + 10 <= end:
        (length,) = _LENGTH.unpack_from(content, at)
        if not length:
            return
        size = (length & ((1 << _SIZE_BITS) - 1)) + (length >> _SIZE_BITS & 7)
        if at + 8 + size > end:
            return
        kind = content[at + 9]  # the record's first field is its type, a small number
        records[kind] = records.get(kind, 0) + 1
        sizes[kind] = sizes.get(kind, 0) + 8 + size
        at += 8 + size
