"""Clients that give up: what they ask for again, what the server has done all the same, and a client that learns to wait."""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, simulate

SLOW = {"slow": {"kind": "apiserver_slow", "target": "apiservers.api", "at": "0s", "for": "2m", "adds": "6s"}}
WRITES = {"writes": {"status": {"verb": "update", "sets": "generation"}}}
LIMITER = {"kind": "rate_limiting", "limiter": {"exponential": {"base": "1s", "max": "1s"}}}


def run(timeout: object, horizon: str = "1m", faults=None, **settings):
    """One object, whose status a controller sets once; a failure comes back after a second."""
    watches = {"apps": {"predicate": "generation_changed"}}
    made = controller(client={"timeout": timeout}, queue=LIMITER, reconcile=WRITES, watches=watches, **settings)
    return simulate(horizon, workloads=apps(1), controllers=made, faults=SLOW if faults is None else faults)


def test_who_waits_asks_once():
    metrics = run("off").metrics
    assert metrics["rest_client.timeouts"] == metrics["controller.errors"] == 0
    assert metrics["writes.succeeded"] == 1
    assert metrics["writes.change_seconds.max"] == pytest.approx(6.0036, abs=0.002)


def test_who_gives_up_asks_for_ever_for_what_has_been_done():
    """Five seconds, a pause of one: a request each 6.001 s from about 6 s on, when the list is here. The first one writes."""
    gives_up = run("5s")
    metrics = gives_up.metrics
    assert metrics["writes.succeeded"] == 0
    assert metrics["rest_client.timeouts"] == metrics["controller.errors"] == 9
    assert gives_up.writers["x"]["puts"] == 1
    assert metrics["apiserver.unchanged"] == 6  # the second is a conflict, which nobody hears of; the last ones are under way
    assert metrics["controller.failing_keys"] == 1


def test_a_longer_limit_is_no_limit():
    assert run("7s").metrics["rest_client.timeouts"] == 0


def test_who_adapts_gives_up_three_times():
    """One, two, four seconds are too short, eight are not."""
    metrics = run("adaptive").metrics
    assert metrics["rest_client.timeouts"] == metrics["controller.errors"] == 3
    assert metrics["controller.failing_keys"] == 0
    assert metrics["writes.succeeded"] == 1


def test_an_answer_that_comes_late_is_not_taken_for_that_of_the_next_request():
    """The server is slow for the first request alone: given up at 2 s, the second succeeds at 3 s, the first is done at 6 s."""
    brief = {"slow": {"kind": "apiserver_slow", "target": "apiservers.api", "at": "50ms", "for": "1s", "adds": "6s"}}
    metrics = run("2s", faults=brief).metrics
    assert metrics["rest_client.timeouts"] == 1
    assert metrics["writes.succeeded"] == 1
    assert metrics["controller.reconciles"] == 2


def test_creates_of_zero_values_give_up_too():
    made = controller(
        client={"timeout": "1s"}, queue=LIMITER, cache={"on_delete": "keep-zero-value"},
        reconcile={"every": "10s", "on_zero_value": {"create": "app"}},
    )  # fmt: skip
    churn = {"apps": {"kind": "objects", "object": "app", "count": 1, "replace_every": "20s"}}
    metrics = simulate("50s", workloads=churn, controllers=made, faults=SLOW).metrics
    assert metrics["rest_client.timeouts"] > 5
    assert metrics["controller.errors"] == metrics["rest_client.timeouts"]


def test_without_slowness_a_limit_changes_nothing():
    quick, free = (run(timeout, faults={}).metrics for timeout in ("5s", "off"))
    same = ("etcd.revision", "writes.succeeded", "rest_client.requests", "writes.change_seconds.max", "etcd.wal_bytes_written")
    assert {name: quick[name] for name in same} == {name: free[name] for name in same}
