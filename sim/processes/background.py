"""What every cluster writes: node leases and status, leases of elected components, and what the API server does for itself."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sim.apiserver.objects import ObjectKey
from sim.etcd import wal
from sim.etcd.request import Op, Outcome, Shape
from sim.processes.events import NOTHING, Call, Clock
from sim.processes.rest_client import RestClient
from sim.units import HOUR, Nanoseconds

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
