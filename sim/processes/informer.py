"""An informer's connection: the initial list, the watch of one resource, and the resync timer.

Sources: client-go tools/cache/reflector.go, shared_informer.go. Simplified: the watch does not break, so there is no relist.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sim.apiserver.objects import ApiObject, Labels, ObjectKey, WatchEvent
from sim.clientgo.informer import SharedInformer
from sim.processes.events import Clock
from sim.processes.watch import WatchHub
from sim.units import Nanoseconds


class Informer:
    """One resource, those objects that a selector matches. resync: nanoseconds, None for never; jitter draws from [0, 1)."""

    def __init__(
        self, env: Clock, hub: WatchHub, mechanism: SharedInformer, resource: str, selector: Labels, resync: Nanoseconds | None,
        jitter: Callable[[], float],
    ):  # fmt: skip
        self.mechanism = mechanism
        self._selector, self._resource = selector, resource
        hub.subscribe(resource, selector, self._receive)
        if resync is not None:
            env.process(self._resync(env, resync, jitter))

    def list(self, objects: list[ObjectKey]) -> None:
        """The initial list, at the start of the watch."""
        self.mechanism.list(
            ApiObject(key.namespace, key.name, key.labels, 0)
            for key in objects
            if key.resource == self._resource and self._selector <= key.labels
        )

    def _receive(self, event: WatchEvent) -> None:
        self.mechanism.event(event.type, event.object)

    def _resync(self, env: Clock, period: Nanoseconds, jitter: Callable[[], float]) -> Generator[Any, Any, None]:
        """controller-runtime: the period with 10% jitter, drawn once (pkg/cache/cache.go defaultSyncPeriod)."""
        period = int(period * (0.9 + 0.2 * jitter()))
        while True:
            yield env.timeout(period)
            self.mechanism.resync()
