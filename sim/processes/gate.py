"""A member as its own clients find it: while it follows, it hands their writes on and answers once it has applied them.

    in      refusals and the request's goroutine are this member's, on its own cores
    on      the proposal is a message to the leader (`sim.processes.outbox`), which takes it into its next batch
    back    the answer waits for this member's applier, which learns of the commit with the leader's next message
    leads   a member that leads takes requests as the leader does; what it had handed on before is answered as it is applied

A proposal that reaches nobody who leads is lost: its caller is told after the request timeout. While no leader is known it waits.

Sources: go.etcd.io/raft raft.go (stepFollower: MsgProp), node.go (run: proposals wait while there is no leader); etcd
server/etcdserver/v3_server.go (processInternalRaftRequestOnce). Simplified: what a message from a member costs the leader is in
`entry`; who leads is known at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain

from sim.etcd.follower import Follower
from sim.etcd.replica import Replica
from sim.etcd.request import Outcome
from sim.processes.deadlines import Waiting
from sim.processes.events import Alarm, Call, Clock, Ghost
from sim.processes.lead import Lead
from sim.processes.leader_rules import LeaderRules
from sim.processes.outbox import Outbox
from sim.units import Nanoseconds


class Forwarded(Ghost):
    """An entry of the log that another member proposed for a client of its own. call: None once its caller has been answered."""

    __slots__ = ("asked", "call", "gate")
    here = False

    def __init__(self, call: Call, gate: Gate):
        super().__init__(call)
        self.call: Call | None = call
        self.gate, self.asked = gate, call.arrives

    def answer(self, now: Nanoseconds, at: Nanoseconds) -> None:
        """The leader has applied it, at `at`: its caller hears of that where the member that it asked leads now."""
        if self.gate.follower is None:
            self.gate.answer(self, now, at)


class Gate:
    """Where the clients of one member arrive. door: takes what the leader is asked.

    follower: this member's log, as the leader of now writes it; None while it leads itself.
    """

    def __init__(
        self, env: Clock, lead: Lead, replica: Replica, rules: LeaderRules, door: Callable[[Call], None], outbox: Outbox
    ):  # fmt: skip
        self._env, self._lead, self._rules, self._door, self._outbox = env, lead, rules, door, outbox
        self.replica, self.member = replica, replica.member
        self.follower: Follower | None = None
        self._answering = rules.request // 2
        self._waiting: deque[Forwarded] = deque()  # in the order of asking; answered ones leave from its head
        self._held: list[Forwarded] = []  # nobody leads
        self._overdue = Alarm(env, self._expire)

    def follow(self, follower: Follower | None) -> None:
        """Somebody leads: this member, as that leader's follower; None: it leads itself."""
        if self.follower is None and follower is not None:
            self.replica.starts(self._env._now)
        self.follower = follower
        held, self._held = self._held, []
        for entry in held:
            self._propose(entry)

    # ---- in

    def propose(self, call: Call) -> None:
        """A request arrives."""
        if self.follower is None:
            self._door(call)
            return
        now: Nanoseconds = self._env._now
        back = self.member.down.after(now)
        if back > now:
            if self.member.crashed(now):
                call.outcome = Outcome.UNAVAILABLE
                call.answer(now, now)
            else:
                Alarm(self._env, lambda _alarm: self.propose(call)).arm(back - now)
            return
        behind = self.replica.ahead(now)
        if self._lead.refusals.may_refuse(call, behind):
            proposed = self._lead.refusals.proposed(call, now, behind)
            if proposed is None:
                return
            call = proposed
        entry = Forwarded(call, self)
        self._waiting.append(entry)
        if not self._overdue.armed:
            self._overdue.arm(max(0, entry.asked + self._rules.request_timeout - now))
        begins, cpu = now, self.member.cpu
        if cpu is not None:
            work = self._rules.taking(call.shape, call.data)
            begins = cpu.run(now, work) - work
        if begins > now:
            Alarm(self._env, lambda _alarm: self._propose(entry)).arm(begins - now)
        else:
            self._propose(entry)

    def _propose(self, entry: Forwarded) -> None:
        """The goroutine of a request hands it to raft."""
        if self.follower is None:
            self._reached(entry)
        elif not self._lead.leads:
            self._held.append(entry)
        else:
            self._outbox.send(lambda: self._reached(entry), lambda: None)

    def _reached(self, entry: Forwarded) -> None:
        entry.arrives = self._env._now
        self._lead.accept(entry)

    # ---- back

    def hand_over(self, now: Nanoseconds, sent: Nanoseconds, rides: bool, batches: Sequence[Sequence[Waiting]]) -> None:
        """The leader tells, with what it sends at `sent`, that these are committed. rides: whether entries go with it."""
        assert self.follower is not None
        entries = list(chain.from_iterable(batches))
        dones = self.replica.hand_over(self.follower.learns(sent, rides), entries)
        cpu = self.member.cpu
        if cpu is not None:
            cpu.urge(now, self.replica.take_work())
        for entry, done in zip(entries, dones, strict=True):
            if isinstance(entry, Forwarded) and entry.gate is self:
                self.answer(entry, now, done + self._rules.handoff)

    def answer(self, entry: Forwarded, now: Nanoseconds, done: Nanoseconds) -> None:
        """This member has applied an entry of its own client, which hears of it where it still waits then."""
        call, cpu = entry.call, self.member.cpu
        if call is None:
            return
        if cpu is not None:
            done = max(done, cpu.run(now, self._answering) - self._answering)
        at, outcome = done, entry.outcome
        if self.member.crash_between(entry.asked, done) is not None:  # its connection broke then
            at, outcome = max(now, self.member.next_stop(entry.asked)), Outcome.UNAVAILABLE
        elif done - entry.asked > self._rules.request_timeout:
            return
        call.outcome, call.revision, call.handed, call.done = outcome, entry.revision, entry.handed, done
        self._end(entry, call, now, at)

    def _end(self, entry: Forwarded, call: Call, now: Nanoseconds, at: Nanoseconds) -> None:
        entry.call = None
        waiting = self._waiting
        while waiting and waiting[0].call is None:
            waiting.popleft()
        call.answer(now, at)

    def _expire(self, _alarm: Alarm) -> None:
        """Tell the callers of requests that wait too long; their entries stay in the log."""
        now, timeout, waiting = self._env._now, self._rules.request_timeout, self._waiting
        while waiting and (waiting[0].call is None or waiting[0].asked + timeout <= now):
            entry = waiting[0]
            if entry.call is None:
                waiting.popleft()
                continue
            entry.call.outcome = Outcome.TIMEOUT
            self._lead.deadlines.failed += 1
            self._end(entry, entry.call, now, now)
        if waiting:
            self._overdue.arm(waiting[0].asked + timeout - now)
