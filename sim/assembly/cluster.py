"""The etcd cluster of a scenario: members, disks, links, backend, compaction. The first member leads at the start."""

from __future__ import annotations

from sim.apiserver.objects import ABSENT, EventType, ObjectKey, Version
from sim.apiserver.versions import Versions
from sim.assembly.entrances import Entrances
from sim.assembly.faults import Calendars
from sim.assembly.ground import Ground
from sim.assembly.guards import guarded
from sim.assembly.members import Members
from sim.assembly.watching import watching
from sim.etcd.backend import Backend
from sim.etcd.bbolt import Pages
from sim.etcd.memory import Memory
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import Op, Outcome, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.etcd.watched_backend import WatchedBackend
from sim.processes import background
from sim.processes.elections import ElectionRules, Elections
from sim.processes.events import Call, Ghost
from sim.processes.lead import Lead
from sim.processes.leader_rules import LeaderRules
from sim.processes.lessor import Lessor
from sim.processes.lone_leader import LoneLeader
from sim.processes.memory import watch_memory
from sim.processes.operations import operation
from sim.processes.reads import ReadCosts, Reads
from sim.processes.watch import WatchHub
from sim.scenario.links import path
from sim.units import SECOND, Nanoseconds

COMPACT_KEY_BYTES = len("compact_rev_key")
COMPACT_VALUE_BYTES = 8


