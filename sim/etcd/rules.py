"""What the backend's work costs, and what version and flags decide about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sim.units import MILLISECOND, Bytes, Nanoseconds

GROWTH: Final[Bytes] = 16 * 2**20
"""bbolt: DefaultAllocSize."""


@dataclass(frozen=True, slots=True)
class BackendCosts:
    """CPU time of the backend's work, nanoseconds (a revision, a key or a page each).

    index_turn: what an apply waits for the index while a compaction walks it, on average.
    """

    scan: Nanoseconds
    delete: Nanoseconds
    index_walk: Nanoseconds
    index_turn: Nanoseconds
    page_write: Nanoseconds
    defrag: Nanoseconds = 0
    defrag_mb: Nanoseconds = 0


@dataclass(frozen=True, slots=True)
class BackendRules:
    """What the version and the flags decide.

    pause_ticks: the compaction's pause is a ticker's (3.5.16 to 3.5.18): a batch that takes longer is followed by none.
    commit_on_delete: any unlock with a pending bbolt delete commits at once (3.4.30, 3.5.12, 3.6 and later).
    snapshot_count: entries between two snapshots, each a commit in the applier.
    grows_in_steps: a commit for which the file is too short makes it `GROWTH` longer than it needs, with an fsync (bbolt 1.3.7:
    3.4.24, 3.5.8 and later); before, the file grows as it is written.
    """

    batch_interval: Nanoseconds = 100 * MILLISECOND
    batch_limit: int = 10_000
    compaction_batch: int = 1_000
    compaction_pause: Nanoseconds = 10 * MILLISECOND
    pause_ticks: bool = False
    commit_on_delete: bool = True
    snapshot_count: int = 100_000
    grows_in_steps: bool = False
