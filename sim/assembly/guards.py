"""The guards of a scenario, put before what they guard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sim.assembly.ground import Ground
from sim.etcd.backend import Backend
from sim.etcd.request import Shape
from sim.guards.breaker import NAMES, Breaker, State
from sim.guards.write_limiter import Adapt, Cut, WriteLimiter
from sim.processes.etcd_door import Etcd, EtcdDoor, control_loop, probes, reloads
from sim.processes.gateway import Gateway
from sim.processes.leader import Leader
from sim.scenario import guards as declared
from sim.scenario.objects import prefix_of
from sim.units import Nanoseconds


@dataclass(slots=True)
class Guards:
    """The guards at work, by name: limiters before etcd, breakers in each API server."""

    limiters: dict[str, WriteLimiter]
    breakers: dict[str, list[Breaker]]


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


def guards(ground: Ground, door: Etcd, gateways: Sequence[Gateway]) -> Guards:
    """All guards; breakers are put into the API servers."""
    made = Guards({}, {})
    for name, guard in ground.scenario.guards.items():
        if isinstance(guard, declared.Breaker):
            made.breakers[name] = [_breaker(ground, name, guard, door, gateway) for gateway in gateways]
        elif isinstance(door, EtcdDoor):
            made.limiters[name] = door.limiter
    return made


def _breaker(ground: Ground, name: str, guard: declared.Breaker, door: Etcd, gateway: Gateway) -> Breaker:
    def told(now: Nanoseconds, state: State, share: float) -> None:
        ground.incident(now, "breaker", f"{name}: {NAMES[state]}, {share:.0%} of the last reads found nothing")

    breaker = Breaker(guard.window, guard.open_at, guard.successes, guard.rule, told)
    gateway.guard(breaker, frozenset(guard.objects or ground.scenario.objects))
    ground.env.process(probes(ground.env, breaker, door.read, guard.probe, guard.healthy_within))
    return breaker
