"""A follower as a station: append, save, acknowledge.

Messages of the leader's stream arrive in order; what arrives before the next save starts rides in it (group commit); the
answer leaves after the save. So the time of an acknowledgement is known as soon as the message is sent.

Sources: etcd server/etcdserver/raft.go (start: a follower sends after its save). Simplified: it pays for a message's bytes as they
arrive, at its disk's bandwidth, not in the save; it is never behind enough to need a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.etcd import wal
from sim.hardware.disk import Disk
from sim.journal import Journal
from sim.units import Bytes, Nanoseconds


class Follower:
    """One follower's log. `there` and `back` draw the time of a message from and to the leader, nanoseconds.

    Each message brings its own three draws, there, fdatasync and back; a save takes that of the first message that rides in it.
    """

    __slots__ = (
        "_draws", "_ended", "_last_ack", "_last_arrival", "_ns_per_byte", "_save_ends", "_save_starts", "_stalls", "_took", "saves",
        "written",
    )  # fmt: skip

    def __init__(self, there: Callable[[], Nanoseconds], back: Callable[[], Nanoseconds], disk: Disk):
        self._draws = zip(iter(there, None), iter(disk.draw, None), iter(back, None), strict=False).__next__
        self._ns_per_byte, self._stalls = disk.ns_per_byte, disk.stalls
        self._last_arrival: Nanoseconds = 0
        self._save_starts: Nanoseconds = -1
        self._save_ends: Nanoseconds = 0
        self._last_ack: Nanoseconds = 0
        self.saves = Journal(1)  # duration
        self._ended, self._took = self.saves.times.append, self.saves.columns[0].append
        self.written: Bytes = 0

    def append(self, sent: Nanoseconds, size: Bytes) -> Nanoseconds:
        """Time at which the leader has the acknowledgement of `size` bytes of entries that it sends at `sent`."""
        there, fdatasync, back = self._draws()
        arrived = sent + there
        if arrived < self._last_arrival:  # one stream: in order
            arrived = self._last_arrival
        self._last_arrival = arrived = arrived + int(size * self._ns_per_byte)
        self.written += size + wal.HARD_STATE_FRAME
        ends = self._save_ends
        if arrived > self._save_starts:  # else it rides in the save already planned
            self._save_starts = starts = arrived if arrived > ends else ends
            ends = starts + fdatasync
            if self._stalls is not None:
                ends = self._stalls.finish(starts, ends)
            self._save_ends = ends
            self._ended(ends)
            self._took(ends - starts)
        acked = ends + back
        if acked < self._last_ack:
            return self._last_ack
        self._last_ack = acked
        return acked

    def answers(self, at: Nanoseconds) -> Nanoseconds:
        """When it answers a message without entries that reaches it at `at`: after its save in progress."""
        return self._save_ends if self._save_starts <= at < self._save_ends else at
