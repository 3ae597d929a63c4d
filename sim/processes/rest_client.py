"""A client of the API server: its limiter, and its requests.

Every request is an event to yield; the outcome stands in the call then, and `received` observes it.

Sources: client-go rest/request.go (the limiter's Wait before every request).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim.apiserver.flowcontrol.control import Flow
from sim.apiserver.flowcontrol.work import ONE_SEAT, Work
from sim.apiserver.objects import Content, ObjectKey
from sim.apiserver.storage import Verb, Write
from sim.clientgo.timeouts import Timeout
from sim.clientgo.with_retry import WithRetry
from sim.etcd.request import CONFLICT, CREATE_ONCE, Op, Outcome, Shape
from sim.processes.events import Call
from sim.processes.gateway import Gateway
from sim.processes.patience import Patience
from sim.ratelimit.bucket import TokenBucket
from sim.units import Nanoseconds

_ANY: Final = Write(Verb.PATCH)
_DELETE: Final = Write(Verb.DELETE)
_TOO_MANY_REQUESTS: Final = 429


class RestClient:
    """One process's client.

    bucket: its client-side limiter, None without one; flow: who it is to priority and fairness; of_controller: whether its requests
    are among those that are told of controllers; timeout: how long it waits for an answer, None: as long as it takes. Watches, and
    the lists of informers, have no limit.
    """

    def __init__(
        self, gateway: Gateway, bucket: TokenBucket | None, flow: Flow, of_controller: bool = False, timeout: Timeout | None = None
    ):
        self._env, self._gateway, self._server, self._bucket = gateway.env, gateway, gateway.server, bucket
        self._latencies, self._flow = gateway.latencies, flow
        self._rest_request = (self._latencies.rest_requests if of_controller else self._latencies.other_requests).add
        self.requests = 0
        self.resent = 0
        self._patience = None if timeout is None else Patience(timeout, self.call, gateway.submit)

    def call(self, writer: int) -> Call:
        """A re-usable call, one at a time, whose writes count for `writer`."""
        return self._gateway.call(self, self._flow, writer)

    @property
    def given_up(self) -> int:
        """Requests whose answer it did not wait for."""
        return 0 if self._patience is None else self._patience.given_up

    def _limited(self) -> Nanoseconds:
        """One more request: how long the limiter holds it back."""
        self.requests += 1
        if self._bucket is None:
            return 0
        wait = self._bucket.reserve(self._env._now)
        self._latencies.limiter_waits.add(wait)
        return wait

    def create_once(self, call: Call, shape: Shape, work: Nanoseconds = 0) -> Call:
        """Create an object under a fresh generated name that nobody watches, after `work` of the caller's own."""
        if call.once is not shape:
            self._prepare_once(call, shape)
        if self._bucket is None:
            self.requests += 1
        else:
            work += self._limited()
        call.since = self._env._now + work
        call.callbacks = []
        if self._patience is not None:
            self._patience.send(call, work)
            return call
        self._gateway.create_once(call, work)
        return call

    def _prepare_once(self, call: Call, shape: Shape) -> None:
        call.op, call.shape, call.key, call.lease, call.expected, call.content = CREATE_ONCE, shape, None, 0, 0, None
        call.data, call.write, call.serve, call.ttl, call.work, call.once = shape.create_data, None, None, 0, ONE_SEAT, shape

    def create(self, call: Call, shape: Shape, key: ObjectKey | None, content: Content | None = None, ttl: Nanoseconds = 0) -> Call:
        """Create an object, CONFLICT where it exists; key None: under a fresh name. ttl: its life, 0 without end (an Event)."""
        call.op, call.shape, call.key, call.lease, call.expected = Op.CREATE if key else Op.CREATE_ONCE, shape, key, 0, 0
        call.data, call.content, call.write, call.serve, call.ttl = shape.create_data, content, None, None, ttl
        return self._submit(call)

    def update(self, call: Call, shape: Shape, key: ObjectKey) -> Call:
        """Write a new version, whatever the server finds: contents nobody looks into, without optimistic lock."""
        return self.write(call, shape, key, _ANY)

    def delete(self, call: Call, shape: Shape, key: ObjectKey) -> Call:
        """Delete an object, whatever its version; NOT_FOUND where there is none."""
        return self.write(call, shape, key, _DELETE)

    def write(self, call: Call, shape: Shape, key: ObjectKey, write: Write, ttl: Nanoseconds = 0) -> Call:
        """Write an existing object as `write` says: the answer's revision and content stand in the call. ttl: its life from now."""
        call.op, call.shape, call.key, call.write, call.serve, call.ttl = Op.UPDATE, shape, key, write, None, ttl
        call.transactions = 0
        return self._submit(call)

    def get(self, call: Call, shape: Shape, key: ObjectKey) -> Call:
        """Read one object from etcd: UNCHANGED with revision and content in the call, or NOT_FOUND."""
        call.key = key
        call.shape, call.write, call.serve, call.work = shape, None, self._gateway.serve_get, ONE_SEAT
        return self._submit(call)

    def read(
        self, call: Call, shape: Shape, serve: Callable[[Call], None], work: Work = ONE_SEAT, limited: bool = True
    ) -> Call:
        """Another read, such as a list: when a handler is at it, `serve(call)` is called; it ends with `gateway.respond`.

        work: the seats that it takes. limited: whether it asks the client's limiter first; a watch does not.
        """
        call.shape, call.write, call.serve, call.work = shape, None, serve, work
        return self._submit(call, limited, patient=True)

    def _submit(self, call: Call, limited: bool = True, patient: bool = False) -> Call:
        if limited:
            wait = self._limited()
        else:
            self.requests += 1
            wait = 0
        call.since = self._env._now + wait
        call.once, call.callbacks = None, []
        if self._patience is None or patient:
            self._gateway.submit(call, wait)
        else:
            self._patience.send(call, wait)
        return call

    def throttled(self, call: Call, at: Nanoseconds, retry_after_seconds: int) -> None:
        """The server turned the request away, which the client hears at `at`: it waits and sends it again, ten times at most."""
        if call.retries is None:
            call.retries = WithRetry(get=call.serve is not None)
        sleep = call.retries.answered(_TOO_MANY_REQUESTS, retry_after_seconds)
        if sleep is None:
            call.finish(at)
        else:
            call.go(at + sleep, self._again)

    def _again(self, call: Call) -> None:
        self.resent += 1
        self._gateway.submit(call, self._limited())

    def received(self, call: Call) -> None:
        """The answer of `call` is here: observe it."""
        self._rest_request(self._env._now - call.since)
        if call.retries is not None:
            call.retries = None
        outcome = call.outcome
        if outcome >= CONFLICT:
            if outcome is CONFLICT:
                self._server.conflicts += 1
            elif outcome is not Outcome.NOT_FOUND:
                self._server.rejected += 1
