"""The API servers of a scenario, and their clients: who is connected to which, and who they are to priority and fairness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, Literal

from sim.apiserver.flowcontrol.control import FlowControl, MaxInFlight
from sim.apiserver.flowcontrol.levels import DEFAULT_LEVELS, DEFAULT_SCHEMAS
from sim.apiserver.lease_manager import LeaseManager
from sim.apiserver.objects import ObjectKey, Version
from sim.apiserver.server import ApiServer
from sim.apiserver.webhooks import Webhook
from sim.assembly.cluster import Cluster
from sim.assembly.faults import Calendars
from sim.assembly.ground import Ground
from sim.clientgo.timeouts import AdaptiveTimeout, FixedTimeout, Timeout
from sim.etcd.request import SERVER_LEASES, Shape
from sim.processes import background
from sim.processes.gateway import Gateway, Latencies
from sim.processes.rest_client import RestClient
from sim.processes.watch import WatchHub
from sim.ratelimit.bucket import TokenBucket
from sim.scenario import apiserver as declared
from sim.scenario import webhooks as declared_webhooks
from sim.units import Nanoseconds

_MOST_LEASE_MANAGERS: Final = 1024
"""Ids of leases are handed out so many apart, each manager its own."""
_SCHEMAS: Final = {
    "exempt": "exempt",
    "system": "system-nodes",
    "node-high": "system-node-high",
    "leader-election": "system-leader-election",
    "workload-high": "kube-system-service-accounts",
    "workload-low": "service-accounts",
    "global-default": "global-default",
    "catch-all": "catch-all",
}
"""The flow schema by which requests come to a priority level."""
_LEVEL_FIELDS: Final = {"lendable": "lendable_percent", "borrowing_limit": "borrowing_limit_percent"}


class ApiServers:
    """The API servers at work, each with its own watch cache, seats and leases. Clients are spread over them in turn."""

    def __init__(self, ground: Ground, cluster: Cluster, calendars: Calendars):
        self.ground, self.cluster, self._calendars = ground, cluster, calendars
        self.gateways: list[Gateway] = []
        self.hubs: list[WatchHub] = []
        """Their watch caches, in the same order."""
        self.clients: dict[str, list[RestClient]] = {}
        """Those of controllers, by name."""
        self._lease_managers = 0
        self._connected = 0
        self._webhooks = [self._webhook(name, webhook) for name, webhook in ground.scenario.webhooks.items()]
        for name, server in ground.scenario.apiservers.items():
            for number in range(server.count):
                self._server(name if server.count == 1 else f"{name}.{number}", name, server)

    def _server(self, name: str, group: str, server: declared.ApiServer) -> None:
        ground, cluster = self.ground, self.cluster
        to_client = server.rtt_to_clients // 2
        overhead = ground.delays(server.overhead, f"apiserver.{name}.overhead").draw
        slower = self._calendars.slowness(group, self._now)
        api_server = ApiServer(
            to_client, server.rtt_to_etcd // 2 + ground.scenario.etcd.costs.request + ground.scenario.etcd.costs.txn,
            overhead if slower is None else partial(_both, overhead, slower),
            ground.draws(server.admission, f"apiserver.{name}.admission", 4096),
            per_object=server.per_object, webhooks=self._webhooks, request_timeout=server.request_timeout,
            outages=self._calendars.outages(group),
        )  # fmt: skip
        lag = ground.delays(server.watch_lag, f"apiserver.{name}.watch", 256)
        hub = WatchHub(
            ground.env, api_server, lag.draw, cluster.reads.fetch, ground.stream(f"apiserver.{name}.bookmarks", 64).uniform,
            server.watch_cache.window, lambda: cluster.backend.mvcc.revision,
        )  # fmt: skip
        self.hubs.append(hub)
        cluster.hubs.append(hub)
        gateway = Gateway(
            ground.env, api_server, cluster.door, cluster.reads.fetch, cluster.truth, Latencies(to_client), self._lease_manager,
            _flow_control(server), hub.matching,
        )  # fmt: skip
        hub.attach(gateway.respond)
        self.gateways.append(gateway)

    def _lease_manager(self, ttl: Nanoseconds) -> LeaseManager:
        """An API server's manager of leases for objects of one TTL."""
        self._lease_managers += 1
        return LeaseManager(ttl, first_id=SERVER_LEASES + self._lease_managers, step=_MOST_LEASE_MANAGERS)

    def _webhook(self, name: str, webhook: declared_webhooks.Webhook) -> Webhook:
        ground = self.ground
        chance = ground.stream(f"webhooks.{name}.chance").uniform if webhook.failing or webhook.denying else None
        return Webhook(
            webhook.operations, webhook.object, webhook.kind == "mutating",
            ground.delays(webhook.latency, f"webhooks.{name}.latency").draw, webhook.timeout, webhook.failure_policy == "fail",
            webhook.failing, webhook.denying, chance, self._calendars.fails("webhook_failure", name, self._now),
        )  # fmt: skip

    def _now(self) -> Nanoseconds:
        return self.ground.env._now

    def next(self) -> Gateway:
        """The API server that the next client connects to."""
        gateway = self.gateways[self._connected % len(self.gateways)]
        self._connected += 1
        return gateway

    def client(
        self, who: str, level: str, qps: float | None = None, burst: int = 0, gateway: Gateway | None = None,
        controller: str = "", timeout: Nanoseconds | Literal["adaptive"] | None = None,
    ) -> RestClient:  # fmt: skip
        """A client of a process.

        who: its user; level: the priority level of its requests; qps: None for no limiter of its own; controller: whose it is;
        timeout: how long it waits for an answer, nanoseconds, None: without end.
        """
        server = gateway or self.next()
        schema = _SCHEMAS[level]
        flow = server.flow_control.flow(level, schema, who if DEFAULT_SCHEMAS[schema].flows_by == "user" else "kube-system")
        client = RestClient(server, None if qps is None else TokenBucket(qps, burst), flow, bool(controller), _timeout(timeout))
        if controller:
            self.clients.setdefault(controller, []).append(client)
        return client

    def exists(self, key: ObjectKey, shape: Shape, writer: int) -> ObjectKey:
        """An object that is there before the start, and that every API server knows."""
        self.cluster.backend.preload(shape, writer, key=key)
        version = Version(self.cluster.backend.mvcc.revision)
        self.learn(key, version)
        return key

    def learn(self, key: ObjectKey, version: Version) -> None:
        """An object is there before the start, at this version."""
        self.cluster.truth.learn(key, version, 0)
        for gateway in self.gateways:
            gateway.server.cache.learn(key, version, 0)

    def background(self) -> None:
        """Nodes and elected components, and the compaction that an API server asks for."""
        ground, env = self.ground, self.ground.env
        declared_background = ground.scenario.background
        if declared_background.nodes or declared_background.leader_elections:
            self._heartbeats()
        compaction = ground.scenario.etcd.compaction
        if compaction.by != "apiserver" or not self.gateways:
            return
        cluster, mvcc = self.cluster, self.cluster.backend.mvcc
        writer = ground.writer("kube-apiserver")
        key = self.exists(ObjectKey("compact_rev_key", "", ""), cluster.compact_shape, writer)
        client = self.client("kube-apiserver", "exempt", gateway=self.gateways[0])
        env.process(
            background.api_server_compaction(
                env, client, client.call(writer), cluster.call("kube-apiserver"), self.gateways[0].server.to_etcd,
                cluster.compact_shape, key, compaction.every, lambda: mvcc.revision,
            )
        )  # fmt: skip

    def _heartbeats(self) -> None:
        ground, env = self.ground, self.ground.env
        declared_background = ground.scenario.background
        phase = ground.stream("background.phase", 64)
        lease, node = ground.shapes[declared_background.lease_object], ground.shapes[declared_background.node_object]
        writer = ground.writer("node-heartbeats")

        def beat(
            client: RestClient, shape: Shape, resource: str, name: str, every: Nanoseconds, by: int, after_answer: bool
        ) -> None:
            key = self.exists(ObjectKey(resource, "", name), shape, by)
            start = int(phase.uniform() * every)
            env.process(background.heartbeat(env, client, client.call(by), shape, key, every, start, after_answer))

        for number in range(declared_background.nodes):
            client = self.client(f"node-{number}", "node-high")
            name = f"node-{number}"
            beat(client, lease, "lease", name, declared_background.node_lease_every, writer, False)
            beat(client, node, "node", name, declared_background.node_status_every, writer, False)
        elections = ground.writer("leader-elections")
        for number in range(declared_background.leader_elections):
            name = f"component-{number}"
            client = self.client(name, "leader-election")
            beat(client, lease, "lease", name, declared_background.leader_election_every, elections, True)


def _timeout(declared: Nanoseconds | Literal["adaptive"] | None) -> Timeout | None:
    if declared is None:
        return None
    return AdaptiveTimeout() if declared == "adaptive" else FixedTimeout(declared)


def _both(first: Callable[[], Nanoseconds], second: Callable[[], Nanoseconds]) -> Nanoseconds:
    return first() + second()


def _flow_control(server: declared.ApiServer) -> FlowControl | MaxInFlight:
    """The seats of an API server."""
    limits = server.in_flight
    if server.flow_control == "off":
        return MaxInFlight(limits.reads, limits.writes)
    levels = []
    for level in DEFAULT_LEVELS:
        changed = server.flow_control.get(level.name)
        given = {} if changed is None else changed.model_dump(exclude_none=True)
        levels.append(replace(level, **{_LEVEL_FIELDS.get(key, key): value for key, value in given.items()}))
    return FlowControl(levels, limits.reads + limits.writes)
