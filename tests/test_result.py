"""Distributions and runs as plain data."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.result import GROWTH, STATISTICS, Distribution, Incident, Run, bucket_of, upper_seconds

durations = st.lists(st.integers(0, 10**13), min_size=1, max_size=200)


@given(st.integers(1, 2**60))
def test_a_duration_lies_in_its_bucket(duration: int) -> None:
    upper = float(upper_seconds([bucket_of(duration)])[0]) * 1e9
    assert upper / GROWTH * (1 - 1e-9) <= duration <= upper * (1 + 1e-9)


def test_zero_has_a_bucket_of_its_own() -> None:
    assert bucket_of(0) == -1
    assert upper_seconds([-1])[0] == 0
    assert Distribution.of([0, 0, 0]).quantile(0.5) == 0


@given(durations, st.floats(0, 1))
def test_a_quantile_is_within_a_bucket_of_the_exact_one(samples: list[int], q: float) -> None:
    found = Distribution.of(samples).quantile(q)
    exact = np.quantile(samples, q, method="inverted_cdf") / 1e9
    assert found is not None
    assert exact / GROWTH * (1 - 1e-6) <= found <= exact * GROWTH * (1 + 1e-6)


@given(durations)
def test_count_sum_and_extremes_are_exact(samples: list[int]) -> None:
    found = Distribution.of(samples)
    assert found.count == len(samples) == found.counts.sum()
    assert found.sum_seconds == pytest.approx(sum(samples) / 1e9)
    assert (found.quantile(0), found.quantile(1)) == (min(samples) / 1e9, max(samples) / 1e9)


@given(durations)
def test_quantiles_rise(samples: list[int]) -> None:
    of = Distribution.of(samples)
    found = [of.quantile(q) or 0.0 for q in np.linspace(0, 1, 30)]
    assert found == sorted(found)


@given(durations, durations)
def test_merging_is_as_if_observed_together(left: list[int], right: list[int]) -> None:
    merged = Distribution.of(left).merge(Distribution.of(right), Distribution.empty())
    together = Distribution.of(left + right)
    assert (merged.upper_seconds == together.upper_seconds).all()
    assert (merged.counts == together.counts).all()
    assert merged.figures("x") == pytest.approx(together.figures("x"))


def test_geometric_interpolation_within_a_bucket() -> None:
    """Many samples in one bucket: the median is the bucket's middle on a logarithmic scale."""
    upper = float(upper_seconds([bucket_of(10**6)])[0])
    of = Distribution(1000, 1.0, upper / GROWTH, upper, np.array([upper]), np.array([1000]))
    assert of.quantile(0.5) == pytest.approx(upper / math.sqrt(GROWTH))


def test_without_samples_there_are_no_figures_but_a_count() -> None:
    figures = Distribution.empty().figures("etcd.apply_seconds")
    assert figures.pop("etcd.apply_seconds.count") == 0
    assert set(figures.values()) == {None}
    assert [name.rpartition(".")[2] for name in figures] == [name for name in STATISTICS if name != "count"]


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_lies_between_0_and_1(q: float) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        Distribution.of([1]).quantile(q)


def a_run(windows: int = 24) -> Run:
    """Each hour is one millisecond slower than the one before."""
    parts = [Distribution.of([(hour + 1) * 10**6] * 10) for hour in range(windows)]
    return Run(
        variant="x", seed=1, horizon_seconds=86_400.0, metrics={}, status={}, writers={}, incidents=[], series=pd.DataFrame(),
        distributions={"etcd.apply_seconds": parts[0].merge(*parts[1:])}, windows={"etcd.apply_seconds": parts},
    )  # fmt: skip


def test_a_quantile_of_a_part_of_the_run() -> None:
    run = a_run()
    assert run.quantile("etcd.apply_seconds", 0.99, ("0h", "1h")) == pytest.approx(1e-3)
    assert run.quantile("etcd.apply_seconds", 0.99, between=("23h", "24h")) == pytest.approx(24e-3)
    assert run.quantile("etcd.apply_seconds", 0, between=("2h", "1d")) == pytest.approx(3e-3)
    assert run.quantile("etcd.apply_seconds", 1) == pytest.approx(24e-3)


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (("90m", "3h"), "90m: this run kept windows of 1h up to 24h"),
        (("0h", "25h"), "25h: this run kept windows of 1h up to 24h"),
        (("2h", "2h"), "nothing lies between 2h and 2h"),
        (("2h", "1h"), "nothing lies between"),
        (("a", "1h"), '"a" is not a duration'),
    ],
)
def test_times_that_no_windows_match_are_refused(between: tuple[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        a_run().quantile("etcd.apply_seconds", 0.5, between)


def test_an_unknown_figure_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r'did you mean "etcd\.apply_seconds"'):
        a_run().quantile("etcd.aply_seconds", 0.5)


def test_details_of_an_incident_stand_beside_its_own_fields() -> None:
    with pytest.raises(ValueError, match="may not be called kind"):
        Incident(1.0, "quota", "full", {"kind": "x"})
