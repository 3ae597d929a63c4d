"""One round on a real etcd: a fresh cluster, its first keys, a scrape, the load, a scrape; what leader and clients say of it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.scenario.load_test import LoadTest
from sim.units import SECOND, Nanoseconds
from sim.validation import actions, records
from sim.validation.children import children
from sim.validation.scrape import Buckets, Scrape
from sim.validation.server import Cluster, Member
from sim.validation.walfile import Written, written

SETTLES: Final = 0.4
"""After the load: the backend commits what is pending within 100 ms, and the gauges follow the commit."""
RESTS: Final = 1.0
"""Before the load: the log's first segments are laid out, the first keys are committed."""
_HEAD_START: Final[Nanoseconds] = SECOND // 5
_GRACE: Final = 30.0
WAL_FSYNC: Final = "etcd_disk_wal_fsync_duration_seconds"
COMMIT: Final = "etcd_disk_backend_commit_duration_seconds"
APPLY: Final = "etcd_server_apply_duration_seconds"
COMPACTION_MS: Final = "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds"
LEADER_CHANGES: Final = "etcd_server_leader_changes_seen_total"


@dataclass(slots=True, eq=False)
class Measured:
    """One round. requests: how many were sent; failures: of them, by reason; figures: by name; buckets: the leader's histograms of
    the round; shares: cores used between warm-up and end by the leader, by all members, by the busiest generator, by all that is
    ours but etcd (`load`), and by anybody else on the machine.

    log: what happened beside the load; notes: what a reader should know; scrapes: the leader's, before and after, kept in memory
    only.
    """

    load: LoadTest
    requests: int
    failures: dict[str, int]
    figures: dict[str, float | None]
    buckets: dict[str, Buckets]
    shares: dict[str, float]
    log: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    scrapes: tuple[str, str] = ("", "")


def measure(cluster: Cluster, load: LoadTest, seed: int, folder: Path) -> Measured:
    """Send one load to a cluster that has just started. folder: for files of the generators'. Raises InputError."""
    leader = cluster.leader
    if load.preload:
        actions.preload(leader.endpoint, load)
    time.sleep(RESTS)
    endpoints = [member.endpoint for member in _targets(cluster, leader, load)]
    with ExitStack() as stack:
        sending, watching = stack.enter_context(children(load, seed, endpoints, folder, leader.what_happened))
        before, wal_before = leader.scrape(), written(leader.wal)
        began = time.monotonic_ns() + _HEAD_START
        for child in [*watching, *sending]:
            child.begin(began)
        beside = [actions.Action(load, began, work) for work in _work(cluster, leader, load)]
        for action in beside:
            stack.callback(action.cancel)
        _sleep(began, load.warmup_seconds)
        first = _Cpu.now(cluster)
        _sleep(began, load.seconds)
        used = _Cpu.now(cluster).since(first)
        told = [child.result(load.timeout_seconds + _GRACE) for child in sending]
        found = records.together(
            [records.read(child.save, one["requests"], one["codes"]) for child, one in zip(sending, told, strict=True)]
        )
        seen = [(child.result(_GRACE), np.fromfile(child.save, np.int64)) for child in watching]
        log = {key: value for action in beside for key, value in action.end().items()}
    time.sleep(SETTLES)
    if not found.well.any():
        why = next(iter(found.failures), "no request ended")
        raise InputError(leader.what_happened() or f"{load.name}: etcd answered nothing: {why}")
    after, wal = leader.scrape(), written(leader.wal)
    log |= {"conflicts": sum(one["conflicts"] for one in told), "deleted": sum(one["deleted"] for one in told)}
    if load.quota_bytes:
        log["quota"] = actions.recover(leader.endpoint, load)
    buckets = {
        "etcd.wal_fsync_seconds": after.histogram(WAL_FSYNC).since(before.histogram(WAL_FSYNC)),
        "etcd.backend_commit_seconds": after.histogram(COMMIT).since(before.histogram(COMMIT)),
        "etcd.apply_execution_seconds": after.histogram(APPLY).since(before.histogram(APPLY)),
    }
    figures = records.figures(found, load) | _server_figures(before, after, wal_before, wal, buckets)
    for one, delays in seen:
        figures |= {"watch.events_sent": one["events"]}
        if len(delays):
            p50, p99 = np.quantile(delays, (0.5, 0.99)) / SECOND
            figures |= {"watch.lag_seconds.p50": float(p50), "watch.lag_seconds.p99": float(p99)}
    if "last_gone_seconds" in log:
        figures["etcd.leases_gone_after_seconds"] = log["last_gone_seconds"] - log["granted_until_seconds"]
    generator = max(one["cpu_share"] for one in told)
    load_share = sum(one["cpu_share"] for one in told) + sum(one["cpu_share"] for one, _ in seen) + used.ours
    etcds = sum(used.members)
    shares = {
        "leader": used.members[cluster.members.index(leader)], "etcd": etcds, "generator": generator, "load": load_share,
        "others": max(used.machine - etcds - load_share, 0.0),
    }  # fmt: skip
    notes = _notes(leader, found.failures, before, after)
    return Measured(load, len(found), found.failures, figures, buckets, shares, log, notes, (before.text, after.text))


