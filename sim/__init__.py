"""etcdsim: a discrete-event simulator and capacity planner of Kubernetes-controller/etcd dynamics.

    import sim
    runs = sim.run(sim.load("zero-value-leak"))
    runs.summary

What is exported here is the public surface; it is imported when it is first used, so that `import sim` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.errors import InputError
    from sim.planning.api import frontier, growth, recommend, sensitivity
    from sim.result import Distribution, Incident, Run, Runs
    from sim.scenario import Scenario, load, scenarios
    from sim.simulation import Progress, run
    from sim.sweeps.api import Sweep, sweep

_HOMES = {
    "InputError": "sim.errors",
    "Distribution": "sim.result", "Incident": "sim.result", "Run": "sim.result", "Runs": "sim.result",
    "Scenario": "sim.scenario", "load": "sim.scenario", "scenarios": "sim.scenario",
    "Progress": "sim.simulation", "run": "sim.simulation",
    "frontier": "sim.planning.api", "growth": "sim.planning.api",
    "recommend": "sim.planning.api", "sensitivity": "sim.planning.api",
    "Sweep": "sim.sweeps.api", "sweep": "sim.sweeps.api",
}  # fmt: skip

__all__ = [
    "Distribution", "Incident", "InputError", "Progress", "Run", "Runs", "Scenario", "Sweep", "frontier", "growth",
    "load", "recommend", "run", "scenarios", "sensitivity", "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
