"""One member of a cluster: what it has of its own, whoever leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.etcd.wal import Segments
from sim.etcd.wal_files import WalFiles
from sim.hardware.cpu import Cpu
from sim.hardware.disk import NEVER, Disk, Stalls
from sim.journal import Journal
from sim.units import Nanoseconds


@dataclass(slots=True, eq=False)
class Member:
    """Disks, log and costs of one member; and when its process does nothing.

    wal, file: its disk, as its log and its database see it. apply: draws the time of one apply under the lock, nanoseconds. saves:
    ends and durations of the fdatasyncs of its log while it follows. busy_until: when the save it began under an earlier leader
    ends.
    """

    name: str
    votes: bool
    wal: Disk
    file: Disk
    apply: Callable[[], Nanoseconds]
    cpu: Cpu | None
    log: Segments
    files: WalFiles
    saves: Journal = field(default_factory=lambda: Journal(1))
    busy_until: Nanoseconds = 0
    down: Stalls = field(default_factory=Stalls, init=False)
    """When its process is paused or gone."""
    stops: list[tuple[Nanoseconds, Nanoseconds, bool]] = field(default_factory=list, init=False)
    """From when until when, and whether it crashed."""

    def stop(self, stops: list[tuple[Nanoseconds, Nanoseconds, bool]]) -> None:
        """These are the times in which its process does nothing."""
        self.stops = stops
        self.down = Stalls([(begins, ends) for begins, ends, _ in stops])

    def commit_times(self, begins: NDArray[np.int64], pages: NDArray[np.int64], page_write: Nanoseconds) -> NDArray[np.int64]:
        """How long its own commits take that begin at these times and write so many pages, nanoseconds.

        Members apply the same entries, so a follower commits what the leader does, about when it does, to its own disk.
        """
        draw, stalls = self.file.draw, self.file.stalls
        drawn = np.array([draw() + draw() for _ in range(len(pages))], dtype=np.int64)  # two fdatasyncs
        took = drawn + pages * page_write + ((pages + 1) * (4096 * self.file.ns_per_byte)).astype(np.int64)
        if stalls is not None:
            ends = [stalls.finish(int(at), int(at + work)) for at, work in zip(begins, took, strict=True)]
            took = np.array(ends, dtype=np.int64) - begins
        return took

    def next_stop(self, now: Nanoseconds) -> Nanoseconds:
        """When, after now, its process next does nothing; NEVER if it always runs."""
        return min((begins for begins, _, _ in self.stops if begins > now), default=NEVER)

    def crash_between(self, begins: Nanoseconds, ends: Nanoseconds) -> Nanoseconds | None:
        """When it is back from a crash that begins in that time; None where none does."""
        return next((back for at, back, crash in self.stops if crash and begins <= at < ends), None)

    def crashed(self, now: Nanoseconds) -> bool:
        """Whether it is down now because it crashed."""
        return any(crash and begins <= now < ends for begins, ends, crash in self.stops)
