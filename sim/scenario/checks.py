"""What only the whole scenario can tell: undeclared names (problems), and what is allowed but odd (warnings)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sim.scenario.labels import selects
from sim.scenario.quantities import format_size
from sim.scenario.refusal import Problem, undeclared
from sim.scenario.workloads import Lists, Objects, PodChurn

if TYPE_CHECKING:
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
    victims: dict[str, tuple[str, list[str]]] = {
        "members": ("member", list(scenario.etcd.members)),
        "apiservers": ("API server", list(scenario.apiservers)),
    }
    for name, fault in scenario.faults.items():
        what, known = victims[fault.room]
        if fault.victim not in known:
            found.append((f"faults.{name}.target", undeclared(fault.victim, what, known)))
    found += _shared_informers(scenario)
    found += _one_process(scenario)
    found += _one_name(scenario)
    if not scenario.apiservers and (scenario.controllers or scenario.workloads or scenario.background.nodes):
        found.append(("apiservers", '"{}" is not allowed; controllers, workloads and nodes need at least one'))
    variants = list(scenario.variants) or ["default"]
    found += [
        (f"objectives.{name}.variant", undeclared(objective.variant, "variant", variants))
        for name, objective in scenario.objectives.items()
        if objective.variant is not None and objective.variant not in variants
    ]
    return found


def _shared_informers(scenario: Scenario) -> Iterator[Problem]:
    """Informers are shared inside one process: who shares one is that process, once."""
    for name, controller in scenario.controllers.items():
        for informer in controller.informers:
            if informer not in scenario.informers:
                yield f"controllers.{name}.informers", undeclared(informer, "informer", scenario.informers)
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
        yield f"workloads.{name}.object", workload.object
        if isinstance(workload, PodChurn):
            yield f"workloads.{name}.event_object", workload.event_object
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
    horizon = scenario.horizon
    for name, fault in scenario.faults.items():
        if fault.at >= horizon:
            yield f"faults.{name}.at: begins after the horizon and never happens"
    for name, workload in scenario.workloads.items():
        if isinstance(workload, Lists) and workload.from_ >= horizon:
            yield f"workloads.{name}.from: begins after the horizon and never happens"
    churns = [workload for workload in scenario.workloads.values() if isinstance(workload, PodChurn | Objects)]
    for name, controller in scenario.controllers.items():
        for watch_name, watch in controller.watches.items():
            same = [churn for churn in churns if churn.object == watch.object]
            if same and not any(selects(watch.selector, churn.labels) for churn in same):
                path = f"controllers.{name}.watches.{watch_name}.selector"
                yield f'{path}: "{watch.selector}" matches the labels of no workload'
