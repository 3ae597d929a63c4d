"""Alert rules on a run: what fires in which world, and that the article's rule measures a stock, not its growth."""

from __future__ import annotations

from typing import Any

import pytest

import sim
from sim.errors import InputError
from sim.simulation import run_variant


def run(variant: str, **change: Any) -> sim.Run:
    return run_variant(sim.load("zero-value-alerts", set={"etcd.quota": "20MiB", **change}), variant)


def test_a_stock_that_nobody_adds_to_alarms_as_written_for_ever() -> None:
    """Sixty entries visited every ten seconds are 6/s; the rule on etcd's keys is quiet."""
    stock = run("constant-stock", horizon="50m", **{"workloads.ended.every": "10s", "workloads.ended.until": "601s"})
    assert stock.metrics["cache.zero_value_keys"] == 60
    fired = stock.metrics["alerts.growth-as-written.first_seconds"]
    assert fired is not None
    # To the end: 6/s is above 5 as soon as 15 minutes hold enough of it, and stays.
    assert stock.metrics["alerts.growth-as-written.firing_seconds"] == pytest.approx(3000 - fired, abs=20)
    assert stock.metrics["alerts.keys.fired"] == 0
    assert [incident.kind for incident in stock.incidents].count("alert") >= 1
    fewer = run("constant-stock", horizon="50m", **{"workloads.ended.every": "15s", "workloads.ended.until": "601s"})
    assert fewer.metrics["cache.zero_value_keys"] == 40
    assert fewer.metrics["alerts.growth-as-written.fired"] == 0  # 4/s
    assert fewer.metrics["alerts.growth-as-told.fired"] == 1  # 240 a minute


def test_the_normal_level_and_the_repaired_controller_are_quiet() -> None:
    normal = run("normal", horizon="40m")
    assert normal.metrics["cache.zero_values_seen"] == pytest.approx(80, abs=4)  # twice a minute
    for name in ("growth-as-written", "growth-as-told", "keys", "fsync", "unfinished"):
        assert normal.metrics[f"alerts.{name}.fired"] == 0
        assert normal.status[f"alerts.{name}.first_seconds"] == "never"


def test_the_leak_is_told_before_the_quota() -> None:
    leak = run("leaking", horizon="36m", **{"workloads.pod-churn.every": "7.85s"})
    quota = leak.metrics["etcd.seconds_to_quota"]
    for name in ("growth-as-written", "growth-as-told", "keys"):
        lead = leak.metrics[f"alerts.{name}.lead_seconds"]
        assert lead is not None
        assert lead == pytest.approx((quota or 0) - (leak.metrics[f"alerts.{name}.first_seconds"] or 0), abs=20)
        assert lead > 0
    assert leak.metrics["alerts.growth-as-told.lead_seconds"] > leak.metrics["alerts.growth-as-written.lead_seconds"]  # type: ignore[operator]


def test_a_stalled_disk_fires_the_rule_on_fsync() -> None:
    stall = {"kind": "disk_stall", "target": "members.a", "for": "900ms"}
    stalls = {f"stall-{at}": {**stall, "at": f"{at}s"} for at in range(60, 360, 2)}
    stalled = run("fixed", horizon="6m", faults=stalls)
    assert stalled.metrics["alerts.fsync.fired"] == 1


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ({"expr": "rate(etcd_mvcc_put_total[5m]) >"}, "alerts.a.expr: ends too early"),
        ({"expr": "etcd_disk_backend_fsync_duration_seconds_bucket > 1"}, "_fsync_duration_seconds: etcd has no such metric"),
        ({"for": "5m"}, "alerts.a.expr: missing"),
        ({"expr": "workqueue_depth > 1", "severity": "page"}, "alerts.a.severity: unknown key"),
        ({"expr": "workqueue_depth > 1", "for": "soon"}, "alerts.a.for"),
        ({"expr": "workqueue_depth > 1", "too_late": "nothing"}, "alerts.a.too_late: nothing: no run exposes"),
    ],
)  # fmt: skip
def test_bad_rules_are_refused_in_one_line(alert: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        sim.load("zero-value-leak", set={"alerts": {"a": alert}})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
