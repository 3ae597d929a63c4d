"""The scenarios about controllers that come with etcdsim: each shows what its first line says, here over a shorter time."""

from __future__ import annotations

import pytest

import sim


def runs(name: str, horizon: str, *variants: str):
    return sim.run(sim.load(name).with_({"horizon": horizon}), variants=list(variants), workers=1)


def test_hot_loop():
    found = runs("hot-loop", "60s", "counter", "limited", "timestamp", "timestamp-first", "generation", "predicate")
    reconciles = {variant: run.metrics["controller.reconciles"] for variant, run in found.items()}
    assert reconciles["predicate"] == 200 + 11
    assert reconciles["generation"] == pytest.approx(2 * reconciles["predicate"], abs=2)
    assert reconciles["timestamp-first"] == pytest.approx(reconciles["generation"], rel=0.1)
    assert reconciles["counter"] == pytest.approx(4 * 60 / 0.063, rel=0.1)  # four workers, 63 ms a run on average
    assert reconciles["timestamp"] == pytest.approx(reconciles["counter"], rel=0.05)
    assert reconciles["limited"] == pytest.approx(20 * 59 + 30, rel=0.02)


def test_leader_failover():
    found = runs("leader-failover", "3m", "calm", "short-stall", "stall", "stall-released", "outage", "crash", "full")
    without = {variant: run.metrics["leader_election.leaderless_seconds"] for variant, run in found.items()}
    assert without["calm"] == without["short-stall"] == 0
    assert without["stall"] > 15 > 10 > without["outage"] > 0  # the standby has seen the last renewal before an outage
    assert without["full"] > 100
    assert found["crash"].metrics["controller.restarts"] >= 1


def test_error_storm():
    found = runs("error-storm", "1m", "with-bucket", "exponential", "priority-queue", "slow-start", "fast-slow")
    calls = {variant: run.metrics["controller.reconciles"] for variant, run in found.items()}
    assert calls["with-bucket"] == pytest.approx(1100 + 10 * 60, abs=30)
    assert calls["exponential"] == pytest.approx(13.5 * 1000, rel=0.05)
    assert calls["priority-queue"] == pytest.approx(calls["exponential"], rel=0.02)
    assert calls["slow-start"] == pytest.approx(6 * 1000, rel=0.05)
    assert calls["fast-slow"] > 2 * calls["exponential"]
    dropped = runs("error-storm", "320s", "three-tries")["three-tries"]  # the bucket needs 300 s for 3,000 retries
    assert dropped.metrics["controller.reconciles"] == 4000
    assert dropped.metrics["workqueue.dropped"] == 1000


def test_write_conflicts():
    variants = (
        "update", "update-retried", "merge-patch", "merge-patch-as-claimed", "merge-patch-locked", "apply", "apart",
    )  # fmt: skip
    found = {variant: run.metrics for variant, run in runs("write-conflicts", "30s", *variants).items()}
    assert found["update"]["writes.conflicts"] == found["merge-patch-locked"]["writes.conflicts"] > 100
    assert found["merge-patch-as-claimed"] == found["merge-patch-locked"]
    costs = {variant: metrics["writes.transactions_per_change"] for variant, metrics in found.items()}
    assert costs["apart"] == 1
    assert 1.1 < costs["update-retried"] < costs["merge-patch"] < 2  # the server's own second try is spent on a lost update
    assert found["update-retried"]["writes.change_seconds.p99"] > 2 * found["update"]["writes.change_seconds.p99"]
    assert found["update-retried"]["writes.given_up"] < 0.05 * found["update"]["writes.conflicts"]
    assert found["merge-patch"]["writes.lost_updates"] > 100
    assert found["merge-patch"]["writes.conflicts"] == found["apart"]["writes.conflicts"] == 0
    assert found["apply"]["writes.conflicts"] > 0.9 * found["apply"]["writes.requests"]
    for variant in ("update", "update-retried", "merge-patch-locked", "apart"):
        assert found[variant]["writes.lost_updates"] == 0


def test_apf_overload():
    found = runs("apf-overload", "1m", "fair", "unfair", "fewer-shares", "fast-webhook")
    beats = {variant: run.writers["node-heartbeats"]["puts"] for variant, run in found.items()}
    assert beats["fair"] == beats["fewer-shares"] == beats["fast-webhook"] > 1.02 * beats["unfair"]
    assert found["unfair"].metrics["apiserver.throttled"] > 1000 > found["fair"].metrics["apiserver.throttled"] == 0
    assert found["fewer-shares"].metrics["writes.succeeded"] < 0.2 * found["fair"].metrics["writes.succeeded"]
    assert found["fast-webhook"].metrics["writes.succeeded"] > 1.5 * found["fair"].metrics["writes.succeeded"]


