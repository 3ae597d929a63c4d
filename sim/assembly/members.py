"""The members of a cluster with what each has of its own, and the ways between them."""

from __future__ import annotations

from sim import distributions
from sim.assembly.disks import Devices
from sim.assembly.faults import Calendars
from sim.assembly.ground import Ground
from sim.etcd.backend import Backend
from sim.etcd.follower import Follower, TroubledFollower
from sim.etcd.member import Member
from sim.etcd.wal import Segments
from sim.etcd.wal_files import WalFiles
from sim.hardware.cpu import Cpu
from sim.hardware.disk import SharedLog, Stalls
from sim.hardware.link import one_way, with_loss
from sim.hardware.route import Gaps, Route
from sim.scenario.links import path
from sim.scenario.machines import Machine
from sim.streams import Delays
from sim.units import Nanoseconds


class Members:
    """Members and routes by name, and who led when: faults may be aimed at the leader, whoever that is."""

    def __init__(self, ground: Ground, calendars: Calendars, horizon: Nanoseconds):
        self._ground, self._calendars, self._horizon = ground, calendars, horizon
        etcd = ground.scenario.etcd
        self._devices = Devices(ground, calendars)
        self._backend: Backend | None = None
        self._cpus: dict[str, Cpu] = {}  # by machine
        self._led: dict[str, list[tuple[Nanoseconds, Nanoseconds]]] = {name: [] for name in etcd.members}
        self.by_name = {name: self._member(name) for name in etcd.members}
        self.routes = {(one, other): self._route(one, other) for one in etcd.members for other in etcd.members if one != other}

    def lead(self, name: str, now: Nanoseconds) -> list[Follower]:
        """A member leads from now on: the others, as it reaches them."""
        for spells in self._led.values():
            spells[:] = [(begins, min(ends, now)) for begins, ends in spells]
        self._led[name].append((now, 2 * max(now, self._horizon)))
        for other, member in self.by_name.items():
            led = self._led[other]
            member.wal.freeze(Stalls(self._calendars.stalls(other, "wal", led)))
            member.file.freeze(Stalls(self._calendars.stalls(other, "backend", led)))
            member.stop(self._calendars.stops(other, led))
            self._share(member, name)
        for (one, other), route in self.routes.items():
            route.cut(self._calendars.cuts(one, other, self._led[one], self._led[other]))
        kind = TroubledFollower if self._calendars.among_members else Follower
        followers = [
            kind(member, self.routes[name, other], self.routes[other, name])
            for other, member in self.by_name.items() if other != name
        ]  # fmt: skip
        costs, cpu = self._ground.scenario.etcd.costs, self.by_name[name].cpu
        for follower in followers:
            if cpu is not None and follower.member.cpu is cpu and costs.follower:
                follower.cpu, follower.entry = cpu, costs.entry
                follower.turn, follower.wake = round(costs.ready * costs.follower), round(costs.wake * costs.follower)
        return followers

    def beside(self, backend: Backend) -> None:
        """What the leader's log shares its disk with."""
        self._backend = backend
        for name, led in self._led.items():
            if led:
                self._share(self.by_name[name], name)

    def _share(self, member: Member, leader: str) -> None:
        if isinstance(member.wal, SharedLog) and self._backend is not None:
            member.wal.catch_up = self._backend.advance if member.name == leader else lambda _now: None

    def gaps(self) -> list[tuple[str, str, Gaps]]:
        """Of each lossy way between two members, when heartbeats are too late."""
        etcd = self._ground.scenario.etcd
        tick = etcd.flags.heartbeat_interval
        longest = etcd.flags.election_timeout - tick
        found = []
        for one, other in self.routes:
            spells = [(0, self._horizon, path(etcd, one, other).loss), *self._calendars.losses(one, other)]
            for number, (begins, ends, loss) in enumerate(spells):
                if loss:
                    stream = self._ground.stream(f"etcd.link.{one}-{other}.late.{number}")
                    found.append((one, other, Gaps(stream, loss, tick, longest, begins, min(ends, self._horizon))))
        return found

    def _member(self, name: str) -> Member:
        ground, etcd = self._ground, self._ground.scenario.etcd
        told = len(etcd.voters) if etcd.release >= (3, 5, 0) else 0
        return Member(
            name, not etcd.members[name].learner, *self._devices.files(name),
            ground.delays(etcd.costs.apply, f"etcd.{name}.apply").draw, self._cpu(name), Segments(etcd.segment_size),
            WalFiles(etcd.segment_size, etcd.entries_per_snapshot, etcd.flags.max_wals, told),
        )  # fmt: skip

    def _cpu(self, member: str) -> Cpu | None:
        """The cores of a member's machine; None where nobody waits for one."""
        scenario = self._ground.scenario
        name = scenario.etcd.members[member].machine
        machine = Machine() if name is None else scenario.machines[name]
        if machine.cores is None:
            return None
        costs = scenario.etcd.costs
        cpu = Cpu(machine.cores, machine.foreign_cores, costs.collect_after, costs.collection)
        return self._cpus.setdefault(f"members.{member}" if name is None else name, cpu)

    def _route(self, one: str, other: str) -> Route:
        ground = self._ground
        link = path(ground.scenario.etcd, one, other)
        name = f"etcd.link.{one}-{other}"
        spells = []
        for number, (begins, ends, rate) in enumerate(self._calendars.losses(one, other)):
            extra = Delays(ground.stream(f"{name}.loss.{number}"), with_loss(distributions.constant(0), rate)).draw
            spells.append((begins, ends, extra))
        return Route(
            one_way(link.rtt, link.jitter, ground.stream(name), link.loss),
            one_way(link.rtt, link.jitter, ground.stream(f"{name}.raft", 64)),
            spells=spells,
        )
