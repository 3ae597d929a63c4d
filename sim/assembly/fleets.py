"""Workloads of whole fleets: coordinating controllers, rotating certificates, reporting devices."""

from __future__ import annotations

from collections.abc import Iterator

from sim.apiserver.objects import ObjectKey
from sim.assembly.apiservers import ApiServers
from sim.assembly.cluster import Cluster
from sim.assembly.ground import Ground
from sim.controllers.snapshots import SnapshotMap
from sim.processes.certificates import Rotation
from sim.processes.coordination import Coordinator
from sim.processes.map_threads import MapCosts, MapThreads
from sim.processes.telemetry import Edge
from sim.scenario import services as declared
from sim.scenario.maps import MapAccess
from sim.scenario.section import Section


class Fleets:
    """The fleets of a scenario. rotations, edges, maps: by the name of their workload."""

    def __init__(self, ground: Ground, cluster: Cluster, servers: ApiServers):
        self.ground, self._cluster, self._servers = ground, cluster, servers
        self.names: list[str] = []
        self.rotations: dict[str, Rotation] = {}
        self.edges: dict[str, list[Edge]] = {}
        self.maps: dict[str, MapThreads] = {}

    def begin(self, name: str, workload: Section) -> None:
        """Everything that is there at the start, and everybody who acts."""
        self.names.append(name)
        match workload:
            case declared.Coordination():
                self._coordination(name, workload)
            case declared.Certificates():
                self._certificates(name, workload)
            case declared.Telemetry():
                self._telemetry(name, workload)
            case MapAccess():
                self._map_access(name, workload)

    def _coordination(self, name: str, workload: declared.Coordination) -> None:
        ground, env, writer = self.ground, self.ground.env, self.ground.writer(name)
        lease, config = ground.shapes[workload.lease_object], ground.shapes[workload.config_object]
        phase = ground.stream(f"workloads.{name}.phase", 64)
        own = workload.namespaces == "own"
        fixed = [] if isinstance(workload.namespaces, str) else [f"team-{number}" for number in range(workload.namespaces)]
        mine = {f"{name}-{number}" for number in range(workload.controllers)}

        def found() -> Iterator[str]:
            """Namespaces: those that are given, or those in which a controller of this workload keeps something."""
            yield from fixed
            if own:
                for key, state in self._cluster.backend.mvcc.named.items():
                    if isinstance(key, ObjectKey) and state.version and key.resource == config.name and key.namespace in mine:
                        yield key.namespace

        for number in range(workload.controllers):
            who = f"{name}-{number}"
            home = who if own else "operators"
            client = self._servers.client(who, "workload-low")
            one = Coordinator(env, client, writer, who, home, workload.kinds, lease, config, found)
            env.process(one.keep(int(phase.uniform() * workload.renew_every), workload.renew_every))
            env.process(one.look(int(phase.uniform() * workload.look_every), workload.look_every))

    def _certificates(self, name: str, workload: declared.Certificates) -> None:
        ground, env, writer = self.ground, self.ground.env, self.ground.writer(name)
        request, secret = ground.shapes[workload.request_object], ground.shapes[workload.secret_object]
        keys = [ObjectKey(secret.name, "default", f"{name}-{number}") for number in range(workload.services)]
        for key in keys:
            self._servers.exists(key, secret, writer)
        client = self._servers.client(name, "workload-low")
        uniform = ground.stream(f"workloads.{name}.due").uniform
        rotation = Rotation(env, client, writer, name, keys, request, secret, workload.lifetime, uniform)
        self.rotations[name] = rotation
        env.process(rotation.run())
        if workload.cleaner:
            env.process(rotation.clean(workload.cleaned_after, workload.clean_every))

    def _telemetry(self, name: str, workload: declared.Telemetry) -> None:
        ground, env, writer = self.ground, self.ground.env, self.ground.writer(name)
        kind = workload.object if workload.summed is None else workload.summary_object
        ttl = ground.scenario.objects[kind].ttl or 0
        phase = ground.stream(f"workloads.{name}.phase", 1024)
        edges = self.edges[name] = []
        for number in range(workload.edges):
            client = self._servers.client(f"{name}-{number}", "workload-low")
            edge = Edge(env, client, writer, ground.shapes[kind], ttl, workload.summed is not None)
            edges.append(edge)
            if workload.summed is not None:
                env.process(edge.flush(int(phase.uniform() * workload.summed), workload.summed))
        for number in range(workload.devices):
            env.process(edges[number % len(edges)].device(int(phase.uniform() * workload.every), workload.every))

    def _map_access(self, name: str, workload: MapAccess) -> None:
        ground, locked = self.ground, workload.store == "locked"
        costs = MapCosts(
            workload.locked_read_ns if locked else workload.read_ns, workload.locked_write_ns if locked else None,
            workload.copy_ns, workload.copy_entry_ns,
        )  # fmt: skip
        threads = MapThreads(
            ground.env, SnapshotMap(dict.fromkeys(range(workload.entries), 0)), costs, workload.store == "copied",
            workload.operations, workload.reads_per_write, ground.stream(f"workloads.{name}.reads").uniform,
        )  # fmt: skip
        self.maps[name] = threads
        for _ in range(workload.threads):
            ground.env.process(threads.thread())
