"""Every station matters: take one away, or let it cost nothing, and the figure that it is there for moves; its neighbour does not.

A case is a small world, one change, and what must follow from it. Noise is what two other seeds make of the same world: what is
said to move moves by more than three times as much; what is said to stay, by no more than twice, or 1%. Where the effect is
plain arithmetic, the case asks for its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import sim
from sim.scenario import stacks
from sim.scenario.model import from_dict
from sim.units import HOUR

SEEDS = (1, 2, 3)
CONTROLLER = "controllers.zero-pod-writer"
CREATED = "writers.zero-pod-writer.keys_created"


def disks(**other: Mapping[str, Any]) -> dict[str, Any]:
    """Three members on disks that always take the same time; those named have something else."""
    return {
        name: {"disk": {"fdatasync": "700us", "backend_fdatasync": "600us", "bandwidth": "1GB/s", **other.get(name, {})}}
        for name in ("a", "b", "c")
    }


def raw_clients(**changed: Any) -> sim.Scenario:
    """Raw clients before three members; nobody else writes, nothing is compacted."""
    data: dict[str, Any] = {
        "horizon": "20s",
        "etcd": {
            "members": disks(), "network": {"rtt": "400us", "jitter": 0}, "compaction": {"by": "never"}, "quota": "off",
        },
        "objects": {"junk": {"key_bytes": 52, "value_bytes": 100}},
        "clients": {"writers": {"clients": 4, "think": {"mean": "20ms", "sd": "10ms"}}},
    }  # fmt: skip
    return from_dict(data).with_(changed)


WORLDS: dict[str, sim.Scenario] = {
    "one client": raw_clients(**{"clients.writers.clients": 1}),
    "four clients": raw_clients(),
    # 100,000 keys that a compaction walks every 5 s from the second tick on
    "old": raw_clients(**{"etcd.preload": {"junk": 100_000}, "etcd.compaction": {"by": "apiserver", "every": "5s"}}),
    "leak": sim.load("zero-value-leak-small").variant("leaking").with_(
        {
            "horizon": "2m",
            "etcd.members": disks(),
            "etcd.network.jitter": 0,
            "etcd.compaction.every": "30s",
            "workloads.pod-churn.every": "1s",
            f"{CONTROLLER}.workers": 50,
            f"{CONTROLLER}.reconcile.every": "2s",
        }
    ),
}  # fmt: skip
_figures: dict[str, dict[str, float]] = {}


def simulated(world: str, settings: Mapping[str, Any], seed: int = 1) -> dict[str, float]:
    """The figures of a world with these settings, writers and incidents included; 0 for what was never observed."""
    name = repr((world, sorted(settings.items()), seed))
    if name not in _figures:
        (run,) = sim.run(WORLDS[world].with_(settings), workers=1, seed=seed).values()
        _figures[name] = {figure: 0.0 if value is None else value for figure, value in run.metrics.items()}
        for writer, counted in run.writers.items():
            _figures[name].update({f"writers.{writer}.{figure}": value for figure, value in counted.items()})
        for incident in run.incidents:
            _figures[name][f"incidents.{incident.kind}"] = 1.0
    return _figures[name]


@dataclass(frozen=True)
class Case:
    """What a change does to a world.

    given: settings before and after. falls, rises: figures that move; by: figures that move by this much, within 5%; stays:
    figures that move by no more than noise does; same: figures that are the same to the last bit.
    """

    world: str
    change: dict[str, Any]
    falls: tuple[str, ...] = ()
    rises: tuple[str, ...] = ()
    by: dict[str, float] = field(default_factory=dict)
    stays: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    given: dict[str, Any] = field(default_factory=dict)


COMMIT, APPLY, WAL = "etcd.commit_seconds", "etcd.apply_execution_seconds", "etcd.wal_fsync_seconds"
BACKEND, COMPACTION, TURN = "etcd.backend_commit_seconds", "etcd.compaction_seconds", "etcd.compaction_pause_seconds"
ETCD, API, REST = "etcd.request_seconds", "apiserver.request_seconds", "rest_client.request_seconds"
SLOW = {"fdatasync": "20ms"}
LISTS = {"full-list": {"kind": "lists", "every": "800ms", "object": "junk"}}  # of 730 ms each
FULL = {"etcd.quota": "4MiB", f"{CONTROLLER}.leader_election": False}  # else NOSPACE costs it the lead: its lease is refused, too


def stall(member: str) -> dict[str, Any]:
    """A stall that costs no lead."""
    return {
        "faults": {"stall": {"kind": "disk_stall", "target": f"members.{member}", "at": "10s", "for": "1.8s"}},
        "etcd.flags.election-timeout": "10s",
    }


STATIONS: dict[str, Case] = {
    # the raft path: 50 us a turn, 8 us an entry, then the faster of two followers, who is behind the leader by a round trip
    "the link between members": Case(
        "one client", {"etcd.network.rtt": 0}, by={f"{COMMIT}.mean": -400e-6}, stays=(f"{WAL}.mean", f"{APPLY}.p50"),
    ),
    "jitter of the link": Case("four clients", {"etcd.network.jitter": "1ms"}, rises=(f"{COMMIT}.mean",), stays=(f"{WAL}.mean",)),
    "both followers' disks, slow": Case(
        "one client", {"etcd.members": disks(b=SLOW, c=SLOW)}, by={f"{COMMIT}.mean": 19.3e-3},
        stays=(f"{WAL}.mean", f"{APPLY}.p50"),
    ),
    "both followers' disks, free": Case(  # then the leader's own save decides: a round trip less, not a save less
        "one client", {"etcd.members": disks(b={"fdatasync": 0}, c={"fdatasync": 0})}, by={f"{COMMIT}.mean": -400e-6},
    ),
    "one follower's disk, slow": Case(
        "four clients", {"etcd.members": disks(c=SLOW)}, by={"members.c.wal_fsync_seconds.p50": 19.3e-3},
        same=(f"{COMMIT}.mean", f"{COMMIT}.max", f"{ETCD}.max", "etcd.puts", "etcd.wal_bytes_written"),
    ),
    "the leader's WAL disk, slow": Case(
        "one client", {"etcd.members": disks(a=SLOW)}, by={f"{COMMIT}.mean": 19.3e-3 - 400e-6, f"{WAL}.mean": 19.3e-3},
        stays=("members.b.wal_fsync_seconds.mean", f"{APPLY}.p50"),
    ),
    "the leader's WAL disk, free": Case(  # the quorum's other half is later anyway, but where a save meets a commit's fdatasync
        "one client", {"etcd.members": disks(a={"fdatasync": 0})}, falls=(f"{WAL}.mean",), stays=(f"{COMMIT}.mean", "etcd.puts"),
    ),
    "the WAL disk's bandwidth": Case(
        "one client", {"etcd.members": disks(a={"bandwidth": "1MB/s"}, b={"bandwidth": "1MB/s"}, c={"bandwidth": "1MB/s"})},
        rises=(f"{COMMIT}.mean", f"{WAL}.mean", f"{BACKEND}.mean"),
    ),
    "a turn of the Ready loop": Case("one client", {"etcd.costs.ready": 0}, by={f"{COMMIT}.mean": -50e-6}, stays=(f"{WAL}.mean",)),
    "an entry in the Ready loop": Case(
        "one client", {"etcd.costs.entry": 0}, by={f"{COMMIT}.mean": -7.7e-6}, stays=(f"{WAL}.mean",)
    ),
    "segment cuts": Case(
        "four clients", {"etcd.segment_size": "48kB"}, rises=("etcd.wal_fsyncs", f"{COMMIT}.mean"),
        stays=(f"{BACKEND}.count", f"{APPLY}.p50"),
    ),
    "a stall of the leader's disk": Case(
        "four clients", stall("a"), by={f"{COMMIT}.max": 1.79}, rises=(f"{WAL}.max",), falls=("etcd.puts",),
        stays=(f"{COMMIT}.p50",),
    ),
    "a stall of one follower's disk": Case("four clients", stall("c"), same=(f"{COMMIT}.max", f"{APPLY}.max", "etcd.puts")),
    "the request timeout": Case(
        "four clients", {"etcd.request_timeout": "1s"}, rises=("etcd.proposals_failed",), falls=(f"{ETCD}.max",), given=stall("a"),
    ),
    # the applier and the batch lock
    "apply": Case("one client", {"etcd.costs.apply": 0}, falls=(f"{APPLY}.p50", f"{ETCD}.mean"), stays=(f"{COMMIT}.mean",)),
    "apply, by size": Case("one client", {"etcd.costs.apply_per_kib": 0}, by={f"{APPLY}.p50": -5e-6}, stays=(f"{COMMIT}.mean",)),
    "apply, by watcher": Case(
        "leak", {"etcd.costs.watch_event": 0}, by={f"{APPLY}.p50": -200e-6}, given={"etcd.costs.watch_event": "200us"},
        stays=(CREATED,),
    ),
    "the gap between commit and apply": Case(
        "leak", {"etcd.max_gap": 1}, rises=("apiserver.rejected",), falls=(f"{ETCD}.mean",),
        given={"etcd.members": disks(a={"backend_fdatasync": "300ms"})},
    ),
    "the backend's disk": Case(
        "four clients", {"etcd.members": disks(a={"backend_fdatasync": 0})}, by={f"{BACKEND}.mean": -1.2e-3},
        falls=("etcd.apply_seconds.max",), stays=(f"{COMMIT}.mean", f"{WAL}.mean"),
    ),
    "writing a page": Case(
        "four clients", {"etcd.costs.page_write": 0}, falls=(f"{BACKEND}.mean",), stays=(f"{COMMIT}.mean", f"{BACKEND}.count"),
    ),
    "the batch interval": Case(
        "four clients", {"etcd.batch_interval": "1s"}, falls=(f"{BACKEND}.count",),
        rises=(f"{BACKEND}.mean", "etcd.apply_seconds.max"),
        stays=(f"{WAL}.mean",),
    ),
    "the batch limit": Case(
        "four clients", {"etcd.batch_limit": 10}, rises=(f"{BACKEND}.count", f"{APPLY}.mean"), stays=(f"{WAL}.mean",),
    ),
    "snapshots": Case(
        "four clients", {"etcd.snapshot_count": 10}, rises=(f"{BACKEND}.count", "etcd.apply_seconds.mean"),
        stays=(f"{WAL}.mean", f"{APPLY}.p50"),
    ),
    # compaction and lists
    "compaction": Case(
        "leak", {"etcd.compaction.by": "never"}, falls=(f"{COMPACTION}.count",),
        rises=("etcd.revisions_retained", "etcd.db_bytes_total"),
        stays=(CREATED, f"{COMMIT}.mean"),
    ),
    "compaction's share of the tail": Case(
        "old", {"etcd.compaction": {"by": "never"}}, falls=("etcd.apply_tail_share.compaction", f"{APPLY}.mean"),
        stays=(f"{COMMIT}.mean",), given={"etcd.compaction": {"by": "apiserver", "every": "2s"}},
    ),
    "the scan": Case("old", {"etcd.costs.scan": 0}, falls=(f"{TURN}.mean", f"{COMPACTION}.mean"), stays=(f"{TURN}.count",)),
    "deletes in a compaction": Case(
        "leak", {"etcd.costs.delete": 0}, falls=(f"{TURN}.mean", f"{COMPACTION}.mean"), stays=(f"{COMPACTION}.count",),
        given={"etcd.costs.delete": "200us"},
    ),
    "the compaction's pause": Case(  # a hundred batches
        "old", {"etcd.compaction.pause": 0}, by={f"{COMPACTION}.mean": -1.01}, stays=(f"{TURN}.count",),
    ),
    "the compaction's batch": Case("old", {"etcd.compaction.batch": 500}, rises=(f"{TURN}.count", f"{COMPACTION}.mean")),
    "the index walk": Case(  # 100,000 keys at 60 us: the compaction of 15 s has not begun when the run ends
        "old", {"etcd.costs.index_walk": 0}, by={f"{COMPACTION}.count": 1}, given={"etcd.costs.index_walk": "60us"},
        stays=(f"{COMPACTION}.mean", f"{COMMIT}.mean"),
    ),
    "lists during a compaction": Case(
        "old", {"workloads": LISTS}, rises=("etcd.apply_seconds.max", "etcd.list_seconds.count"),
    ),
    "lists without a compaction": Case(
        "old", {"workloads": LISTS}, rises=("etcd.list_seconds.count",),  # what has no index to walk waits for nobody
        same=("etcd.apply_seconds.max", f"{APPLY}.mean", "etcd.puts"),
        given={"etcd.compaction": {"by": "never"}, "etcd.costs.index_key": 0},
    ),
    "walks of lists over the index": Case(
        "old", {"workloads": LISTS}, rises=("etcd.apply_seconds.max",), given={"etcd.compaction": {"by": "never"}},
    ),
    "what a list reads": Case(
        "old", {"etcd.costs.read_key": 0}, by={"etcd.list_seconds.mean": -0.7}, given={"workloads": LISTS},
    ),
    "what a list walks": Case(
        "old", {"etcd.costs.index_key": 0}, by={"etcd.list_seconds.mean": -0.03}, given={"workloads": LISTS},
    ),
    # the quota, and what fails behind it
    "the quota": Case(
        "leak", {"etcd.quota": "off"}, rises=("etcd.puts", CREATED, "etcd.db_bytes_total"),
        falls=("incidents.quota", "apiserver.rejected", "controller.errors"), stays=("cache.zero_value_keys",), given=FULL,
    ),
    "retries": Case(
        "leak", {f"{CONTROLLER}.max_retries": 2}, rises=("workqueue.dropped",), falls=("workqueue.retries", "controller.errors"),
        stays=(CREATED, "cache.zero_value_keys"), given=FULL,
    ),
    "the queue's limiter": Case(
        "leak", {f"{CONTROLLER}.queue.limiter": {"kind": "exponential", "base": "10s", "max": "20s"}},
        falls=("controller.errors", "apiserver.rejected"), stays=(CREATED,), given=FULL,
    ),
    # the way from a controller to etcd
    "the client's limiter": Case(
        "leak", {f"{CONTROLLER}.client.qps": "off"},
        falls=("rest_client.rate_limiter_seconds.mean", "workqueue.queue_seconds.mean"),
        rises=(CREATED,), stays=("cache.zero_value_keys", "writers.pod-churn.keys_created"),
        given={f"{CONTROLLER}.client": {"qps": 20, "burst": 30}},
    ),
    "the API server's overhead": Case(
        "leak", {"apiservers.api.overhead": 0}, falls=(f"{REST}.mean", f"{API}.p50"),
        stays=(f"{WAL}.mean", f"{APPLY}.p50"),
    ),
    "admission": Case(
        "leak", {"apiservers.api.admission": 0}, by={f"{API}.mean": -20e-3}, given={"apiservers.api.admission": "20ms"},
        stays=(f"{WAL}.mean", f"{APPLY}.p50"),
    ),
    "the link from client to server": Case(
        "leak", {"apiservers.api.rtt_to_clients": 0}, falls=(f"{REST}.mean",), stays=(f"{WAL}.mean", f"{API}.mean"),
    ),
    "the link from server to etcd": Case(
        "leak", {"apiservers.api.rtt_to_etcd": 0}, by={f"{ETCD}.p50": -200e-6}, falls=(f"{REST}.mean",), stays=(f"{WAL}.mean",),
    ),
    "a request's goroutine": Case("one client", {"etcd.costs.request": 0}, by={f"{ETCD}.p50": -60e-6}, stays=(f"{COMMIT}.mean",)),
    # the way back: watch, informer, queue, workers
    "the watch's lag": Case(  # a stale cache: transactions that lose their compare
        "leak", {"apiservers.api.watch_lag": 0}, by={"watch.lag_seconds.mean": -0.1}, falls=("writers.pod-churn.conflicts",),
        stays=(CREATED,), given={"apiservers.api.watch_lag": "100ms"},
    ),
    "the watch's selector": Case(
        "leak", {f"{CONTROLLER}.watches.pods.selector": "app=other"}, falls=("cache.zero_value_keys", "watch.events_sent", CREATED),
        stays=("writers.pod-churn.keys_created",),
    ),
    "the workers": Case(
        "leak", {f"{CONTROLLER}.workers": 50}, falls=("workqueue.queue_seconds.mean", "workqueue.depth.max"), rises=(CREATED,),
        stays=("cache.zero_value_keys",), given={f"{CONTROLLER}.workers": 1, f"{CONTROLLER}.reconcile.duration": "20ms"},
    ),
    "a reconcile's own work": Case(
        "leak", {f"{CONTROLLER}.reconcile.duration": 0}, by={"workqueue.work_seconds.mean": -20e-3}, stays=(f"{WAL}.mean",),
        given={f"{CONTROLLER}.reconcile.duration": "20ms"},
    ),
    "the requeue": Case(
        "leak", {f"{CONTROLLER}.reconcile.every": "never"}, falls=(CREATED, "controller.reconciles"),
        stays=("cache.zero_value_keys", "writers.pod-churn.keys_created"),
    ),
    "the cache's zero values": Case(
        "leak", {f"{CONTROLLER}.cache.on_delete": "remove-key"}, falls=("cache.zero_value_keys", CREATED, "etcd.wal_bytes_written"),
        stays=("writers.pod-churn.keys_created",),
    ),
    # what the world writes
    "the Events' life": Case(
        "leak", {"objects.event.ttl": "30s"}, rises=("etcd.deletes",), falls=("etcd.keys_live",),
        stays=(CREATED, "writers.pod-churn.keys_created"),
    ),
    "Events": Case(
        "leak", {"workloads.pod-churn.events_per_pod": 0}, falls=("writers.pod-churn.keys_created",),
        stays=("cache.zero_value_keys",),
    ),
    "churn": Case("leak", {"workloads.pod-churn.every": "1h"}, falls=("watch.events_sent", CREATED, "etcd.deletes")),
    "the controller's election": Case(
        "leak", {f"{CONTROLLER}.leader_election": False}, by={"writers.zero-pod-writer.puts": -60}, stays=(CREATED,),
    ),
    "the components' elections": Case(
        "leak", {"background.leader_elections": 0}, by={"etcd.puts": -120}, falls=("writers.leader-elections.puts",),
        stays=(CREATED,),
    ),
    "node heartbeats": Case(
        "leak", {"background.nodes": 0}, falls=("writers.node-heartbeats.puts", "objects.node.wal_bytes_written"), stays=(CREATED,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("station", STATIONS)
def test_a_station_moves_its_figure(station: str) -> None:
    case = STATIONS[station]
    worlds = [simulated(case.world, case.given, seed) for seed in SEEDS]
    before, after = worlds[0], simulated(case.world, {**case.given, **case.change})

    def moved(figure: str) -> float:
        return after.get(figure, 0.0) - before.get(figure, 0.0)

    def noise(figure: str) -> float:
        values = [world.get(figure, 0.0) for world in worlds]
        return max(values) - min(values)

    for figure in case.falls:
        assert moved(figure) < -3 * noise(figure), figure
    for figure in case.rises:
        assert moved(figure) > 3 * noise(figure), figure
    for figure, size in case.by.items():
        assert abs(size) > 3 * noise(figure), figure
        assert moved(figure) == pytest.approx(size, rel=0.05), figure
    for figure in case.stays:
        assert abs(moved(figure)) <= max(2 * noise(figure), 0.02 * abs(before[figure])), figure
    for figure in case.same:
        assert after[figure] == before[figure], figure
    assert case.falls or case.rises or case.by or case.same


def test_the_resync_brings_every_object_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten hours, 10% more or less, the handlers are told of all pods again: the library's doing, not a setting."""
    stack = stacks.STACKS["controller-runtime-0.23"]
    idle = from_dict(
        {
            "horizon": "12h",
            "etcd": {"members": {"a": {}}, "compaction": {"by": "never"}},
            "workloads": {"pod-churn": {"every": "1000h", "pods": 30}},
            "controllers": {"x": {"stack": stack.name, "leader_election": False, "watches": {"pods": {}}}},
        }
    )

    def reconciles(resync: int | None) -> float | None:
        monkeypatch.setitem(stacks.STACKS, stack.name, replace(stack, resync=resync))
        return sim.run(idle, workers=1)["default"].metrics["controller.reconciles"]

    assert reconciles(stack.resync) == 60  # the first list, and once more
    assert reconciles(None) == 30
    assert reconciles(5 * HOUR) == 90


def test_a_short_life_ends_in_time_beside_a_long_one() -> None:
    churn = {"kind": "pod_churn", "labels": "app=other"}
    event = {"key_bytes": 60, "value_bytes": 800}
    scenario = WORLDS["leak"].with_(
        {
            "horizon": "3m",
            "objects.brief": {**event, "ttl": "20s"},
            "workloads": {
                "long": {**churn, "every": "4s", "event_object": "event"},
                "brief": {**churn, "every": "5s", "event_object": "brief"},
            },
        }
    )
    (run,) = sim.run(scenario, workers=1).values()
    assert run.writers["long"]["deletes"] < run.writers["long"]["keys_created"] / 5  # pods alone
    assert run.writers["brief"]["deletes"] > 0.8 * run.writers["brief"]["keys_created"]


def test_the_world_is_big_enough_to_tell() -> None:
    """A case says something only where its station is in use: every figure that falls, falls from above zero."""
    for case in STATIONS.values():
        before = simulated(case.world, case.given)
        assert all(before.get(figure, 0.0) > 0 for figure in (*case.falls, *case.stays, *case.same)), case
