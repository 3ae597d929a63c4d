"""The controllers of a scenario: processes with their informers, clients and leases, and the rollouts that replace them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Final

from sim.apiserver.objects import ApiObject, ObjectKey
from sim.assembly.apiservers import ApiServers
from sim.assembly.faults import Calendars
from sim.assembly.ground import Ground, pairs
from sim.assembly.releases import Releases
from sim.clientgo.correlator import Event
from sim.clientgo.handlers import Notification
from sim.clientgo.informer import SharedInformer
from sim.clientgo.leader_election import LeaderElector, Timing
from sim.clientgo.malformed import Malformer
from sim.clientgo.recorder import EventBroadcaster, NamingCorrelator
from sim.clientgo.reflector import ReflectorSettings
from sim.hardware.disk import NEVER
from sim.processes.election import Candidacy, LeaderForLife
from sim.processes.event_recorder import EventRecorder
from sim.processes.gateway import Gateway
from sim.processes.informer import Informer
from sim.processes.manager import Leadership, Manager, Part
from sim.processes.reconcilers import WriteTally
from sim.processes.rest_client import RestClient
from sim.processes.rollout import Rollout
from sim.processes.running import InformerPart, RunningController, Subscription
from sim.processes.watch import WatchHub
from sim.scenario.controllers import Controller, Resolved
from sim.scenario.informers import Informer as DeclaredInformer
from sim.units import SECOND

PREDICATES: Final[dict[str, Callable[[Notification], bool]]] = {
    "none": lambda _: True,
    "resource_version_changed": lambda told: not told.unchanged,
    "generation_changed": lambda told: told.old is None or _generation(told.object) != _generation(told.old),
}
"""Which notifications become work (controller-runtime pkg/predicate/predicate.go); creations and deletions always do."""


def _generation(item: object) -> int:
    content = item.content if isinstance(item, ApiObject) else None
    return 1 if content is None else content.generation


class Controllers:
    """All controller processes of a scenario, ready to run."""

    def __init__(self, ground: Ground, servers: ApiServers, calendars: Calendars):
        self.ground, self._servers = ground, servers
        self.running: list[RunningController] = []
        self.managers: list[Manager] = []
        self.leaderships: list[Leadership] = []
        self.informers: list[InformerPart] = []
        self._releases = Releases(ground, calendars)
        self.processes: dict[str, dict[tuple[int, int], list[tuple[Manager, RunningController]]]] = {}
        """Of each controller: its processes in order, the replicas of each."""
        for group in _processes(ground.scenario.controllers):
            self._process(group)

    def _process(self, names: list[str]) -> None:
        """A process and its replicas; several names where they share informers."""
        scenario = self.ground.scenario
        first = scenario.controllers[names[0]]
        for number in range(first.count):
            for shard in range(first.shards):
                parts = f"{names[0]}-{number}" + (f"-{shard}" if first.shards > 1 else "")
                lease = ObjectKey(scenario.background.lease_object, "", parts)
                leadership = None
                if first.resolved().elected:
                    leadership = Leadership(parts, lambda now, about: self.ground.incident(now, "leader_election", about))
                    self.leaderships.append(leadership)
                for replica in range(1 + first.standby):
                    who = parts if not first.standby else f"{parts}-{replica}"
                    self._replica(names, who, number, shard, replica, lease, leadership)

    def _replica(
        self, names: list[str], who: str, number: int, shard: int, replica: int, lease: ObjectKey, leadership: Leadership | None
    ) -> None:
        ground, scenario = self.ground, self.ground.scenario
        first = scenario.controllers[names[0]]
        resolved = first.resolved()
        gateway = self._servers.next()
        hub = self._servers.hubs[self._servers.gateways.index(gateway)]
        shared: dict[str, InformerPart] = {}
        parts: list[Part] = []
        own: list[RunningController] = []
        for name in names:
            controller = scenario.controllers[name]
            limit = controller.resolved()
            client = self._servers.client(
                f"{name}-{number}", controller.client.priority_level, limit.qps, limit.burst, gateway, name,
                controller.client.timeout,
            )  # fmt: skip
            subscriptions = []
            for informer_name in controller.informers:
                informer = scenario.informers[informer_name]
                if informer_name not in shared:
                    shared[informer_name] = self._informer(who, informer_name, informer, resolved, client, hub, name)
                    parts.append(shared[informer_name])
                wanted = PREDICATES[controller.predicates.get(informer_name, "none")]
                subscriptions.append(Subscription(shared[informer_name], wanted, None, None))
            for watch_name, watch in controller.watches.items():
                part = self._informer(who, watch_name, watch, resolved, client, hub, name)
                parts.append(part)
                cost = ground.draws(watch.handler, f"controllers.{who}.{watch_name}.handler")
                subscriptions.append(Subscription(part, PREDICATES[watch.predicate], cost, None))
            running = self._controller(name, controller, who, subscriptions, client, gateway, shard)
            parts.append(running)
            own.append(running)
        self.running += own
        manager = self._manager(first, resolved, who, replica, lease, leadership, gateway, parts, names[0])
        for running in own:
            running.crash = manager.crash
            self.processes.setdefault(running.name, {}).setdefault((number, shard), []).append((manager, running))
        self.managers.append(manager)
        ground.env.process(manager.run())

    def _manager(
        self, controller: Controller, resolved: Resolved, who: str, replica: int, lease: ObjectKey,
        leadership: Leadership | None, gateway: Gateway, parts: list[Part], name: str,
    ) -> Manager:  # fmt: skip
        ground = self.ground
        election = resolved.election
        if not resolved.elected:
            return Manager(ground.env, who, parts, None, None, 0, controller.restart)
        stream = ground.stream(f"controllers.{who}.election", 64)
        shape, writer = ground.shapes[ground.scenario.background.lease_object], ground.writer(name)
        client = self._servers.client(f"{name}-election", controller.client.priority_level, None, 0, gateway, name)
        phase = int(stream.uniform() * SECOND) + replica * SECOND
        if election is None:

            def for_life(started: Callable[[], None], _stopped: Callable[[], None]) -> LeaderForLife:
                return LeaderForLife(ground.env, who, client, writer, shape, lease, stream, started)

            return Manager(ground.env, who, parts, for_life, leadership, phase, controller.restart)
        timing = Timing(
            election.lease, election.renew_deadline, election.retry_period, election.release_on_cancel,
            NEVER if election.lock_timeout is None else election.lock_timeout, not election.get_before_renewal,
        )  # fmt: skip
        leases = [lease]
        if resolved.defaults.lock == "configmapsleases":
            leases.append(ObjectKey(lease.resource, "configmaps", lease.name))
        record, lives = self._recorder(name, controller, f"{who}.election", "event", gateway), count()

        def candidacy(started: Callable[[], None], stopped: Callable[[], None]) -> Candidacy:
            elector = LeaderElector(f"{who}_{next(lives)}", stream, timing)
            recorder = record()

            def note(message: str) -> None:
                recorder.record(Event(who, "Lease", lease.namespace, lease.name, "LeaderElection", f"{elector.identity} {message}"))

            return Candidacy(ground.env, elector, client, writer, shape, leases, started, stopped, note)

        return Manager(ground.env, who, parts, candidacy, leadership, phase, controller.restart)

    def _informer(
        self, who: str, name: str, declared: DeclaredInformer, resolved: Resolved, client: RestClient, hub: WatchHub, writer: str
    ) -> InformerPart:
        ground = self.ground
        stream = ground.stream(f"controllers.{who}.{name}.reflector", 64)
        major, minor = (int(part) for part in resolved.client_go.split("."))
        jitter = resolved.defaults.resync_jitter
        fifo, resync, streams = declared.behaviour(resolved.defaults)
        period = 0 if resync is None else int(resync * (1 - jitter + 2 * jitter * stream.uniform()))
        settings = replace(ReflectorSettings.of((major, minor)), watch_list=streams)
        share = ground.scenario.hypotheses.degenerate_keys
        kind, number, labels = declared.object, ground.writer(writer), pairs(declared.selector)
        shape = ground.shapes[kind]

        def make() -> Informer:
            return Informer(
                ground.env, client, hub, number, kind, shape, labels, SharedInformer(fifo, period), settings, stream,
                malformer=Malformer(share) if share else None,
            )  # fmt: skip

        part = InformerPart(make)
        self.informers.append(part)
        return part

    def _controller(
        self, name: str, controller: Controller, who: str, subscriptions: list[Subscription], client: RestClient,
        gateway: Gateway, shard: int,
    ) -> RunningController:  # fmt: skip
        declared, record = [controller, *self._later(name)], None
        for one in declared:
            if one.reconcile.events is not None and record is None:
                record = self._recorder(name, controller, who, one.reconcile.events.object, gateway)
        mine = None if controller.shards == 1 else partial(_in_shard, shard, controller.shards)
        releases = [self._releases.of(name, one, who) for one in declared]
        return RunningController(self.ground.env, name, releases, subscriptions, client, record, WriteTally(), mine)

    def rollouts(self) -> dict[str, Rollout]:
        """The rollouts of the scenario, under way from the time that they say."""
        ground, made = self.ground, {}
        for name, one in ground.scenario.rollouts.items():
            replicas = [partial(_become, replicas) for replicas in self.processes[one.controller].values()]
            made[name] = Rollout(
                ground.env, name, one.at, one.steps, replicas, lambda now, about: ground.incident(now, "rollout", about),
                one.rollback_on is not None,
            )  # fmt: skip
            ground.env.process(made[name].run())
        return made

    def _later(self, name: str) -> list[Controller]:
        """The release of a controller that a rollout brings."""
        scenario = self.ground.scenario
        return [scenario.rolled_out(rollout) for rollout, one in scenario.rollouts.items() if one.controller == name]

    def _recorder(
        self, name: str, controller: Controller, who: str, kind: str, gateway: Gateway
    ) -> Callable[[], EventRecorder]:
        """Makes the event recorder of one life of a process, with a client of its own, as controller-runtime does."""
        ground, limit = self.ground, controller.resolved()
        client = self._servers.client(f"{name}-events", controller.client.priority_level, limit.qps, limit.burst, gateway, name)
        stream, writer, lives = ground.stream(f"controllers.{who}.recorder", 64), ground.writer(name), count()
        ttl = ground.scenario.objects[kind].ttl or 0

        def make() -> EventRecorder:
            correlator = EventBroadcaster(NamingCorrelator(), stream)
            call = client.call(writer)
            return EventRecorder(ground.env, client, call, ground.shapes[kind], ttl, f"{who}.{next(lives)}", correlator)

        return make


def _become(replicas: list[tuple[Manager, RunningController]], new: bool) -> None:
    """The replicas of one process end, and start again as the new release or as the old one."""
    for manager, running in replicas:
        running.become(new)
        manager.replace()


def _processes(controllers: dict[str, Controller]) -> list[list[str]]:
    """The names of the controllers, those that share an informer together."""
    groups: list[tuple[list[str], set[str]]] = []
    for name, controller in controllers.items():
        informers = set(controller.informers)
        joined: list[str] = [name]
        kept = []
        for names, known in groups:
            if informers & known:
                joined, informers = [*names, *joined], informers | known
            else:
                kept.append((names, known))
        groups = [*kept, (joined, informers)]
    return [names for names, _ in groups]


def _in_shard(shard: int, shards: int, key: Hashable) -> bool:
    return zlib.crc32(str(key).encode()) % shards == shard
