"""Where requests of API server clients become transactions: one API server in front of one etcd.

    client -> (seat) -> handler, admission -> which transaction? -> etcd -> answer
                                               ^ read, or the object that a failed one brought along

A request is one re-armable event that is sent from stage to stage; a stage that nobody has to decide at is computed and costs no
event. Decisions about objects are `sim.apiserver.storage`'s, about seats `sim.apiserver.flow_control`'s.

Sources: apiserver pkg/storage/etcd3/store.go, lease_manager.go; pkg/endpoints/handlers. Simplified: the watch cache is read when
the transaction arrives at etcd, half a round trip late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim.apiserver.lease_manager import LeaseManager
from sim.apiserver.objects import Content, Version
from sim.apiserver.server import BODY_LIMIT, WRITE_DEADLINE, ApiServer
from sim.apiserver.storage import Step, Verb, attempt
from sim.apiserver.versions import Versions
from sim.etcd import wal
from sim.etcd.request import CONFLICT, CREATE_ONCE, Op, Outcome, Shape
from sim.journal import Samples
from sim.processes.events import NOTHING, Call, Clock
from sim.processes.leader import Leader
from sim.units import SECOND, Nanoseconds

_OPERATIONS: Final = {Verb.DELETE: "delete"}


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


class _Leases:
    """Leases of one API server for objects of one TTL; who comes while one is being granted waits for it."""

    def __init__(self, manager: LeaseManager, grant: Call):
        self.manager, self.grant = manager, grant
        self.granting: int | None = None
        self.waiting: list[Call] = []


class Gateway:
    """One API server's request path.

    truth: versions as etcd has them. lease_manager: makes one for objects of a TTL, nanoseconds.
    """

    def __init__(
        self, env: Clock, server: ApiServer, leader: Leader, truth: Versions, latencies: Latencies,
        lease_manager: Callable[[Nanoseconds], LeaseManager],
    ):  # fmt: skip
        self.env, self.server, self.latencies, self._truth = env, server, latencies, truth
        self._leader, self._propose = leader, leader.propose
        self._lease_manager = lease_manager
        self._leases: dict[Nanoseconds, _Leases] = {}
        self.simple = not server.outages and not server.webhooks
        """Whether nothing can stop a request on its way to etcd."""

    def call(self, writer: int) -> Call:
        """A re-usable call of one caller, whose writes count for `writer`."""
        return Call(self.env, self._propose, writer)

    # ---- the way in

    def prepare_once(self, call: Call, shape: Shape) -> None:
        """Make of a call a create under a fresh name that nobody watches."""
        call.op, call.shape, call.key, call.lease, call.expected, call.content = CREATE_ONCE, shape, None, 0, 0, None
        call.data, call.write, call.serve, call.ttl = shape.create_data, None, None, 0
        call.on_answer, call.stage = None, self._propose

    def submit(self, call: Call, wait: Nanoseconds) -> Call:
        """A request leaves its client `wait` from now; what it asks for stands in the call. Yield the result."""
        call.on_answer = self._answered
        arrives = self.env._now + wait + self.server.to_client
        if self.simple:
            self._admit(call, arrives)
        else:
            call.go(arrives, self._enter)
        return call

    def _enter(self, call: Call) -> None:
        now = self.env._now
        if self.server.down(now):
            self.respond(call, now, Outcome.UNREACHABLE)
            return
        self._admit(call, now)

    def _admit(self, call: Call, at: Nanoseconds) -> None:
        """Handler and admission, from `at` on."""
        server, write = self.server, call.write
        call.began = at
        done = at + server.overhead()
        if call.shape.value_bytes > BODY_LIMIT:
            self.respond(call, done, Outcome.TOO_LARGE)
            return
        if call.serve is not None:
            call.go(done, call.serve)
            return
        operation = "create" if write is None else _OPERATIONS.get(write.verb, "update")
        took, allowed = server.admit(operation, call.shape.name)
        if not allowed:
            self.respond(call, done + took, Outcome.DENIED)
            return
        stage = self._create if write is None else self._cached
        call.go(done + took + server.to_etcd, stage)

    # ---- creates

    def _create(self, call: Call) -> None:
        if not call.ttl:
            self._propose(call)
            return
        leases = self._leases.get(call.ttl)
        if leases is None:
            leases = self._leases[call.ttl] = _Leases(self._lease_manager(call.ttl), Call(self.env, self._propose, call.writer))
            leases.grant.on_answer = lambda grant, _now, at: grant.go(at + self.server.to_etcd, lambda _: self._granted(leases))
        if leases.granting is not None:
            leases.waiting.append(call)
            return
        lease = leases.manager.lease(self.env._now)
        if not lease.granted:
            call.lease = lease.id
            self._propose(call)
            return
        leases.granting = lease.id
        leases.waiting.append(call)
        grant = leases.grant
        grant.writer = call.writer
        grant.op, grant.shape, grant.lease, grant.expected = Op.LEASE_GRANT, NOTHING, lease.id, lease.ttl
        grant.data = wal.proposal(wal.lease_grant(lease.ttl // SECOND, Shape.LEASE_ID))
        grant.arrives = self.env._now
        self._propose(grant)

    def _granted(self, leases: _Leases) -> None:
        """The lease is there (or was refused, then the creates will be, too): whoever waited goes on."""
        now, lease = self.env._now, leases.granting
        assert lease is not None
        leases.granting = None
        leases.manager.granted(lease, now)
        (first, *others), leases.waiting = leases.waiting, []
        first.lease = lease
        first.go(now + self.server.to_etcd, self._propose)
        for call in others:
            call.go(now + self.server.to_etcd, self._create)

    # ---- writes of what exists

    def _cached(self, call: Call) -> None:
        """The first attempt, on the watch cache's copy."""
        self._attempt(call, self.server.cache.at(call.key, self.env._now), fresh=False)

    def _fresh(self, call: Call) -> None:
        """An attempt on what a read from etcd has brought."""
        self._attempt(call, self._truth.at(call.key, call.answered), fresh=True)

    def _attempt(self, call: Call, found: Version, fresh: bool) -> None:
        now, write = self.env._now, call.write
        assert write is not None  # it was sent here because of it
        step, content = attempt(write, found, fresh)
        match step:
            case Step.PUT:
                self._transaction(call, Op.UPDATE if found.revision else Op.CREATE, found.revision, content)
                self._propose(call)
            case Step.DELETE:
                self._transaction(call, Op.DELETE, found.revision, None)
                self._propose(call)
            case Step.READ:
                self._look(call, now, self._fresh)
            case _:
                self._settle(call, now - self.server.to_etcd, step, found)

    def _transaction(self, call: Call, op: Op, expected: int, content: Content | None) -> None:
        call.op, call.expected, call.lease, call.content = op, expected, 0, content
        shape = call.shape
        match op:
            case Op.UPDATE:
                call.data = shape.update_data(expected)
            case Op.DELETE:
                call.data = shape.delete_data(expected)
            case _:
                call.data = shape.create_data

    def _settle(self, call: Call, at: Nanoseconds, step: Step, found: Version) -> None:
        """Answered without a transaction."""
        call.revision, call.content = found.revision, found.content
        if step is Step.UNCHANGED:
            self.server.unchanged += 1
            self.respond(call, at, Outcome.UNCHANGED)
        else:
            self.respond(call, at, Outcome.CONFLICT if step is Step.CONFLICT else Outcome.NOT_FOUND)

    # ---- reads

    def serve_get(self, call: Call) -> None:
        """A get of one object, from etcd."""
        self._look(call, self.env._now + self.server.to_etcd, self._found)

    def _look(self, call: Call, at: Nanoseconds, then: Callable[[Call], None]) -> None:
        """A linearizable read that arrives at etcd at `at`, and what happens when it is back there where it was decided."""
        self.server.reads += 1
        call.answered = self._leader.read(at)
        call.go(call.answered + 2 * self.server.to_etcd, then)

    def _found(self, call: Call) -> None:
        version = self._truth.at(call.key, call.answered)
        call.revision, call.content = version.revision, version.content
        outcome = Outcome.UNCHANGED if version.revision else Outcome.NOT_FOUND
        self.respond(call, self.env._now - self.server.to_etcd, outcome)

    # ---- the way back

    def _answered(self, call: Call, now: Nanoseconds, at: Nanoseconds) -> None:
        """etcd answers at `at`: to the client, or the next attempt where somebody else was faster."""
        server = self.server
        self.latencies.etcd_requests.add(at - call.arrives + 2 * server.to_etcd)
        if call.outcome is CONFLICT and call.write is not None:
            found = self._truth.newest(call.key)  # a failed transaction brings the object along
            step, content = attempt(call.write, found, fresh=True)
            back = at + server.to_etcd
            if step not in (Step.PUT, Step.DELETE):
                self._settle(call, back, step, found)
                return
            took, allowed = server.admit(_OPERATIONS.get(call.write.verb, "update"), call.shape.name)
            if not allowed or back + took - call.began > WRITE_DEADLINE:
                self.respond(call, back + took, Outcome.TIMEOUT if allowed else Outcome.DENIED)
                return
            op = Op.DELETE if step is Step.DELETE else Op.UPDATE if found.revision else Op.CREATE
            self._transaction(call, op, found.revision, content)
            call.go(max(now, back + took + server.to_etcd), self._propose)
            return
        self.respond(call, at + server.to_etcd, call.outcome)

    def respond(self, call: Call, at: Nanoseconds, outcome: Outcome) -> None:
        """The server answers at `at`, nanoseconds, not before now: the caller hears it half a round trip later."""
        call.outcome = outcome
        call.finish(max(self.env._now, at + self.server.to_client))
