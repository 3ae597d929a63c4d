"""From a declared scenario to a world that runs: mechanisms with their streams, processes with their mechanisms.

Every component draws from the stream of its own name, so two variants of a scenario meet the same world.
The first member leads at the start.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.apiserver.server import ApiServer
from sim.assembly.apiservers import ApiServers
from sim.assembly.cluster import Cluster
from sim.assembly.controllers import Controllers
from sim.assembly.entrances import Entrances
from sim.assembly.faults import Calendars
from sim.assembly.fleets import Fleets
from sim.assembly.ground import Ground, table
from sim.assembly.guards import Guards, guards
from sim.assembly.watching import Watching
from sim.assembly.workloads import Workloads
from sim.etcd.backend import Backend
from sim.etcd.member import Member
from sim.etcd.memory import Memory
from sim.etcd.request import Shape
from sim.journal import Samples
from sim.processes.cohorts import Cohorts
from sim.processes.elections import Elections
from sim.processes.events import Clock
from sim.processes.gateway import Gateway, Latencies
from sim.processes.lead import Lead
from sim.processes.lessor import Lessor
from sim.processes.lookups import LookupTally
from sim.processes.manager import Leadership, Manager
from sim.processes.reads import Reads
from sim.processes.reconcilers import WriteTally
from sim.processes.rest_client import RestClient
from sim.processes.rollout import Rollout
from sim.processes.running import InformerPart, RunningController
from sim.processes.storm import Storm
from sim.processes.watch import WatchHub
from sim.result import Incident
from sim.scenario import Scenario
from sim.units import Nanoseconds


@dataclass(slots=True)
class World:
    """Everything of one run that somebody observes."""

    env: Clock
    scenario: Scenario
    writers: list[str]
    members: dict[str, Member]
    backend: Backend
    leader: Lead
    elections: Elections
    gateways: list[Gateway]
    hubs: list[WatchHub]
    controllers: list[RunningController]
    clients: dict[str, list[RestClient]]
    managers: list[Manager]
    leaderships: list[Leadership]
    writes: dict[str, WriteTally]
    fleets: Fleets
    incidents: list[Incident]
    client_latencies: Samples
    list_durations: Samples
    shapes: dict[str, Shape]
    reads: Reads
    entrances: Entrances
    lessor: Lessor
    informers: list[InformerPart]
    storms: dict[str, Storm | Cohorts]
    calendars: Calendars
    lookups: dict[str, LookupTally]
    guards: Guards
    rollouts: dict[str, Rollout]
    memories: dict[str, Memory]
    watching: Watching | None

    @property
    def servers(self) -> list[ApiServer]:
        """The API servers."""
        return [gateway.server for gateway in self.gateways]

    @property
    def latencies(self) -> list[Latencies]:
        """What clients of the API servers have waited, a server each."""
        return [gateway.latencies for gateway in self.gateways]


def build(scenario: Scenario, seed: int, horizon: Nanoseconds | None = None) -> World:
    """Assemble one variant of a scenario, ready to run from time 0. horizon: how far, nanoseconds; the scenario's where None."""
    ground = Ground(scenario, seed)
    until = scenario.horizon if horizon is None else horizon
    calendars = Calendars(ground, until)
    cluster = Cluster(ground, calendars, until)
    servers = ApiServers(ground, cluster, calendars)
    servers.background()
    cluster.compact_itself()
    cluster.operate()
    workloads = Workloads(ground, cluster, servers)
    workloads.begin()
    controllers = Controllers(ground, servers, calendars)
    calendars.announce()
    cluster.backend.begin()
    return World(
        ground.env, scenario, ground.writers, cluster.members.by_name, cluster.backend, cluster.leader, cluster.elections,
        servers.gateways, servers.hubs, controllers.running, servers.clients, controllers.managers, controllers.leaderships,
        workloads.writes, workloads.fleets,
        ground.incidents, workloads.client_latencies, ground.list_durations, ground.shapes,
        cluster.reads, cluster.entrances, cluster.lessor,
        controllers.informers,
        workloads.storms, calendars, workloads.lookups, guards(ground, cluster.door, servers.gateways),
        controllers.rollouts(),
        cluster.memories,
        cluster.watching,
    )  # fmt: skip


__all__ = ["World", "build", "table"]
