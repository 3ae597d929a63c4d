"""Zero values beyond the plain leak: a controller that watches what it creates, and a map that grows by being read.

    watched    what a zero value makes it create comes back through its own watch; its map holds it as another zero value (no
               UID), which makes it create the next: every entry makes one more each period, until something limits the client
    inserts    (a hypothesis, not Go) a look-up of a key that is not in the map puts a zero value there

The safe deletion removes both kinds of entries at the next pass over them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from sim.apiserver.objects import Labels, ObjectKey
from sim.controllers.cache import ABSENT, ZERO, ObjectMap
from sim.etcd.request import CONFLICT, Shape
from sim.processes.controller import DONE, FAILED
from sim.processes.events import Call, Clock
from sim.processes.reconcilers import CacheReconciler, Steps
from sim.processes.rest_client import RestClient
from sim.units import Nanoseconds

_NAMESPACE: Final = "default"
_GENERATED: Final = "zero-pod-"


@dataclass(frozen=True, slots=True)
class Watched:
    """What it creates is watched by itself. labels: those that its watch selects; names: numbers for fresh names."""

    labels: Labels
    names: Iterator[int]


@dataclass(frozen=True, slots=True)
class Inserts:
    """Look-ups that miss insert a zero value. rate: share of reconciles with one; chance: draws from [0, 1); add: queues a key."""

    rate: float
    chance: Callable[[], float]
    add: Callable[[Hashable], None]


class EntangledReconciler(CacheReconciler):
    """A `CacheReconciler` whose map gets zero values from elsewhere, too."""

    def __init__(
        self, env: Clock, client: RestClient, writer: int, exists: Callable[[Hashable], bool], cache: ObjectMap,
        work: Callable[[], Nanoseconds], again: bool, creates: Shape | None, watched: Watched | None, inserts: Inserts | None,
    ):  # fmt: skip
        super().__init__(env, client, writer, exists, cache, work, again, creates)
        self._watched, self._inserts = watched, inserts
        self._missed = 0

    def reconcile(self, call: Call, key: Hashable) -> Steps:
        """One pass over the entry of `key`."""
        exists = self._exists(key)
        if exists and self._watched is not None and isinstance(key, str) and key.startswith(f"{_NAMESPACE}/{_GENERATED}"):
            self._cache.insert(key)  # an object without a UID in its map: there, and zero
            exists = False
        found = self._cache.look(key, exists)
        inserts = self._inserts
        if inserts is not None and inserts.chance() < inserts.rate:
            self._missed += 1
            missing = f"missing-{self._missed}"
            self._cache.insert(missing)
            inserts.add(missing)
        yield self._env.timeout(self._work())
        if found is ZERO and self._creates is not None:
            yield self._client.create(call, self._creates, self._named())
            self._client.received(call)
            return FAILED if call.outcome >= CONFLICT else self._seen
        return DONE if found is ABSENT else self._seen

    def _named(self) -> ObjectKey | None:
        """The name of what it creates next; None: a fresh one that nobody watches."""
        if self._watched is None or self._creates is None:
            return None
        name = f"{_GENERATED}{next(self._watched.names)}"
        return ObjectKey(self._creates.name, _NAMESPACE, name, self._watched.labels)
