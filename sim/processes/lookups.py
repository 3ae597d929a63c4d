"""Readers of a cache: they ask for keys by name, and who finds nothing fills it. Each lookup is a get, and at times a create."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from sim.apiserver.objects import ObjectKey
from sim.etcd.request import CONFLICT, Outcome, Shape
from sim.processes.events import Clock
from sim.processes.rest_client import RestClient
from sim.streams import Stream
from sim.units import Nanoseconds

Process = Generator[Any, Any, None]


@dataclass(slots=True)
class LookupTally:
    """Lookups, and what they found; fills: creates after a miss, and how many of them were refused."""

    asked: int = 0
    hits: int = 0
    misses: int = 0
    fills: int = 0
    fills_refused: int = 0


class Lookups:
    """Readers of `keys`. missing: share of lookups that ask for `ghost`, a key that is never there and that nobody fills."""

    def __init__(
        self, env: Clock, client: RestClient, writer: int, shape: Shape, keys: Sequence[ObjectKey], ghost: ObjectKey,
        missing: float, fill: bool, choice: Stream,
    ):  # fmt: skip
        self._env, self._client, self._writer, self._shape, self._keys = env, client, writer, shape, keys
        self._ghost, self._missing, self._fill, self._choice = ghost, missing, fill, choice
        self.tally = LookupTally()

    def run(self, gap: Callable[[], Nanoseconds]) -> Process:
        """Ask again and again, whoever still waits."""
        env = self._env
        while True:
            yield env.timeout(gap())
            ghost, place = self._choice.uniform() < self._missing, int(self._choice.uniform() * len(self._keys))
            env.process(self._look(self._ghost if ghost else self._keys[place], self._fill and not ghost))

    def _look(self, key: ObjectKey, fill: bool) -> Process:
        client, tally = self._client, self.tally
        call = client.call(self._writer)
        tally.asked += 1
        yield client.get(call, self._shape, key)
        client.received(call)
        if call.outcome is not Outcome.NOT_FOUND:
            tally.hits += call.outcome < CONFLICT
            return
        tally.misses += 1
        if fill:
            tally.fills += 1
            yield client.create(call, self._shape, key)
            client.received(call)
            tally.fills_refused += call.outcome > CONFLICT

    def flush(self, at: Nanoseconds) -> Process:
        """Everything is deleted at `at`, one after the other."""
        client = self._client
        yield self._env.timeout(at)
        call = client.call(self._writer)
        for key in self._keys:
            yield client.delete(call, self._shape, key)
            client.received(call)