def test_informer_outage():
    found = runs("informer-outage", "4m", "calm", "outage", "with-predicate", "slow-handler")
    relists = {variant: run.metrics["watch.relists"] for variant, run in found.items()}
    assert relists == {"calm": 0, "outage": 3, "with-predicate": 3, "slow-handler": 0}
    reconciles = {variant: run.metrics["controller.reconciles"] for variant, run in found.items()}
    assert reconciles["outage"] > reconciles["calm"] + 3 * 1500  # three lists of 2,000, less what they were not told
    assert reconciles["with-predicate"] <= reconciles["calm"]
    assert reconciles["slow-handler"] == pytest.approx(6 * 240 / 0.3, rel=0.02)


def test_degenerate_keys():
    found = {name: run.metrics for name, run in runs("degenerate-keys", "30s", "sound", "malformed", "all").items()}
    for metrics in found.values():
        # Each object is listed or lost, but for those that are being replaced.
        assert metrics["informer.keys"] + metrics["informer.objects_lost"] == pytest.approx(1000, abs=2)
    assert found["sound"]["informer.objects_lost"] == found["sound"]["controller.errors"] == 0
    assert 40 <= found["malformed"]["informer.objects_lost"] <= 60
    assert found["malformed"]["informer.degenerate_keys.max"] == 2
    assert found["all"]["informer.keys"] <= 2
    assert found["all"]["writes.succeeded"] == 0


def test_impatient_clients():
    variants = ("fixed", "adaptive", "patient", "fixed-below", "elected")
    found = {name: run.metrics for name, run in runs("impatient-clients", "3m", *variants).items()}
    assert found["fixed"]["controller.errors"] == found["fixed"]["rest_client.timeouts"] > 300
    assert found["adaptive"]["rest_client.timeouts"] < 20
    assert found["patient"]["rest_client.timeouts"] == found["fixed-below"]["rest_client.timeouts"] == 0
    assert found["fixed"]["controller.runs_per_event"] > 1.5
    assert found["patient"]["controller.runs_per_event"] == pytest.approx(1, abs=0.03)  # but for runs that are under way
    # What was given up was done: etcd has heard the same, whoever waited.
    assert found["fixed"]["etcd.puts"] == pytest.approx(found["patient"]["etcd.puts"], rel=0.05)
    assert found["elected"]["leader_election.leaderless_seconds"] > 60


def test_workqueue_protection():
    variants = ("max-of", "three-tries", "exponential", "exponential-three", "slow-max-of", "slow-patient")
    found = {name: run.metrics for name, run in runs("workqueue-protection", "5m", *variants).items()}
    failing = found["max-of"]["controller.failing_keys.max"]  # what was changed in the two minutes: five a second
    assert failing == pytest.approx(600, rel=0.1)
    # The bucket lets a hundred and ten a second come again, whoever they are; three tries spare nothing beside it.
    assert found["max-of"]["controller.errors"] == pytest.approx(failing + 100 + 10 * 120, abs=20)
    assert found["three-tries"]["controller.errors"] == pytest.approx(found["max-of"]["controller.errors"], abs=20)
    assert found["three-tries"]["workqueue.dropped"] > 300
    # Without it each key comes again by itself, and three tries are four runs a key; the last few meet the end of the trouble.
    assert found["exponential"]["controller.errors"] > 4 * found["max-of"]["controller.errors"]
    assert found["exponential-three"]["controller.errors"] == pytest.approx(4 * failing, abs=8)
    assert found["exponential-three"]["workqueue.dropped"] == pytest.approx(failing, abs=2)
    recovery = {name: metrics["controller.recovery_seconds"] for name, metrics in found.items()}
    assert recovery["max-of"] == pytest.approx(60, rel=0.2)  # what waits for tokens at the end: 580 keys, ten a second
    assert recovery["exponential"] < 120  # the delay doubles: at most as long again as the trouble lasted
    assert found["max-of"]["workqueue.unfinished_seconds.max"] < 1 < found["slow-patient"]["workqueue.unfinished_seconds.max"]
    assert found["slow-max-of"]["controller.errors"] > 300
    assert found["slow-patient"]["controller.errors"] == 0
