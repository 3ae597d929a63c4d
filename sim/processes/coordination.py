"""Controllers that coordinate through etcd: what each keeps for itself, and what it keeps wherever it finds a namespace.

    for itself      a lease and a config map for each kind of state; written again at each renewal: revisions, not keys
    per namespace   a config map for each kind of state, created once it has found the namespace

A controller finds namespaces by listing what lies under them: one that is new is met by all others at their next look. Nobody here
knows how many keys that makes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from sim.apiserver.objects import ObjectKey
from sim.etcd.request import CONFLICT, Outcome, Shape
from sim.processes.events import Clock
from sim.processes.rest_client import RestClient
from sim.units import SECOND, Nanoseconds

Process = Generator[Any, Any, None]


class Coordinator:
    """One controller. namespace: the one that it brings along; found: lists the namespaces that exist; times in nanoseconds."""

    def __init__(
        self, env: Clock, client: RestClient, writer: int, name: str, namespace: str, kinds: int, lease: Shape, config: Shape,
        found: Callable[[], Iterable[str]],
    ):  # fmt: skip
        self._env, self._client, self._writer, self._name = env, client, writer, name
        self._lease, self._config, self._found = lease, config, found
        self._kinds = range(kinds)
        self._own = [(lease, ObjectKey(lease.name, "", f"{name}-{kind}")) for kind in self._kinds]
        self._own += [(config, ObjectKey(config.name, namespace, f"{name}-{kind}")) for kind in self._kinds]
        self._known: set[str] = set()

    def keep(self, start: Nanoseconds, every: Nanoseconds) -> Process:
        """Its own keys: created, then written again at each renewal."""
        env, client = self._env, self._client
        call = client.call(self._writer)
        yield env.timeout(start)
        for shape, key in self._own:
            yield from self._create(shape, key)
        while True:
            yield env.timeout(every)
            for shape, key in self._own:
                yield client.update(call, shape, key)
                client.received(call)

    def look(self, start: Nanoseconds, every: Nanoseconds) -> Process:
        """Its keys in namespaces: created in each that it has not met before."""
        yield self._env.timeout(start)
        while True:
            for namespace in sorted(set(self._found()) - self._known):
                for kind in self._kinds:
                    yield from self._create(self._config, ObjectKey(self._config.name, namespace, f"of-{self._name}-{kind}"))
                self._known.add(namespace)
            yield self._env.timeout(every)

    def _create(self, shape: Shape, key: ObjectKey) -> Process:
        client = self._client
        call = client.call(self._writer)
        while True:
            yield client.create(call, shape, key)
            client.received(call)
            if call.outcome < CONFLICT or call.outcome is Outcome.CONFLICT:
                return
            yield self._env.timeout(SECOND)  # refused or not answered: it tries again
