"""What stands between a write and etcd: webhooks, limits of size and time (facts 5.2, 5.4)."""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, simulate

WAY = 6.2e-3
"""A turn of a loop of writes, but for the webhooks: see test_hot_loops."""


def loop(horizon="1m", **webhooks):
    """One object that its controller writes again and again."""
    hooks = {name: {"match": "update apps", **hook} for name, hook in webhooks.items()}
    return simulate(
        horizon, workloads=apps(1), controllers=controller(reconcile={"writes": {"s": {"verb": "update"}}}), webhooks=hooks
    )


def constant(latency: str, **settings):
    return {"latency": {"constant": latency}, **settings}


def test_a_webhook_slows_the_loop_down():
    run = loop(slow=constant("200ms"))
    assert run.metrics["controller.reconciles"] == pytest.approx(60 / (0.2 + WAY), rel=0.01)
    assert run.metrics["controller.errors"] == 0


def test_mutating_ones_add_up_and_validating_ones_do_not():
    """100 + 50 ms one after the other, then the longer of 30 and 20 ms."""
    run = loop(a=constant("100ms", kind="mutating"), b=constant("50ms", kind="mutating"), c=constant("30ms"), d=constant("20ms"))
    assert run.metrics["controller.reconciles"] == pytest.approx(60 / (0.18 + WAY), rel=0.01)


def test_what_does_not_match_costs_nothing():
    other = loop("10s", pods=constant("1s", match="update pods"), creates=constant("1s", match="create delete apps"))
    assert other.metrics["controller.reconciles"] == loop("10s").metrics["controller.reconciles"]


@pytest.mark.parametrize(
    "failing", [constant("11s"), constant("60s", timeout="10s"), constant("30s", timeout="10s", kind="mutating")]
)
def test_one_that_does_not_answer_in_time_fails_the_write(failing):
    """Ten seconds each, and the limiter's milliseconds: five errors in a minute, no write."""
    run = loop(down=failing)
    assert run.metrics["controller.errors"] == run.metrics["apiserver.rejected"] == 5
    assert "x" not in run.writers
    assert run.metrics["workqueue.work_seconds.max"] == pytest.approx(10, abs=0.01)


def test_or_is_ignored_after_the_same_time():
    run = loop(down=constant("11s", failure_policy="ignore"))
    assert run.metrics["controller.errors"] == 0
    assert run.writers["x"]["puts"] == 5


def test_one_that_fails_at_once_stops_every_write():
    run = loop(down=constant("1ms", failing=1.0))
    assert "x" not in run.writers
    assert run.metrics["controller.errors"] == 14  # back-off of the key: see test_failing_reconciles
    open_ = loop("10s", down=constant("1ms", failing=1.0, failure_policy="ignore"))
    assert open_.metrics["controller.errors"] == 0


def test_what_is_denied_is_an_error():
    run = loop("20s", strict=constant("10ms", denying=0.5))
    denied = run.metrics["apiserver.rejected"]
    assert denied == run.metrics["controller.errors"] == run.metrics["workqueue.retries"]
    assert denied == pytest.approx(run.metrics["writes.requests"] / 2, rel=0.15)


def test_a_server_that_tries_again_pays_again():
    """Two controllers in step patch their own fields: one transaction fails each time, and its webhook is called once more."""

    def longest(fields, latency):
        controllers = {
            name: controller(
                watches={"apps": {"predicate": "generation_changed"}},
                reconcile={"every": "1s", "writes": {"s": {"verb": "merge_patch", "field": field}}},
            )["x"]
            for name, field in zip("xy", fields, strict=True)
        }  # fmt: skip
        hooks = {"slow": {"match": "update apps", **constant(latency)}}
        return simulate("5s", workloads=apps(1), controllers=controllers, webhooks=hooks).metrics["apiserver.request_seconds.max"]

    once = longest(("a", "b"), "0ms")
    assert longest(("a", "b"), "200ms") == pytest.approx(once + 2 * 0.2, abs=0.01)


def test_who_loses_a_race_has_been_reviewed_twice():
    """The server reviews the retry before it sees that the object is no longer the one that was read."""

    def longest(latency):
        writers = {"kind": "writers", "object": "app", "clients": 2, "think": {"constant": "100ms"}, "write": {"verb": "update"}}
        hooks = {"slow": {"match": "update app", **constant(latency)}}
        metrics = simulate("1s", workloads={"w": writers}, webhooks=hooks).metrics
        assert metrics["writes.conflicts"] > 0
        return metrics["apiserver.request_seconds.max"]

    assert longest("20ms") == pytest.approx(longest("0ms") + 2 * 0.02, abs=0.001)


@pytest.mark.parametrize(("size", "sent"), [("1.4MiB", True), ("2MiB", False), ("4MiB", False)])
def test_an_object_may_be_1_5_mib_large(size, sent):
    """etcd takes 1.5 MiB (413 for the client), the API server bodies of 3 MiB: above that etcd does not even see it."""
    objects = {"app": {"key_bytes": 50, "value_bytes": size}}
    run = simulate(
        "10s", workloads=apps(1), objects=objects, controllers=controller(reconcile={"writes": {"s": {"sets": "generation"}}})
    )
    assert ("x" in run.writers) is sent
    assert run.metrics["etcd.requests_refused"] == (11 if size == "2MiB" else 0)  # each a reconcile: 5 ms (2^11 - 1) is over 10 s
    assert run.metrics["controller.errors"] == (0 if sent else 11)


def test_two_servers_share_the_work():
    """Each has its cache and its watchers; what is written through one is seen through the other."""
    one, two = (
        simulate(
            "20s", workloads=apps(10, change_every="0.5s"), server={"count": count},
            controllers=controller(count=2, reconcile={"writes": {"s": {"sets": "generation", "verb": "merge_patch"}}}),
        )
        for count in (1, 2)
    )  # fmt: skip
    for run in (one, two):
        assert run.writers["x"]["puts"] == 10 + 39
        assert run.metrics["watch.events_sent"] == 2 * (10 + 39 + 10 + 39)
