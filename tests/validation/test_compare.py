"""Rows: what is compared with what, errors, noise, the summary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.scenario.device import DeviceProfile
from sim.scenario.load_test import LoadTest
from sim.validation.compare import ORDER, Row, doubt, goal, middle_round, noise, relative, rows, summary
from sim.validation.inputs import Inputs
from sim.validation.measure import Measured
from sim.validation.predict import Predicted, predict
from sim.validation.scrape import Buckets

MS_BOUNDS = tuple(0.001 * 2**n for n in range(14))


def inputs() -> Inputs:
    found = Inputs(
        DeviceProfile.model_validate({"fdatasync": "200us"}), client={0: 100_000, 1: 100_000}, sparse={0: 150_000, 1: 150_000},
        peer_rtt=50_000, peer_jitter=5_000, cores=2,
    )  # fmt: skip
    found.sources = dict.fromkeys(("disk", "client", "sparse", "peers", "fitted"), "a test")
    return found


def a_load(**fields: Any) -> LoadTest:
    own = {"name": "small", "clients": 2, "value_bytes": 100, "seconds": 1, "warmup_seconds": 0.2}
    return LoadTest.model_validate({**own, **fields})


def measured(requests: int, rate: float, load: LoadTest, **figures: float | None) -> Measured:
    """A round with so many requests of 1 ms."""
    buckets = Buckets(MS_BOUNDS, (float(requests), *[0.0] * 14), requests * 0.0005)
    return Measured(
        load, requests, {}, {"etcd.requests_per_second": rate, "etcd.wal_bytes_written": 1000.0 * requests, **figures},
        dict.fromkeys(("etcd.wal_fsync_seconds", "etcd.backend_commit_seconds", "etcd.apply_execution_seconds"), buckets),
        {"leader": 0.5, "etcd": 0.5, "generator": 0.1, "load": 0.1, "others": 0.0}, scrapes=("before", "after"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def small() -> tuple[LoadTest, Predicted]:
    load = a_load()
    return load, predict("3.5.1", load, inputs(), 1, 500, {})


def test_errors_are_relative_to_the_measurement() -> None:
    assert relative(110, 100) == pytest.approx(0.1)
    assert relative(90, 100) == pytest.approx(-0.1)
    assert relative(0, 0) == 0
    assert relative(1, 0) is None
    assert relative(None, 1) is None


def test_noise_is_the_spread_of_the_rounds() -> None:
    assert noise([100, 110, 90]) == pytest.approx(0.2)
    assert noise([100]) is None
    assert noise([None, 3, 3]) == 0
    assert noise([0, 0]) == 0
    assert noise([0, 0, 1]) is None


def test_the_median_round_decides_how_much_is_simulated() -> None:
    rounds = [measured(requests, 1.0, a_load()) for requests in (300, 100, 200)]
    assert middle_round(rounds).requests == 200
    assert middle_round(rounds[:2]).requests == 100


def test_rows_compare_totals_of_that_round_and_medians_of_rates(small: tuple[LoadTest, Predicted]) -> None:
    load, predicted = small
    rounds = [measured(n, rate, load) for n, rate in ((400, 90), (500, 100), (700, 120))]
    found = {row.figure: row for row in rows(rounds, predicted)}
    rate, total = found["etcd.requests_per_second"], found["etcd.wal_bytes_written"]
    assert (rate.measured, rate.noise) == (100, pytest.approx(0.3))
    assert (total.measured, total.noise) == (500_000, 0)  # 1000 a request in every round
    assert total.predicted == predicted.figures["etcd.wal_bytes_written"]
    assert list(found) == [figure for figure in ORDER if figure in found]
    assert "etcd.compaction_seconds.mean" not in found  # nothing was measured of it
    assert all(row.held_out for row in found.values())
    assert not any(row.counts for row in rows(rounds, predicted, held_out=False))


def test_a_mix_has_rows_of_each_kind() -> None:
    load = a_load(op="mix", mix={"put_new": 1, "get": 1})
    found = rows([measured(50, 1, load, **{"etcd.request_seconds.get.p50": 0.001})], predict("3.5.1", load, inputs(), 1, 50, {}))
    row = next(row for row in found if row.figure == "etcd.request_seconds.get.p50")
    assert row.measured == 0.001
    assert row.predicted is not None


def test_rows_that_cannot_be_judged_say_why() -> None:
    load = a_load()
    busy = measured(10, 1, load)
    busy.shares["generator"] = 0.61
    assert doubt("etcd.request_seconds.p99", [measured(10, 1, load), busy]).startswith("the generator used 61% of a core")
    assert doubt("etcd.wal_bytes_written", [busy]) == ""
    racing = measured(10, 1, a_load(op="mix", mix={"put_new": 1, "delete": 1}))
    assert "is a race" in doubt("etcd.keys_live", [racing])
    assert doubt("etcd.wal_entries", [racing]) == ""
    changed = measured(10, 1, load, **{"etcd.leader_changes": 1.0})
    assert doubt("etcd.wal_fsync_seconds.p99", [changed]).startswith("the lead changed")
    assert doubt("etcd.request_seconds.p99", [changed]) == ""
    failed = measured(10, 1, load)
    failed.failures["UNAVAILABLE"] = 1
    assert doubt("etcd.revision", [failed]).startswith("requests failed")
    assert doubt("etcd.requests_per_second", [failed]) == ""


def test_goals_follow_the_load_and_the_noise() -> None:
    assert goal("etcd.db_bytes_in_use", a_load(), None) == 0.02
    assert goal("etcd.db_bytes_in_use", a_load(compact_every_seconds=1), None) == 0.05
    assert goal("etcd.request_seconds.p99", a_load(), 0.1) == 0.3
    assert goal("etcd.request_seconds.p99", a_load(), 0.4) == 0.8
    assert goal("etcd.requests_per_second", a_load(), 0.4) == 0.1
    assert goal("etcd.wal_fsyncs", a_load(), 0.4) is None


def test_the_summary_has_sizes_of_errors_of_what_was_held_out() -> None:
    row = Row("a", "etcd.requests_per_second", 1, 1, -0.3, None, goal=0.1)
    others = replace(row, workload="b", error=0.05), replace(row, workload="c", error=0.08)
    apart = replace(row, error=None), replace(row, error=9, held_out=False), replace(row, error=9, doubt="busy")
    assert summary([row, *others, *apart]) == {
        "etcd.requests_per_second": {
            "median_error": 0.08, "worst_error": 0.3, "worst_at": "a", "loads": 3, "goal": 0.1, "met": True,
        }
    }  # fmt: skip
    assert not summary([row, replace(row, workload="b")])["etcd.requests_per_second"]["met"]
    exact = Row("a", "etcd.revision", 1, 1, 0.0, None, goal=0.0)
    assert summary([exact])["etcd.revision"]["met"]
    assert not summary([replace(exact, error=1e-6)])["etcd.revision"]["met"]


def test_a_row_has_its_keys() -> None:
    assert Row("a", "etcd.wal_fsyncs", 1 / 3, None, None, 0.0).plain() == {
        "workload": "a", "figure": "etcd.wal_fsyncs", "predicted": 0.333333333, "measured": None, "error": None, "noise": 0.0,
        "held_out": True, "goal": None, "counts": False, "doubt": "",
    }  # fmt: skip
