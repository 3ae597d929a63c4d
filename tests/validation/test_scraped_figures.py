"""Reading /metrics: values, histograms, differences, and predictions poured into real buckets."""

from __future__ import annotations

import math

import pytest

from sim.result import Distribution
from sim.units import MICROSECOND, MILLISECOND
from sim.validation.scrape import Buckets, Scrape, through

TEXT = """\
# HELP etcd_disk_wal_fsync_duration_seconds The latency distributions of fsync called by WAL.
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 90
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 98
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 100
etcd_disk_wal_fsync_duration_seconds_sum 0.06
etcd_disk_wal_fsync_duration_seconds_count 100
apply_bucket{op="Put",success="true",le="0.0001"} 3
apply_bucket{op="Put",success="true",le="+Inf"} 4
apply_bucket{op="Txn",success="true",le="0.0001"} 5
apply_bucket{op="Txn",success="true",le="+Inf"} 5
apply_sum{op="Put",success="true"} 0.5
apply_sum{op="Txn",success="true"} 0.25
etcd_server_is_leader 1
requests_total{type="unary, \\"x\\""} 3
requests_total{type="stream"} 2 1732421712000
big 1.7e+09
"""
FSYNC = "etcd_disk_wal_fsync_duration_seconds"


def test_values_are_summed_over_labels() -> None:
    scrape = Scrape(TEXT)
    assert scrape.value("etcd_server_is_leader") == 1
    assert scrape.value("requests_total") == 5
    assert scrape.value("big") == 1.7e9
    assert scrape.value("absent") == 0
    assert not scrape.has("absent")


def test_a_histogram_is_counts_by_bucket() -> None:
    found = Scrape(TEXT).histogram(FSYNC)
    assert (found.bounds, found.counts, found.sum) == ((0.001, 0.002), (90, 8, 2), 0.06)
    assert found.count == 100
    assert found.mean == pytest.approx(0.0006)
    assert found.shares() == [0.9, 0.98]


def test_labels_select_or_are_summed() -> None:
    scrape = Scrape(TEXT)
    assert scrape.histogram("apply").counts == (8, 1)
    assert scrape.histogram("apply", op="Put").counts == (3, 1)
    assert scrape.histogram("apply", op="Put").sum == 0.5


def test_the_difference_of_two_scrapes() -> None:
    before = Scrape(TEXT).histogram(FSYNC)
    later = Scrape(TEXT.replace(" 90\n", " 190\n").replace(" 98\n", " 199\n").replace("} 100\n", "} 202\n")).histogram(FSYNC)
    assert later.since(before).counts == (100, 1, 1)
    assert before.since(Scrape("").histogram(FSYNC)).counts == before.counts


def test_quantiles_are_those_of_prometheus() -> None:
    buckets = Buckets((0.001, 0.002, 0.004), (50, 40, 9, 1), 0.1)
    assert buckets.quantile(0.5) == pytest.approx(0.001)
    assert buckets.quantile(0.25) == pytest.approx(0.0005)
    assert buckets.quantile(0.7) == pytest.approx(0.0015)
    assert buckets.quantile(1) == 0.004  # above the last bound nothing is known
    assert Buckets((0.001,), (0, 0), 0).quantile(0.5) is None
    assert Buckets((0.001,), (0, 0), 0).mean is None


def test_a_prediction_goes_through_the_same_buckets() -> None:
    found = Distribution.of([300 * MICROSECOND] * 90 + [1500 * MICROSECOND] * 9 + [9 * MILLISECOND])
    poured = through(found, (0.001, 0.002, 0.004))
    assert poured.counts == (90, 9, 0, 1)
    assert poured.mean == pytest.approx(found.mean)
    exactly = through(Distribution.of([MILLISECOND]), (0.001, 0.002))
    assert exactly.counts == (1, 0, 0)  # a bound belongs to the bucket below it
    assert through(Distribution.empty(), (0.001,)).quantile(0.5) is None
    assert not math.isnan(poured.quantile(0.99) or 0)
