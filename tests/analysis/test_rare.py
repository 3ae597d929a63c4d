"""Exact intervals of counts, by summing what can happen; and stalls that are declared against those that are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sim.analysis import Interval, Refused, episodes, passes, probability, rate, stalls_per_day


@pytest.mark.parametrize("trials", [10, 30, 100])
def test_clopper_pearson_holds_at_least_as_often_as_it_says(trials: int) -> None:
    """Exactly: the binomial probabilities of all counts whose interval holds p, over a grid of p."""
    intervals = [probability(count, trials) for count in range(trials + 1)]
    held = [
        sum(stats.binom.pmf(k, trials, p) for k, one in enumerate(intervals) if p in one) for p in np.linspace(0.005, 0.995, 199)
    ]
    print(f"{trials} trials: lowest {min(held):.4f}, mean {np.mean(held):.4f}")
    assert min(held) >= 0.95
    assert np.mean(held) < 0.995


def test_the_poisson_interval_holds_at_least_as_often_as_it_says() -> None:
    intervals = [rate(count, 2.0) for count in range(200)]
    held = {
        mean: sum(stats.poisson.pmf(k, mean) for k, one in enumerate(intervals) if mean / 2 in one)
        for mean in np.linspace(0.1, 60, 200)
    }
    print(f"lowest {min(held.values()):.4f}, from 10 events on at most {max(v for m, v in held.items() if m > 10):.4f}")
    assert min(held.values()) >= 0.95
    assert max(v for m, v in held.items() if m > 10) < 0.98


def test_nothing_seen_is_not_never() -> None:
    """The article's 0 violations in 137 releases: the one-sided 95% bound is 2.2%, the two-sided one 2.7%."""
    assert probability(0, 137, level=0.90).high == pytest.approx(0.0216, abs=1e-4)
    assert probability(0, 137).high == pytest.approx(0.0266, abs=1e-4)
    assert rate(0, 30.0).low == 0
    assert rate(0, 30.0).high == pytest.approx(3.689 / 30, rel=1e-3)
    assert probability(5, 5).high == 1


def test_the_probability_of_a_day_that_passes_a_bound() -> None:
    given = passes([0.3, 1.9, 0.2, 0.4], 1.8)
    assert isinstance(given, Interval)
    assert given.estimate == 0.25
    assert isinstance(passes([], 1.8), Refused)


def test_one_stall_is_one_episode() -> None:
    times = np.array([1.0, 1.1, 1.2, 5.0, 9.0, 9.05])
    assert episodes(times, [2, 2, 2, 0.1, 2, 2], beyond=1.0, gap=0.5).tolist() == [1.0, 9.0]
    assert episodes(times, [0.1] * 6, beyond=1.0, gap=0.5).tolist() == []
    with pytest.raises(ValueError, match="rising"):
        episodes([2.0, 1.0], [1.0, 1.0], 0.5, 1.0)


def test_declared_stalls_are_taken_out_with_their_time() -> None:
    began = [[100.0, 21_600.5], [21_601.0], [50_000.0, 21_600.1]]
    found = stalls_per_day(began, 86_400.0, declared=[[(21_600.0, 25_200.0)]] * 3)
    assert found.everything.estimate == pytest.approx(5 / 3)
    assert found.undeclared.estimate == pytest.approx(2 / (3 * (86_400 - 3_600) / 86_400))
    assert found.evenly_spread
    overlapping = stalls_per_day([[1.0]], 100.0, declared=[[(0.0, 10.0), (5.0, 20.0), (90.0, 200.0)]])
    assert "in 0.000810185" in overlapping.undeclared.method  # 70 s of 100 s
    with pytest.raises(ValueError, match="leave no time"):
        stalls_per_day([[1.0]], 100.0, declared=[[(0.0, 100.0)]])
    with pytest.raises(ValueError, match="2 lists"):
        stalls_per_day([[1.0]], 100.0, declared=[[], []])


def test_clusters_are_noticed() -> None:
    """Ten replications with 20 stalls in one and none in nine are no Poisson process."""
    assert not stalls_per_day([list(np.linspace(1, 99, 20)), *[[]] * 9], 100.0).evenly_spread
    rng = np.random.default_rng(1)
    uneven = sum(not stalls_per_day([rng.uniform(0, 1, k) for k in rng.poisson(5, 20)], 1.0).evenly_spread for _ in range(500))
    assert uneven < 20


def test_bad_counts_are_refused() -> None:
    for bad in (
        lambda: rate(-1, 1.0),
        lambda: rate(1, 0.0),
        lambda: probability(3, 2),
        lambda: probability(0, 0),
        lambda: rate(1, 1.0, 1.5),
    ):
        with pytest.raises(ValueError, match=r"expected|not between"):
            bad()
