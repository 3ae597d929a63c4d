"""What a user may write for a quantity, what is stored, and that what is written back reads back exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.scenario import Scenario, from_dict, to_dict
from sim.scenario.distribution import Constant, Empirical, Gamma, Lognormal, Mixture
from sim.scenario.interval import Interval
from sim.scenario.quantities import format_rate, format_size, read_rate, read_size
from sim.units import MICROSECOND, MILLISECOND, MINUTE, SECOND

BARE: dict[str, Any] = {"horizon": "1h", "etcd": {"members": {"a": {}}}}


def scenario(**sections: Any) -> Scenario:
    return from_dict({**BARE, **sections})


def etcd(**fields: Any) -> Scenario:
    return scenario(etcd={"members": {"a": {}}, **fields})


@pytest.mark.parametrize(
    ("written", "stored"),
    [("7s", 7 * SECOND), ("1m30s", 90 * SECOND), (7, 7 * SECOND), (0.25, 250 * MILLISECOND), ("2.5", 2500 * MILLISECOND)],
)
def test_durations_are_nanoseconds(written: object, stored: int) -> None:
    assert etcd(request_timeout=written).etcd.request_timeout == stored


@pytest.mark.parametrize(
    ("written", "stored"), [("8GiB", 8 * 2**30), ("64MB", 64_000_000), (600, 600), ("off", None), ("none", None)]
)
def test_sizes_are_bytes_and_off_is_none(written: object, stored: int | None) -> None:
    assert etcd(quota=written).etcd.quota == stored
    assert etcd(quota=to_dict(etcd(quota=written))["etcd"]["quota"]).etcd.quota == stored


@pytest.mark.parametrize(("written", "stored"), [("27/s", 27.0), ("600/min", 10.0), ("4/h", 4 / 3600), (20, 20.0), ("off", "off")])
def test_rates_are_per_second(written: object, stored: object) -> None:
    assert scenario(controllers={"x": {"client": {"qps": written}}}).controllers["x"].client.qps == stored


@pytest.mark.parametrize(("written", "stored"), [(2.37e6, 2_370_000), (3, 3), ("3", 3)])
def test_counts_are_whole(written: object, stored: int) -> None:
    count = etcd(preload={"pod": written}).etcd.preload["pod"]
    assert count == stored
    assert isinstance(count, int)


@pytest.mark.parametrize(
    ("written", "mean", "law", "text"),
    [
        ("157s", 157 * SECOND, "fixed", "2m37s"),
        (157, 157 * SECOND, "fixed", "2m37s"),
        ("exp(157s)", 157 * SECOND, "exponential", "exp(2m37s)"),
        ("exp( 5m )", 5 * MINUTE, "exponential", "exp(5m)"),
    ],
)
def test_intervals_have_a_mean_and_a_law(written: object, mean: int, law: str, text: str) -> None:
    made = scenario(workloads={"pod-churn": {"every": written}})
    assert (
        made.workloads["pod-churn"].every.model_dump()
        == Interval.model_validate({"mean": written_seconds(mean), "law": law}).model_dump()
    )
    assert made.workloads["pod-churn"].every.mean == mean
    assert to_dict(made)["workloads"]["pod-churn"]["every"] == text


def written_seconds(nanoseconds: int) -> float:
    return nanoseconds / SECOND


DISTRIBUTIONS: list[tuple[Any, Any, Any]] = [
    ("1ms", Constant(constant="1ms"), "1ms"),
    (0.001, Constant(constant="1ms"), "1ms"),
    ({"constant": "1ms"}, Constant(constant="1ms"), "1ms"),
    ({"median": "1ms", "p99": "5ms"}, Lognormal(median="1ms", p99="5ms"), {"median": "1ms", "p99": "5ms"}),
    ({"mean": "700us", "sd": "240us"}, Gamma(mean="700us", sd="240us"), {"mean": "700us", "sd": "240us"}),
    (
        {"quantiles": {0: "80us", 0.5: "118us", "99%": "230us", 1: "15ms"}},
        Empirical(quantiles={0: "80us", 0.5: "118us", 0.99: "230us", 1: "15ms"}),
        {"quantiles": {"0": "80us", "0.5": "118us", "0.99": "230us", "1": "15ms"}},
    ),
    (
        {"mixture": [{"weight": "99%", "median": "1ms", "p99": "5ms"}, {"weight": 0.01, "constant": "100ms"}]},
        Mixture(mixture=[{"weight": 0.99, "median": "1ms", "p99": "5ms"}, {"weight": 0.01, "constant": "100ms"}]),
        {"mixture": [{"weight": 0.99, "median": "1ms", "p99": "5ms"}, {"weight": 0.01, "constant": "100ms"}]},
    ),
]


@pytest.mark.parametrize(("written", "stored", "again"), DISTRIBUTIONS)
def test_distributions_keep_their_form(written: Any, stored: Any, again: Any) -> None:
    made = etcd(costs={"apply": written})
    assert made.etcd.costs.apply == stored
    assert to_dict(made)["etcd"]["costs"]["apply"] == again
    assert etcd(costs={"apply": again}).etcd.costs.apply == stored


def test_durations_inside_a_distribution_are_nanoseconds() -> None:
    apply = etcd(costs={"apply": {"median": "25us", "p99": "120us"}}).etcd.costs.apply
    assert isinstance(apply, Lognormal)
    assert (apply.median, apply.p99) == (25 * MICROSECOND, 120 * MICROSECOND)


@given(st.integers(min_value=0, max_value=2**53))
def test_sizes_read_back(size: int) -> None:
    assert read_size(format_size(size)) == size


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_rates_read_back(rate: float) -> None:
    assert read_rate(format_rate(rate)) == rate


def test_a_size_is_written_as_short_as_it_can_be() -> None:
    assert [format_size(size) for size in (2 * 2**30, 64_000_000, 600, 0, 3000)] == ["2GiB", "64MB", "600B", "0B", "3kB"]


def test_nothing_means_the_default() -> None:
    made = scenario(etcd={"members": {"a": None}, "quota": None, "compaction": None}, background=None, variants={"v": None})
    assert made.etcd.members["a"].disk == "cloud-ssd"
    assert made.etcd.quota == 2 * 2**30
    assert made.variants == {"v": {}}
