"""Objects that users work with: their specs change, they are deleted and created anew; and clients that fight over some of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from sim.apiserver.objects import ApiObject, Content, ObjectKey
from sim.apiserver.storage import Verb, Write, new_spec
from sim.etcd.request import CONFLICT, Outcome, Shape
from sim.processes.events import Call, Clock
from sim.processes.reconcilers import Writer, Written
from sim.processes.rest_client import RestClient
from sim.units import SECOND, Nanoseconds

Process = Generator[Any, Any, None]
_SPEC = Write(Verb.PATCH, new_spec)


class ObjectUsers:
    """Users of a number of objects. content: what a new object is created with."""

    def __init__(self, env: Clock, client: RestClient, writer: int, shape: Shape, keys: list[ObjectKey], content: Content):
        self._env, self._client, self._writer, self._shape, self._content = env, client, writer, shape, content
        self._alive = deque(keys)
        self._born = len(keys)

    def change(self, gap: Callable[[], Nanoseconds]) -> Process:
        """Change the spec of one object after the other, at each tick of a calendar, whether or not the last change is through."""
        env = self._env
        while True:
            yield env.timeout(gap())
            if self._alive:
                key = self._alive[0]
                self._alive.rotate(-1)
                env.process(self._change(key))

    def _change(self, key: ObjectKey) -> Process:
        call = self._client.call(self._writer)
        yield self._client.write(call, self._shape, key, _SPEC)
        self._client.received(call)

    def replace(self, gap: Callable[[], Nanoseconds]) -> Process:
        """Delete the oldest object and create another, at each tick of a calendar."""
        env = self._env
        while True:
            yield env.timeout(gap())
            if self._alive:
                env.process(self._replace(self._alive.popleft()))

    def _replace(self, old: ObjectKey) -> Process:
        env, client, call = self._env, self._client, self._client.call(self._writer)
        self._born += 1
        new = ObjectKey(old.resource, old.namespace, f"{old.name.rsplit('-', 1)[0]}-{self._born}", old.labels)
        while True:
            yield client.delete(call, self._shape, old)
            client.received(call)
            if call.outcome < CONFLICT or call.outcome is Outcome.NOT_FOUND:
                break
            yield env.timeout(SECOND)  # whoever deletes tries again
        while True:
            yield client.create(call, self._shape, new, self._content)
            client.received(call)
            if call.outcome <= CONFLICT:
                break
            yield env.timeout(SECOND)
        self._alive.append(new)


def contender(
    env: Clock, client: RestClient, call: Call, shape: Shape, key: ObjectKey, author: Writer, written: Written,
    think: Callable[[], Nanoseconds], start: Nanoseconds,
) -> Process:  # fmt: skip
    """One of several clients that read an object, change it and write it back, again and again."""

    def read(call: Call) -> Generator[Any, Any, ApiObject | None]:
        yield client.get(call, shape, key)
        client.received(call)
        if call.outcome >= CONFLICT:
            return None
        return ApiObject(key.namespace, key.name, key.labels, call.revision, call.content)

    yield env.timeout(start)
    while True:
        yield env.timeout(think())
        yield from author.write(call, key, written, read)
