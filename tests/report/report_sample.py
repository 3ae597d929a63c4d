"""A made-up result with the shapes of the real one, for tests of what is printed, drawn and saved; nothing is simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sim.result import Distribution, Incident, Run, Runs
from sim.scenario import Scenario, from_dict

HOUR = 3600.0


def lognormal(seed: int, median_ns: float, sigma: float, count: int = 4000) -> Distribution:
    noise = np.random.default_rng(seed).normal(size=count)
    return Distribution.of(int(value) for value in median_ns * np.exp(sigma * noise))


def run(variant: str, *, keys_per_s2: float, keys_per_s: float, horizon: float = 24 * HOUR, windows: int = 24) -> Run:
    """A run whose live keys follow keys_per_s2 * t**2 + keys_per_s * t, and whose apply tail follows the keys."""
    t = np.linspace(0, horizon, 1441)
    noise = np.random.default_rng(1 + len(variant))
    keys = keys_per_s2 * t**2 + keys_per_s * t + 30
    wal = 900.0 * keys + 900.0 * 1.7 * t
    compacting = (t % 300 < 120) & (keys > 5000)
    p99 = 0.0015 * np.exp(noise.normal(0, 0.1, t.size)) * (1 + keys / 2e5 * (1 + compacting))
    distributions = {
        "etcd.apply_seconds": lognormal(1, 4e5, 0.9),
        "etcd.apply_execution_seconds": lognormal(2, 1e5, 0.6),
        "etcd.commit_seconds": lognormal(3, 1.2e6, 0.5),
        "etcd.wal_fsync_seconds": lognormal(4, 6e5, 0.4),
        "etcd.backend_commit_seconds": lognormal(5, 5e6, 0.5, 900),
        "etcd.compaction_seconds": lognormal(6, 3e9, 1.0, 288),
        "etcd.request_seconds": lognormal(7, 2e6, 0.5),
        "apiserver.request_seconds": lognormal(8, 3e6, 0.5),
        "watch.lag_seconds": Distribution.empty(),
        "rest_client.rate_limiter_seconds": lognormal(9, 1e3, 2.0),
        "workqueue.queue_seconds": lognormal(10, 1e4, 1.0),
        "workqueue.work_seconds": lognormal(11, 4e6, 0.6),
    }
    metrics: dict[str, float | None] = {
        "etcd.keys_created": float(round(keys[-1])) + 4500,
        "etcd.keys_created_per_hour": (round(keys[-1]) + 4500) / (horizon / HOUR),
        "etcd.keys_live": float(round(keys[-1])),
        "etcd.puts": float(round(keys[-1])) + 150_000,
        "etcd.deletes": 4400.0,
        "etcd.revision": float(round(keys[-1])) + 154_400,
        "etcd.revisions_retained": float(round(keys[-1])) + 900,
        "etcd.wal_bytes_written": float(round(wal[-1])),
        "etcd.wal_fsyncs": float(round(keys[-1])) + 90_000,
        "etcd.db_bytes_total": float(round(820 * keys[-1] + 4e7)),
        "etcd.db_bytes_in_use": float(round(800 * keys[-1] + 1e7)),
        "etcd.seconds_to_quota": 90_400.0 if keys_per_s2 else None,
        "etcd.proposals_failed": 0.0,
        "etcd.leader_changes": 0.0,
        "apiserver.conflicts": 3.0,
        "workqueue.depth.max": 380.0 if keys_per_s2 else 2.0,
        "controller.reconciles": float(round(keys[-1])),
        "cache.zero_value_keys": 550.0 if keys_per_s2 else 0.0,
        "members.a.wal_bytes_written": float(round(wal[-1])),
        "controllers.zero-pod-writer.workqueue.depth.max": 380.0,
    }
    for name, of in distributions.items():
        metrics |= of.figures(name)
    writers = {
        "zero-pod-writer": {
            "keys_created": float(round(keys[-1])), "puts": float(round(keys[-1])),
            "wal_bytes_written": 900.0 * float(round(keys[-1])), "apply_tail_share": 0.91 if keys_per_s2 else 0.02,
        },
        "leader-elections": {"keys_created": 3.0, "puts": 129_600.0, "wal_bytes_written": 8.2e7, "apply_tail_share": 0.05},
        "pod-churn": {"keys_created": 4500.0, "puts": 9000.0, "wal_bytes_written": 6.1e6, "apply_tail_share": 0.04},
    }  # fmt: skip
    series = pd.DataFrame(
        {
            "etcd.keys_live": keys,
            "etcd.wal_bytes_written": wal,
            "etcd.db_bytes_total": np.ceil((820 * keys + 4e7) / 3e6) * 3e6,
            "etcd.db_bytes_in_use": 800 * keys + 1e7,
            "etcd.apply_seconds.p50": 0.0004 * np.exp(noise.normal(0, 0.05, t.size)),
            "etcd.apply_seconds.p99": p99,
            "etcd.apply_seconds.max": p99 * (1 + 4 * noise.random(t.size) ** 6),
            "workqueue.depth": np.floor(noise.random(t.size) ** 4 * (40 + keys / 8000)),
            "etcd.puts": keys + 1.7 * t,
        },
        index=pd.Index(t, name="seconds"),
    )
    parts = {
        "etcd.apply_seconds": [lognormal(100 + at, 4e5 * (1 + at / 4), 0.9, 200) for at in range(windows)],
        "watch.lag_seconds": [Distribution.empty() for _ in range(windows)],
    }
    return Run(
        variant=variant,
        seed=7,
        horizon_seconds=horizon,
        metrics=metrics,
        status={"etcd.seconds_to_quota": "extrapolated" if keys_per_s2 else "never"},
        writers=writers,
        incidents=[Incident(63_252.0, "quota", "half of the quota is used", {"bytes": 1_073_741_824, "share": 0.5})]
        if keys_per_s2
        else [],
        series=series,
        distributions=distributions,
        windows=parts,
        wall_seconds=12.5,
    )


SCENARIO: dict[str, Any] = {
    "name": "sample",
    "about": "A controller keeps cache entries of deleted pods and creates one junk pod per entry and pass.",
    "horizon": "24h",
    "etcd": {"version": "3.5.33", "members": {"a": {}, "b": {}, "c": {}}, "quota": "2GiB"},
    "background": {"nodes": 3},
    "variants": {"leaking": {}, "fixed": {"background.nodes": 4}},
    "reference": {
        "leaking": {"etcd.keys_created": 2.37e6, "etcd.apply_seconds.max": "1.8s"},
        "fixed": {"etcd.keys_created_per_hour": 189},
        "ratio": {"etcd.wal_bytes_written": 17},
    },
    "objectives": {"quota": {"figure": "etcd.seconds_to_quota", "min": "30d", "variant": "fixed"}},
    "provenance": {
        "horizon": {"is": "article", "source": "24 hours"},
        "background.nodes": {"is": "assumed", "why": "decides the ratio of etcd.wal_bytes_written."},
        "etcd.quota": {"is": "fitted", "to": "etcd.keys_created: 2.37 million by the leaking controller in 24 h"},
    },
}


def scenario(**changes: Any) -> Scenario:
    """A scenario that declares a reference, an objective and provenance."""
    return from_dict({**SCENARIO, **changes})


def runs(**changes: Any) -> Runs:
    """Two variants of it; the leaking one has 2.36 million keys at the end."""
    return Runs(
        scenario(**changes),
        7,
        {
            "leaking": run("leaking", keys_per_s2=3.16e-4, keys_per_s=0.05),
            "fixed": run("fixed", keys_per_s2=0.0, keys_per_s=0.05),
        },
        wall_seconds=12.5,
        version="0.1.0",
    )
