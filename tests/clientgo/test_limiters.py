"""Limiters against the tables in their documentation, and the bucket's short way against its long one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.clientgo.limiters import (
    Bucket,
    MaxOf,
    default_controller_rate_limiter,
    default_item_based_rate_limiter,
    priority_queue_rate_limiter,
)
from sim.ratelimit import INF_DURATION, TokenBucket
from sim.units import MILLISECOND, SECOND


def test_exponential_default_schedule() -> None:
    limiter = priority_queue_rate_limiter()
    delays = [limiter.when(0, "a") for _ in range(20)]
    assert delays[:18] == [5 * MILLISECOND * 2**n for n in range(18)]
    assert delays[18:] == [1000 * SECOND] * 2
    assert default_item_based_rate_limiter().when(0, "a") == MILLISECOND


def test_default_limiter_of_500_failing_keys_makes_the_last_wait_40_seconds() -> None:
    limiter = default_controller_rate_limiter()
    delays = [limiter.when(0, key) for key in range(500)]
    assert delays[:100] == [5 * MILLISECOND] * 100
    assert delays[-1] == 40 * SECOND


def test_an_empty_max_of_never_waits() -> None:
    assert MaxOf().when(0, "a") == 0
    assert MaxOf().num_requeues("a") == 0


def test_golden_vectors_of_the_bucket() -> None:
    bucket = TokenBucket(10, 100)
    assert [bucket.reserve(0) for _ in range(105)][99:] == [0, 100000000, 200000000, 300000000, 400000000, 500000000]
    assert bucket.reserve(MILLISECOND) == 599000000
    assert bucket.reserve(33333333) == 666666667
    assert bucket.tokens(33333333) == -6.666666670000001
    assert bucket.reserve(250 * MILLISECOND) == 550000000
    assert bucket.reserve(7 * SECOND) == 0
    assert bucket.tokens(7 * SECOND) == 61.0
    slow = TokenBucket(3, 1)
    waits = [slow.reserve(i * 100 * MILLISECOND) for i in range(6)]
    assert waits == [0, 233333333, 466666666, 699999999, 933333333, 1166666666]


def test_allow_makes_no_debt() -> None:
    bucket = TokenBucket(1 / 300, 25)
    assert [bucket.allow(0) for _ in range(26)] == [True] * 25 + [False]
    assert not bucket.allow(299 * SECOND)
    assert bucket.allow(300 * SECOND)


def test_what_can_never_be_had() -> None:
    assert TokenBucket(10, 0).reserve(0) == INF_DURATION
    assert Bucket(0.0, 1).when(0, "a") == 0
    never = TokenBucket(0, 1)
    assert [never.reserve(0), never.reserve(0)] == [0, INF_DURATION]
    assert TokenBucket(float("inf"), 0).reserve(5) == 0


def test_a_cancelled_reservation_is_over_when_its_time_has_come() -> None:
    bucket = TokenBucket(1, 1)
    first, second = bucket.reserve_n(0, 1), bucket.reserve_n(0, 1)
    assert (first.delay, second.delay, second.delay_from(SECOND // 2)) == (0, SECOND, SECOND // 2)
    bucket.cancel(SECOND // 2, second)
    assert bucket.tokens(SECOND // 2) == 0.5
    bucket.cancel(2 * SECOND, first)
    assert bucket.tokens(SECOND // 2) == 0.5


STEPS = st.one_of(
    st.tuples(st.just("pass"), st.integers(1, 10**11)),
    st.tuples(st.just("reserve"), st.integers(1, 1)),
    st.tuples(st.just("burst"), st.integers(0, 9)),
    st.tuples(st.just("rate"), st.sampled_from([0, 3, 10, 123456, -1])),
)


@given(st.floats(1e-3, 1e6), st.integers(0, 9), st.lists(STEPS, max_size=40))
def test_the_short_way_of_reserve_is_the_long_one(rate: float, burst: int, steps: list[tuple[str, int]]) -> None:
    short, long, now = TokenBucket(rate, burst), TokenBucket(rate, burst), 0
    for what, value in steps:
        match what:
            case "pass":
                now += value
            case "burst":
                short.set_burst(now, value)
                long.set_burst(now, value)
            case "rate":
                short.set_rate(now, value)
                long.set_rate(now, value)
            case _:
                assert short.reserve(now) == long.reserve_n(now, 1).delay
                assert short.tokens(now) == long.tokens(now)
