"""What a series of scrapes tells: single slow fsyncs, stalls in time, or episodes."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_sample import MILLISECONDS, exposition, lognormal

from sim.calibration.cluster import calibrate
from sim.calibration.histogram import Floats, Histogram, from_sample
from sim.calibration.scrape import WAL_FSYNC, parse
from sim.calibration.stalls import fit_stalls, polya_aeppli
from sim.errors import InputError

EVERY = 15.0


def world(
    seed: int, intervals: int = 240, per_hour: float = 60, length: float = 0.4, each: float = 1, independent: float = 0.0
) -> list[Histogram]:
    """Intervals of a day's load: stalls come by a Poisson calendar, each makes a geometric number of fsyncs slow."""
    random = np.random.default_rng(seed)
    observed = []
    for _ in range(intervals):
        values = lognormal(random, int(random.poisson(random.uniform(20, 200) * EVERY)), 0.0012, 0.4)
        late = random.random(len(values)) < independent
        values[late] = 0.03 + random.exponential(length, int(late.sum()))
        for _ in range(random.poisson(per_hour * EVERY / 3600)):
            made = 1 if each == 1 else int(random.geometric(1 / each))
            values = np.append(values, lognormal(random, made, length / each, 0.3))
        observed.append(from_sample(values, MILLISECONDS))
    return observed


def spans(observed: list[Histogram]) -> Floats:
    return np.full(len(observed), EVERY)


def test_independent_slow_fsyncs() -> None:
    observed = world(1, per_hour=0, independent=2e-3)
    found = fit_stalls(spans(observed), observed)
    assert found is not None
    assert (found.kind, found.decided) == ("each fsync", True)
    assert found.q == pytest.approx(2e-3, rel=0.15)
    assert found.p_value > 0.001


def test_stalls_in_time() -> None:
    observed = world(2)
    found = fit_stalls(spans(observed), observed)
    assert found is not None
    assert (found.kind, found.decided) == ("stalls", True)
    low, high = (3600 * end for end in found.rate_interval)
    assert low < 60 < high
    assert high / low < 2.5
    assert found.length == pytest.approx(0.4 * np.exp(0.045), rel=0.1)


def test_episodes_of_several() -> None:
    rates, lengths = [], []
    for seed in range(4):
        observed = world(seed, per_hour=90, each=5)
        found = fit_stalls(spans(observed), observed)
        assert found is not None
        assert (found.kind, found.decided) == ("episodes", True)
        rates.append(3600 * found.rate)
        lengths.append(found.length)
        assert found.dispersion > 3
        assert found.p_value < 1e-6
    assert float(np.mean(rates)) == pytest.approx(90, rel=0.15)
    assert float(np.mean(lengths)) == pytest.approx(0.4 * np.exp(0.045), rel=0.15)


def test_the_same_histogram_two_worlds() -> None:
    """The sum of all intervals cannot tell what the series tells: shuffle the slow ones over the fsyncs."""
    clustered = world(5, per_hour=90, each=5)
    whole = clustered[0]
    for one in clustered[1:]:
        whole = whole.plus(one)
    random = np.random.default_rng(5)
    left, totals = np.array(whole.counts), [one.count for one in clustered]
    shuffled = []
    for at, total in enumerate(totals):
        counts = random.multivariate_hypergeometric(left, total) if at < len(totals) - 1 else left.copy()
        left = left - counts
        middle = np.array([0.0006, *(1.4 * bound for bound in MILLISECONDS)])
        shuffled.append(Histogram(tuple(MILLISECONDS), tuple(counts.tolist()), float(counts @ middle)))
    found = fit_stalls(spans(shuffled), shuffled)
    assert found is not None
    assert found.kind == "each fsync"
    kept = fit_stalls(spans(clustered), clustered)
    assert kept is not None
    assert kept.kind == "episodes"


def test_too_few_slow_ones_say_nothing() -> None:
    observed = world(6, intervals=10, per_hour=0)
    assert fit_stalls(spans(observed), observed, 0.064) is None


def test_a_threshold_that_is_no_bound() -> None:
    observed = world(6, intervals=10)
    with pytest.raises(InputError, match=r"slow: 0\.05 s is not a bound of the histogram; one of 0\.001, 0\.002"):
        fit_stalls(spans(observed), observed, 0.05)


def test_polya_aeppli_against_its_definition() -> None:
    """The recursion gives the probability of a Poisson number of geometric clusters."""
    random = np.random.default_rng(7)
    again, mean = 0.6, 1.3
    episodes = random.poisson(mean, 400_000)
    made = np.where(episodes > 0, episodes + random.negative_binomial(np.maximum(episodes, 1), 1 - again), 0)
    for k in (0, 1, 2, 5, 12):
        share = float(np.exp(polya_aeppli(np.array([float(k)]), np.array([mean]), again)))
        assert share == pytest.approx(float(np.mean(made == k)), abs=0.0025)
    total = sum(np.exp(polya_aeppli(np.array([float(k)]), np.array([mean]), again)) for k in range(200))
    assert total == pytest.approx(1, abs=1e-9)


def test_through_scrapes() -> None:
    observed = world(8, intervals=120, per_hour=120, each=4)
    total, scrapes = from_sample(np.full(30, 0.0012), MILLISECONDS), []
    for at, one in enumerate([None, *observed]):
        total = total if one is None else total.plus(one)
        scrapes.append(parse(exposition({WAL_FSYNC: total}), f"{at}.txt", at * EVERY))
    found = calibrate(series=scrapes)
    assert found.stalls is not None
    assert found.stalls.kind == "episodes"
    assert not any(ridge.name == "independent tail or stalls" for ridge in found.ridges)
    assert any(ridge.name == "independent tail or stalls" for ridge in calibrate(scrapes[-1].since(scrapes[0])).ridges)
