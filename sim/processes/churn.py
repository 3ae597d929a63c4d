"""Pods come and go: what replacing one writes, component by component, and the Events that go with it.

    delete    deletionTimestamp (update) . kubelet: terminated (status) . grace 0 (update) and delete
    create    create . bind (update) . kubelet: status, twice

Sources: facts of the API server's delete path (pkg/registry/rest/delete.go) and of the kubelet (pkg/kubelet/status); the
pauses between the steps are assumed. Which pod goes is the oldest; the calendar is drawn in the time domain, the same for
every variant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final

from sim.apiserver.objects import ObjectKey
from sim.etcd.request import Outcome, Shape
from sim.processes.events import Call, Clock
from sim.processes.rest_client import RestClient
from sim.units import MILLISECOND, SECOND, Nanoseconds

Process = Generator[Any, Any, None]

_TERMINATION: Final[Nanoseconds] = 2 * SECOND
_BIND: Final[Nanoseconds] = 20 * MILLISECOND
_PULL: Final[Nanoseconds] = 1 * SECOND
_START: Final[Nanoseconds] = 500 * MILLISECOND


class PodChurn:
    """A workload that replaces pods one by one.

    gap: time to the next replacement, nanoseconds; until: when the last one happens, None without end. event: shape of an Event,
    None where none are written; event_ttl: 0 for no end.
    """

    def __init__(
        self, env: Clock, client: RestClient, call: Callable[[], Call], pod: Shape, event: Shape | None,
        event_ttl: Nanoseconds, pods: list[ObjectKey], events_per_pod: int, gap: Callable[[], Nanoseconds],
        until: Nanoseconds | None = None,
    ):  # fmt: skip
        self._env, self._client, self._call = env, client, call
        self._pod, self._event, self._event_ttl = pod, event, event_ttl
        self._alive = deque(pods)
        self._born = len(pods)
        self._events, self._gap, self._until = events_per_pod, gap, until
        self.replaced = 0

    def run(self) -> Process:
        """Replace the oldest pod at each tick of the calendar."""
        while True:
            yield self._env.timeout(self._gap())
            if self._until is not None and self._env._now > self._until:
                return
            if self._alive:
                self._env.process(self._replace(self._alive.popleft()))

    def _replace(self, old: ObjectKey) -> Process:
        env = self._env
        self.replaced += 1
        env.process(self._start(ObjectKey(old.resource, old.namespace, self._name(old), old.labels)))
        call = self._call()
        yield from self._write(call, old)
        yield from self._write_event(call, 0)  # Killing
        yield env.timeout(_TERMINATION)
        yield from self._write(call, old)
        yield from self._write(call, old)
        while True:
            yield self._client.delete(call, self._pod, old)
            self._client.received(call)
            if call.outcome <= Outcome.CONFLICT or call.outcome is Outcome.NOT_FOUND:
                return
            yield env.timeout(SECOND)  # refused or timed out: the kubelet tries again

    def _start(self, pod: ObjectKey) -> Process:
        env, call = self._env, self._call()
        while True:
            yield self._client.create(call, self._pod, pod)
            self._client.received(call)
            if call.outcome <= Outcome.CONFLICT:
                break
            yield env.timeout(SECOND)
        self._alive.append(pod)
        yield from self._write_event(call, 1)  # SuccessfulCreate
        yield env.timeout(_BIND)
        yield from self._write(call, pod)
        yield from self._write_event(call, 2)  # Scheduled
        yield from self._write_event(call, 3)  # Pulling
        yield from self._write(call, pod)
        yield env.timeout(_PULL)
        yield from self._write_event(call, 4)  # Pulled
        yield from self._write_event(call, 5)  # Created
        yield env.timeout(_START)
        for ordinal in range(6, max(7, self._events)):
            yield from self._write_event(call, ordinal)  # Started, and what else the workload declares
        yield from self._write(call, pod)

    def _write(self, call: Call, pod: ObjectKey) -> Process:
        yield self._client.update(call, self._pod, pod)
        self._client.received(call)

    def _write_event(self, call: Call, ordinal: int) -> Process:
        if self._event is None or ordinal >= self._events:
            return
        yield self._client.create(call, self._event, None, ttl=self._event_ttl)
        self._client.received(call)

    def _name(self, old: ObjectKey) -> str:
        self._born += 1
        return f"{old.name.rsplit('-', 1)[0]}-{self._born}"
