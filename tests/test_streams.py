"""Streams and tables: named, reproducible, true to their laws out to the rare tail."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sim import distributions
from sim.streams import PROBABILITIES, SLICES, WEIGHTS, Delays, Stream, Streams

LAWS = {
    "constant": (distributions.constant(700.0), None),
    "lognormal": (distributions.lognormal(1e6, 5e6), stats.lognorm(np.log(5) / stats.norm.ppf(0.99), scale=1e6)),
    "gamma": (distributions.gamma(7e5, 2.4e5), stats.gamma((7 / 2.4) ** 2, scale=7e5 / (7 / 2.4) ** 2)),
    "exponential": (distributions.exponential(1e6), stats.expon(scale=1e6)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
def test_a_table_is_rising_and_has_the_moments_of_its_law(name):
    table, law = LAWS[name]
    assert table.shape == PROBABILITIES.shape == WEIGHTS.shape
    assert (np.diff(table) >= 0).all()
    assert WEIGHTS.sum() == pytest.approx(1)
    if law is not None:
        assert table @ WEIGHTS == pytest.approx(law.mean(), rel=1e-3)
        assert np.interp([0.5, 0.99, 0.9999, 0.999999], PROBABILITIES, table) == pytest.approx(
            law.ppf([0.5, 0.99, 0.9999, 0.999999]), rel=0.02
        )


@pytest.mark.parametrize("name", ["gamma", "exponential"])
def test_draws_follow_the_law(name):
    table, law = LAWS[name]
    delays = Delays(Stream(5, "a"), table)
    draws = np.array([delays.draw() for _ in range(40_000)])
    assert stats.kstest(draws, law.cdf).pvalue > 1e-3


def test_the_rare_tail_is_drawn_as_often_as_it_should():
    """One slice of 4096 is cut again: what is rarer than 1 in 4096 is not one value, but a tail of its own."""
    table = distributions.lognormal(1e6, 10e6)
    delays = Delays(Stream(3, "tail"), table, block=65536)
    draws = np.array([delays.draw() for _ in range(2_000_000)])
    bound = np.interp(1 - 1e-5, PROBABILITIES, table)
    beyond = int((draws > bound).sum())
    assert 6 <= beyond <= 40  # 20 expected
    assert draws.max() > np.interp(1 - 1 / SLICES / 2, PROBABILITIES, table) * 1.5


def test_a_mixture_is_the_weighted_sample_of_its_parts():
    fast, slow = distributions.constant(1e6), distributions.constant(50e6)
    table = distributions.mixture([(0.999, fast), (0.001, slow)])
    assert table @ WEIGHTS == pytest.approx(0.999 * 1e6 + 0.001 * 50e6, rel=0.01)
    assert set(table) == {1e6, 50e6}


def test_measured_quantiles_are_joined_by_lines():
    table = distributions.empirical({0.0: 0.0, 0.5: 100.0, 1.0: 300.0})
    assert np.interp(0.25, PROBABILITIES, table) == pytest.approx(50, abs=0.1)
    assert table.max() == pytest.approx(300, abs=0.1)


def test_a_stream_is_its_name_and_its_seed():
    def first(seed, name):
        return [Streams(seed)(name).uniform() for _ in range(1)]

    assert first(1, "etcd.a.wal") == first(1, "etcd.a.wal")
    assert first(1, "etcd.a.wal") != first(2, "etcd.a.wal")
    assert first(1, "etcd.a.wal") != first(1, "etcd.b.wal")
    by_one, at_once = Stream(7, "x", block=3), Stream(7, "x")
    assert [by_one.uniform() for _ in range(50)] == at_once.block(50).tolist()
