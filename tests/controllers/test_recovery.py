"""A dependency that fails for a while, and an API server that is slow for a while: who notices, and when all is well again."""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, simulate

HOOK = {"match": "update apps", "latency": {"constant": "10ms"}}
WRITES = {"writes": {"status": {"verb": "update", "sets": "generation"}}}
EXPONENTIAL = {"kind": "rate_limiting", "limiter": {"exponential": {"base": "5ms", "max": "1000s"}}}


def failing(until: str = "1m", horizon: str = "3m", **settings):
    """Five objects whose first writes meet a webhook that fails until some time."""
    fault = {"kind": "webhook_failure", "target": "webhooks.hook", "at": "0s", "for": until}
    watches = {"apps": {"predicate": "generation_changed", **settings.pop("watch", {})}}
    made = controller(queue=EXPONENTIAL, reconcile=WRITES, watches=watches, **settings)
    return simulate(horizon, workloads=apps(5), webhooks={"hook": HOOK}, controllers=made, faults={"down": fault})


def test_a_key_recovers_when_its_delay_is_over():
    """5 ms doubled, and 16 ms a run: the n-th retry is 5 * (2^n - 1) + 16 n ms after the first run, so the first to succeed is
    the 14th, at 82.1 s. (The first run is at 0.1 to 0.2 s, when the informer has synced.)"""
    run = failing()
    assert run.status["controller.recovery_seconds"] == "reached"
    assert run.metrics["controller.recovery_seconds"] == pytest.approx(22.3, abs=0.3)
    assert run.metrics["controller.errors"] == 5 * 14
    assert run.metrics["controller.runs_per_event"] == 15
    assert run.metrics["controller.failing_keys"] == 0
    assert run.metrics["controller.failing_keys.max"] == 5
    assert run.writers["x"]["puts"] == 5


def test_what_is_dropped_does_not_recover():
    run = failing(max_retries=3)
    assert run.metrics["workqueue.dropped"] == run.metrics["controllers.x.dropped"] == 5
    assert run.metrics["controller.recovery_seconds"] is None
    assert run.status["controller.recovery_seconds"] == "never"
    assert run.metrics["controller.failing_keys"] == 5
    assert run.metrics["controller.runs_per_event"] == 4


def test_the_resync_brings_back_what_was_dropped():
    run = failing(max_retries=3, watch={"predicate": "none", "resync": "90s"})
    assert run.metrics["workqueue.dropped"] == 5
    assert run.metrics["controller.recovery_seconds"] == pytest.approx(30, abs=10)  # 90 s after the start, a tenth more or less
    assert run.writers["x"]["puts"] == 5


def test_nothing_is_said_of_a_recovery_before_the_fault_is_over():
    assert failing(until="10m").status["controller.recovery_seconds"] == "unknown"
    calm = simulate("10s", workloads=apps(5), controllers=controller(reconcile=WRITES))
    assert calm.status["controller.recovery_seconds"] == "unknown"
    assert failing(until="10ms", horizon="30s").metrics["controller.recovery_seconds"] == 0  # nobody was there yet to notice


def test_a_slow_api_server_adds_to_each_request_while_it_lasts():
    fault = {"kind": "apiserver_slow", "target": "apiservers.api", "at": "10s", "for": "10s", "adds": "2s"}
    workload = {"kind": "writers", "object": "app", "clients": 1, "think": {"constant": "1s"}, "write": {"verb": "update"}}
    run = simulate("30s", workloads={"w": workload}, faults={"slow": fault})
    # A round is a second, and a read and a write of 3 ms; in the ten seconds it is five seconds long.
    assert run.metrics["writes.change_seconds.max"] == pytest.approx(4.0055, abs=0.002)
    assert run.metrics["writes.succeeded"] == 9 + 2 + 10
    assert [incident.kind for incident in run.incidents] == ["apiserver_slow"]


def test_what_a_controller_needs_is_away():
    """Every run ends with an error before it writes; the first after the end succeeds."""
    fault = {"kind": "reconcile_failure", "target": "controllers.x", "at": "0s", "for": "10s"}
    limiter = {"kind": "rate_limiting", "limiter": {"exponential": {"base": "1s", "max": "1s"}}}
    watches = {"apps": {"predicate": "generation_changed"}}
    made = controller(queue=limiter, reconcile=WRITES, watches=watches)
    run = simulate("30s", workloads=apps(5), controllers=made, faults={"away": fault})
    assert run.metrics["controller.errors"] == 5 * 10
    assert run.metrics["writes.requests"] == run.writers["x"]["puts"] == 5
    assert 0 < run.metrics["controller.recovery_seconds"] < 1.1
