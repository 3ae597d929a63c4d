"""Devices that report through an edge: every measurement an object, or one object for all that an edge has summed up."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.etcd.request import Shape
from sim.processes.events import Clock
from sim.processes.rest_client import RestClient
from sim.units import Nanoseconds

Process = Generator[Any, Any, None]


class Edge:
    """One edge node. sums: whether it sums measurements up; ttl: the life of what it writes, nanoseconds, 0 without end.

    Counts `measured` and `written`; `waiting` are summed up and not yet written.
    """

    def __init__(self, env: Clock, client: RestClient, writer: int, shape: Shape, ttl: Nanoseconds, sums: bool):
        self._env, self._client, self._writer = env, client, writer
        self._shape, self._ttl, self._sums = shape, ttl, sums
        self.measured = self.written = self.waiting = 0

    def device(self, start: Nanoseconds, every: Nanoseconds) -> Process:
        """A device that reports to this edge."""
        env = self._env
        yield env.timeout(start)
        while True:
            self.measured += 1
            if self._sums:
                self.waiting += 1
            else:
                env.process(self._write())
            yield env.timeout(every)

    def flush(self, start: Nanoseconds, every: Nanoseconds) -> Process:
        """Write what was summed up, if anything was."""
        yield self._env.timeout(start)
        while True:
            yield self._env.timeout(every)
            if self.waiting:
                self.waiting = 0
                yield from self._write()

    def _write(self) -> Process:
        call = self._client.call(self._writer)
        yield self._client.create(call, self._shape, None, ttl=self._ttl)
        self._client.received(call)
        self.written += 1
