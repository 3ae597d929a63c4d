"""A StatefulSet that is rolled out through the API server: a pod's update is admitted and stored before its successor writes.

    update    one pod after the other, through seats, admission webhooks and etcd; what is refused is tried again a second later
    writes    the successors of those that are replaced together begin, when the last of their updates is answered

So who holds up an update (a webhook, a full etcd) holds up the rollout. Simplified: pods that are replaced together begin together;
termination, start and readiness are the declared time of a step.

Sources: k8s.io/kubernetes pkg/controller/statefulset/stateful_set_control.go (one set is worked on by one worker, a pod at a time).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.apiserver.objects import ObjectKey
from sim.etcd.request import Outcome, Shape
from sim.processes.events import Call, Clock
from sim.processes.rest_client import RestClient
from sim.units import SECOND, Nanoseconds

_AGAIN: Final[Nanoseconds] = SECOND


class Feed:
    """Arrivals that become known as time goes on: ends where nothing more is known, and goes on when there is more."""

    def __init__(self) -> None:
        self._begun: deque[Iterator[NDArray[np.int64]]] = deque()

    def add(self, blocks: Iterator[NDArray[np.int64]]) -> None:
        """Arrivals that come after all those that are known."""
        self._begun.append(blocks)

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> NDArray[np.int64]:
        while self._begun:
            block = next(self._begun[0], None)
            if block is not None:
                return block
            self._begun.popleft()
        raise StopIteration


class StatefulSet:
    """groups: pods that are replaced together. step: from the beginning of one group to the updates of the next, nanoseconds.

    begin: called with the number of successors that begin to write now.
    """

    def __init__(
        self, env: Clock, client: RestClient, call: Call, pod: Shape, groups: list[list[ObjectKey]], step: Nanoseconds,
        begin: Callable[[int], None],
    ):  # fmt: skip
        self._env, self._client, self._call, self._pod = env, client, call, pod
        self._groups, self._step, self._begin = groups, step, begin

    def run(self, begins: Nanoseconds) -> Generator[Any, Any, None]:
        """Group after group, from `begins` on."""
        yield self._env.timeout(begins)
        for group in self._groups:
            for pod in group:
                yield from self._update(pod)
            self._begin(len(group))
            yield self._env.timeout(self._step)

    def _update(self, pod: ObjectKey) -> Generator[Any, Any, None]:
        call = self._call
        while True:
            yield self._client.update(call, self._pod, pod)
            self._client.received(call)
            if call.outcome < Outcome.CONFLICT:
                return
            yield self._env.timeout(_AGAIN)
