"""What only the whole scenario can tell: undeclared names (problems), and what is allowed but odd (warnings)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sim.scenario import links
from sim.scenario.clients import EtcdClients
from sim.scenario.faults import LEADER
from sim.scenario.guards import Breaker, WriteLimiter
from sim.scenario.labels import selects
from sim.scenario.machines import device
from sim.scenario.quantities import format_size
from sim.scenario.refusal import Problem, shown, undeclared
from sim.scenario.rollouts import OBSERVED
from sim.scenario.watches import Watches
from sim.scenario.workloads import READERS, Lists, Objects, PodChurn, Storm, objects_of

if TYPE_CHECKING:
    from sim.scenario.informers import Informer
    from sim.scenario.model import Scenario

RESERVED = ("node-heartbeats", "leader-elections", "kube-apiserver", "etcd", "preloaded")
"""Writers that are always there."""
_SUGGESTED_QUOTA = 8 * 2**30
"""etcd: storage/quota.go MaxQuotaBytes (above it etcd itself warns)."""


def problems(scenario: Scenario) -> list[Problem]:
    """Names that are used and not declared."""
    found = [
        (path, undeclared(name, "object", scenario.objects))
        for path, name in _used_objects(scenario)
        if name not in scenario.objects
    ]
    found += _victims(scenario)
    found += _placed(scenario)
    found += _linked(scenario)
    found += _rollouts(scenario)
    found += _shared_informers(scenario)
    found += _one_process(scenario)
    found += _one_name(scenario)
    found += _guards(scenario)
    found += _cohorts(scenario)
    found += _targets(scenario)
    asking = scenario.controllers or scenario.background.nodes or any(
        not isinstance(workload, Storm | Watches) or (isinstance(workload, Storm) and workload.updates)
        for workload in scenario.workloads.values()
    )
    if not scenario.apiservers and asking:
        found.append(("apiservers", '"{}" is not allowed; controllers, workloads and nodes need at least one'))
    variants = list(scenario.variants) or ["default"]
    found += [
        (f"objectives.{name}.variant", undeclared(objective.variant, "variant", variants))
        for name, objective in scenario.objectives.items()
        if objective.variant is not None and objective.variant not in variants
    ]
    return found


def _victims(scenario: Scenario) -> Iterator[Problem]:
    """Whom faults happen to."""
    members = list(scenario.etcd.members)
    rooms: dict[str, tuple[str, list[str]]] = {
        "members": ("member", members),
        "apiservers": ("API server", list(scenario.apiservers)),
        "machines": ("machine", list(scenario.machines)),
        "webhooks": ("webhook", list(scenario.webhooks)),
        "controllers": ("controller", list(scenario.controllers)),
    }
    for name, fault in scenario.faults.items():
        path = f"faults.{name}"
        if fault.room in rooms:
            what, known = rooms[fault.room]
            if fault.victim not in known:
                yield f"{path}.target", undeclared(fault.victim, what, known)
            elif fault.room == "machines" and (disk := (fault.target or "").split(".")[3]) not in (
                disks := scenario.machines[fault.victim].disks
            ):
                yield f"{path}.target", undeclared(disk, f"disk of {fault.victim}", disks)
            elif fault.room == "members" and fault.kind == "disk_stall":
                on = device(scenario, fault.victim, "backend" if (fault.target or "").endswith(".backend") else "wal").name
                if on.startswith("machines."):
                    yield f"{path}.target", f"{fault.victim} has no disk of its own; write {on}"
        for member in fault.members or ():
            if member not in (*members, LEADER):
                yield f"{path}.members", undeclared(member, "member", [*members, LEADER])
        if fault.members and len(set(members) - set(fault.members)) == 0:
            yield f"{path}.members", "are all members; leave out those that they are cut off from"
        if fault.link is not None and links.ends(fault.link, members) is None:
            yield f"{path}.link", f"{shown(fault.link)} is not a link between two members; declared: {', '.join(members)}"


def _placed(scenario: Scenario) -> Iterator[Problem]:
    """Members on machines: which, and on which of their disks."""
    for name, member in scenario.etcd.members.items():
        if member.machine is None:
            continue
        path = f"etcd.members.{name}"
        if member.machine not in scenario.machines:
            yield f"{path}.machine", undeclared(member.machine, "machine", scenario.machines)
            continue
        disks = scenario.machines[member.machine].disks
        for file, disk in (("wal", member.wal), ("backend", member.backend)):
            if disk is not None and disk not in disks:
                yield f"{path}.{file}", undeclared(disk, f"disk of {member.machine}", disks)


def _linked(scenario: Scenario) -> Iterator[Problem]:
    """Links between two members or two zones that there are."""
    members = scenario.etcd.members
    zones = list(dict.fromkeys(member.zone for member in members.values() if member.zone))
    for link in scenario.etcd.links:
        if link != links.DEFAULT and links.ends(link, list(members)) is None and links.ends(link, zones) is None:
            known = f"members: {', '.join(members)}" + (f"; zones: {', '.join(zones)}" if zones else "")
            yield f"etcd.links.{link}", f"is not a link between two members (a-b) or two zones; {known}"


def _rollouts(scenario: Scenario) -> Iterator[Problem]:
    """Controllers that are rolled out, each once, and the objectives that undo it."""
    taken: dict[str, str] = {}
    for name, rollout in scenario.rollouts.items():
        path = f"rollouts.{name}"
        if rollout.controller not in scenario.controllers:
            yield f"{path}.controller", undeclared(rollout.controller, "controller", scenario.controllers)
        elif rollout.controller in taken:
            yield f"{path}.controller", f'"{rollout.controller}" is rolled out by {taken[rollout.controller]} already'
        taken[rollout.controller] = path
        if rollout.rollback_on is not None and rollout.rollback_on not in scenario.objectives:
            yield f"{path}.rollback_on", undeclared(rollout.rollback_on, "objective", scenario.objectives)
        elif rollout.rollback_on is not None and (figure := scenario.objectives[rollout.rollback_on].figure) not in OBSERVED:
            reason = f"is about {figure}, which is known at the end only; allowed: {', '.join(OBSERVED)}"
            yield f"{path}.rollback_on", f'"{rollout.rollback_on}" {reason}'


def _shared_informers(scenario: Scenario) -> Iterator[Problem]:
    """Informers are shared inside one process: who shares one is that process, once."""
    for name, controller in scenario.controllers.items():
        for informer in controller.informers:
            if informer not in scenario.informers:
                yield f"controllers.{name}.informers", undeclared(informer, "informer", scenario.informers)
            elif controller.informers.count(informer) > 1:
                reason = f'"{informer}" is there more than once; a controller has one handler for each'
                yield f"controllers.{name}.informers", reason
                break
        for informer in controller.predicates:
            if informer not in controller.informers:
                yield f"controllers.{name}.predicates.{informer}", undeclared(informer, "informer of it", controller.informers)
        if not controller.informers:
            continue
        for key, value, allowed in (
            ("count", controller.count, 1), ("shards", controller.shards, 1), ("standby", controller.standby, 0)
        ):  # fmt: skip
            if value != allowed:
                reason = f'"{value}" is not allowed: a controller with shared informers is part of one process; write {allowed}'
                yield f"controllers.{name}.{key}", reason


def _guards(scenario: Scenario) -> Iterator[Problem]:
    """One guard of a kind at a place: a request passes it once."""
    first: dict[str, str] = {}
    for name, guard in scenario.guards.items():
        known = first.setdefault(guard.kind, name)
        if isinstance(guard, Breaker):
            for kind in guard.objects:
                if kind not in scenario.objects:
                    yield f"guards.{name}.objects", undeclared(kind, "object", scenario.objects)
        if known != name:
            yield f"guards.{name}.kind", f'"{guard.kind}" is there already (guards.{known}); one guard of a kind'


def _cohorts(scenario: Scenario) -> Iterator[Problem]:
    """What passes only as single requests."""
    limited = next((name for name, guard in scenario.guards.items() if isinstance(guard, WriteLimiter)), None)
    alone = len(scenario.etcd.members) == 1 and scenario.etcd.release < (3, 5, 5)
    for name, workload in scenario.workloads.items():
        if isinstance(workload, Storm) and workload.as_ == "cohorts" and (limited or alone):
            who = f"guards.{limited}" if limited else "a single member of this version"
            yield f"workloads.{name}.as", f'"cohorts" is not allowed: {who} takes single requests; write requests'


def _targets(scenario: Scenario) -> Iterator[Problem]:
    """Whom clients of etcd ask: somebody has to be there, and a limiter has to see them."""
    limited = next((name for name, guard in scenario.guards.items() if isinstance(guard, WriteLimiter)), None)
    asking: dict[str, EtcdClients | Lists | Storm] = {f"clients.{name}": one for name, one in scenario.clients.items()}
    for name, workload in scenario.workloads.items():
        if isinstance(workload, Lists | Storm):
            asking[f"workloads.{name}"] = workload
    for path, one in asking.items():
        if one.target == "follower" and len(scenario.etcd.voters) == 1:
            yield f"{path}.target", '"follower" is not allowed: there is one member with a vote; write leader'
        elif one.target != "leader" and limited is not None:
            yield f"{path}.target", f'"{one.target}" is not allowed: guards.{limited} stands before the leader; write leader'


def _one_name(scenario: Scenario) -> Iterator[Problem]:
    """Whoever writes is counted under a name: no two may have the same."""
    taken = dict.fromkeys(RESERVED, "etcdsim itself")
    for room in ("workloads", "controllers", "clients"):
        for name in getattr(scenario, room):
            if name in taken:
                yield f"{room}.{name}", f'"{name}" is taken by {taken[name]}; what is written is counted by this name'
            taken[name] = f"{room}.{name}"


def _one_process(scenario: Scenario) -> Iterator[Problem]:
    """Controllers that share an informer are one process: they cannot differ in what a process has once."""
    first: dict[str, str] = {}
    for name, controller in scenario.controllers.items():
        for informer in controller.informers:
            known = scenario.controllers[first.setdefault(informer, name)]
            for key in ("stack", "leader_election", "election", "restart"):
                if getattr(controller, key) != getattr(known, key):
                    reason = f"differs from that of {first[informer]}: who shares an informer ({informer}) is one process"
                    yield f"controllers.{name}.{key}", reason


def _used_objects(scenario: Scenario) -> Iterator[tuple[str, str]]:
    yield "background.node_object", scenario.background.node_object
    yield "background.lease_object", scenario.background.lease_object
    for name in scenario.etcd.preload:
        yield f"etcd.preload.{name}", name
    for name, informer in scenario.informers.items():
        yield f"informers.{name}.object", informer.object
    for name, webhook in scenario.webhooks.items():
        if webhook.object:
            yield f"webhooks.{name}.match", webhook.object
    for name, workload in scenario.workloads.items():
        for field, kind in objects_of(workload).items():
            yield f"workloads.{name}.{field}", kind
        if isinstance(workload, Storm) and workload.updates is not None:
            yield f"workloads.{name}.rollout.updates", workload.updates
    for name, controller in scenario.controllers.items():
        for watch_name, watch in controller.watches.items():
            yield f"controllers.{name}.watches.{watch_name}.object", watch.object
        if controller.reconcile.on_zero_value is not None:
            yield f"controllers.{name}.reconcile.on_zero_value.create", controller.reconcile.on_zero_value.create
        if controller.reconcile.events is not None:
            yield f"controllers.{name}.reconcile.events.object", controller.reconcile.events.object


def warnings(scenario: Scenario) -> list[str]:
    """What is allowed but probably not meant, one line each."""
    return list(_warnings(scenario))


def _warnings(scenario: Scenario) -> Iterator[str]:
    etcd = scenario.etcd
    members = len(etcd.members)
    if members % 2 == 0:
        yield (
            f"etcd.members: {members} members tolerate no more failures than {members - 1} and need a larger quorum; "
            f"write {members - 1} or {members + 1}"
        )
    if etcd.quota is not None and etcd.quota > _SUGGESTED_QUOTA:
        yield f'etcd.quota: "{format_size(etcd.quota)}" is above the 8GiB that etcd suggests; it warns, too'
    for name, kind in scenario.objects.items():
        if kind.key_bytes + kind.value_bytes > etcd.max_request:
            yield _too_large(f"objects.{name}", kind.value_bytes, etcd.max_request)
    for name, clients in scenario.clients.items():
        if clients.key_bytes + clients.value_bytes > etcd.max_request:
            yield _too_large(f"clients.{name}", clients.value_bytes, etcd.max_request)
    yield from _idle(scenario)


def _too_large(path: str, value_bytes: int, limit: int) -> str:
    return f'{path}.value_bytes: "{format_size(value_bytes)}" is above what etcd takes in one request ({format_size(limit)})'


def _idle(scenario: Scenario) -> Iterator[str]:
    """What is written down and never happens."""
    horizon = scenario.horizon
    for name, fault in scenario.faults.items():
        at = fault.at or 0
        if at >= horizon:
            yield f"faults.{name}.at: begins after the horizon and never happens"
        elif fault.every is None and at + fault.for_ > horizon:
            yield f"faults.{name}.for: lasts beyond the horizon"
    for name, guard in scenario.guards.items():
        for place, reload in enumerate(guard.reload if isinstance(guard, WriteLimiter) else ()):
            if reload.at >= horizon:
                yield f"guards.{name}.reload.{place}.at: comes after the horizon and never happens"
    for name, workload in scenario.workloads.items():
        if isinstance(workload, Storm) and not workload.course():
            yield f"workloads.{name}.rollout.partition: no pod is left to be rolled out"
        if isinstance(workload, Lists | Storm) and workload.from_ >= horizon:
            yield f"workloads.{name}.from: begins after the horizon and never happens"
        if isinstance(workload, Watches) and workload.at >= horizon:
            yield f"workloads.{name}.at: comes after the horizon and never happens"
    written = set(_written(scenario))
    for name, webhook in scenario.webhooks.items():
        if webhook.object and webhook.object not in written:
            yield f"webhooks.{name}.match: nothing writes {webhook.object}"
    yield from _unmatched(scenario)
    yield from _without_effect(scenario)


def _written(scenario: Scenario) -> Iterator[str]:
    """Objects that somebody may write."""
    yield from (scenario.background.node_object, scenario.background.lease_object)
    for workload in scenario.workloads.values():
        if not isinstance(workload, READERS):
            yield from objects_of(workload).values()
        if isinstance(workload, Storm) and workload.updates is not None:
            yield workload.updates
    for controller in scenario.controllers.values():
        reconcile = controller.reconcile
        if reconcile.writes or reconcile.finalizer:
            yield from (watch.object for watch in controller.watches.values())
            yield from (scenario.informers[name].object for name in controller.informers)
        if reconcile.on_zero_value is not None:
            yield reconcile.on_zero_value.create
        if reconcile.events is not None:
            yield reconcile.events.object
    yield "event"  # of elections


def _unmatched(scenario: Scenario) -> Iterator[str]:
    """Selectors that match nothing, informers that nobody uses, finalizers that nobody takes off."""
    churns = {name: one for name, one in scenario.workloads.items() if isinstance(one, PodChurn | Objects)}
    informers: dict[str, Informer] = {f"informers.{name}": informer for name, informer in scenario.informers.items()}
    for name, controller in scenario.controllers.items():
        informers |= {f"controllers.{name}.watches.{watch}": declared for watch, declared in controller.watches.items()}
    for path, informer in informers.items():
        same = [churn for churn in churns.values() if churn.object == informer.object]
        if same and not any(selects(informer.selector, churn.labels) for churn in same):
            yield f'{path}.selector: "{informer.selector}" matches the labels of no workload'
    placed = {member.machine for member in scenario.etcd.members.values()}
    yield from (f"machines.{name}: no member runs on it" for name in scenario.machines if name not in placed)
    used = {informer for controller in scenario.controllers.values() for informer in controller.informers}
    yield from (f"informers.{name}: no controller uses it" for name in scenario.informers if name not in used)
    cleaned = {
        informer.object
        for controller in scenario.controllers.values() if controller.reconcile.finalizer
        for informer in (*controller.watches.values(), *(scenario.informers[name] for name in controller.informers))
    }  # fmt: skip
    for name, churn in churns.items():
        if isinstance(churn, Objects) and churn.finalizers and churn.replace_every and churn.object not in cleaned:
            yield f"workloads.{name}.finalizers: no controller takes them off; what is deleted stays"


def _without_effect(scenario: Scenario) -> Iterator[str]:
    """Fields of controllers that another one makes idle."""
    for name, controller in scenario.controllers.items():
        path = f"controllers.{name}"
        if isinstance(controller.client.qps, str) and controller.client.burst is not None:
            yield f'{path}.client.burst: "{controller.client.burst}" has no effect without a limit'
        if not controller.leader_election and controller.election != type(controller.election)():
            yield f"{path}.election: has no effect without leader_election"
        for write, written in controller.reconcile.writes.items():
            locked = written.verb in ("update", "merge_patch_locked") or (written.verb == "apply" and not written.force)
            if written.retry != "off" and not locked:
                reason = f'"{written.retry}" has no effect: {written.verb} meets no conflict'
                yield f"{path}.reconcile.writes.{write}.retry: {reason}"
