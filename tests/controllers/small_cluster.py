"""A small cluster for tests of controllers: constants instead of draws, so that what must come out is worked out by hand.

A request spends REQUEST between client and answer: 0.5 ms of ways to the API server and back, 1 ms in it, 0.6 ms to etcd and back
with its goroutines, and what etcd needs. Nothing else writes: no nodes, no compaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sim
from sim.scenario import from_dict

Settings = Mapping[str, Any]

ETCD: Settings = {
    "version": "3.5.33",
    "members": {name: {"disk": {"fdatasync": {"constant": "1ms"}, "bandwidth": "200MB/s"}} for name in ("a", "b", "c")},
    "network": {"rtt": "0.4ms"},
    "compaction": {"by": "never"},
}
SERVER: Settings = {
    "rtt_to_etcd": "0.2ms",
    "rtt_to_clients": "0.5ms",
    "overhead": {"constant": "1ms"},
    "watch_lag": {"constant": "2ms"},
}
APP: Settings = {"key_bytes": 50, "value_bytes": 1000}


def simulate(
    horizon: str, *, etcd: Settings | None = None, server: Settings | None = None, seed: int = 1, **sections: Any
) -> sim.Run:
    """One run of the small cluster with these sections. etcd, server: what differs there."""
    data: dict[str, Any] = {"apiservers": {"api": {**SERVER, **(server or {})}}, "objects": {"app": APP}, **sections}
    scenario = from_dict({"horizon": horizon, "etcd": {**ETCD, **(etcd or {})}, **data})
    return sim.run(scenario, workers=1, seed=seed)["default"]


def apps(count: int = 10, **settings: Any) -> Settings:
    """Objects for controllers to watch: a workload `apps`."""
    return {"apps": {"kind": "objects", "object": "app", "count": count, **settings}}


def controller(**settings: Any) -> Settings:
    """A controller `x` that watches the apps and stands for no lease unless asked to."""
    reconcile = {"duration": {"constant": "1ms"}, **settings.pop("reconcile", {})}
    return {"x": {"watches": {"apps": None}, "leader_election": False, "reconcile": reconcile, **settings}}


def times(run: sim.Run, kind: str) -> list[float]:
    """When incidents of a kind happened, seconds."""
    return [incident.at_seconds for incident in run.incidents if incident.kind == kind]


def leads_lost_and_won(run: sim.Run) -> tuple[list[float], list[float]]:
    """When somebody stopped leading, and when somebody began to, seconds; the first lead of a lease is no incident."""
    lost, won = [], []
    for incident in run.incidents:
        if incident.kind == "leader_election":
            (lost if "no longer" in incident.about else won).append(incident.at_seconds)
    return lost, won
