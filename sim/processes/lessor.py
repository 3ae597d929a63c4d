"""Leases on the leader's clock: what expires is revoked, at the rates of the real lessor.

    every 500 ms   expired leases are taken, at most 500, and handed to the server; one that is still there 3 s later is taken again
    the server     proposes a revoke for each, 16 at a time: 16 / latency of a proposal is the ceiling where that is slow
    keepalive      no entry of the log: the lease begins anew, once everything committed is applied (3.5.3 and later)
    promotion      a new leader's clock begins every lease anew, an election timeout longer; from 1,000 leases on so that at most
                   750 a second expire

Sources: etcd server/lease/lessor.go (revokeExpiredLeases, Promote, Renew), server/etcdserver/server.go (revokeExpiredLeases),
v3_server.go (LeaseRenew). Simplified: no checkpoints; the channel to the server never fills.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, Final

from sim.etcd import wal
from sim.etcd.request import Op, Outcome
from sim.hardware.disk import NEVER
from sim.processes.events import NOTHING, Alarm, Call, Clock
from sim.units import MILLISECOND, SECOND, Nanoseconds

INTERVAL: Final[Nanoseconds] = 500 * MILLISECOND
ROUND: Final = 500
"""Leases taken in one round (leaseRevokeRate / 2)."""
PENDING: Final = 16
"""Revokes under way at a time (maxPendingRevokes)."""
RETRY: Final[Nanoseconds] = 3 * SECOND
"""A lease that was taken and is still there is taken again after this (defaultExpiredleaseRetryInterval)."""
GRACE: Final[Nanoseconds] = SECOND
"""What a promotion adds to a lease's time to live: an election timeout."""
_RATE: Final = 1000
_SPREAD: Final = 750


class Lessor:
    """The leases of a cluster, as its leader has them. call: makes a call straight to etcd."""

    def __init__(self, env: Clock, call: Callable[[], Call]):
        self._env, self._call = env, call
        self._ttls: dict[int, Nanoseconds] = {}
        self._due: dict[int, Nanoseconds] = {}  # when each lease expires, or is taken again
        self._heap: list[tuple[Nanoseconds, int]] = []  # (due, lease); a pair that `_due` does not confirm is out of date
        self._taken: deque[int] = deque()  # expired, and not proposed yet
        self._idle: list[Call] = []
        self._pending = 0
        self._alarm = Alarm(env, self._look)
        self._rings_at: Nanoseconds = NEVER
        self.expired = self.renewed = 0

    def granted(self, lease: int, ttl: Nanoseconds, at: Nanoseconds) -> None:
        """A grant was applied at `at`."""
        self._ttls[lease] = ttl
        self._set(lease, at + ttl)
        self._rearm()

    def renew(self, lease: int, at: Nanoseconds) -> bool:
        """A keepalive of a lease takes effect at `at`; false where the lease is gone, or taken already."""
        if self._due.get(lease, 0) <= at:
            return False
        self.renewed += 1
        self._set(lease, at + self._ttls[lease])
        return True

    def revoked(self, lease: int) -> None:
        """A lease is gone, whoever revoked it."""
        self._ttls.pop(lease, None)
        self._due.pop(lease, None)

    def promoted(self, at: Nanoseconds) -> None:
        """Another member leads from `at` on, whose clock begins every lease anew."""
        self._taken.clear()
        due = sorted((at + ttl + GRACE, lease) for lease, ttl in self._ttls.items())
        if len(due) >= _RATE:
            due = _spread(due)
        self._due = {lease: when for when, lease in due}
        self._heap = due
        heapify(self._heap)
        self._rearm()

    def _set(self, lease: int, due: Nanoseconds) -> None:
        self._due[lease] = due
        heappush(self._heap, (due, lease))

    def _first(self) -> Nanoseconds:
        """When the next lease is due; NEVER without one."""
        heap, due = self._heap, self._due
        while heap and due.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else NEVER

    def _rearm(self) -> None:
        first = self._first()
        if first < NEVER:
            self._arm(-(-first // INTERVAL) * INTERVAL)

    def _arm(self, at: Nanoseconds) -> None:
        if at >= self._rings_at:
            return
        if self._alarm.armed:  # for later: that one will ring for nothing
            self._alarm = Alarm(self._env, self._look)
        self._rings_at = at
        self._alarm.arm(max(0, at - self._env._now))

    def _look(self, _alarm: Alarm) -> None:
        """A round of the lessor."""
        now: Nanoseconds = self._env._now
        if now < self._rings_at:
            return
        self._rings_at = NEVER
        taken = 0
        while taken < ROUND and self._first() <= now:
            _, lease = heappop(self._heap)
            self._set(lease, now + RETRY)
            self._taken.append(lease)
            taken += 1
        first = self._first()
        if first <= now:
            self._arm(now + INTERVAL)
        elif first < NEVER:
            self._arm(-(-first // INTERVAL) * INTERVAL)
        self._revoke()

    def _revoke(self) -> None:
        """Propose revokes, as many as may be under way."""
        while self._taken and self._pending < PENDING:
            lease = self._taken.popleft()
            if lease not in self._due:
                continue  # gone meanwhile
            call = self._idle.pop() if self._idle else self._call()
            call.op, call.shape, call.key, call.lease, call.expected = Op.LEASE_REVOKE, NOTHING, None, lease, 0
            call.data = wal.proposal(wal.lease_revoke(lease))
            call.outcome = Outcome.UNCHANGED
            self._pending += 1
            callbacks = call.send(0, 0).callbacks
            assert callbacks is not None  # it was sent
            callbacks.append(self._answered)

    def _answered(self, call: Any) -> None:
        self._pending -= 1
        self._idle.append(call)
        self.expired += call.outcome is Outcome.UNCHANGED
        self._revoke()


def _spread(due: list[tuple[Nanoseconds, int]]) -> list[tuple[Nanoseconds, int]]:
    """Leases in the order of their ends, put off so that no more than 750 of them end in a second (lessor.go Promote)."""
    base, expires = due[0][0], 0
    window = base + SECOND
    found = []
    for when, lease in due:
        if when > window:
            base, window, expires = when, when + SECOND, 1
            found.append((when, lease))
            continue
        expires += 1
        if expires <= _SPREAD:
            found.append((when, lease))
            continue
        delay = max(0, SECOND * expires // _SPREAD - (when - base))
        window = base + delay
        found.append((when + delay, lease))
    return found
