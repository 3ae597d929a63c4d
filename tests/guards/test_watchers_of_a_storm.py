"""What a storm's watchers at etcd cost its applies, and how late they hear."""

from __future__ import annotations

from typing import Any

import pytest
from guarded_world import ETCD, OBJECTS

import sim
from sim.scenario import from_dict
from sim.units import MICROSECOND, SECOND


def run(as_: str = "cohorts", rate: str = "4000/s", costs: Any = None, **storm: Any) -> dict[str, Any]:
    etcd = {**ETCD, "costs": {"apply": {"constant": "10us"}, "watch_event": "2us", **(costs or {})}}
    workload = {"kind": "storm", "as": as_, "gaps": "even", "object": "batch", "rate": rate, "for": "500ms", **storm}
    data = {"horizon": "1s", "etcd": etcd, "objects": OBJECTS, "apiservers": {}, "workloads": {"storm": workload},
            "background": {"nodes": 0, "leader_elections": 0}}  # fmt: skip
    return sim.run(from_dict(data), workers=1)["default"].metrics


def test_each_watcher_takes_its_part_of_every_apply() -> None:
    bare, watched = run(), run(watchers=50)
    assert bare["storm.watch_events"] == 0
    assert bare["storm.watch_lag_mean_seconds"] is None
    assert watched["storm.accepted"] == 2_000 == bare["storm.accepted"]
    assert watched["storm.watch_events"] == 50 * 2_000 == watched["workloads.storm.storm.watch_events"]
    assert watched["storm.watch_apply_seconds"] == pytest.approx(2_000 * 50 * 2e-6)
    # Inside a batch one apply follows the other: without contention its execution is longer by what the watchers take.
    longer = watched["etcd.apply_execution_seconds.p50"] - bare["etcd.apply_execution_seconds.p50"]
    assert longer == pytest.approx(50 * 2e-6, rel=0.03)


def test_a_slow_stream_loses_sync_and_gets_what_it_missed_in_large_responses() -> None:
    """2,000 puts in half a second; a stream sends 1,000 responses a second. It loses sync with 128 in its channel, some 260 puts
    after the start; then a response of up to 1,000 events takes it 2 ms only."""
    slow, fast = run(watchers=1, watch_send="1ms"), run(watchers=1, watch_send="1us")
    assert slow["storm.watch_beyond_channel"] >= 1
    assert slow["etcd.slow_watchers.max"] == 1
    assert 0.12 < slow["storm.watch_lag_seconds"] < 0.4
    assert slow["storm.watch_events"] == pytest.approx(2_000, abs=1)
    assert fast["storm.watch_beyond_channel"] == fast["etcd.watch_rounds"] == 0
    assert fast["storm.watch_lag_seconds"] * SECOND < 10 * MICROSECOND
    assert slow["storm.accepted"] == fast["storm.accepted"]


ALIKE = {"rate": "14000/s", "retry": {"attempts": 2, "base": "50ms"}}


def test_cohorts_and_single_requests_are_watched_alike() -> None:
    single, many = (run(as_, watchers=30, watch_send="30us", **ALIKE) for as_ in ("requests", "cohorts"))
    assert single["storm.accepted"] > 5_000
    assert {name for name in single if single[name] != many[name] and "apply_tail_share" not in name} == set()


def test_who_loses_sync_of_a_cohort_makes_its_applies_shorter_a_little_later() -> None:
    """An apply without it is shorter; a stretch of a cohort, at most 10 ms, is computed at once."""
    settings = {"watchers": 600, "watch_send": "200us", "costs": {"watch_event": "30ns"}, **ALIKE}
    single, many = (run(as_, **settings) for as_ in ("requests", "cohorts"))
    assert single["storm.watch_beyond_channel"] >= 600
    assert single["etcd.watch_rounds"] >= 2
    for name in single:
        if "apply_tail_share" not in name and single[name] is not None:
            assert many[name] == pytest.approx(single[name], rel=1e-3), name
