"""Raw etcd clients in a closed loop, and a client that lists everything: loads without Kubernetes between."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sim.etcd.backend import Backend
from sim.etcd.request import CONFLICT, Op, Shape
from sim.processes.events import Call, Clock
from sim.processes.storm import BackOff
from sim.streams import Stream
from sim.units import Nanoseconds

Process = Generator[Any, Any, None]


def closed_loop(
    env: Clock, call: Call, shape: Shape, think: Callable[[], Nanoseconds], way: Nanoseconds, request: Nanoseconds,
    latency: Callable[[int], None], back_off: BackOff, jitter: Stream,
) -> Process:  # fmt: skip
    """One client: think, put a key that never existed, take the answer; again after a pause where it was refused or not answered.

    way: one way to etcd; request: its gRPC goroutine, ns. jitter: stretches the pauses.
    """
    call.op, call.shape, call.data = Op.PUT_ONCE, shape, shape.put_data
    while True:
        pause = think()
        yield call.send(pause + way + request, way)
        latency(env._now - call.arrives + way + request)
        if call.outcome >= CONFLICT:
            for pause in back_off.pauses:
                yield call.send(back_off.stretched(pause, jitter) + way + request, way)
                latency(env._now - call.arrives + way + request)
                if call.outcome < CONFLICT:
                    break


def lists(
    env: Clock, backend: Backend, reader: int, keys: Callable[[], int], begin: Nanoseconds, gap: Callable[[], Nanoseconds],
    duration: Callable[[int], None],
) -> Process:  # fmt: skip
    """A client that lists all objects of one kind at intervals."""
    yield env.timeout(begin)
    while True:
        started = env._now
        backend.advance(started)
        ends = backend.list_keys(started, keys(), reader)
        yield env.timeout(ends - started)
        duration(ends - started)
        yield env.timeout(max(0, started + gap() - env._now))
