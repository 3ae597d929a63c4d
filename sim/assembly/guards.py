"""The guards of a scenario, put before what they guard."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sim.assembly.ground import Ground
from sim.etcd.backend import Backend
from sim.etcd.request import Shape
from sim.guards.write_limiter import Adapt, Cut, WriteLimiter
from sim.processes.etcd_door import Etcd, EtcdDoor, control_loop, reloads
from sim.processes.leader import Leader
from sim.scenario import Scenario
from sim.scenario import guards as declared
from sim.scenario.objects import prefix_of


def guarded(ground: Ground, leader: Leader, backend: Backend, client_shapes: Mapping[str, Shape]) -> Etcd:
    """Where requests to etcd arrive: the leader itself, or a limiter before it."""
    scenario, env = ground.scenario, ground.env
    for guard_name, guard in scenario.guards.items():
        if isinstance(guard, declared.WriteLimiter):
            adapt = None if guard.adapt is None else Adapt(guard.adapt.headroom, guard.adapt.floor)
            cut = None if guard.cut is None else Cut(guard.cut.when_fsync_over, guard.cut.by)
            limiter = WriteLimiter(
                guard.rate, guard.capacity, guard.methods, guard.prefixes, adapt, cut, guard.refill == "as_published"
            )
            ranks = {ground.shapes[name]: limiter.rank(prefix_of(name, kind)) for name, kind in scenario.objects.items()}
            ranks |= {shape: limiter.rank(scenario.clients[client].prefix) for client, shape in client_shapes.items()}
            if adapt or cut:
                env.process(control_loop(env, limiter, guard.look, backend.applied.tap(), leader.saves.tap()))
            if guard.reload:
                loads = [(reload.at, reload.rate) for reload in guard.reload]
                env.process(reloads(env, limiter, loads, _told(ground, guard_name)))
            return EtcdDoor(env, leader, limiter, ranks)
    return leader


def _told(ground: Ground, name: str) -> Callable[[float], None]:
    def told(rate: float) -> None:
        ground.incident(ground.env._now, "reload", f"{name}: {rate:g}/s from now on")

    return told


def limiters(door: Etcd, scenario: Scenario) -> dict[str, WriteLimiter]:
    """The limiters at work, by name."""
    names = [name for name, guard in scenario.guards.items() if isinstance(guard, declared.WriteLimiter)]
    return {names[0]: door.limiter} if isinstance(door, EtcdDoor) else {}