def _targets(cluster: Cluster, leader: Member, load: LoadTest) -> list[Member]:
    match load.target:
        case "leader":
            return [leader]
        case "all":
            return cluster.members
    return [member for member in cluster.members if member is not leader]


def _work(cluster: Cluster, leader: Member, load: LoadTest) -> list[Any]:
    """What happens beside the load."""

    def choose(who: str) -> Member:
        now = cluster.leader
        return now if who == "leader" else next(member for member in cluster.members if member is not now)

    wanted = (
        (load.compact_every_seconds, actions.compact(leader.endpoint)), (load.lease_count, actions.leases(leader.endpoint)),
        (load.pause, actions.pause(choose)),
    )  # fmt: skip
    return [work for on, work in wanted if on]


def _server_figures(
    before: Scrape, after: Scrape, wal_before: Written, wal: Written, buckets: dict[str, Buckets]
) -> dict[str, float | None]:
    entries = wal.entries - wal_before.entries
    fsyncs = buckets["etcd.wal_fsync_seconds"].count
    figures: dict[str, float | None] = {
        "etcd.wal_fsyncs": fsyncs,
        "etcd.writes_per_batch": entries / fsyncs if fsyncs else None,
        "etcd.keys_live": after.value("etcd_debugging_mvcc_keys_total") if after.has("etcd_debugging_mvcc_keys_total") else None,
        "etcd.revision": after.value("etcd_debugging_mvcc_current_revision") or None,
        "etcd.wal_entries": entries,
        "etcd.wal_entry_bytes": wal.bytes_by_type.get(2, 0) - wal_before.bytes_by_type.get(2, 0),
        "etcd.wal_bytes_written": wal.bytes - wal_before.bytes,
        "etcd.db_bytes_total": after.value("etcd_mvcc_db_total_size_in_bytes"),
        "etcd.db_bytes_in_use": after.value("etcd_mvcc_db_total_size_in_use_in_bytes"),
        "etcd.leader_changes": after.value(LEADER_CHANGES) - before.value(LEADER_CHANGES),
    }
    compactions = after.histogram(COMPACTION_MS).since(before.histogram(COMPACTION_MS))
    if compactions.mean is not None:
        figures["etcd.compaction_seconds.mean"] = compactions.mean / 1000
    return figures


def _notes(leader: Member, failures: dict[str, int], before: Scrape, after: Scrape) -> list[str]:
    said = []
    if not leader.leads() or after.value(LEADER_CHANGES) != before.value(LEADER_CHANGES):
        said.append("the lead changed: the leader's figures are those of the member that led first")
    said += [f"{count} requests failed: {why}" for why, count in failures.items()]
    return said


def _sleep(began: Nanoseconds, seconds: float) -> None:
    time.sleep(max(0.0, (began - time.monotonic_ns()) / SECOND + seconds))


@dataclass(slots=True)
class _Cpu:
    """Seconds of CPU used so far, or cores used between two moments: by each member, by us, by the whole machine."""

    at: float
    members: list[float]
    ours: float
    machine: float

    @classmethod
    def now(cls, cluster: Cluster) -> _Cpu:
        return cls(time.monotonic(), [member.cpu_seconds() for member in cluster.members], time.process_time(), _busy())

    def since(self, before: _Cpu) -> _Cpu:
        wall = max(self.at - before.at, 1e-9)
        members = [(now - then) / wall for now, then in zip(self.members, before.members, strict=True)]
        return _Cpu(wall, members, (self.ours - before.ours) / wall, (self.machine - before.machine) / wall)


def wait_for_quiet(most: float) -> bool:
    """Wait up to so many seconds until the machine has been idle for one; whether it has."""
    limit, calm, step = time.monotonic() + most, 0, 0.25
    while time.monotonic() < limit and calm < 4:
        before = _busy()
        time.sleep(step)
        calm = calm + 1 if _busy() - before < 0.15 * step else 0
    return calm >= 4


def _busy() -> float:
    """CPU seconds that the whole machine has worked; 0 where /proc is missing."""
    try:
        user, nice, system, _, _, irq, soft, *_ = (
            int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        )
    except OSError:
        return 0.0
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def reads(cluster: Cluster, folder: Path, rate: float | None = None) -> NDArray[np.int64]:
    """Latencies of requests that write nothing, nanoseconds: one client's, or so many a second's. Raises InputError."""
    how: dict[str, Any] = {"clients": 1} if rate is None else {"rate": rate}
    load = LoadTest(name="reads", op="get_serializable", seconds=1.2, warmup_seconds=0.2, **how)
    leader = cluster.leader
    with children(load, 1, [leader.endpoint], folder, leader.what_happened) as (sending, _):
        sending[0].begin(time.monotonic_ns() + _HEAD_START)
        told = sending[0].result(_GRACE)
        found = records.read(sending[0].save, told["requests"], told["codes"])
    return found.took[found.began > load.warmup_seconds * SECOND]
