"""Certificates through the API: a request is created, approved, signed, and stored; later a cleaner deletes it.

Sources: client-go util/certificate/certificate_manager.go (a certificate is renewed after 70% to 90% of its life);
kube-controller-manager pkg/controller/certificates (approver and signer each update the status; cleaner/cleaner.go deletes
issued ones an hour after, looking once an hour). The pauses between the steps are assumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from heapq import heapify, heapreplace
from typing import Any, Final

from sim.apiserver.objects import ObjectKey
from sim.etcd.request import CONFLICT, Outcome, Shape
from sim.processes.events import Call, Clock
from sim.processes.rest_client import RestClient
from sim.units import MILLISECOND, SECOND, Nanoseconds

Process = Generator[Any, Any, None]
_EARLIEST: Final = 0.7
_SPREAD: Final = 0.2
_APPROVAL: Final[Nanoseconds] = 20 * MILLISECOND
_SIGNING: Final[Nanoseconds] = 50 * MILLISECOND


class Rotation:
    """Certificates of a number of services. uniform: draws from [0, 1); times in nanoseconds.

    Counts `issued` certificates. A service's certificate is somewhere in its life at the start.
    """

    def __init__(
        self, env: Clock, client: RestClient, writer: int, name: str, secrets: list[ObjectKey], request: Shape, secret: Shape,
        lifetime: Nanoseconds, uniform: Callable[[], float],
    ):  # fmt: skip
        self._env, self._client, self._writer, self._name = env, client, writer, name
        self._secrets, self._request, self._secret = secrets, request, secret
        self._lifetime, self._uniform = lifetime, uniform
        self._kept: deque[tuple[Nanoseconds, ObjectKey]] = deque()
        self._requested = 0
        self.issued = 0

    def run(self) -> Process:
        """Renew one certificate after the other, each when it is due."""
        env = self._env
        due = [(int(self._uniform() * self._life()), number) for number in range(len(self._secrets))]
        heapify(due)
        while True:
            at, number = due[0]
            yield env.timeout(max(0, at - env._now))
            env.process(self._renew(self._secrets[number]))
            heapreplace(due, (at + self._life(), number))

    def clean(self, after: Nanoseconds, every: Nanoseconds) -> Process:
        """The cleaner: deletes requests that were issued long enough ago, one after the other, each time it looks."""
        env, client = self._env, self._client
        call = client.call(self._writer)
        while True:
            yield env.timeout(every)
            while self._kept and self._kept[0][0] + after <= env._now:
                _, key = self._kept[0]
                yield client.delete(call, self._request, key)
                client.received(call)
                if call.outcome >= CONFLICT and call.outcome is not Outcome.NOT_FOUND:
                    break  # refused: at the next look
                self._kept.popleft()

    def _life(self) -> Nanoseconds:
        return int(self._lifetime * (_EARLIEST + _SPREAD * self._uniform()))

    def _renew(self, secret: ObjectKey) -> Process:
        env, client = self._env, self._client
        call = client.call(self._writer)
        self._requested += 1
        key = ObjectKey(self._request.name, "", f"{self._name}-{self._requested}")
        while True:
            yield client.create(call, self._request, key)
            client.received(call)
            if call.outcome <= CONFLICT:
                break
            yield env.timeout(SECOND)
        yield env.timeout(_APPROVAL)
        yield from self._update(call, self._request, key)
        yield env.timeout(_SIGNING)
        yield from self._update(call, self._request, key)
        self._kept.append((env._now, key))
        yield from self._update(call, self._secret, secret)
        self.issued += 1

    def _update(self, call: Call, shape: Shape, key: ObjectKey) -> Process:
        while True:
            yield self._client.update(call, shape, key)
            self._client.received(call)
            if call.outcome <= CONFLICT:
                return
            yield self._env.timeout(SECOND)
