"""Raw etcd clients in closed loops, and a client that lists everything: loads without Kubernetes between."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from itertools import cycle
from typing import Any

from sim.etcd import wal
from sim.etcd.request import CONFLICT, Op, Shape
from sim.processes.events import NOTHING, Call, Clock
from sim.processes.leader import Leader
from sim.processes.lessor import Lessor
from sim.processes.reads import Read, Reads
from sim.processes.storm import BackOff
from sim.streams import Stream
from sim.units import SECOND, Nanoseconds

Process = Generator[Any, Any, None]


def closed_loop(
    env: Clock, call: Call, shape: Shape, key: Callable[[], Hashable] | None, think: Callable[[], Nanoseconds], way: Nanoseconds,
    request: Nanoseconds, latency: Callable[[int], None], back_off: BackOff, jitter: Stream,
) -> Process:  # fmt: skip
    """One client: think, put a key, take the answer; again after a pause where it was refused or not answered.

    key: which one is put, None for one that never existed. way: one way to etcd; request: its gRPC goroutine, ns. jitter: stretches
    the pauses.
    """
    call.op, call.shape, call.data = Op.PUT if key else Op.PUT_ONCE, shape, shape.put_data
    while True:
        if key is not None:
            call.key = key()
        pause = think()
        yield call.send(pause + way + request, way)
        latency(env._now - call.arrives + way + request)
        if call.outcome >= CONFLICT:
            for pause in back_off.pauses:
                yield call.send(back_off.stretched(pause, jitter) + way + request, way)
                latency(env._now - call.arrives + way + request)
                if call.outcome < CONFLICT:
                    break


def keeping_loop(
    env: Clock, call: Call, lessor: Lessor, leader: Leader, ids: Iterator[int], ttl: Nanoseconds,
    think: Callable[[], Nanoseconds], way: Nanoseconds, request: Nanoseconds, latency: Callable[[int], None],
) -> Process:  # fmt: skip
    """One client: grant a lease, then keep it alive after each pause; grant another where it is gone. ids: the member's.

    A keepalive is no entry of the log: the member answers when everything that it knows to be committed is applied.
    """
    while True:
        lease = _grant(call, ids, ttl)
        yield call.send(way + request, way)
        latency(env._now - call.arrives + way + request)
        alive = call.outcome < CONFLICT
        yield env.timeout(think())
        while alive:
            began = env._now
            yield env.timeout(way + request)
            index = leader.handed_over
            yield env.timeout(max(0, leader.applies_until - env._now))
            while leader.computed < index:
                yield env.timeout(max(1, leader.applies_until - env._now))
            alive = lessor.renew(lease, env._now)
            yield env.timeout(way)
            latency(env._now - began)
            if alive:
                yield env.timeout(think())


def in_turn(doors: Sequence[Callable[[Call], None]]) -> Callable[[Call], None]:
    """One door after the other, a request each."""
    if len(doors) == 1:
        return doors[0]
    turns = cycle(doors)
    return lambda call: next(turns)(call)


def leasing_loop(
    env: Clock, call: Call, shape: Shape, ids: Iterator[int], ttl: Nanoseconds, keys: int, revokes: bool,
    think: Callable[[], Nanoseconds], way: Nanoseconds, request: Nanoseconds, latency: Callable[[int], None],
) -> Process:  # fmt: skip
    """One client: think, grant a lease, put so many fresh keys of a leased `shape` under it; then revoke it, or let it expire."""
    while True:
        pause = think()
        lease = _grant(call, ids, ttl)
        yield call.send(pause + way + request, way)
        latency(env._now - call.arrives + way + request)
        if call.outcome >= CONFLICT:
            continue
        for _ in range(keys):
            call.op, call.shape, call.lease, call.expected, call.data = Op.PUT_ONCE, shape, lease, 0, shape.put_data
            yield call.send(way + request, way)
            latency(env._now - call.arrives + way + request)
        if revokes:
            call.op, call.shape, call.lease, call.data = Op.LEASE_REVOKE, NOTHING, lease, wal.proposal(wal.lease_revoke(lease))
            yield call.send(way + request, way)
            latency(env._now - call.arrives + way + request)


def _grant(call: Call, ids: Iterator[int], ttl: Nanoseconds) -> int:
    """Make it the grant of a lease: which one."""
    call.op, call.shape, call.lease, call.expected = Op.LEASE_GRANT, NOTHING, next(ids), ttl
    call.data = wal.proposal(wal.lease_grant(ttl // SECOND, call.lease))
    return call.lease


def reading_loop(
    env: Clock, read: Read, keys: int, limit: int, think: Callable[[], Nanoseconds], way: Nanoseconds, request: Nanoseconds,
    latency: Callable[[int], None],
) -> Process:  # fmt: skip
    """One client: think, get a key or a page of a list of so many `keys`, take the answer. limit: keys of a page, 0 for all."""
    left = keys
    while True:
        pause = think()
        read.walked, read.returned = left, min(limit or left, left)
        yield read.send(pause + way + request, way)
        latency(env._now - read.arrives + way + request)
        left = left - read.returned or keys


def lists(
    env: Clock, doors: Sequence[Reads], reader: int, keys: Callable[[], int], limit: int, begin: Nanoseconds,
    gap: Callable[[], Nanoseconds], duration: Callable[[int], None],
) -> Process:  # fmt: skip
    """A client that lists all objects of one kind at intervals, as one member after the other has them, in pages of `limit` keys
    (0: in one)."""
    reads = [door.call(reader) for door in doors]
    for read in reads:
        read.linearizable = False
    turns = cycle(reads)
    yield env.timeout(begin)
    while True:
        started, left, read = env._now, keys(), next(turns)
        while True:
            read.walked, read.returned = left, min(limit or left, left)
            yield read.send(0, 0)
            left -= read.returned
            if not left:
                break
        duration(env._now - started)
        yield env.timeout(max(0, started + gap() - env._now))
