"""A small etcd with constant costs, a storm before it and a limiter between: what must come out is worked out by hand."""

from __future__ import annotations

from typing import Any

import sim
from sim.scenario import from_dict

ETCD = {
    "version": "3.5.33",
    "members": {name: {"disk": {"fdatasync": {"constant": "1ms"}, "bandwidth": "200MB/s"}} for name in ("a", "b", "c")},
    "network": {"rtt": "0.4ms"},
    "compaction": {"by": "never"},
}
OBJECTS = {
    "order": {"key_bytes": 40, "value_bytes": 100, "prefix": "/app/prod/"},
    "batch": {"key_bytes": 40, "value_bytes": 100, "prefix": "/app/batch/"},
}


def storm(horizon: str, offered: dict[str, Any] | None, limiter: dict[str, Any] | None, **sections: Any) -> sim.Run:
    """One run; offered: the workload `storm`; limiter: the guard `limiter`."""
    data: dict[str, Any] = {"horizon": horizon, "etcd": ETCD, "objects": OBJECTS, "apiservers": {}, "background": {}, **sections}
    data["background"] = {"nodes": 0, "leader_elections": 0}
    if offered is not None:
        data["workloads"] = {"storm": {"object": "batch", **offered}}
    if limiter is not None:
        data["guards"] = {"limiter": {"kind": "write_limiter", **limiter}}
    return sim.run(from_dict(data), workers=1)["default"]
