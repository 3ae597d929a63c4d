"""Rows: what is compared with what, errors, noise, the summary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.scenario.device import DeviceProfile
from sim.validation.compare import ORDER, Row, middle_round, noise, relative, rows, summary
from sim.validation.inputs import Inputs
from sim.validation.measure import Load, Measured
from sim.validation.predict import Predicted, predict
from sim.validation.scrape import Buckets
from sim.validation.workload import Workload

MS_BOUNDS = tuple(0.001 * 2**n for n in range(14))


def inputs(members: int = 1) -> Inputs:
    found = Inputs([DeviceProfile.model_validate({"fdatasync": "200us"})] * members, {0: 40_000, 1: 40_000}, 50_000, 5_000)
    found.sources = dict.fromkeys(("disk", "client", "peers", "costs", "changed"), "a test")
    return found


def measured(requests: int, rate: float, workload: Workload, **figures: float | None) -> Measured:
    """A round with so many requests of 1 ms."""
    load = Load(np.full(requests, 10**6), requests, requests, 0, 0, 0, 0.1)
    buckets = Buckets(MS_BOUNDS, (float(requests), *[0.0] * 14), requests * 0.0005)
    return Measured(
        workload, load, {"etcd.requests_per_second": rate, "etcd.wal_bytes_written": 1000.0 * requests, **figures},
        dict.fromkeys(("etcd.wal_fsync_seconds", "etcd.backend_commit_seconds", "etcd.apply_execution_seconds"), buckets),
        {"leader": 0.5, "etcd": 0.5, "generator": 0.1, "others": 0.0}, [], ("before", "after"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def small() -> tuple[Workload, Predicted]:
    workload = Workload("small", clients=2, value_bytes=100)
    return workload, predict("3.5.1", workload, inputs(), 1.0, 1, 500, {})


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
    workload = Workload("small", clients=2)
    rounds = [measured(requests, 1.0, workload) for requests in (300, 100, 200)]
    assert middle_round(rounds).load.requests == 200
    assert middle_round(rounds[:2]).load.requests == 100


def test_rows_compare_totals_of_that_round_and_medians_of_rates(small: tuple[Workload, Predicted]) -> None:
    workload, predicted = small
    rounds = [measured(n, rate, workload) for n, rate in ((400, 90), (500, 100), (700, 120))]
    found = {row.figure: row for row in rows(rounds, predicted)}
    rate, total = found["etcd.requests_per_second"], found["etcd.wal_bytes_written"]
    assert (rate.measured, rate.noise) == (100, pytest.approx(0.3))
    assert (total.measured, total.noise) == (500_000, 0)  # 1000 a request in every round
    assert total.predicted == predicted.figures["etcd.wal_bytes_written"]
    assert list(found) == [figure for figure in ORDER if figure in found]
    assert "etcd.compaction_seconds.mean" not in found  # nothing was measured of it


def test_keys_on_their_way_are_no_row() -> None:
    workload = Workload("gone", "put_delete", clients=2)
    predicted = predict("3.5.1", workload, inputs(), 0.2, 1, 50, {})
    found = [row.figure for row in rows([measured(50, 1, workload, **{"etcd.keys_live": 3})], predicted)]
    assert "etcd.keys_live" not in found
    assert "etcd.wal_bytes_written" in found


def test_the_summary_has_sizes_of_errors() -> None:
    row = Row("a", "etcd.wal_fsyncs", 1, 1, -0.3, None)
    found = summary([row, replace(row, workload="b", error=0.1), replace(row, workload="c", error=0.2), replace(row, error=None)])
    assert found == {"etcd.wal_fsyncs": {"median_error": 0.2, "worst_error": 0.3}}


def test_a_row_has_the_six_keys() -> None:
    assert Row("a", "etcd.wal_fsyncs", 1 / 3, None, None, 0.0).plain() == {
        "workload": "a", "figure": "etcd.wal_fsyncs", "predicted": 0.333333333, "measured": None, "error": None, "noise": 0.0,
    }  # fmt: skip
