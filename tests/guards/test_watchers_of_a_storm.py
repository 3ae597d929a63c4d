"""What a storm's watchers at etcd cost its applies, and how late they hear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from guarded_world import ETCD, OBJECTS

import sim
from sim.etcd.fan_out import FanOut
from sim.scenario import from_dict
from sim.units import MICROSECOND, SECOND


def one_by_one(times: list[int], send: int) -> tuple[int, int, int]:
    """Longest lag, sum of lags, most that wait: a queue, event by event."""
    free, lags, waiting, ends = 0, [], [], []
    for at in times:
        free = max(free, at) + send
        ends.append(free)
        lags.append(free - at)
        waiting.append(sum(end > at for end in ends))
    return max(lags), sum(lags), max(waiting)


@pytest.mark.parametrize("send", [1, 7, 40, 300])
@pytest.mark.parametrize("pieces", [1, 9])
def test_a_stream_is_a_queue(send: int, pieces: int) -> None:
    times = np.cumsum(np.random.default_rng(send).integers(1, 60, 400))
    fan = FanOut(3, 2, send)
    for piece in np.array_split(times, pieces):
        fan.hear(piece)
    fan.hear(times[:0])
    assert (fan.longest, fan.total, fan.most) == one_by_one(times.tolist(), send)
    assert (fan.puts, fan.events, fan.applying) == (400, 1200, 2400)


def test_who_finds_the_channel_full() -> None:
    fan = FanOut(1, 0, 1000)
    fan.hear(np.arange(200))  # all before the first has left
    assert (fan.most, fan.beyond) == (200, 72)


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


def test_a_slow_stream_falls_behind_by_what_it_cannot_send() -> None:
    """2,000 puts in half a second; a stream sends 1,000 a second: three quarters of them wait at the end, for 1.5 s."""
    slow, fast = run(watchers=1, watch_send="1ms"), run(watchers=1, watch_send="1us")
    assert slow["storm.watch_backlog"] == pytest.approx(1_500, rel=0.02)
    assert slow["storm.watch_lag_seconds"] == pytest.approx(1.5, rel=0.02)
    assert slow["storm.watch_lag_mean_seconds"] == pytest.approx(0.75, rel=0.02)
    assert slow["storm.watch_beyond_channel"] > 1_800
    assert fast["storm.watch_beyond_channel"] == 0
    assert fast["storm.watch_lag_seconds"] * SECOND < 10 * MICROSECOND
    assert slow["storm.accepted"] == fast["storm.accepted"]  # the store waits for nobody's stream


def test_cohorts_and_single_requests_are_watched_alike() -> None:
    settings = {"rate": "20000/s", "watchers": 30, "watch_send": "200us", "retry": {"attempts": 2, "base": "50ms"}}
    single, many = run("requests", **settings), run("cohorts", **settings)
    assert single["storm.watch_backlog"] > 100
    assert single["storm.accepted"] > 5_000
    differ = {name for name in single if single[name] != many[name] and "apply_tail_share" not in name}
    assert differ == set()
