"""Where requests of API server clients become transactions: one API server in front of one etcd.

    client -> (seat) -> handler, admission -> which transaction? -> etcd -> answer
                                               ^ read, or the object that a failed one brought along

A request is one re-armable event that is sent from stage to stage; a stage that nobody has to decide at is computed and costs no
event. Decisions about objects are `sim.apiserver.storage`'s, about seats `sim.apiserver.flowcontrol.control`'s.

Sources: apiserver pkg/storage/etcd3/store.go, lease_manager.go; pkg/endpoints/handlers. Simplified: the watch cache is read when
the transaction arrives at etcd, half a round trip late.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from heapq import heappush
from typing import Final, Protocol

from simpy.events import NORMAL

from sim.apiserver.flowcontrol.control import Flow, FlowControl, MaxInFlight
from sim.apiserver.flowcontrol.queues import queue_wait
from sim.apiserver.flowcontrol.request import NEVER, State
from sim.apiserver.flowcontrol.widths import WATCHES_PER_SEAT, mutating_work
from sim.apiserver.flowcontrol.work import ONE_SEAT
from sim.apiserver.lease_manager import LeaseManager
from sim.apiserver.objects import ABSENT, Content, Version
from sim.apiserver.server import BODY_LIMIT, WRITE_DEADLINE, ApiServer
from sim.apiserver.storage import Step, Verb, attempt
from sim.apiserver.versions import Versions
from sim.etcd import wal
from sim.etcd.request import CONFLICT, Op, Outcome
from sim.guards.breaker import Breaker
from sim.journal import Samples
from sim.processes.etcd_door import Etcd
from sim.processes.events import NOTHING, Alarm, Call, Clock
from sim.processes.reads import Fetch
from sim.units import MILLISECOND, SECOND, Nanoseconds

_OPERATIONS: Final = {Verb.DELETE: "delete"}
_SOON: Final[Nanoseconds] = 10 * MILLISECOND
"""A request that will leave within this time may take its seat at once, where there are plenty: that saves an event."""
EXECUTING: Final = State.EXECUTING
_woken: Final = lru_cache(mutating_work)


class Latencies:
    """Latencies of requests as they are answered.

    to_client: one way between the API server and its clients, nanoseconds: a client sees the server's time and twice that.
    """

    __slots__ = ("admissions", "etcd_requests", "limiter_waits", "other_requests", "rest_requests", "seat_waits", "to_client")

    def __init__(self, to_client: Nanoseconds) -> None:
        self.to_client = to_client
        self.rest_requests = Samples()  # of controllers
        self.other_requests = Samples()  # of everybody else
        self.limiter_waits = Samples()
        self.etcd_requests = Samples()
        self.seat_waits = Samples()
        self.admissions = Samples()


class _Leases:
    """Leases of one API server for objects of one TTL; who comes while one is being granted waits for it."""

    def __init__(self, manager: LeaseManager, grant: Call):
        self.manager, self.grant = manager, grant
        self.granting: int | None = None
        self.waiting: list[Call] = []


class Client(Protocol):
    """Who sends a request."""

    def throttled(self, call: Call, at: Nanoseconds, retry_after_seconds: int) -> None:
        """The server turns the request away, which the client hears at `at`."""


class Gateway:
    """One API server's request path.

    fetch: asks etcd for what is not in a cache. truth: versions as etcd has them. lease_manager: makes one for objects of a TTL,
    nanoseconds. watchers: how many watch a kind of object.

    Seats are asked for when a request leaves its client and given back as early before the answer reaches it: the seats' clock is
    half a round trip ahead of the server's, for all alike.
    """

    def __init__(
        self, env: Clock, server: ApiServer, etcd: Etcd, fetch: Fetch, truth: Versions, latencies: Latencies,
        lease_manager: Callable[[Nanoseconds], LeaseManager], flow_control: FlowControl | MaxInFlight,
        watchers: Callable[[str], int],
    ):  # fmt: skip
        self.env, self.server, self.latencies, self._truth = env, server, latencies, truth
        self._propose, self._fetch = etcd.propose, fetch
        self._lease_manager = lease_manager
        self._leases: dict[Nanoseconds, _Leases] = {}
        self.flow_control, self._watchers = flow_control, watchers
        self._wait = queue_wait(server.request_timeout)
        self._plain = not (server.webhooks or server.outages or server.admission)
        self._fixed, self._back = server.to_client + server.to_etcd, server.to_etcd + server.to_client
        self._overhead, self._arrive = server.overhead, flow_control.arrive
        self._ahead = server.to_etcd - server.to_client
        self._etcd_request, self._etcd_trip = latencies.etcd_requests.add, 2 * server.to_etcd
        self._breaker: Breaker | None = None
        self._broken: frozenset[str] = frozenset()
        self._trial: Call | None = None
        self._alarm = Alarm(env, self._seats_change)
        self._rings_at: Nanoseconds = NEVER

    def guard(self, breaker: Breaker, kinds: frozenset[str]) -> None:
        """Put a breaker before writes of these kinds of objects; their reads count."""
        self._breaker, self._broken, self._plain = breaker, kinds, False

    # ---- the way in

    def call(self, client: Client, flow: Flow, writer: int) -> Call:
        """A re-usable call of a client, one request at a time."""
        call = Call(self.env, self._propose, writer)
        call.client, call.flow, call.on_answer = client, flow, self._answered
        return call

    def create_once(self, call: Call, wait: Nanoseconds) -> None:
        """As `submit`, for a create under a fresh name: the request of which a simulation makes the most."""
        flow = call.flow
        level = flow.level
        if not self._plain or wait > _SOON or level.waiting or 2 * level.seats_in_use > level.limit:
            self.submit(call, wait)
            return
        env = self.env
        now: Nanoseconds = env._now
        if now < self.flow_control.next_adjustment:
            call.seat = level.arrive(now, flow.hand, ONE_SEAT, self._wait, call)
        else:
            call.seat = self._arrive(now, flow, True, ONE_SEAT, self._wait, call)
        call.stage = self._propose  # as `go`, without its call
        call.arrives = at = now + wait + self._fixed + self._overhead()
        arrival = call._arrival
        arrival.callbacks = arrival._ring
        heappush(env._queue, (at, NORMAL, next(env._eid), arrival))

    def submit(self, call: Call, wait: Nanoseconds) -> None:
        """A request leaves its client `wait` from now; what it asks for stands in the call, and so will the answer."""
        now = self.env._now
        if wait > _SOON or (wait and (self.server.outages or self._crowded(call.flow))):
            call.go(now + wait, self._leave)
        elif self.server.outages:
            self._leave(call)
        else:
            self._seat(call, now, now + wait)

    def _crowded(self, flow: Flow) -> bool:
        """Whether it may matter to others that a seat is taken a moment too early."""
        level = flow.level
        return level.waiting > 0 or 2 * level.seats_in_use > level.limit

    def _leave(self, call: Call) -> None:
        now = self.env._now
        if self.server.outages and self.server.down(now + self.server.to_client):
            call.outcome = Outcome.UNREACHABLE
            call.finish(now + 2 * self.server.to_client)
            return
        self._seat(call, now, now)

    def _seat(self, call: Call, now: Nanoseconds, leaves: Nanoseconds) -> None:
        """Ask for a seat for a request that leaves its client now, or in a moment."""
        mutating = call.serve is None
        if mutating and call.key is not None and (watchers := self._watchers(call.shape.name)) >= WATCHES_PER_SEAT:
            call.work = _woken(watchers, call.flow.max_seats)
        request = self.flow_control.arrive(now, call.flow, mutating, call.work, self._wait, call)
        call.seat = request
        if request.state is EXECUTING:
            self._admit(call, leaves + self.server.to_client)
        elif request.state is State.REJECTED:
            self._turn_away(call, now)
        else:
            self._rearm()

    def _turn_away(self, call: Call, now: Nanoseconds) -> None:
        """429, with a Retry-After: the client decides."""
        request, call.seat, call.outcome = call.seat, None, Outcome.THROTTLED
        assert request is not None
        self.server.throttled += 1
        call.client.throttled(call, now + 2 * self.server.to_client, request.retry_after_seconds)

    def _rearm(self) -> None:
        due = self.flow_control.next_event()
        if due is None or due >= self._rings_at:
            return
        if self._alarm.armed:  # for later: that one will ring for nothing
            self._alarm = Alarm(self.env, self._seats_change)
        now = self.env._now
        self._rings_at = max(now, due)
        self._alarm.arm(self._rings_at - now)

    def _seats_change(self, _alarm: Alarm) -> None:
        now = self.env._now
        if now < self._rings_at:
            return
        self._rings_at = NEVER
        for request in self.flow_control.advance(now):
            call: Call = request.tag  # type: ignore[assignment]
            self.latencies.seat_waits.add(request.waited)
            if request.state is State.REJECTED:
                self._turn_away(call, now)
            else:
                self._admit(call, now + self.server.to_client)
        self._rearm()

    def _admit(self, call: Call, at: Nanoseconds) -> None:
        """Handler and admission, from `at` on."""
        server, write = self.server, call.write
        call.began = at
        done = at + server.overhead()
        if call.serve is not None:
            call.go(done, call.serve)
            return
        breaker = self._breaker
        if breaker is not None and call.shape.name in self._broken:
            if not breaker.lets(fill=write is None):
                self.respond(call, done, Outcome.READ_ONLY)
                return
            if breaker.trying and self._trial is None:
                self._trial = call
        if call.shape.value_bytes > BODY_LIMIT:
            self.respond(call, done, Outcome.TOO_LARGE)
            return
        if server.webhooks or server.admission is not None:
            operation = "create" if write is None else _OPERATIONS.get(write.verb, "update")
            took, allowed = server.admit(operation, call.shape.name)
            self.latencies.admissions.add(took)
            done += took
            late = done - at > WRITE_DEADLINE
            if late or not allowed:
                self.respond(call, at + WRITE_DEADLINE if late else done, Outcome.TIMEOUT if late else Outcome.DENIED)
                return
        stage = self._cached if write is not None else self._create if call.ttl else self._propose
        call.go(done + server.to_etcd, stage)

    # ---- creates

    def _create(self, call: Call) -> None:
        """A create of an object with a life that ends: it needs a lease first."""
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
        grant.data = wal.proposal(wal.lease_grant(lease.ttl // SECOND, lease.id))
        grant.arrives = self.env._now
        self._propose(grant)

    def _granted(self, leases: _Leases) -> None:
        """The lease is there, or was refused to who asked for it: whoever else waited goes on."""
        now, lease = self.env._now, leases.granting
        assert lease is not None
        leases.granting = None
        (first, *others), leases.waiting = leases.waiting, []
        if leases.grant.outcome >= CONFLICT:
            leases.manager.refused(lease)
            self.respond(first, now, leases.grant.outcome)
        else:
            first.lease = lease
            first.go(now + self.server.to_etcd, self._propose)
        for call in others:
            call.go(now + self.server.to_etcd, self._create)

    # ---- writes of what exists

    def _cached(self, call: Call) -> None:
        """The first attempt, on the watch cache's copy; Events have no watch cache."""
        self._attempt(call, ABSENT if call.ttl else self.server.cache.at(call.key, self.env._now), fresh=False)

    def _fresh(self, call: Call) -> None:
        """An attempt on what a read from etcd has brought: another object than the cached one goes through admission anew."""
        found = self._truth.at(call.key, call.answered)
        server = self.server
        if server.webhooks and found.revision and found.revision != call.expected:
            took, allowed = server.admit("update", call.shape.name)
            if not allowed:
                self.respond(call, self.env._now - server.to_etcd + took, Outcome.DENIED)
                return
            call.expected = found.revision
            call.go(self.env._now + took, self._fresh)
            return
        self._attempt(call, found, fresh=True)

    def _attempt(self, call: Call, found: Version, fresh: bool) -> None:
        now, write = self.env._now, call.write
        assert write is not None  # it was sent here because of it
        step, content = attempt(write, found, fresh)
        match step:
            case Step.PUT:
                self._transaction(call, Op.UPDATE if found.revision else Op.CREATE, found.revision, content)
                self._next(call)(call)
            case Step.DELETE:
                self._transaction(call, Op.DELETE, found.revision, None)
                self._propose(call)
            case Step.READ:
                call.expected = found.revision
                self._look(call, now, self._fresh)
            case _:
                self._settle(call, now - self.server.to_etcd, step, found)

    def _transaction(self, call: Call, op: Op, expected: int, content: Content | None) -> None:
        call.op, call.expected, call.lease, call.content = op, expected, 0, content
        call.transactions += 1
        shape = call.shape
        match op:
            case Op.UPDATE:
                call.data = shape.update_data(expected)
            case Op.DELETE:
                call.data = shape.delete_data(expected)
            case _:  # unlike a plain create's it asks for the object where there is one
                call.data = shape.update_data(0)

    def _next(self, call: Call) -> Callable[[Call], None]:
        """Where a transaction goes: what it puts may need a lease first (the server gives an Event a new life at each update)."""
        return self._create if call.ttl and call.op is not Op.DELETE else self._propose

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

        def told(begun: Nanoseconds, ended: Nanoseconds) -> None:
            call.answered = begun
            call.go(ended + 2 * self.server.to_etcd, then)

        self._fetch(at, call.writer, 1, 1, told)

    def _found(self, call: Call) -> None:
        version = self._truth.at(call.key, call.answered)
        if self._breaker is not None and call.shape.name in self._broken:
            self._breaker.access(self.env._now, not version.revision)
        call.revision, call.content = version.revision, version.content
        outcome = Outcome.UNCHANGED if version.revision else Outcome.NOT_FOUND
        self.respond(call, self.env._now - self.server.to_etcd, outcome)

    # ---- the way back

    def _answered(self, call: Call, now: Nanoseconds, at: Nanoseconds) -> None:
        """etcd answers at `at`: to the client, or the next attempt where somebody else was faster."""
        self._etcd_request(at - call.arrives + self._etcd_trip)
        if call is self._trial:
            self.respond(call, at + self.server.to_etcd, call.outcome)
            return
        seat = call.seat
        if call.once is not None and seat is not None and not seat.level.waiting:  # as `respond` and `finish`
            call.seat = None
            leaves = at + self._ahead
            seat.level.release_at(seat, leaves if leaves > now else now)
            env = self.env
            heappush(env._queue, (at + self._back, NORMAL, next(env._eid), call))
            return
        server = self.server
        if call.outcome is CONFLICT and call.write is not None:
            found = self._truth.newest(call.key)  # a failed transaction brings the object along
            step, content = attempt(call.write, found, fresh=True)
            back = at + server.to_etcd
            if step is not Step.NOT_FOUND:  # admission comes before the look at whether anything changes
                took, allowed = server.admit(_OPERATIONS.get(call.write.verb, "update"), call.shape.name)
                back += took
                late = back - call.began > WRITE_DEADLINE
                if late or not allowed:
                    self.respond(call, call.began + WRITE_DEADLINE if late else back, Outcome.TIMEOUT if late else Outcome.DENIED)
                    return
            if step not in (Step.PUT, Step.DELETE):
                self._settle(call, back, step, found)
                return
            op = Op.DELETE if step is Step.DELETE else Op.UPDATE if found.revision else Op.CREATE
            self._transaction(call, op, found.revision, content)
            call.go(max(now, back + server.to_etcd), self._next(call))
            return
        self.respond(call, at + server.to_etcd, call.outcome)

    def respond(self, call: Call, at: Nanoseconds, outcome: Outcome) -> None:
        """The server answers at `at`, nanoseconds, not before now: the caller hears it half a round trip later."""
        call.outcome = outcome
        now, to_client = self.env._now, self.server.to_client
        if call is self._trial and self._breaker is not None:
            self._trial = None
            self._breaker.tried(now, outcome <= CONFLICT)
        seat = call.seat
        if seat is not None:
            call.seat = None
            self.flow_control.release_at(seat, max(now, at - to_client))
            if seat.level.waiting:
                self._rearm()
        call.finish(max(now, at + to_client))
