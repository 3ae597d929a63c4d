"""Warm-up, effective samples, refusals and the short way: what each answers, and what it refuses."""

from __future__ import annotations

import known_queues
import numpy as np
import pytest

from sim.analysis import (
    KINDS,
    Interval,
    Refused,
    StopRule,
    interval,
    mean_of_replications,
    mean_of_run,
    mean_of_windows,
    mser5,
    paired,
    quantile_of_replications,
    quantile_of_run,
    quantile_of_windows,
)
from sim.analysis.batches import Batched, batched, long_run_variance, neighbours_agree
from sim.analysis.steady import _beyond
from sim.result import Distribution


def autoregressive(rng: np.random.Generator, phi: float, n: int) -> np.ndarray:
    noise, values = rng.normal(0, 1, n), np.empty(n)
    values[0] = noise[0] / np.sqrt(1 - phi * phi)
    for i in range(1, n):
        values[i] = phi * values[i - 1] + noise[i]
    return values


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_effective_sample_of_an_autoregressive_process(phi: float) -> None:
    """n (1 - phi) / (1 + phi)."""
    n = 40_000
    rng = np.random.default_rng(1)
    found = [mean_of_run(autoregressive(rng, phi, n)) for _ in range(20)]
    sizes = [one.n_eff for one in found if isinstance(one, Interval)]
    assert len(sizes) == 20
    assert np.mean(sizes) == pytest.approx(n * (1 - phi) / (1 + phi), rel=0.12)


def test_the_long_run_variance_of_m_m_1() -> None:
    """rho (2 + 5 rho - 4 rho^2 + rho^3) / (1 - rho)^4 (Whitt 1989, Management Science 35): 1,976 at 0.8."""
    rng = np.random.default_rng(2)
    found = []
    for run in known_queues.waits(rng, "M/M/1", 0.8, 400_000, 6):
        cells = run.reshape(500, -1).sum(axis=1)
        found.append(long_run_variance(cells - cells.mean()) * 500 / 400_000)
    assert np.mean(found) == pytest.approx(1_976, rel=0.15)


def test_the_queues_are_what_theory_says() -> None:
    rng = np.random.default_rng(3)
    for law in ("M/M/1", "M/D/1"):
        run = known_queues.waits(rng, law, 0.5, 100_000, 20)
        assert run.mean() == pytest.approx(known_queues.mean(law, 0.5), rel=0.02)
        for q in (0.9, 0.99):
            assert (run <= known_queues.quantile(law, 0.5, q)).mean() == pytest.approx(q, abs=0.003)
            assert run[:, 0].mean() == pytest.approx(known_queues.mean(law, 0.5), abs=4)  # begins in the stationary law


def test_mser_cuts_the_bias_and_little_else() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0, 1, 5_000) + 20 * np.exp(-np.arange(5_000) / 100)
    cut = mser5(values).cut
    assert cut is not None
    assert 200 < cut < 1_000
    assert cut % 5 == 0
    without = [mser5(rng.normal(0, 1, 5_000)).cut for _ in range(50)]
    assert np.median([one for one in without if one is not None]) < 500


def test_mser_says_when_a_run_has_not_settled() -> None:
    growing = mser5(np.arange(1_000.0) ** 2)
    assert not growing.settled
    assert "second half" in growing.reason
    few = mser5(np.ones(50))
    assert "at least 100" in few.reason
    assert mser5(np.ones(1_000)).cut == 0
    assert mser5(np.random.default_rng(5).normal(0, 1, 48), batch=1).settled


def test_mser_s_statistic_is_the_definition() -> None:
    values = np.random.default_rng(6).normal(0, 1, 300) + np.linspace(3, 0, 300) ** 3
    means = values.reshape(60, 5).mean(axis=1)
    error = [np.sum((means[d:] - means[d:].mean()) ** 2) / (60 - d) ** 2 for d in range(55)]
    best = int(np.argmin(error))
    assert mser5(values).cut == (best * 5 if best <= 30 else None)


def test_von_neumann_s_check_is_wrong_once_in_a_hundred() -> None:
    rng = np.random.default_rng(7)
    assert np.mean([neighbours_agree(rng.normal(0, 1, 16)) for _ in range(4_000)]) == pytest.approx(0.01, abs=0.006)
    assert np.mean([neighbours_agree(autoregressive(rng, 0.8, 32)) for _ in range(300)]) > 0.9


