"""How reconciles end, and when their keys come back (facts 1.4, 1.5, 3.1).

The limiters, by hand: the n-th failure of a key waits 5 ms * 2^(n - 1), 1000 s from the 19th on, so run n + 1 comes
5 ms * (2^n - 1) after the first; a bucket of 10/s and 100 lets 100 through and then one each 100 ms, whoever asks.
"""

from __future__ import annotations

import math

import pytest
from small_cluster import apps, controller, simulate

SYNCED = 0.1
"""When workers start: the first list is there at the first poll for it."""


def ends(horizon: str, objects: int = 1, reconcile=None, workload=None, **settings):
    run = simulate(
        horizon, workloads=apps(objects, **(workload or {})), controllers=controller(reconcile=reconcile or {}, **settings)
    )
    return run.metrics


def exponential_runs(seconds: float) -> int:
    """Runs of one key that always fails, by then."""
    left = seconds - SYNCED
    eighteen = 0.005 * (2**18 - 1)
    if left < eighteen:
        return 1 + int(math.log2(left / 0.005 + 1))
    return 19 + int((left - eighteen) / 1000)


@pytest.mark.parametrize(("share", "counter"), [("requeues", "controller.requeues"), ("errors", "controller.errors"),
                                                ("poisoned", "controller.errors"), ("panics", "controller.panics")])  # fmt: skip
def test_what_always_fails_comes_back_later_and_later(share, counter):
    for horizon, seconds in (("1m", 60), ("90m", 5400)):
        metrics = ends(horizon, reconcile={share: 1.0})
        assert metrics["controller.reconciles"] == metrics[counter] == exponential_runs(seconds)
        assert metrics["workqueue.retries"] == metrics["controller.reconciles"]
        assert metrics["controller.restarts"] == 0
    assert exponential_runs(5400) == 19 + 4  # in the end one run each 1000 s, for ever


def test_a_requeue_is_no_error():
    metrics = ends("1m", reconcile={"requeues": 1.0})
    assert metrics["controller.errors"] == 0


def test_a_success_forgets_the_failures():
    """A change each 200 ms, and one run in two fails: back at 5 ms each time, so two runs a change, whatever was before."""
    metrics = ends("1m", reconcile={"errors": 0.5}, workload={"change_every": "200ms"})
    changes = 1 + 299
    collapsed = metrics["controller.errors"] + changes - metrics["controller.reconciles"]
    assert 0 <= collapsed < 0.03 * changes  # after six failures in a row the next change is there first
    assert metrics["controller.errors"] == pytest.approx(changes, rel=0.15)  # geometric: one failure each, on average


def test_a_terminal_error_is_not_tried_again():
    metrics = ends("1m", objects=10, reconcile={"terminal_errors": 1.0})
    assert metrics["controller.reconciles"] == metrics["controller.errors"] == metrics["controller.terminal_errors"] == 10
    assert metrics["workqueue.retries"] == 0


def test_after_three_retries_a_key_is_dropped_until_its_next_event():
    """Four runs, at 0, 5, 15, 35 ms; then a change each 10 s brings one of the ten back, for four more."""
    metrics = ends("1m", objects=10, reconcile={"errors": 1.0}, max_retries=3, workload={"change_every": "10s"})
    events = 10 + 5
    assert metrics["workqueue.dropped"] == events
    assert metrics["controller.reconciles"] == metrics["controller.errors"] == 4 * events
    assert metrics["workqueue.retries"] == 3 * events


def test_the_delays_of_three_retries():
    """One key of a worker that needs 1 ms: it ends 35 ms and four runs after it began."""
    for horizon, runs in ((SYNCED + 0.005, 1), (SYNCED + 0.015, 2), (SYNCED + 0.035, 3), (SYNCED + 0.041, 4), (60, 4)):
        assert ends(horizon, reconcile={"errors": 1.0}, max_retries=3)["controller.reconciles"] == runs


