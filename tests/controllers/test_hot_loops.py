"""Controllers that wake themselves: a status written at each reconcile comes back as an event (facts 3.1, 4.2, 9).

One turn of the loop, by hand: 1 ms of work, 0.25 ms to the API server, 1 ms in it, 0.1 ms to etcd, 1.4 ms until two followers have
saved it (0.2 ms there, 1 ms fdatasync, 0.2 ms back), 2 ms of watch lag, 0.25 ms to the client: 6.0 ms, and some tenths for etcd's
CPU. The answer comes 1.9 ms before the event: a worker is busy 4.1 ms and some tenths.
"""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, simulate

TURN, BUSY, CPU = 6.0e-3, 4.1e-3, 0.5e-3


def writes(sets: str, predicate: str = "none", **settings):
    reconcile = {"writes": {"status": {"sets": sets}}, **settings.pop("reconcile", {})}
    return controller(**{"watches": {"apps": {"predicate": predicate}}, "reconcile": reconcile, **settings})


def loop(horizon: str, objects: int, **settings):
    return simulate(horizon, workloads=apps(objects), controllers=writes(**settings))


def test_a_counter_goes_round_as_fast_as_the_path_allows():
    run = loop("1m", 1, sets="counter")
    turns = run.metrics["controller.reconciles"]
    assert 60 / (TURN + CPU) < turns < 60 / TURN
    # Each turn is a request, a put, an event. The list and its own Lease apart, nothing else happens.
    assert run.writers["x"]["puts"] == run.metrics["writes.succeeded"] == pytest.approx(turns, abs=1)
    assert run.metrics["rest_client.requests"] == pytest.approx(turns, abs=3)
    assert run.metrics["watch.events_sent"] == pytest.approx(turns, abs=2)
    assert run.metrics["writes.unchanged"] == run.metrics["controller.errors"] == run.metrics["workqueue.retries"] == 0


def test_many_objects_keep_one_worker_busy():
    run = loop("1m", 20, sets="counter")
    assert 60 / (BUSY + CPU) < run.metrics["controller.reconciles"] < 60 / BUSY
    assert run.metrics["workqueue.depth.max"] == pytest.approx(19, abs=1)


def test_each_worker_adds_a_loop():
    """Ten objects and ten workers: ten loops. They share saves: a write may come while one is under way, 1 ms at most."""
    run = loop("30s", 10, sets="counter", workers=10)
    assert 10 * 30 / (TURN + CPU + 1e-3) < run.metrics["controller.reconciles"] < 10 * 30 / TURN


def test_a_client_limit_is_the_speed_limit():
    """20/s and a burst of 30, the list one of them: 20 t + 30, however many workers."""
    run = loop("1m", 20, sets="counter", workers=10, stack="controller-runtime-0.15")
    assert run.metrics["rest_client.requests"] == pytest.approx(20 * 60 + 30, abs=12)  # ten may be held back at the end
    assert run.writers["x"]["puts"] == pytest.approx(20 * 60 + 30, abs=13)


def test_a_generation_predicate_ends_the_loop():
    for sets in ("counter", "timestamp", "generation", "constant"):
        run = loop("1m", 10, sets=sets, predicate="generation_changed")
        assert run.metrics["controller.reconciles"] == run.writers["x"]["puts"] == 10
        assert run.metrics["watch.events_sent"] == 20  # what it was told at the start, and its own writes


def test_what_repeats_itself_is_written_once():
    """The second run finds nothing to change: one read of etcd instead of a put, no event, and the end of it."""
    quiet = loop("1m", 10, sets="constant", predicate="generation_changed")
    for sets in ("generation", "constant"):
        run = loop("1m", 10, sets=sets)
        assert run.writers["x"]["puts"] == run.metrics["writes.unchanged"] == run.metrics["apiserver.unchanged"] == 10
        assert run.metrics["controller.reconciles"] == 20
        assert run.metrics["apiserver.etcd_reads"] - quiet.metrics["apiserver.etcd_reads"] == 10


def test_a_timestamp_loop_faster_than_a_second_ends_in_it():
    """A loop of 4 ms steps: the second write of an object has the second of the first. Twice where a second passes between."""
    run = loop("1m", 10, sets="timestamp")
    assert 10 <= run.writers["x"]["puts"] <= 20
    assert run.metrics["writes.unchanged"] == 10


def test_a_timestamp_changes_an_object_once_a_second_at_most():
    """500 objects at 4.1 ms: 2 s for a round, so each write differs, and the loop goes on at the worker's speed."""
    run = loop("1m", 500, sets="timestamp", queue={"kind": "rate_limiting"})
    assert 60 / (BUSY + CPU) < run.writers["x"]["puts"] < 60 / BUSY
    assert run.metrics["writes.unchanged"] == 0


def test_a_priority_queue_ends_the_same_loop():
    """What a write wakes goes before the first list (priority 0 against -100): it comes back within its second."""
    run = loop("1m", 500, sets="timestamp", queue={"kind": "priority"})
    assert 500 <= run.writers["x"]["puts"] < 510
    assert run.metrics["writes.unchanged"] == 500


def test_a_priority_queue_starves_the_first_list():
    """controller-runtime#3496: one worker turns two or three objects round and round; 97 others never get their first run."""
    fair, starving = (loop("30s", 100, sets="counter", queue={"kind": kind}) for kind in ("rate_limiting", "priority"))
    for run in (fair, starving):
        assert 30 / (BUSY + CPU) < run.metrics["controller.reconciles"] < 30 / BUSY
    assert fair.metrics["controllers.x.queue_seconds.p50"] == pytest.approx(99 * (BUSY + CPU / 2), rel=0.1)
    assert starving.metrics["controllers.x.queue_seconds.p99"] < 3 * (BUSY + CPU)


def test_a_timestamp_asked_for_again_and_again():
    """RequeueAfter 100 ms: ten runs a second and object, one of them writes; its event is one run more."""
    run = loop("1m", 5, sets="timestamp", reconcile={"every": "100ms"}, predicate="generation_changed")
    assert run.writers["x"]["puts"] == pytest.approx(5 * 60, abs=5)
    period = 0.1 + 1e-3 + 1.6e-3  # the pause, the work, a request that etcd only answers from what it has
    assert run.metrics["writes.succeeded"] == pytest.approx(5 * 60 / period, rel=0.05)
    assert run.metrics["writes.unchanged"] == pytest.approx(5 * 60 / period - 5 * 60, rel=0.06)


def test_a_spec_change_costs_one_status_write():
    """A change each 5 s: eleven in a minute; with the first list 21 objects to write the generation of."""
    changes = 11
    for predicate, runs in (("none", 2), ("generation_changed", 1)):
        objects = apps(10, change_every="5s")
        run = simulate("1m", workloads=objects, controllers=writes("generation", predicate))
        assert run.writers["apps"]["puts"] == changes
        assert run.writers["x"]["puts"] == 10 + changes
        assert run.metrics["controller.reconciles"] == runs * (10 + changes)


def test_resource_version_changed_does_not_help():
    """A status write changes the resource version: this predicate keeps resyncs out, not oneself."""
    run = loop("10s", 1, sets="counter", predicate="resource_version_changed")
    assert run.metrics["controller.reconciles"] == pytest.approx(10 / (TURN + CPU / 2), rel=0.1)
