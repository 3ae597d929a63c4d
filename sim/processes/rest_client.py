"""A client of the API server: its limiter, and its requests.

Every request is an event to yield; the outcome stands in the call then, and `received` observes it.

Sources: client-go rest/request.go (the limiter's Wait before every request).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim.apiserver.objects import Content, ObjectKey
from sim.apiserver.storage import Verb, Write
from sim.etcd.request import CONFLICT, Op, Outcome, Shape
from sim.processes.events import Call
from sim.processes.gateway import Gateway
from sim.ratelimit.bucket import TokenBucket
from sim.units import Nanoseconds

_ANY: Final = Write(Verb.PATCH)
_DELETE: Final = Write(Verb.DELETE)


class RestClient:
    """One process's client. bucket: its client-side limiter, None without one."""

    def __init__(self, gateway: Gateway, bucket: TokenBucket | None):
        self._env, self._gateway, self._server, self._bucket = gateway.env, gateway, gateway.server, bucket
        self._latencies = gateway.latencies
        self._way_back = self._server.to_etcd + self._server.to_client
        self._etcd_trip = 2 * self._server.to_etcd
        self._rest_request, self._etcd_request = self._latencies.rest_requests.add, self._latencies.etcd_requests.add
        self.requests = 0

    def call(self, writer: int) -> Call:
        """A re-usable call, one at a time, whose writes count for `writer`."""
        return self._gateway.call(writer)

    def _limited(self, call: Call, work: Nanoseconds) -> Nanoseconds:
        """How long from now until the request leaves: the caller's own work, then the limiter."""
        self.requests += 1
        if self._bucket is not None:
            wait = self._bucket.reserve(self._env._now)
            self._latencies.limiter_waits.add(wait)
            work += wait
        call.since = self._env._now + work
        return work

    def create_once(self, call: Call, shape: Shape, work: Nanoseconds = 0) -> Call:
        """Create an object under a fresh generated name that nobody watches, after `work` of the caller's own."""
        gateway = self._gateway
        if call.shape is not shape or call.on_answer is not None:
            gateway.prepare_once(call, shape)
        work = self._limited(call, work)
        if gateway.simple:
            return call.send(work + self._server.way_in(), self._way_back)
        return gateway.submit(call.begin(), work)

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

    def write(self, call: Call, shape: Shape, key: ObjectKey, write: Write) -> Call:
        """Write an existing object as `write` says: the answer's revision and content stand in the call."""
        call.op, call.shape, call.key, call.write, call.serve, call.ttl = Op.UPDATE, shape, key, write, None, 0
        return self._submit(call)

    def get(self, call: Call, shape: Shape, key: ObjectKey) -> Call:
        """Read one object from etcd: UNCHANGED with revision and content in the call, or NOT_FOUND."""
        call.key = key
        return self.read(call, shape, self._gateway.serve_get)

    def read(self, call: Call, shape: Shape, serve: Callable[[Call], None]) -> Call:
        """Another read, such as a list: when a handler is at it, `serve(call)` is called; it ends with `gateway.respond`."""
        call.shape, call.write, call.serve = shape, None, serve
        return self._submit(call)

    def _submit(self, call: Call) -> Call:
        return self._gateway.submit(call.begin(), self._limited(call, 0))

    def received(self, call: Call) -> None:
        """The answer of `call` is here: observe it."""
        self._rest_request(self._env._now - call.since)
        if call.on_answer is None:
            self._etcd_request(call.answered - call.arrives + self._etcd_trip)
        outcome, server = call.outcome, self._server
        if outcome >= CONFLICT:
            if outcome is CONFLICT:
                server.conflicts += 1
            elif outcome is not Outcome.NOT_FOUND:
                server.rejected += 1
