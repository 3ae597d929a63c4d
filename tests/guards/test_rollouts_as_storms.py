"""What a rollout offers, pod by pod, and what cures a storm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from guarded_world import ETCD, OBJECTS

import sim
from sim.processes.storm import arrivals
from sim.scenario import from_dict
from sim.streams import Streams
from sim.units import SECOND

ROLLOUT = {"pods": 4, "writes": 20_000, "rate": "40000/s", "every": "1s"}


def course(**rollout: Any) -> list[tuple[float, float, float]]:
    workload = {"kind": "storm", "object": "batch", "from": "1s", "rollout": {**ROLLOUT, **rollout}}
    scenario = from_dict({"horizon": "9s", "etcd": ETCD, "objects": OBJECTS, "apiservers": {}, "background": {"nodes": 0},
                          "workloads": {"storm": workload}})  # fmt: skip
    return [(begin / SECOND, end / SECOND, rate) for begin, end, rate in scenario.workloads["storm"].course()]


def test_pods_come_one_after_the_other() -> None:
    assert course() == [(1, 1.5, 40_000), (2, 2.5, 40_000), (3, 3.5, 40_000), (4, 4.5, 40_000)]
    assert course(partition=3) == [(1, 1.5, 40_000)]
    assert course(partition=9) == []
    assert list(arrivals([], None)) == []
    assert course(max_unavailable=3) == [(1, 1.5, 40_000)] * 3 + [(2, 2.5, 40_000)]
    assert course(min_ready="500ms")[-1] == (5.5, 6, 40_000)


@pytest.mark.parametrize("law", ["even", "exponential"])
def test_arrivals_follow_their_course(law: str) -> None:
    """Pieces that overlap add up, between them nobody comes; gaps are exponential, or even."""
    pieces = [(0, 2 * SECOND, 5_000.0), (1 * SECOND, 2 * SECOND, 15_000.0), (3 * SECOND, 4 * SECOND, 10_000.0)]
    times = np.concatenate(list(arrivals(pieces, Streams(1)("x") if law == "exponential" else None)))
    assert (np.diff(times) >= 0).all()
    counts = np.histogram(times, bins=np.arange(5) * SECOND)[0]
    noise = 4 if law == "exponential" else 0.01
    for found, expected in zip(counts, (5_000, 20_000, 0, 10_000), strict=True):
        assert abs(found - expected) <= max(1, noise * expected**0.5)
    gaps = np.diff(times[times < SECOND])
    assert gaps.mean() == pytest.approx(SECOND / 5_000, rel=0.1)
    assert gaps.std() == pytest.approx(gaps.mean() if law == "exponential" else 0, abs=0.1 * gaps.mean())


def run(**rollout: Any) -> sim.Run:
    storm = {
        "kind": "storm", "as": "cohorts", "object": "batch", "rollout": {**ROLLOUT, **rollout},
        "retry": {"attempts": 2, "base": "200ms"},
    }  # fmt: skip
    clients = {"others": {"clients": 1, "think": {"constant": "10ms"}}}
    data = {"horizon": "6s", "etcd": ETCD, "objects": OBJECTS, "apiservers": {}, "background": {"nodes": 0, "leader_elections": 0},
            "workloads": {"storm": storm}, "clients": clients}  # fmt: skip
    return sim.run(from_dict(data), workers=1)["default"]


def test_what_helps_is_to_tell_less_at_a_time() -> None:
    storm, flush, webhook, four = run(), run(writes=400), run(every="1.2s"), run(max_unavailable=4)
    figures = {name: one.metrics for name, one in (("storm", storm), ("flush", flush), ("webhook", webhook), ("four", four))}
    assert figures["storm"]["storm.offered"] == pytest.approx(80_000, rel=0.02)
    # Each pod offers 40,000/s for half a second, which is more than one applier does; in the other half the refused come again.
    assert figures["storm"]["storm.refused"] > 0
    assert figures["storm"]["etcd.apply_seconds.max"] > 20 * figures["flush"]["etcd.apply_seconds.max"]
    assert figures["flush"]["storm.refused"] == 0
    assert figures["flush"]["etcd.keys_created"] < 0.05 * figures["storm"]["etcd.keys_created"]
    # A webhook delays each pod: the same writes.
    assert figures["webhook"]["storm.offered"] == pytest.approx(80_000, rel=0.02)
    assert figures["webhook"]["storm.refused"] > 0.5 * figures["storm"]["storm.refused"]
    # All at once: 160,000/s for half a second.
    assert figures["four"]["storm.refused"] > 1.5 * figures["storm"]["storm.refused"]
    assert figures["four"]["storm.given_up"] > figures["storm"]["storm.given_up"]
    # Others suffer with it.
    slowest = {name: one.writers["others"]["puts"] for name, one in (("storm", storm), ("flush", flush))}
    assert slowest["storm"] < 0.8 * slowest["flush"]


def test_conservation() -> None:
    m = run().metrics
    assert m["storm.offered"] == m["storm.accepted"] + m["storm.given_up"]
    assert m["storm.refused"] + m["storm.timeouts"] == m["storm.resent"] + m["storm.given_up"]
    assert m["writers.storm.keys_created"] == m["storm.accepted"]
