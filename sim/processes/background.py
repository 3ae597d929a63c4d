"""What every cluster writes: node leases and status, leases of elected components, and what the API server does for itself."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sim.apiserver.objects import ObjectKey
from sim.etcd import wal
from sim.etcd.request import Op, Outcome, Shape
from sim.hardware.disk import NEVER
from sim.processes.events import NOTHING, Alarm, Call, Clock
from sim.processes.rest_client import RestClient
from sim.units import HOUR, MILLISECOND, Nanoseconds

Process = Generator[Any, Any, None]


def heartbeat(
    env: Clock, client: RestClient, call: Call, shape: Shape, key: ObjectKey, every: Nanoseconds, phase: Nanoseconds,
    after_answer: bool,
) -> Process:  # fmt: skip
    """Write one object again and again: a node's lease or status, an elected leader's lease.

    after_answer: the period counts from the answer (leader election: period = retry period + latency), else from the start.
    """
    yield env.timeout(phase)
    while True:
        started = env._now
        yield client.update(call, shape, key)
        client.received(call)
        yield env.timeout(every if after_answer else max(0, started + every - env._now))


def api_server_compaction(
    env: Clock, client: RestClient, call: Call, compact: Call, to_etcd: Nanoseconds, shape: Shape, key: ObjectKey,
    every: Nanoseconds, revision: Callable[[], int],
) -> Process:  # fmt: skip
    """Every 5 minutes: put compact_rev_key, then compact to the revision of the previous tick (apiserver storage/etcd3/compact.go).

    When the put is refused (NOSPACE), there is no compaction either.
    """
    noted = 0
    while True:
        yield env.timeout(every)
        yield client.update(call, shape, key)
        client.received(call)
        if call.outcome >= Outcome.CONFLICT:
            continue
        if noted:
            yield _compact(compact, noted, to_etcd)
        noted = revision()


def periodic_compaction(env: Clock, call: Call, period: Nanoseconds, revision: Callable[[], int], again: bool) -> Process:
    """etcd's own auto-compaction by time, on the leader: samples the revision ten times a period (an hour's where that is longer),
    and compacts to the one of a period ago: first after a period, then each period, or each hour. again: also where nothing was
    written since the last time (before 3.6).

    Source: etcd api/v3compactor/periodic.go (Run).
    """
    shown = min(period, HOUR)
    retry = max(1, shown // 10)
    samples: list[int] = []
    due, last, last_success = period, 0, env._now
    while True:
        samples.append(revision())
        del samples[: -(period // retry + 1)]
        yield env.timeout(retry)
        wanted = samples[0]
        if env._now - last_success < due or (wanted == last and not again):
            continue
        due = shown
        yield _compact(call, wanted, 0)
        if call.outcome in (Outcome.UNCHANGED, Outcome.COMPACTED):
            last, last_success = wanted, env._now


def revision_compaction(env: Clock, call: Call, every: Nanoseconds, kept: int, revision: Callable[[], int]) -> Process:
    """etcd's own auto-compaction by count: every 5 minutes to the current revision less those that are kept.

    Source: etcd api/v3compactor/revision.go (Run).
    """
    last = 0
    while True:
        yield env.timeout(every)
        wanted = revision() - kept
        if wanted <= 0 or wanted == last:
            continue
        yield _compact(call, wanted, 0)
        if call.outcome in (Outcome.UNCHANGED, Outcome.COMPACTED):
            last = wanted


def _compact(call: Call, revision: int, way: Nanoseconds) -> Call:
    call.op, call.shape, call.key, call.lease, call.expected = Op.COMPACT, NOTHING, None, 0, revision
    call.data = wal.proposal(wal.compaction(revision))
    return call.send(way, way)


class Lessor:
    """Leases on the leader's clock: looks every 500 ms for expired ones and proposes a revoke for each.

    Source: etcd server/lease/lessor.go. Simplified: at most 500 a round, all sent at once; keep-alives are not modelled (the API
    server sends none for objects with a time to live).
    """

    INTERVAL: Nanoseconds = 500 * MILLISECOND
    GRACE: Nanoseconds = 1000 * MILLISECOND
    """What a promotion adds to a lease's time to live: an election timeout."""
    ROUND = 500

    def __init__(self, env: Clock, call: Callable[[], Call]):
        self._env, self._call = env, call
        self._expiries: list[tuple[Nanoseconds, int]] = []  # rising: leases of one TTL are granted in order
        self._ttls: dict[int, Nanoseconds] = {}  # of leases that have not expired
        self._alarm = Alarm(env, self._look)
        self._rings_at: Nanoseconds = NEVER

    def granted(self, lease: int, ttl: Nanoseconds, at: Nanoseconds) -> None:
        """A grant was applied at `at`."""
        self._expiries.append((at + ttl, lease))
        self._ttls[lease] = ttl
        self._expiries.sort()
        self._rearm()

    def promoted(self, at: Nanoseconds) -> None:
        """Another member leads from `at` on, whose clock starts every lease anew."""
        self._expiries = sorted((max(due, at + self._ttls[lease] + self.GRACE), lease) for due, lease in self._expiries)
        self._rearm()

    def _rearm(self) -> None:
        if self._expiries:
            self._arm(-(-self._expiries[0][0] // self.INTERVAL) * self.INTERVAL)

    def _arm(self, due: Nanoseconds) -> None:
        if due >= self._rings_at:
            return
        if self._alarm.armed:  # for later: that one will ring for nothing
            self._alarm = Alarm(self._env, self._look)
        self._rings_at = due
        self._alarm.arm(max(0, due - self._env._now))

    def _look(self, _alarm: Alarm) -> None:
        now: Nanoseconds = self._env._now
        if now < self._rings_at:
            return
        self._rings_at = NEVER
        expired = [entry for entry in self._expiries[: self.ROUND] if entry[0] <= now]
        del self._expiries[: len(expired)]
        for _, lease in expired:
            del self._ttls[lease]
            call = self._call()
            call.op, call.shape, call.key, call.lease, call.expected = Op.LEASE_REVOKE, NOTHING, None, lease, 0
            call.data = wal.proposal(wal.lease_revoke(Shape.LEASE_ID))
            call.send(0, 0)
        if expired and self._expiries and self._expiries[0][0] <= now:
            self._arm(now + self.INTERVAL)
        else:
            self._rearm()
