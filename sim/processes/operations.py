"""An operator at work: compaction, defragmentation, disarming the alarm, at declared times.

Out of space is a state that only an operator ends: a compaction gives pages back inside the file, a defragmentation makes the file
smaller, and the alarm stays until it is disarmed. Source: etcd server/etcdserver/api/v3rpc/maintenance.go (Defragment, Alarm).
Simplified: the leading member alone is defragmented.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Literal

from sim.etcd import wal
from sim.etcd.backend import Backend
from sim.etcd.request import Op, Outcome
from sim.processes.events import NOTHING, Call, Clock
from sim.processes.leader import Leader
from sim.units import Nanoseconds, seconds

Process = Generator[Any, Any, None]


def operation(
    env: Clock, kind: Literal["compact", "defrag", "disarm"], at: Nanoseconds, call: Call, leader: Leader, backend: Backend,
    incident: Callable[[Nanoseconds, str, str], None],
) -> Process:  # fmt: skip
    """One command at its time; its end is an incident."""
    yield env.timeout(at)
    if kind == "defrag":
        before = backend.pages.bytes_total
        ends = backend.defrag(env._now)
        yield env.timeout(ends - env._now)
        took = seconds(ends - at)
        about = f"the file went from {before:,} to {backend.pages.bytes_total:,} bytes in {took:.3g} s, in which nobody was served"
        incident(env._now, "defrag", about)
        return
    call.shape, call.key, call.lease = NOTHING, None, 0
    if kind == "compact":
        call.op, call.expected = Op.COMPACT, backend.mvcc.revision
        call.data = wal.proposal(wal.compaction(call.expected))
    else:
        call.op, call.expected, call.data = Op.ALARM, 0, wal.proposal(wal.alarm())
    yield call.send(0, 0)
    if call.outcome in (Outcome.UNCHANGED, Outcome.COMPACTED):
        done = f"to revision {call.expected:,}" if kind == "compact" else "the NOSPACE alarm is disarmed"
        if kind == "disarm":
            leader.refusals.no_space = False
    else:
        done = f"failed: {call.outcome.name.lower().replace('_', ' ')}"
    incident(env._now, kind, done)
