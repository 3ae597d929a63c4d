"""RFC 6298 by hand: smoothed time and deviation, doubling, bounds."""

from __future__ import annotations

from sim.clientgo.timeouts import LONGEST, AdaptiveTimeout, FixedTimeout
from sim.units import MILLISECOND, SECOND


def test_it_follows_the_answers():
    timeout = AdaptiveTimeout()
    assert timeout.limit() == SECOND
    timeout.answered(2 * SECOND)  # smoothed 2, deviation 1
    assert timeout.limit() == 6 * SECOND
    timeout.answered(6 * SECOND)  # deviation 3/4 + 4/4, smoothed 2.5
    assert timeout.limit() == 2500 * MILLISECOND + 4 * 1750 * MILLISECOND
    for _ in range(100):
        timeout.answered(2 * SECOND)
    assert 2 * SECOND <= timeout.limit() < 2100 * MILLISECOND


def test_it_doubles_until_an_answer_comes_and_has_bounds():
    timeout = AdaptiveTimeout()
    limits = []
    for _ in range(8):
        limits.append(timeout.limit() // SECOND)
        timeout.expired()
    assert limits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert timeout.limit() == LONGEST
    timeout.answered(4 * MILLISECOND)
    assert timeout.limit() == SECOND  # not less, however fast


def test_a_fixed_one_learns_nothing():
    timeout = FixedTimeout(5 * SECOND)
    timeout.expired()
    timeout.answered(60 * SECOND)
    assert timeout.limit() == 5 * SECOND
