"""The files of a member's log on disk: full segments, the one that is written, one that is prepared; and what a purge leaves.

A segment is preallocated, and the next one is always prepared, so an idle member holds two. A snapshot every so many entries lets
go of the files that lie wholly before it; every 30 s a purge removes of these the oldest until `max_wals` are left.

Sources: etcd server/storage/wal/wal.go (SegmentSizeBytes, cut, ReleaseLockTo, SaveSnapshot), file_pipeline.go;
server/etcdserver/server.go (purgeFile, snapshot). Simplified: looked at when the run is observed; a full file counts as a whole
segment (real: up to one batch more); the two fdatasyncs of a snapshot (its file, its record) are in no distribution.
"""

from __future__ import annotations

from collections import deque

from sim.etcd import wal
from sim.units import Bytes


class WalFiles:
    """The files of one member. snapshot_count: entries between two snapshots; max_wals: files that a purge leaves, 0 for all.

    voters: members in the configuration that a snapshot's record carries, since 3.5; 0 before.
    """

    __slots__ = ("_full", "_max_wals", "_observed", "_segment", "_snapshot_count", "_voters", "snapshots")

    def __init__(self, segment: Bytes, snapshot_count: int, max_wals: int, voters: int):
        self._segment, self._snapshot_count, self._max_wals, self._voters = segment, snapshot_count, max_wals, voters
        self._full: deque[int] = deque()  # the last index in each full file
        self._observed: Bytes = 0  # bytes in files that are full
        self.snapshots = 0

    def observe(self, written: Bytes, index: int) -> Bytes:
        """So many bytes were written by now, up to that index: what the records of snapshots since the last look add to them."""
        added: Bytes = 0
        while self.snapshots < index // self._snapshot_count:
            self.snapshots += 1
            added += wal.snapshot_frame(self.snapshots * self._snapshot_count, self._voters)
        while written - self._observed >= self._segment:
            self._observed += self._segment
            self._full.append(index)
        while self._max_wals and len(self._full) >= self._max_wals and self._full[0] < self.snapshots * self._snapshot_count:
            self._full.popleft()
        return added

    @property
    def on_disk(self) -> Bytes:
        """Bytes that its files take."""
        return (len(self._full) + 2) * self._segment
