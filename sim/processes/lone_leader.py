"""The Ready loop of a single member before etcd 3.4.21 and 3.5.5: it applies beside its save.

Where nobody else has to save it, a new entry is committed in the very Ready that brings it, and that Ready handed it to the
applier before it saved it: a client could have its answer before the entry was durable.

Source: etcd server/etcdserver/raft.go (start; `shouldWaitWALSync` since 3.5.5), issue 14370.
"""

from __future__ import annotations

from sim.etcd import wal
from sim.processes.events import Alarm
from sim.processes.lead import Lead


class LoneLeader(Lead):
    """A `Lead` without followers that hands a batch over when its save begins."""

    def _turn(self, alarm: Alarm | None = None) -> None:
        if alarm is self._committed:
            self._save_begins()
            return
        now = self._env._now
        batch = self._inbox
        if now < self._busy_until:
            if self._save_ended.callbacks is None:
                self._save_ended.arm(self._busy_until - now)
            return
        if not batch or (self._cpu is not None and self._waits_for_core(now)):
            return
        self._inbox = []
        size = self.log.append(batch, self.bytes_by_writer)
        self._heaviest = max(self._heaviest, size)
        self.batches += 1
        self.entries += len(batch)
        begins = now + self._ready + self._entry * len(batch)
        full = self.log.write(size + wal.HARD_STATE_FRAME)
        saved = self._sync(begins, size)
        self._save_times.append(saved)
        self._save_durations.append(saved - begins)
        if full:
            self.log.cut()
            saved = self._cut(saved)
        self._busy_until = saved
        self._in_flight.append((begins, batch, saved, []))
        if self._committed.callbacks is None:
            self._committed.arm(begins - now)

    def _save_begins(self) -> None:
        now, in_flight = self._env._now, self._in_flight
        self._hand_over_portion(now)
        if in_flight:
            due = in_flight[0][0]
            if due <= now:  # more than one Ready hands over
                due = max(now, self._busy_until) + self._ready
            self._committed.arm(due - now)
