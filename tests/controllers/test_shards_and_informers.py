"""One controller as several processes, several controllers as one process: who watches what, and who reconciles it."""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, simulate

from sim.errors import InputError

CHANGES = 39
"""One each 0.5 s, in 20 s."""
OBJECTS = 30


def sharded(shards: int, **settings):
    own = controller(shards=shards, reconcile={"writes": {"status": {"sets": "generation"}}}, **settings)
    return simulate("20s", workloads=apps(OBJECTS, change_every="0.5s"), controllers=own)


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_each_key_belongs_to_one_shard_and_each_shard_watches_everything(shards):
    run = sharded(shards)
    # A status for each object and each change, and the run that its event brings: whoever does them, they are as many.
    assert run.writers["x"]["puts"] == run.metrics["apiserver.unchanged"] == OBJECTS + CHANGES
    assert run.metrics["controller.reconciles"] == run.metrics["workqueue.adds"] == 2 * (OBJECTS + CHANGES)
    assert run.metrics["writes.conflicts"] == 0
    assert run.metrics["watch.events_sent"] == shards * (OBJECTS + CHANGES + OBJECTS + CHANGES)
    assert run.metrics["apiserver.etcd_reads"] == shards + OBJECTS + CHANGES  # a first list each, and what changed nothing


def test_each_shard_has_a_lease():
    run = sharded(3, leader_election=True)
    assert run.metrics["etcd.keys_created"] == 3 * 2  # and its Event
    assert run.writers["x"]["puts"] == pytest.approx(OBJECTS + CHANGES + 3 * (19 / 2 + 3), abs=4)


def pair(**settings):
    """Two controllers that each write their own field of the same objects, once per change of the spec."""
    return {
        name: controller(
            **{"watches": {"apps": None}, **settings},
            reconcile={"writes": {"s": {"sets": "generation", "field": name, "verb": "merge_patch"}}},
        )["x"]
        for name in ("x", "y")
    }


def test_a_shared_informer_watches_once():
    """Two queues, the same work; one list, one watch, each event once."""
    workloads = apps(OBJECTS, change_every="0.5s")
    own = simulate("20s", workloads=workloads, controllers=pair())
    pool = {"pool": {"object": "app"}}
    shared = simulate("20s", workloads=workloads, controllers=pair(watches={}, informers=["pool"]), informers=pool)
    changes = OBJECTS + CHANGES + 2 * (OBJECTS + CHANGES)  # what is there, specs, two fields of each
    assert own.metrics["watch.events_sent"] == 2 * changes
    assert shared.metrics["watch.events_sent"] == changes
    assert own.metrics["rest_client.requests"] - shared.metrics["rest_client.requests"] == 1
    for name in ("x", "y"):
        assert own.writers[name]["puts"] == shared.writers[name]["puts"] == OBJECTS + CHANGES
    assert own.metrics["controller.reconciles"] == shared.metrics["controller.reconciles"]
    assert own.metrics["workqueue.adds"] == shared.metrics["workqueue.adds"]


def test_who_shares_an_informer_has_predicates_of_its_own():
    """x is told of specs only, y of everything: of x's writes, too."""
    controllers = pair(watches={}, informers=["pool"])
    controllers["x"] = {**controllers["x"], "predicates": {"pool": "generation_changed"}}
    pool = {"pool": {"object": "app"}}
    run = simulate("20s", workloads=apps(OBJECTS, change_every="0.5s"), controllers=controllers, informers=pool)
    assert run.metrics["controllers.x.reconciles"] == OBJECTS + CHANGES
    assert run.metrics["controllers.y.reconciles"] > 2 * (OBJECTS + CHANGES)
    assert run.writers["x"]["puts"] == run.writers["y"]["puts"] == OBJECTS + CHANGES
    controllers["x"] = {**controllers["x"], "predicates": {"pol": "generation_changed"}}
    with pytest.raises(InputError, match=r"controllers\.x\.predicates\.pol"):
        simulate("20s", workloads=apps(OBJECTS), controllers=controllers, informers=pool)


