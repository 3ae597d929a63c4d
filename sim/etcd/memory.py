"""What a member needs of its machine's memory, and what happens where that is not enough.

    heap     the index (every key and every revision that is not compacted), the entries of the raft log that are kept in memory,
             what the process takes anyway; the Go runtime lets it grow to twice what is alive before it collects
    cache    what is left holds pages of the database file. Values are in no other memory: a page that is not there is read
             from the disk by whoever touches it, which are compactions and lists that walk everything
    out      a heap larger than the memory: the kernel kills the process

Sources: heap of etcd 3.5.1 measured, 300,000 keys of 27 bytes: 187 bytes a key, 58 more for a second revision; the log in memory of
3.4 and 3.5 is 5,000 entries and those since the last snapshot (server/etcdserver/server.go SnapshotCatchUpEntries), of 3.6 and
later 5,000. Go: GOGC=100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sim.units import Bytes

KEY: Final[Bytes] = 160
"""Of the index, for each live key, its name not counted: 187 measured, minus 27."""
REVISION: Final[Bytes] = 58
"""Of the index, for each further revision that is kept."""
CATCH_UP: Final = 5000
"""Entries that the log in memory keeps behind a snapshot."""
BASE: Final[Bytes] = 30 * 2**20
"""What a process without keys takes: assumed."""
COLLECTED_AT: Final = 2.0
"""Heap over what is alive, when the runtime collects (GOGC=100)."""


@dataclass(slots=True)
class Memory:
    """A member's memory. limit: what its machine gives it; snapshot_count: entries between two snapshots, 0: none count (3.6)."""

    limit: Bytes
    snapshot_count: int
    heap: Bytes = 0
    most: Bytes = 0
    missing: float = 0.0
    """Share of the database file that is not in memory."""
    most_missing: float = 0.0
    killed: bool = False

    def see(self, keys: int, key_bytes: float, retained: int, entries: int, entry_bytes: float, database: Bytes) -> bool:
        """So many live keys of that length, revisions, log entries of that size, and a file of that size; true: out, just now."""
        since = entries % self.snapshot_count if self.snapshot_count else 0
        held = min(entries, CATCH_UP + since)
        alive = keys * (KEY + key_bytes) + max(0, retained - keys) * REVISION + held * entry_bytes
        self.heap = BASE + round(COLLECTED_AT * alive)
        cache = max(0, self.limit - self.heap)
        self.missing = 0.0 if database <= cache else 1 - cache / database
        self.most, self.most_missing = max(self.most, self.heap), max(self.most_missing, self.missing)
        out = self.heap > self.limit and not self.killed
        self.killed = self.killed or out
        return out
