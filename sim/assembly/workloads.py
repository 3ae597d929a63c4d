"""What the world does in a scenario: pods that are replaced, objects that change, clients that write and list."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from itertools import count

from sim.apiserver.objects import Content, ObjectKey, Version
from sim.assembly.apiservers import ApiServers
from sim.assembly.cluster import Cluster
from sim.assembly.fleets import Fleets
from sim.assembly.ground import Ground, pairs
from sim.assembly.releases import written
from sim.journal import Samples
from sim.processes import clients
from sim.processes.churn import PodChurn
from sim.processes.cohorts import Cohorts
from sim.processes.events import Call
from sim.processes.lookups import Lookups, LookupTally
from sim.processes.objects import ObjectUsers, contender
from sim.processes.reconcilers import Writer, WriteTally
from sim.processes.stateful_set import Feed, StatefulSet
from sim.processes.storm import BackOff, Storm, arrivals
from sim.scenario import services
from sim.scenario import workloads as declared
from sim.scenario.maps import MapAccess
from sim.streams import Stream

_CLIENT_LEASES = 1 << 61
"""Ids of raw clients' leases, which a member gives them in the order of their grants: apart from those of API servers."""


class Workloads:
    """The workloads and raw clients of a scenario, ready to run.

    writes, storms, lookups: what each workload of these kinds has done.
    """

    def __init__(self, ground: Ground, cluster: Cluster, servers: ApiServers):
        self.ground, self._cluster, self._servers = ground, cluster, servers
        self.writes: dict[str, WriteTally] = {}
        self.fleets = Fleets(ground, cluster, servers)
        self.storms: dict[str, Storm | Cohorts] = {}
        self.lookups: dict[str, LookupTally] = {}
        self.client_latencies = Samples()
        self._lease_ids = count(_CLIENT_LEASES)
        self._raw_clients()

    def begin(self) -> None:
        """Everything that is there at the start, and everybody who acts."""
        for name, workload in self.ground.scenario.workloads.items():
            match workload:
                case declared.PodChurn():
                    self._churn(name, workload)
                case declared.Lists():
                    self._lists(name, workload)
                case declared.Objects():
                    self._objects(name, workload)
                case declared.Writers():
                    self._writers(name, workload)
                case services.Coordination() | services.Certificates() | services.Telemetry() | MapAccess():
                    self.fleets.begin(name, workload)
                case declared.Storm():
                    self._storm(name, workload)
                case declared.Lookups():
                    self._lookups(name, workload)

    def _raw_clients(self) -> None:
        ground, env = self.ground, self.ground.env
        for name, client in ground.scenario.clients.items():
            shape = self._cluster.client_shapes[name]
            think = ground.delays(client.think, f"clients.{name}.think").draw
            costs, latency = ground.scenario.etcd.costs, self.client_latencies.add
            request = costs.request + client.value_bytes * costs.request_per_kib // 1024
            jitter = ground.stream(f"clients.{name}.retry", 256)
            pauses = tuple(client.retry.pause(number) for number in range(1, client.retry.attempts + 1))
            back_off = BackOff(pauses, client.retry.jitter)
            way = client.rtt // 2
            keys: list[Hashable] = []
            if client.op not in ("put_new", "keepalive", "grant", "revoke"):
                keys = [f"{name}-{number}" for number in range(client.key_space)]
                for key in keys:
                    self._cluster.backend.preload(shape, ground.writer(name), key=key)
            pick = ground.stream(f"clients.{name}.keys").uniform
            entrances = self._cluster.entrances.of(client.target)
            for number in range(client.clients):
                entrance = entrances[number % len(entrances)]
                call = Call(env, entrance.propose, ground.writer(name))
                match client.op:
                    case "put_new" | "put_over":
                        key = partial(_one_of, keys, pick) if keys else None
                        env.process(clients.closed_loop(env, call, shape, key, think, way, request, latency, back_off, jitter))
                    case "keepalive":
                        lessor, leader = self._cluster.lessor, self._cluster.leader
                        env.process(
                            clients.keeping_loop(
                                env, call, lessor, leader, self._lease_ids, client.lease_ttl, think, way, costs.request, latency
                            )
                        )
                    case "grant" | "revoke":
                        env.process(
                            clients.leasing_loop(
                                env, call, shape, self._lease_ids, client.lease_ttl, client.lease_keys, client.op == "revoke",
                                think, way, request if client.lease_keys else costs.request, latency,
                            )
                        )
                    case _:
                        read = entrance.reads.call(ground.writer(name))
                        read.linearizable = client.op != "get_serializable"
                        if client.op == "list" and client.target != "follower":
                            self._cluster.backend.lists_come()
                        wanted, limit = (len(keys), client.list_limit) if client.op == "list" else (1, 1)
                        env.process(clients.reading_loop(env, read, wanted, limit, think, way, costs.request, latency))

    def _storm(self, name: str, workload: declared.Storm) -> None:
        ground = self.ground
        costs, kind = ground.scenario.etcd.costs, ground.scenario.objects[workload.object]
        gaps = ground.stream(f"workloads.{name}.arrivals") if workload.gaps == "exponential" else None
        feed = None if workload.updates is None else Feed()
        times = arrivals(workload.course(), gaps) if feed is None else feed
        retry = workload.retry
        back_off = BackOff(tuple(retry.pause(number) for number in range(1, retry.attempts + 1)), retry.jitter)
        request = costs.request + kind.value_bytes * costs.request_per_kib // 1024
        shape, writer, way = ground.shapes[workload.object], ground.writer(name), workload.rtt // 2
        jitter = ground.stream(f"workloads.{name}.retry")
        storm: Storm | Cohorts
        if workload.as_ == "cohorts":
            storm = Cohorts(ground.env, self._cluster.leader, shape, writer, times, way, request, back_off, jitter)
        else:
            doors = [entrance.propose for entrance in self._cluster.entrances.of(workload.target)]
            storm = Storm(ground.env, clients.in_turn(doors), shape, writer, times, way, request, back_off, jitter)
        self.storms[name] = storm
        storm.begin()
        if feed is not None:
            self._rolls_out(name, workload, storm, feed, gaps)

    def _rolls_out(self, name: str, workload: declared.Storm, storm: Storm | Cohorts, feed: Feed, gaps: Stream | None) -> None:
        """A storm whose pods are updated through the API server first."""
        rollout, ground, env = workload.rollout, self.ground, self.ground.env
        assert rollout is not None
        assert rollout.updates is not None
        shape, writer, labels = ground.shapes[rollout.updates], ground.writer(name), pairs(f"app={name}")
        keys = [ObjectKey(rollout.updates, "default", f"{name}-{number}", labels) for number in range(rollout.pods)]
        for key in keys:
            self._servers.exists(key, shape, writer)
        client = self._servers.client("statefulset-controller", "workload-high")
        groups = [[keys[number] for number in group] for group in rollout.groups]
        lasts, rate = rollout.lasts, rollout.rate

        def begin(successors: int) -> None:
            feed.add(arrivals([(env._now, env._now + lasts, successors * rate)], gaps))
            storm.fed()

        env.process(StatefulSet(env, client, client.call(writer), shape, groups, rollout.step, begin).run(workload.from_))

    def _lookups(self, name: str, workload: declared.Lookups) -> None:
        ground, env, writer = self.ground, self.ground.env, self.ground.writer(name)
        shape = ground.shapes[workload.object]
        keys = [ObjectKey(workload.object, "default", f"{name}-{number}") for number in range(workload.keys)]
        for key in keys[: round(workload.keys * workload.filled)]:
            self._servers.exists(key, shape, writer)
        client = self._servers.client(name, "workload-low")
        ghost = ObjectKey(workload.object, "default", f"{name}-never")
        choice = ground.stream(f"workloads.{name}.choice")
        lookups = Lookups(env, client, writer, shape, keys, ghost, workload.missing, workload.fill, choice)
        self.lookups[name] = lookups.tally
        env.process(lookups.run(ground.gap(workload.every, f"workloads.{name}.every")))
        if workload.flush_at is not None:
            env.process(lookups.flush(workload.flush_at))

    def _churn(self, name: str, workload: declared.PodChurn) -> None:
        ground, env, writer = self.ground, self.ground.env, self.ground.writer(name)
        pod = ground.shapes[workload.object]
        event = ground.shapes[workload.event_object] if workload.events_per_pod else None
        event_ttl = ground.scenario.objects[workload.event_object].ttl or 0
        labels = pairs(workload.labels)
        pods = [ObjectKey(workload.object, "default", f"{name}-{number}", labels) for number in range(workload.pods)]
        for key in pods:
            self._servers.exists(key, pod, writer)
        client = self._servers.client(name, "system")
        churn = PodChurn(
            env, client, partial(client.call, writer), pod, event, event_ttl, pods, workload.events_per_pod,
            ground.gap(workload.every, f"workloads.{name}.every"), workload.until,
        )  # fmt: skip
        env.process(churn.run())

    def _lists(self, name: str, workload: declared.Lists) -> None:
        ground, env = self.ground, self.ground.env
        gap = ground.gap(workload.every, f"workloads.{name}.every")
        keys = partial(self._live, workload.object)
        durations = ground.list_durations.add
        doors = [entrance.reads for entrance in self._cluster.entrances.of(workload.target)]
        if workload.target != "follower":
            self._cluster.backend.lists_come()
        env.process(clients.lists(env, doors, ground.writer(name), keys, workload.limit, workload.from_, gap, durations))

    def _live(self, kind: str) -> int:
        """Live keys of an object type: those of the writers that create it."""
        scenario = self.ground.scenario
        writers = []
        for name, controller in scenario.controllers.items():
            created, recorded = controller.reconcile.on_zero_value, controller.reconcile.events
            if (created is not None and created.create == kind) or (recorded is not None and recorded.object == kind):
                writers.append(name)
        for name, workload in scenario.workloads.items():
            if kind in declared.objects_of(workload).values() and not isinstance(workload, declared.READERS):
                writers.append(name)
        live = self._cluster.backend.live_by_writer
        return scenario.etcd.preload.get(kind, 0) + sum(live[self.ground.writer(name)] for name in writers)

    def _named(self, name: str, kind: str, number_of: int, labels: str, content: Content) -> list[ObjectKey]:
        """Objects that are there from the start."""
        writer, shape = self.ground.writer(name), self.ground.shapes[kind]
        keys = [ObjectKey(kind, "default", f"{name}-{number}", pairs(labels)) for number in range(number_of)]
        for key in keys:
            self._cluster.backend.preload(shape, writer, key=key)
            self._servers.learn(key, Version(self._cluster.backend.mvcc.revision, content))
        return keys

    def _objects(self, name: str, workload: declared.Objects) -> None:
        ground, env, writer = self.ground, self.ground.env, self.ground.writer(name)
        content = Content(finalizers=workload.finalizers)
        keys = self._named(name, workload.object, workload.count, workload.labels, content)
        client = self._servers.client(name, "global-default")
        users = ObjectUsers(env, client, writer, ground.shapes[workload.object], keys, content)
        if workload.change_every is not None:
            env.process(users.change(ground.gap(workload.change_every, f"workloads.{name}.change")))
        if workload.replace_every is not None:
            env.process(users.replace(ground.gap(workload.replace_every, f"workloads.{name}.replace")))

    def _writers(self, name: str, workload: declared.Writers) -> None:
        ground, env, writer = self.ground, self.ground.env, self.ground.writer(name)
        keys = self._named(name, workload.object, workload.objects, workload.labels, Content())
        shape = ground.shapes[workload.object]
        tally = self.writes[name] = WriteTally()
        think = ground.delays(workload.think, f"workloads.{name}.think").draw
        jitter, phase = ground.stream(f"workloads.{name}.retry"), ground.stream(f"workloads.{name}.phase", 64)
        for number in range(workload.clients):
            client = self._servers.client(f"{name}-{number}", "workload-low")
            how = written(workload.write, f"{name}-{number}", ground.scenario.hypotheses)
            author = Writer(env, client, shape, tally, jitter)
            start = int(phase.uniform() * 1_000_000_000 / 1_000)  # within a millisecond: not all in one instant
            env.process(contender(env, client, client.call(writer), shape, keys[number % len(keys)], author, how, think, start))


def _one_of(keys: list[Hashable], uniform: Callable[[], float]) -> Hashable:
    return keys[int(uniform() * len(keys))]


__all__ = ["Call", "Workloads"]