def test_as_many_batches_as_the_effective_sample_carries() -> None:
    rng = np.random.default_rng(11)
    counts = np.full(512, 100.0)

    def batches(phi: float, scale: float) -> int:
        found = batched(100 * autoregressive(rng, phi, 512), counts, scale)
        assert isinstance(found, Batched)
        return found.batches

    assert batches(0.0, 100.0) == 32
    assert batches(0.5, 3.0) in (8, 16)  # 3 x 128 effective samples
    trend = batched(np.linspace(-1, 1, 512), counts, 1.0)
    assert isinstance(trend, Refused)
    assert "still correlated" in trend.reason


def test_the_arms_are_as_lopsided_as_the_samples() -> None:
    rng = np.random.default_rng(12)
    arms = []
    for _ in range(50):
        found = mean_of_run(rng.lognormal(0, 1.5, 600))
        if isinstance(found, Interval):
            arms.append((found.high - found.estimate) / (found.estimate - found.low))
    assert np.median(arms) > 1.1
    assert isinstance(even := mean_of_run(np.tile([1.0, -1.0, -1.0, 1.0], 200)), Interval)
    assert even.high == pytest.approx(-even.low)


def test_samples_beyond_a_quantile_are_counted_within_a_bucket() -> None:
    rng = np.random.default_rng(13)
    windows = [Distribution.of((1e6 * rng.exponential(1, 400)).astype(np.int64).tolist()) for _ in range(10)]
    whole = windows[0].merge(*windows[1:])
    for q in (0.5, 0.9, 0.99):
        at = whole.quantile(q)
        assert at is not None
        assert sum(_beyond(window, at) for window in windows) == pytest.approx((1 - q) * whole.count, rel=1e-6)


def test_a_short_run_is_refused_with_the_reason() -> None:
    run = known_queues.waits(np.random.default_rng(8), "M/M/1", 0.9, 20_000, 1)[0]
    mean = mean_of_run(run)
    assert isinstance(mean, Refused)
    assert "below 300" in mean.reason
    assert mean.estimate == pytest.approx(run.mean())
    p99 = quantile_of_run(run, 0.99)
    assert isinstance(p99, Refused)
    assert "above p99: 30 are needed" in p99.reason
    assert p99.estimate == np.sort(run)[19_799]
    p999 = quantile_of_run(np.arange(20_000.0), 0.999)
    assert isinstance(p999, Refused)
    assert "above p999" in p999.reason
    trend = mean_of_run(np.arange(20_000.0))
    assert isinstance(trend, Refused)


def test_a_constant_has_an_interval_of_no_width() -> None:
    found = mean_of_run(np.full(1_000, 3.0))
    assert isinstance(found, Interval)
    assert (found.low, found.high) == (3.0, 3.0)
    assert found.relative_half_width == 0


def test_windows_give_what_samples_give() -> None:
    run = known_queues.waits(np.random.default_rng(9), "M/M/1", 0.5, 96_000, 1)[0]
    windows = [Distribution.of((part * 1e6).astype(np.int64).tolist()) for part in run.reshape(24, -1)]
    samples, kept = mean_of_run(run * 1e-3), mean_of_windows(windows)
    assert isinstance(samples, Interval)
    assert isinstance(kept, Interval)
    assert kept.estimate == pytest.approx(samples.estimate, rel=1e-5)
    assert kept.half_width == pytest.approx(samples.half_width, rel=0.6)
    exact, coarse = quantile_of_run(run * 1e-3, 0.99), quantile_of_windows(windows, 0.99)
    assert isinstance(exact, Interval)
    assert isinstance(coarse, Interval)
    assert coarse.estimate == pytest.approx(exact.estimate, rel=0.022)
    assert coarse.half_width == pytest.approx(exact.half_width, rel=0.6)
    assert "2.2%" in coarse.notes[0]
    assert isinstance(mean_of_windows(windows[:5]), Refused)
    assert isinstance(quantile_of_windows([], 0.99), Refused)
    empty = [*windows, Distribution.empty()]
    assert isinstance(quantile_of_windows(empty, 0.99), Interval)


