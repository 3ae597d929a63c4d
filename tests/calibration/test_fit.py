"""Laws recovered from what a histogram leaves of a sample, and the public histogram that a lognormal cannot fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from calibration_sample import MILLISECONDS, TENTHS, drawn, lognormal, public_histogram
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sim.assembly.ground import table
from sim.calibration.commits import Twice, fit_half
from sim.calibration.fit import Fitted, _fit_lognormals, empirical, fit
from sim.calibration.histogram import from_cumulative, from_sample
from sim.calibration.laws import GammaLaw, Lognormals, Points, mixture, quantile, written
from sim.calibration.ridges import below
from sim.errors import InputError
from sim.scenario.distribution import Distribution
from sim.streams import WEIGHTS
from sim.units import parse_duration


@pytest.fixture(scope="module")
def published() -> Fitted:
    return fit(public_histogram())


def simulated(declared: Any) -> np.ndarray:
    """The quantile table that the simulator draws from, seconds."""
    return table(TypeAdapter(Distribution).validate_python(declared)) / 1e9


def test_the_public_histogram_at_every_bound_and_in_the_mean(published: Fitted) -> None:
    best = published.best
    bounds = np.array(best.histogram.bounds)
    assert np.abs(best.law.cdf(bounds) - best.histogram.cumulative).max() <= 0.001
    assert best.law.mean == pytest.approx(best.histogram.mean, rel=0.02)
    assert best.quantile(0.999) == pytest.approx(0.110, rel=0.1)
    assert best.tail < 1.25  # and so does each share above a bound: 117 of 18.8 million above a second


def test_so_does_what_the_simulator_draws_of_it(published: Fitted) -> None:
    histogram = published.best.histogram
    drawn_table = simulated(published.best.law.declared())
    shares = np.array([WEIGHTS[drawn_table <= bound].sum() for bound in histogram.bounds])
    assert np.abs(shares - histogram.cumulative).max() <= 0.001
    assert drawn_table @ WEIGHTS == pytest.approx(histogram.mean, rel=0.02)


def test_a_body_and_one_tail_of_three_lognormals_would_do_at_the_bounds(published: Fitted) -> None:
    three = published["mixture of 3 lognormals"]
    assert three.ks <= 0.001
    assert abs(three.mean_error) <= 0.02
    assert three.tail > 3  # but it would have eight times as many fsyncs above a second
    assert not three.accepted


@pytest.mark.parametrize("name", ["lognormal", "gamma"])
def test_a_body_without_a_tail_cannot(published: Fitted, name: str) -> None:
    one = published[name]
    assert one.ks > 0.05
    assert one.quantile(0.999) < 0.02  # 110 ms in truth
    assert not one.accepted


def test_a_lognormal_is_recovered_and_preferred() -> None:
    values = lognormal(np.random.default_rng(1), 50_000, 0.003, 0.6)
    fitted = fit(from_sample(values, MILLISECONDS))
    assert str(fitted.best.law) == "lognormal"
    for at, error in ((0.5, 0.02), (0.99, 0.03), (0.999, 0.05)):
        assert fitted.best.quantile(at) == pytest.approx(float(np.exp(np.log(0.003) + 0.6 * _z(at))), rel=error)


def test_a_gamma_law_is_recovered() -> None:
    values = np.random.default_rng(2).gamma(8.5, 0.0007, 50_000)
    fitted = fit(from_sample(values, MILLISECONDS))
    gamma = fitted["gamma"].law
    assert isinstance(gamma, GammaLaw)
    assert gamma.shape == pytest.approx(8.5, rel=0.05)
    assert fitted.best.quantile(0.99) == pytest.approx(float(np.quantile(values, 0.99)), rel=0.03)


def test_a_body_and_a_tail_are_recovered() -> None:
    law = mixture([0.99, 0.01], [0.002, 0.08], [0.4, 0.5])
    random = np.random.default_rng(3)
    values = np.concatenate([lognormal(random, 198_000, 0.002, 0.4), lognormal(random, 2_000, 0.08, 0.5)])
    fitted = fit(from_sample(values, MILLISECONDS))
    assert str(fitted.best.law) == "mixture of 2 lognormals"
    for at in (0.5, 0.99, 0.999):
        assert fitted.best.quantile(at) == pytest.approx(quantile(law, at), rel=0.1)


def test_the_standard_error_of_a_quantile_is_honest() -> None:
    truth = 0.002 * np.exp(0.5 * _z(0.99))
    misses = []
    for seed in range(60):
        one = _fit_lognormals(from_sample(lognormal(np.random.default_rng(seed), 4000, 0.002, 0.5), MILLISECONDS), 1)
        misses.append((one.quantile(0.99) / truth - 1) / one.spread[0.99])
    assert 0.6 < float(np.std(misses)) < 1.5
    assert abs(float(np.mean(misses))) < 0.5


def test_a_true_law_is_not_refused_and_a_false_one_is() -> None:
    worst = [
        fit(from_sample(lognormal(np.random.default_rng(s), 20_000, 0.003, 0.6), MILLISECONDS))["lognormal"].p_value
        for s in range(5)
    ]
    assert min(worst) > 0.001
    assert fit(drawn(1, slow=0.01))["lognormal"].p_value < 1e-6


def test_without_the_sum_the_body_below_the_first_bound_would_not_be_told() -> None:
    # Half a millisecond in truth: only the sum knows it, for 99% of it are in the first bucket.
    values = lognormal(np.random.default_rng(4), 50_000, 0.0004, 0.4)
    fitted = fit(from_sample(values, MILLISECONDS))
    assert fitted.best.law.mean == pytest.approx(float(values.mean()), rel=0.01)
    assert fitted.best.quantile(0.5) == pytest.approx(0.0004, rel=0.1)


def test_all_in_one_bucket_is_a_mean_and_an_assumption() -> None:
    values = lognormal(np.random.default_rng(5), 1000, 0.00004, 0.3)
    fitted = fit(from_sample(values, MILLISECONDS))
    assert fitted.best.free == 1
    assert fitted.best.law.mean == pytest.approx(float(values.mean()), rel=1e-6)
    assert np.isnan(fitted.best.spread[0.5])


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="19 observations are too few"):
        fit(from_sample(np.full(19, 0.003), MILLISECONDS))


@given(
    body=st.floats(0.0004, 0.02),
    sigma=st.floats(0.2, 0.9),
    share=st.floats(0.0, 0.05),
    seed=st.integers(0, 10**6),
    size=st.sampled_from([200, 3000, 40_000]),
)
@settings(max_examples=12, deadline=None)
def test_whatever_was_observed_the_law_stands_for_it(body: float, sigma: float, share: float, seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    values = lognormal(random, size, body, sigma)
    slow = random.random(size) < share
    values[slow] += random.exponential(0.2, int(slow.sum()))
    histogram = from_sample(values, MILLISECONDS)
    best = fit(histogram).best
    assert abs(best.mean_error) <= 0.02
    assert best.ks <= max(0.001, 3 / size**0.5)
    declared = simulated(best.law.declared())
    assert np.all(np.diff(declared) >= 0)
    assert declared @ WEIGHTS == pytest.approx(best.law.mean, rel=0.01, abs=1e-8)


@given(values=st.lists(st.floats(1e-5, 6.0), min_size=25, max_size=300))
@settings(max_examples=60, deadline=None)
def test_what_lies_under_the_lowest_bound_is_inside_the_stated_range(values: list[float]) -> None:
    sample = np.array(values)
    hidden = below(from_sample(sample, MILLISECONDS))
    inside = sample[sample <= 0.001]
    if hidden is None:
        assert not len(inside)
        return
    low, high = hidden.mean
    assert low * 0.999 <= inside.mean() <= high * 1.001
    low, high = hidden.median
    assert low * 0.999 <= np.quantile(sample, 0.5, method="inverted_cdf") <= high * 1.001


def test_the_empirical_law_is_exact_at_the_bounds_and_in_the_mean() -> None:
    histogram = public_histogram()
    law = empirical(histogram, mixture([1.0], [0.0036], [0.36]))
    assert isinstance(law, Points)
    seen = np.array(histogram.counts) > 0
    bounds = np.array(histogram.bounds)[seen[:-1]]
    assert law.cdf(bounds) == pytest.approx(histogram.cumulative[seen[:-1]], abs=1e-9)
    assert law.mean == pytest.approx(histogram.mean, rel=1e-4)


def test_half_a_commit_is_recovered() -> None:
    random = np.random.default_rng(6)

    def one(size: int) -> np.ndarray:
        values = lognormal(random, size, 0.002, 0.4)
        slow = random.random(size) < 0.01
        values[slow] = lognormal(random, int(slow.sum()), 0.05, 0.4)
        return values

    commits = from_sample(one(30_000) + one(30_000) + 0.0005, MILLISECONDS)
    half = fit_half(commits, 0.0005)
    assert isinstance(half.law, Twice)
    law = half.law.of
    assert quantile(law, 0.5) == pytest.approx(0.002, rel=0.05)
    assert law.mean == pytest.approx(0.99 * 0.002 * np.exp(0.08) + 0.01 * 0.05 * np.exp(0.08), rel=0.03)
    assert 1 - law.cdf(np.array([0.02]))[0] == pytest.approx(0.01, rel=0.15)


def test_the_sum_of_two_draws_is_that_of_a_large_sample() -> None:
    law = mixture([0.9, 0.1], [0.001, 0.01], [0.5, 0.6])
    random = np.random.default_rng(7)

    def draw() -> np.ndarray:
        late = random.random(400_000) < 0.1
        return np.where(late, lognormal(random, 400_000, 0.01, 0.6), lognormal(random, 400_000, 0.001, 0.5))

    total = draw() + draw() + 0.001
    at = np.array([0.003, 0.005, 0.01, 0.03])
    assert Twice(law, 0.001).cdf(at) == pytest.approx([np.mean(total <= x) for x in at], abs=0.004)
    assert Twice(law, 0.001).below(at) == pytest.approx([np.mean(total * (total <= x)) for x in at], rel=0.02)


@pytest.mark.parametrize(
    ("cumulative", "total", "said"),
    [
        ([(0.001, 1), (0.002, 2), (0.004, 3)], 0.005, r'le="\+Inf" is missing'),
        ([(0.001, 3), (0.002, 2), (0.004, 4), (np.inf, 4)], 0.005, "whole numbers that rise"),
        ([(0.001, 0), (0.002, 0), (0.004, 4), (np.inf, 4)], 0.1, "does not fit its buckets"),
        ([(0.001, 0), (0.002, 0), (0.004, 4), (np.inf, 4)], float("nan"), "is not a time"),
        ([(0.001, 1.5), (0.002, 2), (0.004, 4), (np.inf, 4)], 0.005, "whole numbers"),
        ([(0.001, float("nan")), (0.002, 2), (0.004, 4), (np.inf, 4)], 0.005, "whole numbers"),
        ([(0.001, 0), (0.002, 2), (0.004, 4), (np.inf, np.inf)], 0.005, "whole numbers"),
    ],
)
def test_what_no_histogram_can_be_is_refused(cumulative: list[tuple[float, float]], total: float, said: str) -> None:
    with pytest.raises(InputError, match=f"^x: .*{said}"):
        from_cumulative(cumulative, total, "x")


@given(value=st.floats(1e-9, 5000.0))
def test_a_written_duration_is_read_back(value: float) -> None:
    assert parse_duration(written(value)) / 1e9 == pytest.approx(value, rel=1e-5, abs=0.6e-9)


def test_finer_buckets_are_fitted_too() -> None:
    values = lognormal(np.random.default_rng(8), 3000, 0.0007, 0.3)
    fitted = fit(from_sample(values, TENTHS))
    assert isinstance(fitted.best.law, Lognormals)
    assert fitted.best.quantile(0.5) == pytest.approx(0.0007, rel=0.03)


def _z(at: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(at))
