"""From a declared scenario to a world that runs: mechanisms with their streams, processes with their mechanisms.

Every component draws from the stream of its own name, so two variants of a scenario meet the same world. The first member leads.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial

from sim import distributions
from sim.apiserver.lease_manager import LeaseManager
from sim.apiserver.objects import ABSENT, Labels, ObjectKey, Version
from sim.apiserver.server import ApiServer
from sim.apiserver.versions import Versions
from sim.clientgo import limiters
from sim.clientgo.informer import SharedInformer
from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.queue_interface import WorkQueue
from sim.clientgo.rate_limiting import RateLimitingQueue
from sim.controllers.cache import ObjectMap
from sim.etcd.backend import Backend, BackendCosts, BackendRules
from sim.etcd.bbolt import Pages
from sim.etcd.follower import Follower
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import Op, Outcome, Shape
from sim.hardware.disk import Disk, Stalls
from sim.hardware.link import one_way
from sim.journal import Samples
from sim.processes import background, clients
from sim.processes.churn import PodChurn
from sim.processes.controller import Reconciler, Tally, enqueue_on, reconcile_worker
from sim.processes.events import Call, Clock, Ghost
from sim.processes.gateway import Gateway, Latencies
from sim.processes.informer import Informer
from sim.processes.leader import Leader, LeaderRules
from sim.processes.rest_client import RestClient
from sim.processes.watch import WatchHub
from sim.processes.work_queue import Workplace
from sim.ratelimit.bucket import TokenBucket
from sim.result import Incident
from sim.scenario import Scenario
from sim.scenario import distribution as laws
from sim.scenario import limiters as declared
from sim.scenario.controllers import Controller
from sim.scenario.interval import Interval
from sim.scenario.workloads import Lists
from sim.scenario.workloads import PodChurn as DeclaredChurn
from sim.streams import Delays, Streams
from sim.units import MINUTE, SECOND, Nanoseconds, seconds

COMPACT_KEY_BYTES = len("compact_rev_key")
COMPACT_VALUE_BYTES = 8
PERIODIC_SAMPLES = 10
MOST_LEASE_MANAGERS = 1024
"""Ids of leases are handed out so many apart, each manager its own."""


def table(law: laws.Distribution) -> distributions.Table:
    """The quantile table of a declared law of durations."""
    match law:
        case laws.Constant():
            return distributions.constant(law.constant)
        case laws.Lognormal():
            return distributions.lognormal(law.median, law.p99)
        case laws.Gamma():
            return distributions.gamma(law.mean, law.sd)
        case laws.Empirical():
            return distributions.empirical(law.quantiles)
        case laws.Mixture():
            return distributions.mixture([(part.weight, table(part.of)) for part in law.mixture])


def rate_limiter(spec: declared.Limiter) -> limiters.RateLimiter:
    """A client-go limiter as it is declared."""
    match spec:
        case declared.ExponentialLimiter():
            return limiters.ItemExponentialFailure(spec.base, spec.max)
        case declared.BucketLimiter():
            return limiters.Bucket(spec.rate, spec.burst)
        case declared.FastSlowLimiter():
            return limiters.ItemFastSlow(spec.fast, spec.slow, spec.max_fast_attempts)
        case declared.MaxOfLimiter():
            return limiters.MaxOf(*(rate_limiter(part) for part in spec.limiters))
        case declared.MaxWaitLimiter():
            return limiters.WithMaxWait(rate_limiter(spec.limiter), spec.max)


@dataclass(slots=True)
class RunningController:
    """One of `count` equal controllers."""

    name: str
    queue: Workplace
    tally: Tally
    cache: ObjectMap
    client: RestClient
    queue_seconds: Samples
    work_seconds: Samples


@dataclass(slots=True)
class World:
    """Everything of one run that somebody observes."""

    env: Clock
    scenario: Scenario
    writers: list[str]
    member: str
    backend: Backend
    leader: Leader
    followers: dict[str, Follower]
    servers: list[ApiServer]
    hubs: list[WatchHub]
    latencies: list[Latencies]
    controllers: list[RunningController]
    incidents: list[Incident]
    client_latencies: Samples
    list_durations: Samples
    shapes: dict[str, Shape]


class _Builder:
    def __init__(self, scenario: Scenario, seed: int):
        self.scenario, self.env, self.streams = scenario, Clock(), Streams(seed)
        self.writers: list[str] = [
            *scenario.workloads, "node-heartbeats", "leader-elections", *scenario.controllers, *scenario.clients,
            "kube-apiserver", "etcd", "preloaded",
        ]  # fmt: skip
        self.incidents: list[Incident] = []
        self.latencies: list[Latencies] = []
        self.hubs: list[WatchHub] = []
        self.truth = Versions()
        self.lease_managers = 0
        self.lessor: background.Lessor | None = None
        self._informers: list[Informer] = []
        self._pods: list[ObjectKey] = []

    def delays(self, law: laws.Distribution, name: str, block: int = 4096) -> Delays:
        return Delays(self.streams(name), table(law), block)

    def gap(self, every: Interval, name: str) -> Callable[[], Nanoseconds]:
        """Times between two events of a calendar."""
        if every.law == "fixed":
            return lambda: every.mean
        return Delays(self.streams(name), distributions.exponential(every.mean)).draw

    # ---- etcd

    def disks(self, name: str) -> tuple[Disk, Disk]:
        """A member's disk as its WAL and its backend see it."""
        member = self.scenario.etcd.members[name]
        profile = member.profile
        faults = self.scenario.faults.values()
        wal_stalls = Stalls([(fault.at, fault.at + fault.for_) for fault in faults if fault.hits(name, "wal")])
        backend_stalls = Stalls([(fault.at, fault.at + fault.for_) for fault in faults if fault.hits(name, "backend")])
        backend_law = profile.backend_fdatasync or profile.fdatasync
        wal = self.delays(profile.fdatasync, f"etcd.{name}.wal")
        backend = self.delays(backend_law, f"etcd.{name}.backend")
        bandwidth = float(profile.bandwidth)
        return Disk(wal.draw, bandwidth, wal_stalls), Disk(backend.draw, bandwidth, backend_stalls)

    def link(self, name: str) -> Callable[[], Nanoseconds]:
        """Draws the time of one message on the link of that name, `from-to`."""
        network = self.scenario.etcd.network
        return one_way(network.rtt, network.jitter, self.streams(f"etcd.link.{name}"))

    def shapes(self) -> dict[str, Shape]:
        costs, watchers = self.scenario.etcd.costs, sum(server.count for server in self.scenario.apiservers.values())
        return {
            name: Shape(
                name, kind.key_bytes, kind.value_bytes, kind.ttl is not None,
                kind.value_bytes * costs.apply_per_kib // 1024 + watchers * costs.watch_event,
            )
            for name, kind in self.scenario.objects.items()
        }  # fmt: skip

    def incident(self, at: Nanoseconds, kind: str, about: str) -> None:
        self.incidents.append(Incident(seconds(at), kind, about))

    def build(self) -> World:
        scenario, env = self.scenario, self.env
        etcd, costs = scenario.etcd, scenario.etcd.costs
        release = etcd.release
        self.shape = self.shapes()
        self.client_shape = {
            name: Shape(name, client.key_bytes, client.value_bytes, apply_ns=client.value_bytes * costs.apply_per_kib // 1024)
            for name, client in scenario.clients.items()
        }
        self.compact_shape = Shape("compact_rev_key", COMPACT_KEY_BYTES, COMPACT_VALUE_BYTES)
        leading, *following = etcd.members
        wal, file = self.disks(leading)
        pages = Pages(small_follows_fill=release >= (3, 6, 0))
        mvcc = Mvcc(pages, keep_tombstone_at_compaction=_since(release, 34, 16))
        self.backend = Backend(
            mvcc, pages, file, self.delays(costs.apply, f"etcd.{leading}.apply").draw,
            BackendCosts(costs.scan, costs.delete, costs.index_walk, costs.read_key + costs.index_key, costs.page_write),
            BackendRules(
                etcd.batch_interval, etcd.batch_limit, etcd.compaction.batch, etcd.compaction.pause, _since(release, 30, 12),
                etcd.entries_per_snapshot,
            ),
            [*self.shape.values(), *self.client_shape.values(), self.compact_shape], len(self.writers),
        )  # fmt: skip
        followers: dict[str, Follower] = {}
        for name in following:
            disk, _ = self.disks(name)
            followers[name] = Follower(self.link(f"{leading}-{name}"), self.link(f"{name}-{leading}"), disk)
        self.leader = Leader(
            env, wal, list(followers.values()), self.backend,
            LeaderRules(
                etcd.quota, etcd.request_timeout, etcd.max_gap, costs.ready, costs.entry, etcd.segment_size, etcd.network.rtt
            ),
            len(self.writers), self.applied, self.incident,
        )  # fmt: skip
        self.gateways = [self.gateway(name) for name in scenario.apiservers]
        self.lessor = background.Lessor(env, lambda: Call(env, self.leader.propose, self.writer("etcd")))
        preloaded = self.writer("preloaded")
        for name, count in etcd.preload.items():
            self.backend.preload(self.shape[name], preloaded, count)
        controllers = [
            running for name, controller in scenario.controllers.items() for running in self.controllers(name, controller)
        ]
        self.background()
        self.compaction()
        client_latencies, list_durations = Samples(), Samples()
        self.workloads(list_durations)
        self.clients(client_latencies)
        for fault_name, fault in scenario.faults.items():
            self.incident(fault.at, fault.kind, f"{fault_name}: the disk of {fault.target} freezes for {seconds(fault.for_):g} s")
        self.backend.begin()
        return World(
            env, scenario, self.writers, leading, self.backend, self.leader, followers,
            [gateway.server for gateway in self.gateways], self.hubs, self.latencies, controllers, self.incidents,
            client_latencies, list_durations, self.shape,
        )  # fmt: skip

    def writer(self, name: str) -> int:
        return self.writers.index(name)

    def applied(self, entry: Call | Ghost) -> None:
        """An entry other than a write-once key has its outcome: tell the watches and the lessor."""
        if entry.op is Op.LEASE_GRANT:
            if self.lessor is not None:
                self.lessor.granted(entry.lease, entry.expected, entry.done)
            return
        if isinstance(entry.key, ObjectKey) and entry.outcome <= Outcome.DELETED:
            version = ABSENT if entry.outcome is Outcome.DELETED else Version(entry.revision, entry.content)
            self.truth.learn(entry.key, version, entry.done)
            for hub in self.hubs:
                hub.applied(entry)

    # ---- Kubernetes

    def gateway(self, name: str) -> Gateway:
        declared_server = self.scenario.apiservers[name]
        cache = Versions()
        to_client = declared_server.rtt_to_clients // 2
        admission = declared_server.admission
        free = isinstance(admission, laws.Constant) and admission.constant == 0
        server = ApiServer(
            to_client, declared_server.rtt_to_etcd // 2 + self.scenario.etcd.costs.request,
            self.delays(declared_server.overhead, f"apiserver.{name}.overhead").draw,
            None if free else self.delays(admission, f"apiserver.{name}.admission").draw, cache,
        )  # fmt: skip
        lag = self.delays(declared_server.watch_lag, f"apiserver.{name}.watch", 256)
        self.hubs.append(WatchHub(self.env, cache, lag.draw, to_client))
        latencies = Latencies(to_client)
        self.latencies.append(latencies)
        return Gateway(self.env, server, self.leader, self.truth, latencies, self.lease_manager)

    def lease_manager(self, ttl: Nanoseconds) -> LeaseManager:
        """An API server's manager of leases for objects of one TTL."""
        self.lease_managers += 1
        return LeaseManager(ttl, first_id=self.lease_managers, step=MOST_LEASE_MANAGERS)

    def exists(self, key: ObjectKey, shape: Shape, writer: int) -> ObjectKey:
        """An object that is there before the start, and that every API server knows."""
        self.backend.preload(shape, writer, key=key)
        version = Version(self.backend.mvcc.revision)
        self.truth.learn(key, version, 0)
        for gateway in self.gateways:
            gateway.server.cache.learn(key, version, 0)
        return key

    def background(self) -> None:
        declared_background, env = self.scenario.background, self.env
        if not (declared_background.nodes or declared_background.leader_elections):
            return
        phase = self.streams("background.phase", 64)
        gateway = self.gateways[0]
        lease, node = self.shape[declared_background.lease_object], self.shape[declared_background.node_object]
        writer = self.writer("node-heartbeats")

        def beat(shape: Shape, resource: str, name: str, every: Nanoseconds, by: int, after_answer: bool) -> None:
            key = self.exists(ObjectKey(resource, "", name), shape, by)
            start = int(phase.uniform() * every)
            client = RestClient(gateway, None)
            env.process(background.heartbeat(env, client, gateway.call(by), shape, key, every, start, after_answer))

        for number in range(declared_background.nodes):
            beat(lease, "leases", f"node-{number}", declared_background.node_lease_every, writer, False)
            beat(node, "nodes", f"node-{number}", declared_background.node_status_every, writer, False)
        elections = self.writer("leader-elections")
        for number in range(declared_background.leader_elections):
            beat(lease, "leases", f"component-{number}", declared_background.leader_election_every, elections, True)

    def compaction(self) -> None:
        compaction, env, backend = self.scenario.etcd.compaction, self.env, self.backend

        def revision() -> int:
            return backend.mvcc.revision

        match compaction.by:
            case "apiserver" if self.gateways:
                writer = self.writer("kube-apiserver")
                gateway = self.gateways[0]
                key = self.exists(ObjectKey("compact_rev_key", "", ""), self.compact_shape, writer)
                env.process(
                    background.api_server_compaction(
                        env, RestClient(gateway, None), gateway.call(writer), Call(env, self.leader.propose, writer),
                        gateway.server.to_etcd, self.compact_shape, key, compaction.every, revision,
                    )
                )  # fmt: skip
            case "periodic" | "revision":
                periodic = compaction.by == "periodic"
                retention = compaction.retention or 0
                history = background.RevisionHistory(backend.mvcc, retention, periodic)
                every = max(SECOND, min(retention // PERIODIC_SAMPLES, 6 * MINUTE)) if periodic else compaction.every
                call = Call(env, self.leader.propose, self.writer("etcd"))
                env.process(background.auto_compaction(env, call, every, revision, history.target))

    def controllers(self, name: str, controller: Controller) -> list[RunningController]:
        scenario, env = self.scenario, self.env
        resolved = controller.resolved()
        gateway, writer = self.gateways[0], self.writer(name)
        work = self.delays(controller.reconcile.duration, f"controllers.{name}.work").draw
        creates = controller.reconcile.on_zero_value
        running = []
        for number in range(controller.count):
            queue_seconds, work_seconds = Samples(), Samples()
            limiter = rate_limiter(resolved.limiter)
            queue: WorkQueue
            if resolved.queue == "priority":
                queue = PriorityQueue(limiter, queue_seconds.add, work_seconds.add)
            else:
                queue = RateLimitingQueue(limiter, queue_seconds.add, work_seconds.add)
            place, tally = Workplace(env, queue), Tally()
            cache = ObjectMap(controller.cache.on_delete == "keep-zero-value")
            client = RestClient(gateway, None if resolved.qps is None else TokenBucket(resolved.qps, resolved.burst))
            jitter = self.streams(f"controllers.{name}.{number}.resync", 8).uniform
            informers = [
                Informer(
                    env, self.hubs[0], SharedInformer(resolved.fifo), watch.object, _pairs(watch.selector), resolved.resync, jitter
                )
                for watch in controller.watches.values()
            ]
            for informer in informers:
                enqueue_on(informer.mechanism, place)
            reconciler = Reconciler(
                env, client, partial(gateway.call, writer), _exists([informer.mechanism for informer in informers]),
                cache, work, controller.reconcile.every is not None, None if creates is None else self.shape[creates.create],
            )  # fmt: skip
            self._informers.extend(informers)
            for _ in range(controller.workers):
                env.process(
                    reconcile_worker(env, place, reconciler, tally, controller.reconcile.every or 0, controller.max_retries)
                )
            if resolved.election is not None:
                shape = self.shape[scenario.background.lease_object]
                key = self.exists(ObjectKey("leases", "", f"{name}-{number}"), shape, writer)
                period = resolved.election.retry_period
                phase = int(self.streams(f"controllers.{name}.{number}.election", 1).uniform() * period)
                elector = RestClient(gateway, None)
                env.process(background.heartbeat(env, elector, gateway.call(writer), shape, key, period, phase, True))
            running.append(RunningController(name, place, tally, cache, client, queue_seconds, work_seconds))
        return running

    # ---- what the world does

    def workloads(self, list_durations: Samples) -> None:
        env = self.env
        for name, workload in self.scenario.workloads.items():
            writer = self.writer(name)
            if isinstance(workload, DeclaredChurn):
                self._churn(name, workload, writer)
            elif isinstance(workload, Lists):
                shape = workload.object
                env.process(
                    clients.lists(
                        env, self.backend, writer, partial(self._live, shape), workload.from_,
                        self.gap(workload.every, f"workloads.{name}.every"), list_durations.add,
                    )
                )  # fmt: skip

        for informer in self._informers:
            informer.list(self._pods)

    def _live(self, name: str) -> int:
        """Live keys of an object type: those of the writers that create it."""
        scenario = self.scenario
        creates = {writer: controller.reconcile.on_zero_value for writer, controller in scenario.controllers.items()}
        writers = [writer for writer, created in creates.items() if created is not None and created.create == name]
        for writer, workload in scenario.workloads.items():
            if isinstance(workload, DeclaredChurn) and name in (workload.object, workload.event_object):
                writers.append(writer)
        preloaded = self.scenario.etcd.preload.get(name, 0)
        return preloaded + sum(self.backend.live_by_writer[self.writer(w)] for w in writers)

    def _churn(self, name: str, workload: DeclaredChurn, writer: int) -> None:
        env, gateway = self.env, self.gateways[0]
        pod = self.shape[workload.object]
        event = self.shape[workload.event_object] if workload.events_per_pod else None
        event_ttl = self.scenario.objects[workload.event_object].ttl or 0
        labels = _pairs(workload.labels)
        pods = [ObjectKey(workload.object, "default", f"{name}-{number}", labels) for number in range(workload.pods)]
        for key in pods:
            self._pods.append(self.exists(key, pod, writer))
        churn = PodChurn(
            env, RestClient(gateway, None), partial(gateway.call, writer), pod, event, event_ttl, pods, workload.events_per_pod,
            self.gap(workload.every, f"workloads.{name}.every"),
        )  # fmt: skip
        env.process(churn.run())

    def clients(self, latencies: Samples) -> None:
        env = self.env
        for name, client in self.scenario.clients.items():
            writer, shape = self.writer(name), self.client_shape[name]
            think = self.delays(client.think, f"clients.{name}.think").draw
            for _ in range(client.clients):
                call = Call(env, self.leader.propose, writer)
                env.process(
                    clients.closed_loop(env, call, shape, think, client.rtt // 2, self.scenario.etcd.costs.request, latencies.add)
                )


def build(scenario: Scenario, seed: int) -> World:
    """Assemble one variant of a scenario, ready to run from time 0."""
    return _Builder(scenario, seed).build()


def _since(release: tuple[int, int, int], patch_of_3_4: int, patch_of_3_5: int) -> bool:
    """Whether a change that was backported to these patch releases is in this one."""
    if release[1] == 4:
        return release[2] >= patch_of_3_4
    return release[1] > 5 or release[2] >= patch_of_3_5


def _pairs(labels: str) -> Labels:
    """`a=b,c=d` as pairs."""
    return frozenset((key, value) for key, _, value in (part.partition("=") for part in labels.split(",") if part))


def _exists(informers: list[SharedInformer]) -> Callable[[Hashable], bool]:
    """Whether one of the stores has an object under a key."""
    if len(informers) == 1:
        return informers[0].store.__contains__
    return lambda key: any(key in informer.store for informer in informers)


__all__ = ["Outcome", "RunningController", "World", "build", "table"]