@pytest.mark.parametrize("number", [6, 7, 10, 20, 50, 200])
@pytest.mark.parametrize("q", [0.5, 0.9])
def test_ranks_hold_the_quantile_as_often_as_they_say(number: int, q: float) -> None:
    """By the binomial distribution itself; the confidence printed is the real one."""
    from scipy import stats

    found = quantile_of_replications(np.arange(1.0, number + 1), q)
    if isinstance(found, Refused):
        assert 1 - q**number - (1 - q) ** number < 0.95
        return
    low, high = int(found.low), int(found.high)
    held = stats.binom.cdf(high - 1, number, q) - stats.binom.cdf(low - 1, number, q)
    assert held >= 0.95
    assert f"({held:.1%})" in found.method


def test_replications_and_their_refusals() -> None:
    found = mean_of_replications([1.0, 2.0, 3.0])
    assert isinstance(found, Interval)
    assert found.half_width == pytest.approx(4.302653 / np.sqrt(3), rel=1e-5)
    few = mean_of_replications([1.0, 2.0])
    assert isinstance(few, Refused)
    assert few.estimate == 1.5
    median = quantile_of_replications([1.0] * 5)
    assert isinstance(median, Refused)
    assert "6 are needed" in median.reason
    skewed = mean_of_replications([1, 1, 1, 1, 1, 1, 1, 30.0])
    assert isinstance(skewed, Interval)
    assert "skewed" in skewed.notes[0]
    pairs = paired([1.0, 5.0, 9.0], [2.0, 6.1, 9.9])
    assert isinstance(pairs, Interval)
    assert pairs.estimate == pytest.approx(1.0)
    assert "pairing divides the variance by" in pairs.notes[0]
    with pytest.raises(ValueError, match="no pairs"):
        paired([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="not a number"):
        quantile_of_replications([1.0, np.nan])


def test_when_a_study_looks_again() -> None:
    rule = StopRule(0.05, first=10, most=100)
    wide, narrow = Interval(1.0, 0.5, 1.5, 10, "t"), Interval(1.0, 0.96, 1.04, 10, "t")
    assert rule.look(wide, 10).next == 20  # 1,100 are expected: at most twice as many before the next look
    assert rule.look(Interval(1.0, 0.94, 1.06, 10, "t"), 10).next == 16
    assert rule.look(wide, 80).next == 100
    assert rule.look(narrow, 10).reached
    assert not rule.look(Interval(1.0, 0.951, 1.049, 10, "t"), 10).stop  # 5% of the estimate is more than 5% of the truth
    over = rule.look(wide, 100)
    assert over.stop
    assert not over.reached
    assert "given up" in over.reason
    assert rule.look(Refused("too short"), 10).next == 20
    assert rule.look(narrow, 4).next == 10
    for bad in (lambda: StopRule(0.0), lambda: StopRule(first=20, most=10)):
        with pytest.raises(ValueError, match=r"never reached|not between"):
            bad()


def test_the_short_way_is_the_long_way() -> None:
    run = known_queues.waits(np.random.default_rng(10), "M/M/1", 0.5, 80_000, 1)[0]
    windows = [Distribution.of((part * 1e6).astype(np.int64).tolist()) for part in run.reshape(20, -1)]
    values = np.arange(10.0)
    assert interval(values, "mean") == mean_of_replications(values)
    assert interval(values, "median") == quantile_of_replications(values)
    assert interval(run, "run.p99") == quantile_of_run(run, 0.99)
    assert interval(run, "run.mean", 0.9) == mean_of_run(run, 0.9)
    assert interval(windows, "run.p99") == quantile_of_windows(windows, 0.99)
    assert interval(windows, "pooled.p99") == quantile_of_windows(windows, 0.99, independent=True)
    assert set(KINDS) >= {"mean", "run.p999", "pooled.p999", "next"}
    for bad in (lambda: interval(values, "p99"), lambda: interval(windows, "mean"), lambda: interval(values, "pooled.p99")):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"not one of|takes"):
            bad()
    with pytest.raises(ValueError, match="not between 0 and 1"):
        interval(values, "mean", 95)
    with pytest.raises(ValueError, match="not finite"):
        interval([1.0, np.inf], "run.mean")
    assert isinstance(interval([], "mean"), Refused)
    assert isinstance(interval([], "run.mean"), Refused)
    assert isinstance(interval([], "run.p99"), Refused)
    assert isinstance(interval([], "median"), Refused)
