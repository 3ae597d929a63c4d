"""`analysis: steady` leaves out what a disk stall at the beginning did; `terminating` leaves out nothing; growth is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import sim
from sim.analysis import Interval, Refused
from sim.metrics.steady import WARM_UP, settled_after
from sim.report.intervals import interval
from sim.simulation import run_variant

FIGURE = "etcd.request_seconds"
STALL: dict[str, Any] = {"faults": {"stall": {"kind": "disk_stall", "target": "members.a", "at": "2s", "for": "4s"}}}


def scenario(analysis: str, **values: Any) -> sim.Scenario:
    given = {"horizon": "96s", "workloads.pod-churn.every": "100ms", "background.nodes": 0, "analysis": analysis, **values}
    return sim.load("zero-value-leak-small").with_(given)


def test_the_warm_up_is_left_out_and_only_where_asked() -> None:
    steady, everything = (run_variant(scenario(analysis, **STALL), "fixed") for analysis in ("steady", "terminating"))
    calm = run_variant(scenario("steady"), "fixed")
    warm_up = steady.metrics[WARM_UP]
    assert warm_up is not None
    assert 6 <= warm_up <= 24
    assert WARM_UP not in everything.metrics
    # the same run: only what is left out differs
    assert steady.metrics["etcd.keys_created"] == everything.metrics["etcd.keys_created"]
    slowest = everything.distributions[FIGURE].max_seconds
    assert slowest > 1
    assert steady.distributions[FIGURE].max_seconds < 0.1
    whole = sum(window.count for window in steady.windows[FIGURE])
    assert whole == everything.distributions[FIGURE].count
    width = steady.horizon_seconds / len(steady.windows[FIGURE])
    left_out = sum(window.count for window in steady.windows[FIGURE][: round(warm_up / width)])
    assert steady.distributions[FIGURE].count == whole - left_out
    # what remains is the state without the stall
    mean, other = steady.distributions[FIGURE].mean, calm.distributions[FIGURE].mean
    assert mean == pytest.approx(other, rel=0.25)
    assert (everything.distributions[FIGURE].mean or 0) > 3 * (mean or 0)
    rate = steady.metrics["etcd.keys_created_per_hour"]
    assert rate == pytest.approx(calm.metrics["etcd.keys_created_per_hour"], rel=0.05)


def test_a_run_that_grows_has_no_steady_state() -> None:
    runs = sim.run(scenario("steady", **{"controllers.zero-pod-writer.reconcile.every": "1s"}), variants=["leaking"])
    assert runs["leaking"].status[WARM_UP] == "never"
    found = interval(runs, "leaking", f"{FIGURE}.mean")
    assert isinstance(found, Refused)
    assert "not settled" in found.reason
    settled = sim.run(scenario("steady"), variants=["fixed"])
    assert isinstance(interval(settled, "fixed", f"{FIGURE}.mean"), Interval | Refused)
    assert settled["fixed"].status[WARM_UP] == "reached"


def series(latency: np.ndarray, puts: np.ndarray) -> pd.DataFrame:
    columns = {"etcd.puts": np.cumsum(puts), "workqueue.depth": np.zeros(len(puts)), "etcd.apply_seconds.p50": latency}
    return pd.DataFrame(columns)


def test_growth_by_bursts_is_seen() -> None:
    """Bursts, each larger than the one before: MSER alone would leave out nothing and say that it has settled."""
    puts = np.where(np.arange(1920) % 40 == 5, np.arange(1920.0), 1.0)
    calm = np.random.default_rng(4).lognormal(0, 0.5, 1920)
    assert settled_after(series(calm, puts), 48) is None
    assert settled_after(series(calm, np.where(np.arange(1920) % 40 == 5, 900.0, 1.0)), 48) is not None
    settled = [settled_after(series(np.random.default_rng(at).lognormal(0, 0.5, 1920), np.ones(1920)), 48) for at in range(100)]
    assert sum(one is None for one in settled) <= 10


def test_where_it_settles() -> None:
    rng = np.random.default_rng(3)
    noise = rng.lognormal(0, 0.5, 1920)
    ramp = noise + np.where(np.arange(1920) < 300, 20.0, 0.0)
    constant = np.full(1920, 3.0)
    assert settled_after(series(noise, constant), 48) is not None
    assert settled_after(series(ramp, constant), 48) in range(8, 20)  # 300 steps are 7.5 windows
    assert settled_after(series(noise + np.linspace(0, 20, 1920), constant), 48) is None
    assert settled_after(series(noise, np.linspace(1, 10, 1920)), 48) is None
    sparse = np.where(np.arange(1920) % 4 == 0, ramp, np.nan)  # steps without a sample say nothing
    assert settled_after(series(sparse, constant), 48) in range(8, 20)
