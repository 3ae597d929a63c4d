"""Where clients of etcd knock: at whoever leads, or at members of their own, each with what serves there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.assembly.ground import Ground
from sim.assembly.members import Members
from sim.etcd.backend import Backend
from sim.etcd.member import Member
from sim.etcd.replica import Replica
from sim.processes.events import Call
from sim.processes.follower_reads import FollowerReads
from sim.processes.gate import Gate
from sim.processes.lead import Lead
from sim.processes.leader_rules import LeaderRules
from sim.processes.outbox import Outbox
from sim.processes.reads import ReadCosts, Reads
from sim.scenario.clients import Target


@dataclass(frozen=True, slots=True)
class Entrance:
    """Takes writes, and reads."""

    propose: Callable[[Call], None]
    reads: Reads


class Entrances:
    """The doors of the members. door: takes what the leader is asked; reads: served by the leader.

    gates: those of members that somebody asks, whether they follow or lead; made when they are first asked for.
    """

    def __init__(
        self, ground: Ground, members: Members, lead: Lead, backend: Backend, rules: LeaderRules, door: Callable[[Call], None],
        reads: Reads, read_costs: ReadCosts,
    ):  # fmt: skip
        self._ground, self._members, self._lead, self._backend, self._rules = ground, members, lead, backend, rules
        self._costs = read_costs
        self._leading = Entrance(door, reads)
        self._entrances: dict[str, Entrance] = {}
        self.gates: dict[str, Gate] = {}
        self._tell()

    def of(self, target: Target) -> list[Entrance]:
        """Where clients knock, in turn: at the leader of the moment; at all who vote; at those of them that do not lead yet."""
        voters = self._ground.scenario.etcd.voters
        if target == "leader":
            return [self._leading]
        return [self._at(name) for name in (voters if target == "all" else voters[1:])]

    def moved(self, leader: Member) -> None:
        """Another member leads."""
        self._leading.reads.move(leader.cpu)
        for gate in self.gates.values():
            gate.follow(self._lead.follower(gate.member.name))
        self._tell()

    def _tell(self) -> None:
        lead = self._lead
        lead.listeners = [gate.hand_over for gate in self.gates.values() if gate.follower is not None]
        lead.copies = sum(one.cpu is not None and one.member.name not in self.gates for one in lead.followers)

    def _at(self, name: str) -> Entrance:
        if name not in self._entrances:
            env, lead = self._ground.env, self._lead
            outbox = Outbox(env, lead, name, lambda one, other: self._members.routes[one, other])
            gate = self.gates[name] = Gate(env, lead, self._replica(name), self._rules, self._leading.propose, outbox)
            gate.follow(lead.follower(name))
            self._tell()
            reads = FollowerReads(env, lead, self._backend, self._costs, gate, outbox)
            self._entrances[name] = Entrance(gate.propose, reads)
        return self._entrances[name]

    def _replica(self, name: str) -> Replica:
        etcd, pages = self._ground.scenario.etcd, self._backend.commit_pages
        phase = self._ground.stream(f"etcd.{name}.commit-timer", 64).uniform()
        return Replica(
            self._members.by_name[name], lambda: pages[-1] if pages else 0, etcd.costs.page_write, etcd.batch_interval,
            int(phase * etcd.batch_interval), etcd.batch_limit,
        )  # fmt: skip

    @property
    def served(self) -> list[Reads]:
        """All that serve reads."""
        return [self._leading.reads, *(entrance.reads for entrance in self._entrances.values())]