def test_who_shares_an_informer_ends_together():
    """One of two panics, and nobody recovers it: both start anew, with one lease, one list."""
    controllers = pair(watches={}, informers=["pool"], leader_election=True, recover_panic=False)
    controllers["y"]["reconcile"] = {"duration": {"constant": "1ms"}, "panics": 1.0}
    run = simulate("1m", workloads=apps(1), controllers=controllers, informers={"pool": {"object": "app"}})
    lives = run.metrics["controller.restarts"] + 1
    assert 2 <= lives <= 4
    assert run.metrics["controller.panics"] == run.metrics["leader_election.changes"] + 1
    assert run.metrics["watch.events_sent"] == run.metrics["leader_election.changes"] + 1  # what is there, a life each
    assert (
        run.metrics["controllers.x.writes.succeeded"] <= run.metrics["controller.panics"]
    )  # its process is gone before the answer


def throughput(stack: str, horizon: str = "30s", **settings):
    """Ten workers that write as fast as they are let."""
    own = controller(stack=stack, workers=10, reconcile={"writes": {"s": {"verb": "merge_patch"}}}, **settings)
    return simulate(horizon, workloads=apps(OBJECTS), controllers=own)


@pytest.mark.parametrize(
    ("stack", "qps", "burst"),
    [
        ("client-go-0.34", 5, 10), ("operator-sdk-0.9", 5, 10), ("controller-runtime-0.15", 20, 30),
        ("controller-runtime-0.20", 20, 30), ("ansible-operator-1.34", 20, 30),
    ],
)  # fmt: skip
def test_a_clients_limiter_decides_how_much_is_written(stack, qps, burst):
    """burst + qps t requests, of which list and watch took two; what comes back of them before the workers start is not lost."""
    run = throughput(stack)
    left = min(burst, burst - 2 + qps * 0.1)
    assert run.writers["x"]["puts"] == pytest.approx(left + qps * 29.9, abs=2)
    # Ten workers wait for one bucket: each request for the nine before it, and for its own.
    assert run.metrics["rest_client.rate_limiter_seconds.max"] == pytest.approx(10 / qps, rel=0.02)


@pytest.mark.parametrize("settings", [{"stack": "controller-runtime-0.23"}, {"stack": "controller-runtime-0.21"},
                                      {"stack": "client-go-0.34", "client": {"qps": "off"}}])  # fmt: skip
def test_without_limiter_the_path_decides(settings):
    """A worker is busy 4.1 ms and a part of a save that is under way, 1 ms: ten of them write some 2,000 a second."""
    run = throughput(horizon="5s", **settings)
    assert 10 * 4.9 / 6e-3 < run.writers["x"]["puts"] < 10 * 4.9 / 4.1e-3
    assert run.metrics["rest_client.rate_limiter_seconds.count"] == 0


def test_a_limit_that_is_given_wins():
    run = throughput("controller-runtime-0.23", client={"qps": 50, "burst": 100})
    assert run.writers["x"]["puts"] == pytest.approx(100 + 50 * 29.9, abs=2)


def told(message: str, horizon: str = "30m", **settings):
    reconcile = {"every": "1s", "events": {"message": message}}
    return simulate(horizon, workloads=apps(1), controllers=controller(reconcile=reconcile, **settings))


def test_the_spam_filter_lets_25_events_through_and_one_more_each_5_minutes():
    """Facts 3.4: one Event a second about one object. The first creates it, the others count it up."""
    run = told("same")
    written = 25 + 5  # 25 are used up after 25 s; then one at 300 s, 600 s ...
    assert run.metrics["events.recorded"] == pytest.approx(1798, abs=2)
    assert run.metrics["events.created"] == 1
    assert run.metrics["events.patched"] == written - 1
    assert run.metrics["events.skipped"] == run.metrics["events.recorded"] - written
    assert run.writers["x"]["puts"] == written


def test_events_that_differ_are_one_from_the_tenth_on():
    run = told("unique")
    assert run.metrics["events.created"] == run.metrics["etcd.keys_created"] == 10
    assert run.metrics["events.patched"] == 20
    assert run.writers["x"]["puts"] == 30


def test_a_hot_loop_tells_about_itself_25_times():
    own = controller(reconcile={"writes": {"s": {"verb": "update"}}, "events": {"message": "same"}})
    run = simulate("20s", workloads=apps(1), controllers=own)
    assert run.metrics["events.recorded"] == run.metrics["controller.reconciles"] > 3000
    assert run.metrics["events.created"] + run.metrics["events.patched"] == 25
    assert run.metrics["events.dropped"] == 0


def test_each_object_has_a_filter_of_its_own():
    own = controller(reconcile={"every": "1s", "events": {"message": "same"}})
    run = simulate("1m", workloads=apps(10), controllers=own)
    assert run.metrics["events.created"] == 10
    assert run.metrics["events.created"] + run.metrics["events.patched"] == 10 * 25