def test_a_panic_that_nobody_recovers_ends_the_process():
    """2 s to start, the first time; then 10, 20, 40, 80, 160, 300, 300 ... s more (kubelet)."""
    metrics = ends("30m", reconcile={"panics": 1.0}, recover_panic=False)
    lives, at = 0, 0.0
    for back_off in (0, 10, 20, 40, 80, 160, *([300] * 9)):
        at += SYNCED + 1e-3
        if at < 1800:
            lives += 1
        at += 2 + back_off
    assert lives == 11
    assert metrics["controller.panics"] == metrics["controller.reconciles"] == lives
    assert metrics["controller.restarts"] == lives - 1
    assert metrics["watch.relists"] == 0
    assert metrics["watch.events_sent"] == lives  # each life starts with everything there is


@pytest.mark.parametrize(("stack", "restarts"), [("controller-runtime-0.18", 3), ("controller-runtime-0.19", 0)])
def test_panics_are_recovered_from_0_19_on(stack, restarts):
    metrics = ends("1m", reconcile={"panics": 1.0}, stack=stack)
    assert metrics["controller.restarts"] == restarts


def test_an_old_worker_sleeps_a_second_after_an_error():
    """Before controller-runtime 0.7: one worker, one error a second, however many keys."""
    assert ends("1m", objects=10, reconcile={"errors": 1.0}, stack="controller-runtime-0.6")["controller.errors"] == 60
    assert ends("1m", objects=10, reconcile={"errors": 1.0}, stack="controller-runtime-0.7")["controller.errors"] == 140


def storm(horizon, limiter, **settings):
    queue = {"kind": "rate_limiting", "limiter": limiter}
    return ends(horizon, objects=500, reconcile={"poisoned": 1.0}, workers=10, queue=queue, **settings)


BUCKET = {"kind": "bucket", "rate": 10, "burst": 100}
EXPONENTIAL = {"kind": "exponential", "base": "5ms", "max": "1000s"}
BOTH = {"kind": "max_of", "limiters": [EXPONENTIAL, BUCKET]}


@pytest.mark.parametrize("seconds", [5, 20, 39.9, 60])
def test_a_storm_waits_for_the_bucket(seconds):
    """500 keys fail at once, and once more: 100 of them after 5 ms, then one each 100 ms, the last 40 s later."""
    first = SYNCED + 0.01
    later = min(400, int((seconds - first) * 10))
    assert storm(seconds, BOTH, max_retries=1)["controller.reconciles"] == pytest.approx(600 + later, abs=2)
    assert storm(seconds, EXPONENTIAL, max_retries=1)["controller.reconciles"] == 1000


def test_a_bucket_bounds_what_retries_for_ever():
    """A minute: 500 first runs, 100 free retries and ten a second; without the bucket each key has its 14 runs."""
    assert storm("1m", BOTH)["controller.reconciles"] == pytest.approx(600 + 10 * (60 - SYNCED), abs=3)
    assert storm("1m", EXPONENTIAL)["controller.reconciles"] == 500 * exponential_runs(60) == 7000


def test_the_default_limiter_came_without_the_bucket_in_0_23():
    """controller-runtime 0.23 has the priority queue, and the exponential limiter alone."""
    runs = {
        stack: ends("1m", objects=500, reconcile={"poisoned": 1.0}, workers=10, stack=stack)["controller.reconciles"]
        for stack in ("client-go-0.34", "controller-runtime-0.22", "controller-runtime-0.23")
    }
    assert runs["client-go-0.34"] == runs["controller-runtime-0.22"] == pytest.approx(1200, abs=3)
    assert runs["controller-runtime-0.23"] == 7000


def test_a_longest_wait_opens_the_bucket():
    """with_max_wait: nobody waits longer than 1 s, so that the debt of the bucket no longer counts."""
    cut = storm("1m", {"kind": "with_max_wait", "limiter": BOTH, "max": "1s"})
    assert cut["controller.reconciles"] == pytest.approx(500 * 60, rel=0.1)


def test_fast_and_slow():
    """Three fast ones of 10 ms, then one each 10 s: six in a minute."""
    limiter = {"kind": "fast_slow", "fast": "10ms", "slow": "10s", "max_fast_attempts": 3}
    metrics = ends("1m", reconcile={"poisoned": 1.0}, queue={"kind": "rate_limiting", "limiter": limiter})
    assert metrics["controller.reconciles"] == 1 + 3 + 5
