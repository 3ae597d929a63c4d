"""Figures of who watches at etcd itself: streams, how far they are behind, and what reading for them costs."""

from __future__ import annotations

import pandas as pd

from sim.assembly import World
from sim.etcd.watch_groups import Tally
from sim.scenario.watches import Watches
from sim.scenario.workloads import Storm
from sim.units import SECOND, Nanoseconds


def watch_figures(world: World, horizon: Nanoseconds, series: pd.DataFrame) -> dict[str, float | None]:
    """Of storms always; of the rest where somebody watches."""
    tallies = {} if world.watching is None else world.watching.tallies
    workloads = world.scenario.workloads
    metrics: dict[str, float | None] = {}
    for name in world.storms:
        metrics |= _of_storms(f"workloads.{name}.storm", [tallies[name]] if name in tallies else [])
    metrics |= _of_storms("storm", [tally for name, tally in tallies.items() if isinstance(workloads[name], Storm)])
    if world.watching is None:
        return metrics
    mine = {name: tally for name, tally in tallies.items() if isinstance(workloads[name], Watches)}
    for name, tally in mine.items():
        metrics |= _of_watches(f"workloads.{name}.watches", [tally])
    watchers = world.watching.watchers
    return {
        **metrics, **_of_watches("watches", list(mine.values())),
        "etcd.watchers": sum(tally.watchers for tally in tallies.values()),
        "etcd.slow_watchers": float(series["etcd.slow_watchers"].iloc[-1]),
        "etcd.slow_watchers.max": watchers.most_slow,
        "etcd.slow_watcher_seconds": watchers.slow_until(horizon) / SECOND,
        "etcd.watch_pending_events": float(series["etcd.watch_pending_events"].iloc[-1]),
        "etcd.watch_pending_events.max": float(series["etcd.watch_pending_events"].max()),
        "etcd.watch_rounds": watchers.rounds,
        "etcd.watch_revisions_read": watchers.scanned,
        "etcd.watch_locked_share": watchers.locked / horizon,
        "etcd.watch_round_seconds.max": watchers.longest_round / SECOND,
    }  # fmt: skip


def _of_storms(prefix: str, tallies: list[Tally]) -> dict[str, float | None]:
    return {
        f"{prefix}.watch_events": sum(tally.heard.events for tally in tallies),
        f"{prefix}.watch_apply_seconds": sum(tally.applying for tally in tallies) / SECOND,
        f"{prefix}.watch_beyond_channel": sum(tally.full for tally in tallies),
        f"{prefix}.watch_backlog": max((max(tally.pending, tally.behind) for tally in tallies), default=0),
        **_lags(f"{prefix}.watch_", tallies),
    }


def _of_watches(prefix: str, tallies: list[Tally]) -> dict[str, float | None]:
    return {
        f"{prefix}.events": sum(tally.heard.events for tally in tallies),
        f"{prefix}.full": sum(tally.full for tally in tallies),
        f"{prefix}.compacted": sum(tally.compacted for tally in tallies),
        f"{prefix}.behind": max((tally.behind for tally in tallies), default=0),
        f"{prefix}.backlog": max((tally.pending for tally in tallies), default=0),
        **_lags(f"{prefix}.", tallies),
    }


def _lags(prefix: str, tallies: list[Tally]) -> dict[str, float | None]:
    arrived = sum(tally.heard.arrived for tally in tallies)
    return {
        f"{prefix}lag_seconds": max((tally.heard.longest for tally in tallies), default=0) / SECOND,
        f"{prefix}lag_mean_seconds": sum(tally.heard.total for tally in tallies) / arrived / SECOND if arrived else None,
    }
