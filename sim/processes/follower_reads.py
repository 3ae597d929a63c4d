"""Reads that a following member serves.

    linearizable   one round at a time, as at the leader: the question travels to the leader, a heartbeat to all confirms that it
                   leads, the index travels back; then everything up to it is applied here
    serializable   at once, from what this member has applied

Sources: go.etcd.io/raft raft.go (stepFollower: MsgReadIndex, MsgReadIndexResp; stepLeader), etcd server/etcdserver/v3_server.go
(linearizableReadLoop). Simplified: reads here meet neither this member's commits nor its compactions.
"""

from __future__ import annotations

from sim.etcd.backend import Backend
from sim.hardware.disk import NEVER
from sim.processes.events import Clock
from sim.processes.gate import Gate
from sim.processes.lead import Lead
from sim.processes.outbox import Outbox
from sim.processes.reads import RETRY, Read, ReadCosts, Reads
from sim.units import Nanoseconds


class FollowerReads(Reads):
    """Serves reads on a member, whether it follows or leads."""

    def __init__(self, env: Clock, lead: Lead, backend: Backend, costs: ReadCosts, gate: Gate, outbox: Outbox):
        super().__init__(env, lead, backend, costs, gate.member.cpu)
        self._lead, self._gate, self._outbox = lead, gate, outbox

    @property
    def _follows(self) -> bool:
        return self._gate.follower is not None

    def _begin(self) -> None:
        if not self._follows:
            super()._begin()
            return
        self._round, self._waiting = self._waiting, []
        self.rounds += 1
        self._send()

    def _send(self) -> None:
        """The question leaves for the leader."""
        if not self._follows:
            self._at_turn(self._ask)
            return
        self._outbox.send(lambda: self._at_turn(self._ask), self._again)

    def _again(self) -> None:
        self._go(self._env._now + RETRY, self._send)

    def _ask(self) -> None:
        if not self._follows:
            super()._ask()
            return
        now, ready, cpu = self._env._now, self._costs.ready, self._lead.member.cpu
        self._index_applied = self._gate.replica.free_at
        if cpu is not None:
            cpu.urge(now, ready)
        confirmed = self._lead.heard(now + ready)
        if confirmed > now + RETRY:
            self._again()
        else:
            self._go(confirmed, lambda: self._at_turn(self._confirmed))

    def _confirmed(self) -> None:
        if not self._follows:
            super()._confirmed()
            return
        now: Nanoseconds = self._env._now
        arrives = self._outbox.back(now + self._costs.ready)
        if arrives >= NEVER:
            self._again()
        else:
            self._go(arrives, self._indexed)

    def _indexed(self) -> None:
        """The index has come: the next turn of this member's Ready loop has it."""
        now: Nanoseconds = self._env._now
        _, free = self._lead.save_at(self._gate.member.name, now)
        self._go(max(free + self._costs.ready, self._index_applied), self._serve_round)

    def _serve(self, read: Read) -> None:
        if not self._follows:
            super()._serve(read)
            return
        now, costs, cpu = self._env._now, self._costs, self._cpu
        begins = max(self._gate.member.down.after(now), now)
        work = read.walked * costs.index_key + read.returned * costs.read_key
        if cpu is not None:
            begins = max(begins, cpu.run(now, work + costs.request) - work - costs.request)
        self.served += 1
        self.durations.add(begins + work - read.arrives)
        read.answer(now, begins + work)
