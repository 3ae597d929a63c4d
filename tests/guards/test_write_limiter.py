"""The write limiter: what it lets through, to whom, and what its control loop sees (sim.guards, sim.processes.etcd_door)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from guarded_world import ETCD, storm

import sim
from sim.guards.bucket import RefusingBucket
from sim.guards.write_limiter import Adapt, Cut, WriteLimiter
from sim.journal import Journal
from sim.units import MILLISECOND, SECOND

METHODS = ("Put", "DeleteRange", "Txn")


def admitted(bucket: RefusingBucket, offered: float, seconds: float) -> int:
    """Of requests at an even rate, how many a bucket lets through."""
    gap = SECOND / offered
    return sum(bucket.allow(round(number * gap)) for number in range(int(offered * seconds)))


@pytest.mark.parametrize("offered", [40_000, 80_000, 160_000])
def test_the_published_bucket_admits_the_root_of_what_is_offered(offered: int) -> None:
    published = admitted(RefusingBucket(500, 1000, as_published=True), offered, 2) - 1000
    assert published / 2 == pytest.approx(math.sqrt(offered * 500 / 2), rel=0.03)
    counted = admitted(RefusingBucket(500, 1000), offered, 2) - 1000
    assert counted / 2 == pytest.approx(500, rel=0.01)


def test_the_published_bucket_in_a_run() -> None:
    """80,000/s against 500/s: 4,472/s get through, and the 1,000 tokens that were there at the start."""
    run = storm("1s", {"rate": "80000/s", "for": "1s"}, {"rate": "500/s", "refill": "as_published"})
    assert run.metrics["etcd.puts"] - 1000 == pytest.approx(4472, rel=0.03)
    run = storm("1s", {"rate": "80000/s", "for": "1s"}, {"rate": "500/s"})
    assert run.metrics["etcd.puts"] == pytest.approx(1000 + 500, abs=5)
    assert run.metrics["guards.limiter.refused"] == run.metrics["storm.refused"] == run.metrics["storm.given_up"]


def test_what_is_idle_fills_the_bucket_to_its_capacity_and_no_further() -> None:
    bucket = RefusingBucket(100, 200)
    taken = sum(bucket.allow(0) for _ in range(500))
    assert taken == 200
    later = sum(bucket.allow(60 * SECOND) for _ in range(500))
    assert later == 200


def test_a_rank_keeps_its_part_of_the_bucket() -> None:
    limiter = WriteLimiter(100, 2, METHODS, {"/app/prod/": 1, "/app/": 2})
    assert [limiter.rank(path) for path in ("/app/prod/x", "/app/other/", "/registry/pods/")] == [1, 2, 3]
    assert sum(limiter.admits(0, "Put", 3) for _ in range(300)) == 66  # down to two thirds of 200
    assert sum(limiter.admits(0, "Put", 2) for _ in range(300)) == 67  # to one third
    assert sum(limiter.admits(0, "Put", 1) for _ in range(300)) == 67  # to the last one
    assert sum(limiter.admits(0, "Txn", 1) for _ in range(300)) == 200  # a bucket of its own
    assert all(limiter.admits(0, "Range") for _ in range(300))
    assert limiter.passed == 300


def test_the_cut_comes_with_fsyncs_that_have_ended() -> None:
    limiter = WriteLimiter(100, 2, METHODS, {}, cut=Cut(10 * MILLISECOND, 0.3))
    rates = []
    for second, fsyncs in enumerate([[2], [2, 9], [], [3000], [], [9, 10], [2]], start=1):
        limiter.look(second * SECOND, 0, [duration * MILLISECOND for duration in fsyncs])
        rates.append(round(limiter.rate))
    assert rates == [100, 100, 100, 70, 70, 100, 100]
    assert (limiter.cuts, limiter.changes, limiter.reversals) == (1, 2, 1)
    assert limiter.mean_rate(10 * SECOND) == pytest.approx(100 - 2 * 30 / 10)


def test_the_rate_follows_what_was_applied() -> None:
    limiter = WriteLimiter(1000, 2, METHODS, {}, adapt=Adapt(headroom=0.5, floor=0.1))
    rates = []
    for second, applied in enumerate([2000, 400, 0, 100, 150, 10_000], start=1):
        limiter.look(second * SECOND, applied, [])
        rates.append(round(limiter.rate))
    assert rates == [1000, 600, 100, 150, 225, 1000]


def test_nothing_is_cut_during_a_stall() -> None:
    """A disk that is frozen from 2 s to 3.5 s: no fsync ends, so the rate is cut only afterwards, for a look.

    A lone member: of three another one would lead by then.
    """
    lone = {**ETCD, "members": {"a": ETCD["members"]["a"]}}
    stall = {"stall": {"kind": "disk_stall", "target": "members.a", "at": "2s", "for": "1.5s"}}
    limiter = {"rate": "1000/s", "look": "250ms", "cut": {"when_fsync_over": "10ms", "by": "30%"}}
    run = storm("5s", {"rate": "800/s", "for": "5s"}, limiter, faults=stall, etcd=lone)
    rates = run.series["guards.limiter.rate_per_second"]
    assert set(rates[rates.index < 3.49]) == {1000}
    cut = rates[rates == 700]
    assert 3.5 < cut.index.min() < 3.8
    assert cut.index.max() - cut.index.min() == pytest.approx(0.25, abs=0.01)
    assert run.metrics["guards.limiter.fsync_cuts"] == 1


def test_another_rate_is_loaded_while_it_runs() -> None:
    limiter = {"rate": "200/s", "reload": [{"at": "2s", "rate": "2000/s"}]}
    run = storm("4s", {"rate": "10000/s", "for": "4s"}, limiter)
    keys = run.series["etcd.keys_created"]
    before, after = (keys[keys.index >= at].iloc[0] for at in (1, 2))
    assert after - before == pytest.approx(200, abs=5)
    assert keys.iloc[-1] - keys[keys.index >= 3].iloc[0] == pytest.approx(2000, abs=20)
    assert [incident.kind for incident in run.incidents] == ["reload"]


def test_the_first_prefix_gets_through_and_apply_stays_short() -> None:
    """40,000/s are more than one applier does: without a limiter the gap of 5,000 decides, for all alike, and all wait."""
    workloads = {
        "prod": {"kind": "storm", "object": "order", "rate": "300/s", "for": "1s"},
        "bulk": {"kind": "storm", "object": "batch", "rate": "40000/s", "for": "1s"},
    }
    ranked = {"rate": "2000/s", "prefixes": {"/app/prod/": 1}}
    runs = {
        name: storm("1s", None, limiter, workloads=workloads)
        for name, limiter in (("ranked", ranked), ("first come", {"rate": "2000/s"}), ("open", None))
    }
    offered = runs["ranked"].metrics["workloads.prod.storm.offered"]
    share = {name: run.metrics["workloads.prod.storm.accepted"] / offered for name, run in runs.items()}
    assert share["ranked"] > 0.99
    assert share["first come"] < 0.3
    assert 0.4 < share["open"] < 0.95
    assert runs["open"].metrics["storm.refused"] > 0
    p99 = {name: run.metrics["etcd.apply_seconds.p99"] for name, run in runs.items()}
    assert p99["open"] > 0.1 > 2 * p99["ranked"]


def test_the_articles_methods_let_the_api_server_pass() -> None:
    crowd = {"crowd": {"kind": "writers", "object": "batch", "clients": 20, "objects": 20, "think": "10ms"}}
    both = storm("2s", None, {"rate": "50/s"}, workloads=crowd, apiservers={"api": {}})
    put_only = storm("2s", None, {"rate": "50/s", "methods": ["Put", "DeleteRange"]}, workloads=crowd, apiservers={"api": {}})
    assert both.metrics["writes.succeeded"] == pytest.approx(100 + 2 * 50, abs=3)
    assert both.metrics["writes.failed"] > 0
    assert put_only.metrics["guards.limiter.not_limited"] == pytest.approx(put_only.metrics["etcd.puts"], abs=20)  # on their way
    assert put_only.metrics["etcd.puts"] > 1000
    assert put_only.metrics["guards.limiter.refused"] == 0


def test_who_is_refused_comes_again_after_its_pause() -> None:
    retry = {"attempts": 3, "base": "100ms", "factor": 2, "jitter": 0}
    run = storm("5s", {"rate": "1000/s", "for": "1s", "gaps": "even", "retry": retry}, {"rate": "100/s", "capacity": "1x"})
    m = run.metrics
    assert m["storm.offered"] == 1000 == m["storm.accepted"] + m["storm.given_up"]
    assert m["storm.refused"] == m["storm.resent"] + m["storm.given_up"]
    # The bucket is full at the start, and the last ones come again 0.7 s after the last arrival, each a millisecond after another.
    assert m["storm.accepted"] == pytest.approx(100 + 100 * 1.7, abs=3)
    assert run.quantile("etcd.request_seconds", 1.0) == pytest.approx(0.7, abs=0.01)


def test_raw_clients_come_again_too() -> None:
    loop = {"clients": 10, "think": {"constant": "10ms"}, "retry": {"attempts": 5, "base": "1s", "factor": 1, "jitter": 0}}
    scenario = sim.scenario.from_dict({"horizon": "3s", "etcd": ETCD, "clients": {"load": loop},
                                       "guards": {"limiter": {"kind": "write_limiter", "rate": "10/s"}}})  # fmt: skip
    run = sim.run(scenario, workers=1)["default"]
    assert run.metrics["etcd.puts"] == pytest.approx(20 + 2 * 10, abs=1)  # what was there, then ten after a second and after two
    assert 20 <= run.metrics["guards.limiter.refused"] <= 30  # each of the ten once a second


def test_a_tap_sees_each_row_once() -> None:
    journal, drawn = Journal(1), np.random.default_rng(5)
    tap, times, seen = journal.tap(), [], []
    for now in range(1, 400):
        for _ in range(drawn.integers(0, 4)):
            times.append(max([now + int(drawn.integers(0, 9)), *times[-1:]]))  # ahead of its time, rising
            journal.times.append(times[-1])
            journal.columns[0].append(len(times))
        if drawn.random() < 0.3:
            journal.take(now)
        if drawn.random() < 0.3:
            at, ordinals = tap.read(now)
            assert (at <= now).all()
            seen += ordinals.tolist()
            assert len(seen) == sum(time <= now for time in times)
    assert seen == sorted(set(seen))
    assert len(seen) > 300