class Cluster:
    """The members at work. truth: the versions that etcd holds; hubs: the API servers that watch."""

    def __init__(self, ground: Ground, calendars: Calendars, horizon: Nanoseconds):
        self.ground, self._calendars = ground, calendars
        scenario, env = ground.scenario, ground.env
        etcd, costs = scenario.etcd, scenario.etcd.costs
        release = etcd.release
        self.client_shapes = {
            name: Shape(
                name, client.key_bytes, client.value_bytes, client.op in ("grant", "revoke"),
                apply_ns=client.value_bytes * costs.apply_per_kib // 1024 + client.watchers * costs.watch_event,
            )
            for name, client in scenario.clients.items()
        }  # fmt: skip
        self.compact_shape = Shape("compact_rev_key", COMPACT_KEY_BYTES, COMPACT_VALUE_BYTES)
        self.members = Members(ground, calendars, horizon)
        first = next(iter(etcd.members))
        followers, leading = self.members.lead(first, 0), self.members.by_name[first]
        pages = Pages(small_follows_fill=release >= (3, 6, 0))
        mvcc = Mvcc(pages, keep_tombstone_at_compaction=_since(release, 34, 16))
        backend_costs = BackendCosts(
            costs.scan, costs.delete, costs.index_walk, costs.index_turn, costs.page_write, costs.defrag,
            costs.defrag_mb,
        )  # fmt: skip
        backend_rules = BackendRules(
            etcd.batch_interval, etcd.batch_limit, etcd.compaction.batch, etcd.compaction.pause,
            (3, 5, 16) <= release <= (3, 5, 18), _since(release, 30, 12), etcd.entries_per_snapshot, _since(release, 24, 8),
        )  # fmt: skip
        shapes = [*ground.shapes.values(), *self.client_shapes.values(), self.compact_shape]
        self.watching = watching(ground, shapes)
        parts = mvcc, pages, leading.file, leading.apply, backend_costs, backend_rules, shapes, len(ground.writers)
        self.backend = Backend(*parts)
        if self.watching is not None:
            self.backend = WatchedBackend(*parts, self.watching.watchers, self.watching.writer)
        self.members.beside(self.backend)
        beside = len(etcd.members) == 1 and not _since(release, 21, 5)
        rules = LeaderRules(
            etcd.quota, etcd.request_timeout, etcd.max_gap, costs.ready, costs.entry, costs.request, costs.request_per_kib,
            etcd.segment_size, self._quorum_rtt(first), etcd.max_request, (3, 5, 0) <= release <= (3, 5, 6), costs.wake,
            costs.handoff,
        )  # fmt: skip
        self.leader = (LoneLeader if beside else Lead)(
            env, leading, followers, self.backend, rules, len(ground.writers), self._applied, ground.incident
        )
        self.elections = self._elections()
        self.door = guarded(ground, self.leader, self.backend, self.client_shapes)
        read_costs = ReadCosts(costs.request, costs.index_key, costs.read_key, costs.ready)
        self.reads = Reads(env, self.leader, self.backend, read_costs, leading.cpu)
        self.entrances = Entrances(
            ground, self.members, self.leader, self.backend, rules, self.door.propose, self.reads, read_costs
        )
        self.leader.moved = self.entrances.moved
        self.truth = Versions()
        self.hubs: list[WatchHub] = []
        self.lessor = Lessor(env, lambda: self.call("etcd"))
        self.leader.promoted = self.lessor.promoted
        self.memories = self._memories()
        preloaded = ground.writer("preloaded")
        for name, count in etcd.preload.items():
            self.backend.preload(ground.shapes[name], preloaded, count)

    def call(self, writer: str) -> Call:
        """A re-usable call straight to etcd."""
        return Call(self.ground.env, self.door.propose, self.ground.writer(writer))

    def _memories(self) -> dict[str, Memory]:
        """The members whose memory is declared, and a look at it every second."""
        ground, etcd, backend = self.ground, self.ground.scenario.etcd, self.backend
        count = 0 if etcd.release >= (3, 6, 0) else etcd.entries_per_snapshot
        memories = {name: Memory(member.memory, count) for name, member in etcd.members.items() if member.memory is not None}
        if not memories:
            return memories
        kept = [(ground.shapes[name], keys) for name, keys in etcd.preload.items()]
        shapes = [*ground.shapes.values(), *self.client_shapes.values()]

        def key_bytes() -> float:
            weights = [*kept, *((shape, shape.entries) for shape in shapes)]
            total = sum(weight for _, weight in weights)
            return sum(shape.key_bytes * weight for shape, weight in weights) / total if total else 0.0

        ground.env.process(
            watch_memory(ground.env, memories, self.leader, backend, key_bytes, etcd.costs.page_fault, ground.incident)
        )
        return memories

    def compact_itself(self) -> None:
        """etcd's own auto-compaction, where it is asked for."""
        compaction, mvcc = self.ground.scenario.etcd.compaction, self.backend.mvcc
        if compaction.by not in ("periodic", "revision"):
            return
        env, call, retention = self.ground.env, self.call("etcd"), compaction.retention or 0
        if compaction.by == "periodic":
            again = self.ground.scenario.etcd.release < (3, 6, 0)
            env.process(background.periodic_compaction(env, call, retention, lambda: mvcc.revision, again))
        else:
            env.process(background.revision_compaction(env, call, compaction.every, retention, lambda: mvcc.revision))

    def _elections(self) -> Elections:
        """Who leads when the first leader is lost; it watches from the start where the scenario says that this may be."""
        ground, etcd, lead = self.ground, self.ground.scenario.etcd, self.leader
        flags = etcd.flags
        rules = ElectionRules(flags.heartbeat_interval, flags.election_timeout // flags.heartbeat_interval, etcd.pre_vote)
        phase = ground.stream("etcd.commit-timers", 64).uniform
        elections = Elections(
            ground.env, lead, self.members.by_name, self.members.routes, self.members.lead, rules,
            ground.stream("etcd.elections", 256).uniform, lambda: int(phase() * etcd.batch_interval), self._whole_database,
            ground.incident,
        )  # fmt: skip
        lead.be_wary(flags.election_timeout - flags.heartbeat_interval)
        if self._calendars.among_members:
            lead.watch()
        elections.expect(self._calendars.moments(), self.members.gaps())
        return elections

    def operate(self) -> None:
        """What an operator does."""
        ground = self.ground
        for one in ground.scenario.operations.values():
            call = self.call("etcd")
            ground.env.process(operation(ground.env, one.kind, one.at, call, self.leader, self.backend, ground.incident))

    def _whole_database(self, leader: str, member: str, lacks: int) -> Nanoseconds:
        """How long a member needs for it where it lacks so many entries; 0 where the leader's log still has them.

        It is written as it comes, at the slower of the link's and the disk's bandwidth.
        """
        etcd = self.ground.scenario.etcd
        if lacks <= etcd.entries_in_memory(self.leader.log.index):
            return 0
        disk, link = self.members.by_name[member].file, path(etcd, leader, member).bandwidth
        ns_per_byte = disk.ns_per_byte if link is None else max(disk.ns_per_byte, SECOND / link)
        return round(self.backend.size * ns_per_byte)

    def _quorum_rtt(self, leader: str) -> Nanoseconds:
        """Round trip of the leader with the last one of the nearest quorum."""
        etcd = self.ground.scenario.etcd
        trips = sorted(path(etcd, leader, name).rtt for name in etcd.voters if name != leader)
        return trips[len(etcd.voters) // 2 - 1] if trips else 0

    def _applied(self, entry: Call | Ghost) -> None:
        """An entry other than a write-once key has its outcome: tell the watches and the lessor."""
        if entry.op is Op.LEASE_GRANT:
            if entry.outcome is Outcome.UNCHANGED:
                self.lessor.granted(entry.lease, entry.expected, entry.done)
            return
        if entry.op is Op.LEASE_REVOKE:
            self.lessor.revoked(entry.lease)
            for key in self.backend.take_revoked(entry.lease):
                if isinstance(key, ObjectKey):
                    self.truth.learn(key, ABSENT, entry.done)
                    for hub in self.hubs:
                        hub.happened(EventType.DELETED, key, entry.revision, None, entry.done)
            return
        if isinstance(entry.key, ObjectKey) and entry.outcome <= Outcome.DELETED:
            version = ABSENT if entry.outcome is Outcome.DELETED else Version(entry.revision, entry.content)
            self.truth.learn(entry.key, version, entry.done)
            for hub in self.hubs:
                hub.applied(entry)


def _since(release: tuple[int, int, int], patch_of_3_4: int, patch_of_3_5: int) -> bool:
    """Whether a change that was backported to these patch releases is in this one."""
    if release[1] == 4:
        return release[2] >= patch_of_3_4
    return release[1] > 5 or release[2] >= patch_of_3_5
