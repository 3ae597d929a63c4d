"""etcd's gRPC layer where a write limiter stands in it: refuses, or hands on to the leader.

Source: the source article's chapter 4.2. A refusal is ResourceExhausted, the code of "too many requests" (the gap of 5000), too:
etcd's client sends neither again, the API server answers 500 to both (client-go: no retry of its own without a Retry-After).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Protocol

from sim.etcd.request import Op, Outcome, Shape
from sim.guards.breaker import OPEN, Breaker
from sim.guards.write_limiter import WriteLimiter
from sim.journal import Tap
from sim.processes.events import Call, Clock
from sim.units import Nanoseconds

METHOD: Final = {
    Op.PUT_ONCE: "Put", Op.PUT: "Put", Op.CREATE_ONCE: "Txn", Op.CREATE: "Txn", Op.UPDATE: "Txn", Op.DELETE: "Txn",
    Op.LEASE_GRANT: "LeaseGrant", Op.LEASE_REVOKE: "LeaseRevoke", Op.COMPACT: "Compact",
}  # fmt: skip
"""The gRPC method by which a request comes; the API server's writes are transactions."""


class Etcd(Protocol):
    """Where requests to etcd arrive."""

    def propose(self, call: Call) -> None:
        """A write, or what else goes into the log."""

    def read(self, at: Nanoseconds) -> Nanoseconds | None:
        """When a linearizable read that arrives at `at` is answered; None while nobody leads."""


class EtcdDoor:
    """etcd behind a limiter. ranks: of the kinds of objects; what is not there (leases) is not limited either."""

    def __init__(self, env: Clock, etcd: Etcd, limiter: WriteLimiter, ranks: Mapping[Shape, int]):
        self._env, self._propose, self.read, self.limiter, self._ranks = env, etcd.propose, etcd.read, limiter, ranks

    def propose(self, call: Call) -> None:
        """A request arrives."""
        now = self._env._now
        if self.limiter.admits(now, METHOD[call.op], self._ranks.get(call.shape, 1)):
            self._propose(call)
            return
        call.outcome = Outcome.TOO_MANY_REQUESTS
        call.answer(now, now)


def control_loop(
    env: Clock, limiter: WriteLimiter, every: Nanoseconds, applied: Tap, saves: Tap
) -> Generator[Any, Any, None]:
    """Tell the limiter at intervals what was applied, and which fsyncs ended."""
    while True:
        yield env.timeout(every)
        now = env._now
        limiter.look(now, len(applied.read(now)[0]), saves.read(now)[1].tolist())


def probes(
    env: Clock, breaker: Breaker, read: Callable[[Nanoseconds], Nanoseconds | None], every: Nanoseconds, within: Nanoseconds
) -> Generator[Any, Any, None]:
    """Ask etcd at intervals while a breaker is open: an answer within `within`, nanoseconds, is a success."""
    while True:
        yield env.timeout(every)
        if breaker.state is OPEN:
            answered = read(env._now)
            takes = within + 1 if answered is None else answered - env._now
            yield env.timeout(min(takes, within))
            breaker.probe(env._now, takes <= within)


def reloads(
    env: Clock, limiter: WriteLimiter, rates: Sequence[tuple[Nanoseconds, float]], told: Callable[[float], None]
) -> Generator[Any, Any, None]:
    """Load other rates when their time comes."""
    for at, rate in sorted(rates):
        yield env.timeout(max(0, at - env._now))
        limiter.reload(env._now, rate)
        told(rate)
