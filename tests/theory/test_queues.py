"""Stations against queueing theory, with intervals from independent replications, so that a test fails for a reason."""

from __future__ import annotations

import math
from statistics import NormalDist, fmean, stdev

import numpy as np
import pytest

from sim import distributions
from sim.etcd.backend import Backend
from sim.etcd.bbolt import Pages
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import Op, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.hardware.disk import Disk, Stalls
from sim.processes.events import Call, Clock
from sim.processes.leader import Leader
from sim.processes.leader_rules import LeaderRules
from sim.ratelimit.bucket import TokenBucket
from sim.streams import WEIGHTS, Delays, Stream
from sim.units import MILLISECOND, SECOND

REPLICATIONS = 24
Z = NormalDist().inv_cdf(1 - 0.0005)  # 99.9%: seeds are fixed, a failure is a change of the model


def agrees(means: list[float], expected: float) -> bool:
    """Whether the mean of independent replications has the expected value in its interval, and the interval is narrow."""
    half = Z * stdev(means) / math.sqrt(len(means))
    assert half < 0.1 * expected, "too few samples to say anything"
    return abs(fmean(means) - expected) <= half


def arrivals(seed: int, per_second: float, count: int) -> list[int]:
    gaps = np.random.default_rng(seed).exponential(SECOND / per_second, count)
    return np.cumsum(gaps).astype(np.int64).tolist()


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_limiter_is_an_m_d_1_queue(load):
    """A token bucket of burst 1 hands out tokens 1/r apart:

    the delay of a Poisson stream is M/D/1's wait, rho / (2 mu (1 - rho)).
    """
    rate = 100.0
    means = []
    for seed in range(REPLICATIONS):
        bucket = TokenBucket(rate, 1)
        times = arrivals(seed, load * rate, 12_000)
        bucket.reserve(0)  # full at first; a customer of an empty system finds its token
        means.append(fmean(bucket.reserve(at + SECOND) for at in times) / SECOND)
    assert agrees(means, load / (2 * rate * (1 - load)))


def applier(draw) -> Backend:
    """A backend whose timer never rings: the applier alone."""
    disk = Disk(lambda: 0, 1e9, Stalls())
    pages = Pages()
    shape = Shape("object", 20, 100)
    rules = BackendRules(batch_interval=10**18, batch_limit=10**12, snapshot_count=10**12)
    return Backend(Mvcc(pages), pages, disk, draw, BackendCosts(0, 0, 0, 0, 0), rules, [shape], 1)


@pytest.mark.parametrize("law", ["M/M/1", "M/D/1"])
@pytest.mark.parametrize("load", [0.5, 0.8])
def test_the_applier_is_a_single_server_queue(law, load):
    """Mean latency by Pollaczek-Khinchine: the service, and lambda E[S^2] / (2 (1 - rho))."""
    service = 1 * MILLISECOND
    table = distributions.exponential(service) if law == "M/M/1" else distributions.constant(service)
    mean, square = float(table @ WEIGHTS) / SECOND, float(table**2 @ WEIGHTS) / SECOND**2
    per_second = load / mean
    if law == "M/M/1":
        assert mean + per_second * square / (2 * (1 - load)) == pytest.approx(mean / (1 - load), rel=0.01)
    means = []
    for seed in range(REPLICATIONS):
        backend = applier(Delays(Stream(seed, "apply"), table).draw)
        call = Call(Clock(), lambda _call: None, 0)
        call.op, call.shape = Op.PUT_ONCE, Shape("object", 20, 100)
        latencies = []
        for at in arrivals(seed, per_second, 12_000):
            backend.hand_over(at, [call])
            latencies.append(call.done - at)
        means.append(fmean(latencies) / SECOND)
    assert agrees(means, mean + per_second * square / (2 * (1 - load)))


@pytest.mark.parametrize("busy", [0.05, 0.5, 2.0, 8.0])
def test_the_ready_loop_is_gated_bulk_service(busy):
    """Constant save D, Poisson arrivals: who finds the loop idle waits D, who comes during a save waits what is left of it, and D.

    Per save lambda D come during it and, with probability exp(-lambda D), one that ended an idle time: the mean response is
    D + (lambda D) (D / 2) / (lambda D + exp(-lambda D)): from D at light load to 1.5 D.
    """
    save = 10 * MILLISECOND
    rate = busy * SECOND / save
    expected = 1 + busy / 2 / (busy + math.exp(-busy))
    means = []
    for seed in range(REPLICATIONS):
        clock = Clock()
        backend = applier(lambda: 0)
        leader = Leader(
            clock, Disk(lambda: save, math.inf, Stalls()), [], backend, LeaderRules(quota=None), 1, lambda entry: None,
            lambda at, kind, about: None,
        )  # fmt: skip
        shape, calls = Shape("object", 20, 100), []
        for at in arrivals(seed, rate, 1500):
            call = Call(clock, leader.propose, 0)
            call.op, call.shape, call.data = Op.PUT_ONCE, shape, shape.put_data
            calls.append(call.send(at, 0))
        clock.run()
        means.append(fmean(call.handed - call.arrives for call in calls[200:]) / save)
    assert agrees(means, expected)
    assert 1 <= expected <= 1.5
