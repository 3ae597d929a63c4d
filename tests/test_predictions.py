"""What must follow from the one fitted number, without refitting: each of these can fail.

With churn c, requeue period P and time T the leak's law is c T^2 / (2 P) keys. In the first half of the small scenario
c = 1 / 15.7 s, P = 10 s and T = 4320 s give 59,436 keys, and a rate of T / 157 s per second: half the final rate of the
article's day, reached in a twentieth of the time.
"""

from __future__ import annotations

import pytest

import sim

CHURN, PERIOD, HORIZON = 15.7, 10.0, 4320.0
LEAK = HORIZON**2 / (2 * CHURN * PERIOD)


@pytest.fixture
def leak(leak):
    """The same, for the first half of its time."""
    return lambda variant="leaking", change=None: leak(variant, {"horizon": "72m", **(change or {})})


def leaked(run: sim.Run) -> float:
    """Keys that the controller itself created."""
    return run.writers["zero-pod-writer"]["keys_created"]


def test_the_leak_grows_quadratically(leak):
    assert leaked(leak()) == pytest.approx(LEAK, rel=0.01)
    created = leak().series["etcd.keys_created"]
    junk = created - 8 * created.index / CHURN  # without a pod's own keys
    assert junk.iloc[-1] / junk.iloc[len(junk) // 2 - 1] == pytest.approx(4, rel=0.02)


def test_half_the_horizon_gives_a_quarter_of_the_keys(leak):
    assert leaked(leak(change={"horizon": "36m"})) == pytest.approx(leaked(leak()) / 4, rel=0.02)


def test_twice_the_requeue_period_gives_half_the_keys(leak):
    slower = leak(change={"controllers.zero-pod-writer.reconcile.every": "20s"})
    assert leaked(slower) == pytest.approx(leaked(leak()) / 2, rel=0.01)


@pytest.mark.parametrize("qps", [10, 20])
def test_a_client_limit_turns_the_curve_linear_from_the_moment_it_is_reached(leak, qps):
    limited = leak(change={"controllers.zero-pod-writer.client.qps": qps, "controllers.zero-pod-writer.client.burst": 30})
    reached = qps * CHURN * PERIOD
    assert leaked(limited) == pytest.approx(qps * reached / 2 + qps * (HORIZON - reached), rel=0.01)
    created = limited.series["etcd.keys_created"]
    late = created[created.index > reached + 300]
    rate = (late.iloc[-1] - late.iloc[0]) / (late.index[-1] - late.index[0])
    assert rate == pytest.approx(qps + 8 / CHURN, rel=0.02)  # and churn's own keys


def test_safe_deletion_leaves_the_keys_of_churn_alone(leak):
    fixed = leak("fixed")
    per_pod = 8  # the pod and its seven Events
    assert fixed.metrics["etcd.keys_created_per_hour"] == pytest.approx(per_pod * 3600 / CHURN, rel=0.02)
    assert leaked(fixed) == 2  # its own lease, and the Event that it leads
    assert fixed.metrics["cache.zero_value_keys"] == 0


def test_the_stock_of_zero_values_is_the_churn(leak):
    assert leak().metrics["cache.zero_value_keys"] == pytest.approx(HORIZON / CHURN, abs=3)
    seen = leak().metrics["cache.zero_values_seen"]
    assert seen == pytest.approx(leaked(leak()), abs=3)  # the exporter's counter is stock x passes: here one key each


def compaction(keys: int, every: str = "2m", think: str = "105ms") -> sim.Run:
    """Six writers over so many live keys that exist from the start, compacted every two minutes; 24 minutes."""
    scenario = sim.load("apply-peak").with_(
        {
            "horizon": "24m",
            "etcd.preload": {"junk-pod": keys} if keys else {},
            "etcd.compaction": {"by": "apiserver", "every": every} if every else {"by": "never"},
            "etcd.quota": "off",
            "clients.writers.think": think,
        }
    )
    return sim.run(scenario, variants=["baseline"], workers=1)["baseline"]


def test_ten_times_the_live_keys_take_ten_times_the_compaction():
    runs = [compaction(keys, think="10s") for keys in (100_000, 1_000_000)]
    few, many = (run.quantile("etcd.compaction_seconds", 0.5, between=("8m", "24m")) for run in runs)
    assert many == pytest.approx(10 * few, rel=0.1)


def test_live_keys_lengthen_the_apply_tail_through_compaction_alone():
    none, many, untouched = compaction(0), compaction(1_000_000), compaction(1_000_000, every="")

    def tails(q: float) -> list[float]:
        return [run.quantile("etcd.apply_seconds", q, between=("5m", "24m")) for run in (none, many, untouched)]

    few, longer, _ = tails(0.99)
    assert longer > 1.2 * few  # at the same rate of writes
    # Commits make a step at the 99th percentile; beside it the tails can be compared.
    few, longer, without = tails(0.98)
    assert longer > 2 * few
    assert without == pytest.approx(few, rel=0.1)
    assert tails(0.995)[2] == pytest.approx(tails(0.995)[0], rel=0.1)
    assert many.metrics["etcd.apply_tail_share.compaction"] > 0.1
    assert untouched.metrics["etcd.apply_tail_share.compaction"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("every", "grows"), [("5m", True), ("never", False)])
def test_the_days_p99_apply_grows_with_compaction_and_not_without(every, grows):
    change = {"etcd.compaction.by": "never"} if every == "never" else {}
    run = sim.run(sim.load("zero-value-leak").with_({**change, "etcd.quota": "off"}), variants=["leaking"])["leaking"]
    first = run.quantile("etcd.apply_seconds", 0.99, between=("3h", "6h"))
    last = run.quantile("etcd.apply_seconds", 0.99, between=("23h", "24h"))
    assert (last > 1.1 * first) is grows


@pytest.mark.slow
@pytest.mark.parametrize(("qps", "keys"), [(None, 2.37e6), (10, 0.79e6), (20, 1.41e6), (50, 2.36e6)])
def test_the_whole_day(qps, keys):
    change = {} if qps is None else {"controllers.zero-pod-writer.client": {"qps": qps, "burst": 30}}
    run = sim.run(sim.load("zero-value-leak").with_(change), variants=["leaking"])["leaking"]
    assert leaked(run) == pytest.approx(keys, rel=0.01)
