"""A client of the API server: its limiter, its requests, and what the server does for it until it answers.

A create under a fresh name is one transaction; an update without a resource version is retried by the server on its own
(GuaranteedUpdate), one with it is refused with 409 when the object has changed.

Sources: client-go rest/request.go (the limiter's Wait before every request); apiserver pkg/storage/etcd3/store.go.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from typing import Any, Final

from simpy.events import Event

from sim.apiserver.lease_manager import LeaseManager
from sim.apiserver.server import ApiServer
from sim.etcd import wal
from sim.etcd.request import CONFLICT, CREATE_ONCE, Op, Outcome, Shape
from sim.journal import Samples
from sim.processes.events import NOTHING, Call, Clock
from sim.ratelimit.bucket import TokenBucket
from sim.units import SECOND, Nanoseconds

FROM_CACHE: Final = -1
"""`expected` of a request whose revision the API server takes from its watch cache when the transaction leaves."""

Requests = Generator[Any, Any, None]
"""What a process has to `yield from`: it ends when the server has answered; the outcome stands in the call."""


class Latencies:
    """Latencies of requests as they are answered.

    to_client: one way between the API server and its clients, nanoseconds: a client sees the server's time and twice that.
    """

    __slots__ = ("etcd_requests", "limiter_waits", "rest_requests", "to_client")

    def __init__(self, to_client: Nanoseconds) -> None:
        self.to_client = to_client
        self.rest_requests = Samples()
        self.limiter_waits = Samples()
        self.etcd_requests = Samples()


class SharedLeases:
    """The API server's leases for objects with a time to live; whoever comes while one is being granted waits for it."""

    def __init__(self, manager: LeaseManager):
        self.manager = manager
        self.granting: Event | None = None


class Gateway:
    """Where requests of API server clients become transactions: one API server in front of one etcd."""

    def __init__(self, env: Clock, server: ApiServer, propose: Callable[[Call], None], latencies: Latencies):
        self.env, self.server, self.latencies = env, server, latencies
        self._propose = propose

    def call(self, writer: int) -> Call:
        """A re-usable call of one caller, whose writes count for `writer`."""
        return Call(self.env, self._forward, writer)

    def _forward(self, call: Call) -> None:
        if call.expected == FROM_CACHE:
            call.expected = self.server.cache.revision(call.key, self.env._now)
            call.data = call.shape.delete_data(call.expected) if call.op is Op.DELETE else call.shape.update_data(call.expected)
        self._propose(call)


class RestClient:
    """One process's client. bucket: its client-side limiter, None without one."""

    def __init__(self, gateway: Gateway, bucket: TokenBucket | None):
        self._env, self._gateway, self._server, self._bucket = gateway.env, gateway, gateway.server, bucket
        self._latencies = gateway.latencies
        self._way_back = self._server.to_etcd + self._server.to_client
        self._etcd_trip = 2 * self._server.to_etcd
        self._rest_request, self._etcd_request = self._latencies.rest_requests.add, self._latencies.etcd_requests.add
        self.requests = 0

    def create_once(self, call: Call, shape: Shape, work: Nanoseconds = 0) -> Call:
        """Send a create under a fresh generated name, after `work` of the caller's own. Yield the result, then `received`."""
        if call.shape is not shape or call.lease or call.op is not CREATE_ONCE:
            call.op, call.shape, call.key, call.lease, call.expected = CREATE_ONCE, shape, None, 0, 0
            call.data = shape.create_data
        self.requests += 1
        now, way_in = self._env._now, self._server.way_in()
        if self._bucket is not None:
            wait = self._bucket.reserve(now)
            self._latencies.limiter_waits.add(wait)
            work += wait
        call.since = now + work
        return call.send(work + way_in, self._way_back)

    def received(self, call: Call) -> None:
        """The answer of `call` is here: observe it."""
        self._rest_request(self._env._now - call.since)
        self._etcd_request(call.answered - call.arrives + self._etcd_trip)
        outcome, server = call.outcome, self._server
        if outcome >= CONFLICT:
            if outcome is CONFLICT:
                server.conflicts += 1
            else:
                server.rejected += 1

    def create(self, call: Call, shape: Shape, key: Hashable) -> Requests:
        """Create a named object; CONFLICT where it exists."""
        call.op, call.shape, call.key, call.lease, call.expected = Op.CREATE, shape, key, 0, 0
        call.data = shape.create_data
        yield self._send(call)
        self.received(call)

    def create_leased(self, call: Call, shape: Shape, leases: SharedLeases) -> Requests:
        """Create an object with a time to live under a fresh name (an Event), on a lease that is shared or granted first."""
        env = self._env
        while leases.granting is not None:
            yield leases.granting
        lease = leases.manager.lease(env._now)
        if lease.granted:
            leases.granting = env.event()
            call.op, call.shape, call.key, call.lease, call.expected = Op.LEASE_GRANT, NOTHING, None, lease.id, lease.ttl
            call.data = wal.proposal(wal.lease_grant(lease.ttl // SECOND, Shape.LEASE_ID))
            yield self._send(call)
            self.received(call)
            granting, leases.granting = leases.granting, None
            granting.succeed()
            leases.manager.granted(lease.id, env._now)
        call.op, call.shape, call.key, call.lease, call.data = Op.CREATE_ONCE, shape, None, lease.id, shape.create_data
        yield self._send(call)
        self.received(call)

    def update(self, call: Call, shape: Shape, key: Hashable, resource_version: int | None = None) -> Requests:
        """Write a new version: against `resource_version`, or (patch, unconditional) against whatever the server finds."""
        call.op, call.shape, call.key, call.lease = Op.UPDATE, shape, key, 0
        yield from self._guaranteed(call, resource_version)

    def delete(self, call: Call, shape: Shape, key: Hashable) -> Requests:
        """Delete an object, whatever its version."""
        call.op, call.shape, call.key, call.lease = Op.DELETE, shape, key, 0
        yield from self._guaranteed(call, None)

    def _guaranteed(self, call: Call, resource_version: int | None) -> Requests:
        if resource_version is None:
            call.expected = FROM_CACHE
        else:
            call.expected, call.data = resource_version, call.shape.update_data(resource_version)
        yield self._send(call)
        while call.outcome is Outcome.CONFLICT and resource_version is None and call.revision:
            self._etcd_request(call.answered - call.arrives + 2 * self._server.to_etcd)
            call.expected = call.revision  # the failed transaction brought the current version along
            call.data = (
                call.shape.delete_data(call.expected) if call.op is Op.DELETE else call.shape.update_data(call.expected)
            )
            # The answer has travelled back to the client's side; the server's next attempt left when it was at the server.
            yield call.send(max(0, self._server.way_again() - self._server.to_client), self._way_back)
        self.received(call)

    def _send(self, call: Call, work: Nanoseconds = 0) -> Call:
        wait = 0
        if self._bucket is not None:
            wait = self._bucket.reserve(self._env._now)
            self._latencies.limiter_waits.add(wait)
        self.requests += 1
        delay = work + wait
        call.since = self._env._now + delay
        return call.send(delay + self._server.way_in(), self._way_back)
