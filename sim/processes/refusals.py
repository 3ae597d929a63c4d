"""What a member refuses before it proposes: too large, over the quota, too far behind.

Sources: etcd api/v3rpc/quota.go, server/storage/quota.go, server/etcdserver/v3_server.go (processInternalRaftRequestOnce).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.etcd import wal
from sim.etcd.backend import Backend
from sim.etcd.request import Op, Outcome, Shape
from sim.etcd.store import GROWS
from sim.hardware.disk import NEVER
from sim.processes.events import Call, Clock
from sim.processes.leader_rules import LeaderRules
from sim.units import Bytes, Nanoseconds

_SMALL_QUOTA: Final[Bytes] = 256 * 2**20
PUT_OVERHEAD: Final[Bytes] = 256
"""What the quota check adds to a put's key and value (server/storage/quota.go kvOverhead)."""
LEASE_OVERHEAD: Final[Bytes] = 64
"""What it adds for a lease (leaseOverhead)."""
_ALARM: Final[Bytes] = wal.proposal(wal.alarm())


class Refusals:
    """Decides what is proposed. propose: takes the alarm's entry. incident: called with time, kind and a sentence.

    counts: requests refused, by outcome. tight: the size of the file from which on the quota is looked at; no_space: whether the
    alarm has been raised. max_gap: committed entries that may wait for their apply.
    """

    def __init__(
        self, env: Clock, backend: Backend, rules: LeaderRules, propose: Callable[[Call], None],
        incident: Callable[[Nanoseconds, str, str], None],
    ):  # fmt: skip
        self._env, self._backend, self._rules, self._propose, self._incident = env, backend, rules, propose, incident
        # Far from the quota nothing has to be looked up: no commit, computed yet or not, doubles a file of that size.
        self.tight: float = math.inf
        if rules.quota is not None:
            self.tight = rules.quota // 2 if rules.quota > _SMALL_QUOTA else -1
        self.no_space = False
        self.max_gap = rules.max_gap  # less what waits at the applier's barrier
        self.counts = {Outcome.NO_SPACE: 0, Outcome.TOO_MANY_REQUESTS: 0, Outcome.TOO_LARGE: 0}

    def may_refuse(self, call: Call, behind: int) -> bool:
        """Whether it has to be looked at. behind: entries that are committed and not applied."""
        return call.data > self._rules.max_request or self._backend.size > self.tight or behind > self._rules.max_gap

    def proposed(self, call: Call, now: Nanoseconds, behind: int | None = None) -> Call | None:
        """What is proposed for a request that arrives now: itself, the alarm's entry, or nothing where it was refused.

        behind: entries that the member it asks has not applied; None: the leader.
        """
        if behind is None:
            behind = self._backend.applied.ahead(now)
        outcome = self._refusal(call, now, behind)
        if outcome is None:
            return call
        self.counts[outcome] += 1
        call.outcome = outcome
        if outcome is Outcome.NO_SPACE and behind <= self.max_gap:
            return self._alarm(call)
        call.answer(now, now)
        return None

    def opens_at(self) -> Nanoseconds:
        """Until when the gap of `max_gap` refuses what arrives, as it is known by now."""
        rows = self._backend.applied.times
        behind = len(rows) - self.max_gap - 1
        if behind >= len(rows):
            return self._backend.barrier
        return rows[behind] if behind >= 0 else 0

    def full_from(self, shape: Shape, times: NDArray[np.int64], until: Nanoseconds) -> Nanoseconds:
        """From when on puts that arrive at these times, up to `until`, are refused because of the quota; NEVER: they are not."""
        quota, backend = self._rules.quota, self._backend
        if quota is None or (not self.no_space and backend.size <= self.tight):
            return NEVER
        if self.no_space:
            return 0
        backend.advance(until)
        least = quota - PUT_OVERHEAD - shape.key_bytes - shape.value_bytes
        if backend.database.value_at(until, 0) < least:
            return NEVER
        since = backend.database.reached(0, least)
        after = times[times >= since]
        if not len(after):
            return NEVER
        first = int(after[0])
        self._full(first, backend.database.value_at(first, 0))
        return first

    def _full(self, at: Nanoseconds, size: Bytes) -> None:
        self.no_space = True
        self._incident(at, "quota", f"NOSPACE alarm: the database of {size:,} bytes has reached the quota; writes are refused")

    def _refusal(self, call: Call, now: Nanoseconds, behind: int) -> Outcome | None:
        rules = self._rules
        if call.data > rules.max_request:
            return Outcome.TOO_LARGE
        if rules.quota is not None and self._over_quota(call, now, rules.quota):
            return Outcome.NO_SPACE
        return Outcome.TOO_MANY_REQUESTS if behind > self.max_gap else None

    def _over_quota(self, call: Call, now: Nanoseconds, quota: Bytes) -> bool:
        """Whether the file, as the last commit left it, and what the request may add reach the quota."""
        if call.op is Op.LEASE_GRANT:
            cost = LEASE_OVERHEAD
        elif call.op in GROWS:
            cost = PUT_OVERHEAD + call.shape.key_bytes + call.shape.value_bytes
        elif call.op is Op.DELETE and self._rules.refuses_all_txns:
            cost = 0
        else:
            return False
        backend = self._backend
        backend.advance(now)
        size = backend.database.value_at(now, 0)
        if size + cost < quota:
            return False
        if not self.no_space:
            self._full(now, size)
        return True

    def _alarm(self, refused: Call) -> Call:
        """The alarm's entry, which is proposed in place of a request over the quota; that one is answered when it is applied."""
        alarm = Call(self._env, self._propose, refused.writer)
        alarm.op, alarm.expected, alarm.data, alarm.arrives = Op.ALARM, 1, _ALARM, self._env._now
        alarm.on_answer = lambda _alarm, now, at: refused.answer(now, at)
        return alarm
