"""Time to a level across replications, on the leak's own law: churn is Poisson, each entry writes a key every P seconds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.analysis import Interval, Refused, time_to_level
from sim.analysis.forecast import time_to_grow
from sim.summary import time_to_grow as of_the_summary

CHURN, PERIOD, DAY = 1 / 157, 10.0, 86_400.0
Curve = tuple[np.ndarray, np.ndarray]


def leaks(rng: np.random.Generator, number: int, days: float, points: int = 480) -> list[Curve]:
    """Keys of a leaking controller over time: the integral of the entries over the period."""
    times = np.linspace(0, days * DAY, points)
    entries = np.cumsum(rng.poisson(CHURN * np.diff(times), (number, points - 1)), axis=1)
    before = np.concatenate([np.zeros((number, 1)), entries[:, :-1]], axis=1)
    keys = np.concatenate([np.zeros((number, 1)), np.cumsum((before + entries) / 2 * np.diff(times) / PERIOD, axis=1)], axis=1)
    return [(times, row) for row in keys]


def test_a_leak_is_extrapolated_as_it_bends() -> None:
    """From the first day to 9 times its keys: at three days, c T^2 / (2 P)."""
    keys = CHURN * (3 * DAY) ** 2 / (2 * PERIOD)
    ends = [time_to_grow(t, y, keys - y[-1]) for t, y in leaks(np.random.default_rng(1), 400, 1)]
    days = 1 + np.array([end for end in ends if end is not None]) / DAY
    theirs = [of_the_summary(t, y, keys - y[-1]) for t, y in leaks(np.random.default_rng(1), 400, 1)]
    summary = 1 + np.array([end for end in theirs if end is not None]) / DAY
    print(f"to 3 d: least squares {days.mean():.3f} +- {days.std():.3f} d, summary {summary.mean():.3f} +- {summary.std():.3f} d")
    assert days.mean() == pytest.approx(3.0, abs=0.05)
    assert days.std() <= summary.std()


def test_the_interval_holds_the_time_that_replications_have_on_average() -> None:
    """Ten replications of a day, a quota reached at 1.5 days: mean, median and the next run, against 4,000 longer runs."""
    rng = np.random.default_rng(2)
    keys = CHURN * (1.5 * DAY) ** 2 / (2 * PERIOD)
    real = time_to_level(leaks(rng, 4_000, 2), keys).times
    mean = median = following = within = 0
    trials = 1_000
    for _ in range(trials):
        found = time_to_level(leaks(rng, 10, 1, 120), keys)
        assert found.extrapolated == 10
        assert isinstance(found.mean, Interval)
        assert isinstance(found.median, Interval)
        assert isinstance(found.next, Interval)
        mean += real.mean() in found.mean
        median += float(np.median(real)) in found.median
        draw = rng.choice(real)
        following += draw in found.next
        within += abs(found.mean.estimate / real.mean() - 1) < 0.02
    print(f"mean {mean / trials:.3f}, median {median / trials:.3f}, next {following / trials:.3f}, within 2% {within / trials:.3f}")
    assert 0.90 <= mean / trials <= 0.98
    assert 0.92 <= median / trials <= 0.99
    assert following / trials >= 0.92


def test_what_is_seen_is_not_extrapolated() -> None:
    curves = leaks(np.random.default_rng(3), 8, 1)
    found = time_to_level(curves, CHURN * (0.5 * DAY) ** 2 / (2 * PERIOD))
    assert found.extrapolated == 0
    assert found.times == pytest.approx(np.full(8, 0.5 * DAY), rel=0.2)


def test_steady_growth_is_a_straight_line_and_no_growth_is_never() -> None:
    times = np.linspace(0, DAY, 200)
    assert time_to_grow(times, 1_000 * times, 5e7) == pytest.approx(50_000)
    assert of_the_summary(times, 1_000 * times, 5e7) == pytest.approx(50_000)
    assert time_to_grow(times, np.full(200, 7.0), 1.0) is None
    assert time_to_grow(times, 3 * times**2, 3 * DAY**2 * 3) == pytest.approx(DAY)
    levelling = 1e9 * (1 - np.exp(-times / 2e4))
    assert time_to_grow(times, levelling, 1e9) is None


def test_replications_that_never_get_there_leave_a_median_and_no_mean() -> None:
    times = np.linspace(0, DAY, 200)
    rng = np.random.default_rng(4)
    curves = [(times, 1_000 * times * rng.uniform(0.9, 1.1)) for _ in range(9)] + [(times, np.full(200, 1.0))]
    found = time_to_level(curves, 2e8)
    assert math.isinf(found.times[-1])
    assert found.extrapolated == 9
    assert isinstance(found.mean, Refused)
    assert "1 of 10 replications have no value" in found.mean.reason
    assert isinstance(found.median, Interval)
    assert math.isfinite(found.median.high)
    with pytest.raises(ValueError, match="at least 24 points"):
        time_to_level([([0.0, 1.0], [0.0, 1.0])], 2.0)


def test_the_summary_s_rule_can_be_used_instead() -> None:
    curves = leaks(np.random.default_rng(5), 6, 1)
    found = time_to_level(curves, CHURN * (1.5 * DAY) ** 2 / (2 * PERIOD), extrapolate=of_the_summary)
    assert found.times / DAY == pytest.approx(np.full(6, 1.5), rel=0.15)
