"""Raw etcd clients in a closed loop, and a client that lists everything: loads without Kubernetes between."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sim.etcd.backend import Backend
from sim.etcd.request import Op, Shape
from sim.processes.events import Call, Clock
from sim.units import Nanoseconds

Process = Generator[Any, Any, None]


def closed_loop(
    env: Clock, call: Call, shape: Shape, think: Callable[[], Nanoseconds], way: Nanoseconds, request: Nanoseconds,
    latency: Callable[[int], None],
) -> Process:  # fmt: skip
    """One client: think, put a key that never existed, take the answer. way: one way to etcd; request: its gRPC goroutine, ns."""
    call.op, call.shape, call.data = Op.PUT_ONCE, shape, shape.put_data
    while True:
        pause = think()
        yield call.send(pause + way + request, way)
        latency(env._now - call.arrives + way + request)


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
