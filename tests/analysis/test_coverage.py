"""A 95% interval holds the truth 92 to 98 times of 100: every interval of one run and of replications, on queues with known
answers.

1,000 trials each, whose own error is 0.7%. Trials that were refused are not counted, and there are few of them: near the refusal an
interval covers less, because it is given where the run looks better than it is (docs/statistics.md; `test_near_the_refusal`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import known_queues
import numpy as np
import pytest
from known_queues import Floats

from sim.analysis import (
    Interval,
    Refused,
    StopRule,
    interval,
    mean_of_replications,
    mean_of_run,
    mean_of_windows,
    mser5,
    next_replication,
    paired,
    quantile_by_sectioning,
    quantile_of_replications,
    quantile_of_run,
    quantile_of_windows,
)
from sim.result import Distribution

TRIALS = 1000
COVERS = (0.92, 0.98)
AT_ONCE = 2_000_000

Found = Interval | Refused


def runs(law: str, load: float, n: int, *, empty: bool = False, trials: int = TRIALS) -> Iterator[Floats]:
    """Runs of n waiting times, one by one, simulated some at a time."""
    rng = np.random.default_rng([round(load * 100), n, len(law), ord(law[2])])
    while trials:
        block = max(1, min(trials, AT_ONCE // n))
        yield from known_queues.waits(rng, law, load, n, block, empty=empty)
        trials -= block


def coverage(found: list[Found], truth: float) -> tuple[float, float]:
    """Share of the given intervals that hold the truth, and share of trials that gave one."""
    given = [one for one in found if isinstance(one, Interval)]
    share = sum(truth in one for one in given) / len(given)
    print(f"coverage {share:.3f} of {len(given)} given of {len(found)}, n_eff {np.median([one.n_eff for one in given]):.0f}")
    return share, len(given) / len(found)


def holds(found: list[Found], truth: float, given: float = 0.9) -> None:
    share, answered = coverage(found, truth)
    assert answered >= given
    assert COVERS[0] <= share <= COVERS[1]


def both(figures: dict[str, Callable[[Floats], Found]], law: str, load: float, n: int) -> None:
    """Several intervals on the same runs: simulating costs more than asking."""
    found: dict[str, list[Found]] = {name: [] for name in figures}
    for run in runs(law, load, n):
        for name, ask in figures.items():
            found[name].append(ask(run))
    for name, one in found.items():
        truth = known_queues.mean(law, load) if name == "mean" else known_queues.quantile(law, load, float(name.split()[-1]))
        print(f"{law} {load} n={n} {name}: ", end="")
        holds(one, truth)


@pytest.mark.parametrize("law", ["M/M/1", "M/D/1"])
@pytest.mark.parametrize(("load", "n"), [(0.5, 7_000), (0.8, 55_000)])
def test_a_mean_of_one_run(law: str, load: float, n: int) -> None:
    both({"mean": mean_of_run}, law, load, n)


def test_a_mean_of_one_run_at_a_high_load() -> None:
    both({"mean": mean_of_run}, "M/M/1", 0.9, 220_000)


@pytest.mark.parametrize("law", ["M/M/1", "M/D/1"])
def test_a_p99_of_one_run(law: str) -> None:
    both(
        {"inversion 0.99": lambda run: quantile_of_run(run, 0.99),
         "sectioning 0.99": lambda run: quantile_by_sectioning(run, 0.99)}, law, 0.5, 60_000 if law == "M/M/1" else 40_000,
    )  # fmt: skip


def test_a_p90_of_one_run() -> None:
    both({"inversion 0.9": lambda run: quantile_of_run(run, 0.9)}, "M/M/1", 0.8, 70_000)


@pytest.mark.slow
@pytest.mark.parametrize("law", ["M/M/1", "M/D/1"])
@pytest.mark.parametrize(("load", "n"), [(0.5, 80_000), (0.8, 500_000), (0.9, 2_000_000)])
def test_p99_and_mean_of_one_run_at_every_load(law: str, load: float, n: int) -> None:
    both(
        {"mean": mean_of_run, "inversion 0.99": lambda run: quantile_of_run(run, 0.99),
         "sectioning 0.99": lambda run: quantile_by_sectioning(run, 0.99)}, law, load, n,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "load", "n"),
    [
        ("M/M/1", 0.5, 600_000),
        ("M/D/1", 0.5, 400_000),
        ("M/M/1", 0.8, 4_000_000),
        ("M/D/1", 0.8, 2_500_000),
    ],
)
def test_a_p999_of_one_run(law: str, load: float, n: int) -> None:
    both({"inversion 0.999": lambda run: quantile_of_run(run, 0.999)}, law, load, n)


def test_order_statistics_of_one_run_are_no_interval() -> None:
    """What must not be done: ranks that would be right for independent samples. M/M/1 at 0.9, 5,000 customers: p99 is held 6 times
    of 100, p90 8 times, the median 15 times; longer runs change nothing.
    """
    n, load = 5_000, 0.9
    for q, most in ((0.5, 0.2), (0.9, 0.15), (0.99, 0.1)):
        truth = known_queues.quantile("M/M/1", load, q)
        half = 1.96 * np.sqrt(n * q * (1 - q))
        ranks = [int(n * q - half), int(n * q + half) + 1]
        inside = 0
        for run in runs("M/M/1", load, n):
            low, high = np.partition(run, ranks)[ranks]
            inside += low <= truth <= high
        print(f"naive order statistics, q={q}: {inside / TRIALS:.3f}")
        assert inside / TRIALS < most


def test_near_the_refusal_few_are_given_and_they_cover_less() -> None:
    """A run too short by a third (n_eff 195): four of five are refused, and what is given holds the truth 80 times of 100."""
    found: list[Found] = [mean_of_run(run) for run in runs("M/M/1", 0.8, 16_000)]
    share, answered = coverage(found, known_queues.mean("M/M/1", 0.8))
    assert answered < 0.4
    assert 0.7 < share < 0.95


def test_a_warm_up_that_mser_cuts_costs_no_coverage() -> None:
    """Runs that begin in an empty queue: 92 to 98% after MSER-5; and the cut is small beside the run."""
    cut, found = [], []
    for run in runs("M/M/1", 0.8, 55_000, empty=True):
        warm = mser5(run)
        if warm.cut is not None:
            cut.append(warm.cut)
            found.append(mean_of_run(run[warm.cut :]))
    assert len(found) > 0.85 * TRIALS
    assert np.median(cut) < 5_500
    holds(found, known_queues.mean("M/M/1", 0.8))


def counted(run: Floats, windows: int) -> list[Distribution]:
    """A run as the histograms of its windows, of unequal length as windows of time are; the service is a millisecond."""
    nanoseconds = run * 1e6
    buckets = np.where(nanoseconds > 0.5, np.ceil(np.log2(np.maximum(nanoseconds, 1)) * 32 - 1e-9), -1).astype(np.int64)
    weights = 1 + 0.3 * np.sin(np.arange(windows))
    edges = np.concatenate([[0], np.cumsum(weights) / weights.sum() * len(run)]).astype(np.int64)
    found = []
    for start, end in pairwise(edges.tolist()):
        numbers, counts = np.unique(buckets[start:end], return_counts=True)
        part = run[start:end] / 1e3
        upper = np.where(numbers < 0, 0.0, np.exp2(numbers / 32) * 1e-9)
        found.append(Distribution(end - start, float(part.sum()), float(part.min()), float(part.max()), upper, counts))
    return found


def test_windows_of_a_run_tell_as_much_as_its_samples() -> None:
    """The 24 windows that a run keeps, as histograms: mean, p90 and p99."""
    load, n = 0.5, 80_000
    found: dict[float, list[Found]] = {0.0: [], 0.9: [], 0.99: []}
    for run in runs("M/M/1", load, n):
        windows = counted(run, 24)
        for q, answers in found.items():
            answers.append(quantile_of_windows(windows, q) if q else mean_of_windows(windows))
    holds(found[0.0], known_queues.mean("M/M/1", load) / 1e3)
    for q in (0.9, 0.99):
        holds(found[q], known_queues.quantile("M/M/1", load, q) / 1e3)


@pytest.mark.parametrize("number", [5, 8])
def test_pooled_quantiles_of_replications(number: int) -> None:
    load, n = 0.5, 70_000 // number
    pieces = [Distribution.empty()] * number
    found: list[Found] = []
    for trial, run in enumerate(runs("M/M/1", load, n, trials=TRIALS * number)):
        pieces[trial % number] = counted(run, 1)[0]
        if trial % number == number - 1:
            found.append(quantile_of_windows(pieces, 0.99, independent=True))
    holds(found, known_queues.quantile("M/M/1", load, 0.99) / 1e3)


@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_a_mean_of_replications(load: float) -> None:
    """Five and ten replications of a day that is not long: t over their means; and where the next one falls."""
    n = {0.5: 2_000, 0.8: 10_000, 0.9: 20_000}[load]
    means = np.array([run.mean() for run in runs("M/M/1", load, n, trials=11 * TRIALS)]).reshape(TRIALS, 11)
    truth = known_queues.mean("M/M/1", load)
    for number in (5, 10):
        holds([mean_of_replications(row[:number]) for row in means], truth)
    inside = [row[10] in one for row in means if isinstance(one := next_replication(row[:10]), Interval)]
    print(f"next replication: {np.mean(inside):.3f}")
    assert COVERS[0] <= np.mean(inside) <= COVERS[1]


@pytest.mark.parametrize(("q", "number"), [(0.5, 20), (0.5, 50), (0.9, 60), (0.99, 400)])
def test_a_quantile_of_replications(q: float, number: int) -> None:
    """Ranks are exact for any law: here of days' maxima, skewed; q of 20 to 400 replications."""
    values = np.random.default_rng(number).gumbel(0, 1, (TRIALS, number))
    holds([quantile_of_replications(row, q) for row in values], -np.log(-np.log(q)))


def test_pairs_on_common_random_numbers() -> None:
    """A load of 0.5 against 0.6 on the same arrivals: the services differ alone, so differences of 10 replications suffice."""
    rng = np.random.default_rng(4)
    found, narrower = [], []
    for _ in range(TRIALS // 50):
        n, many = 4_000, 500
        service, gaps = rng.exponential(1.0, (many, n)), rng.exponential(1.0, (many, n))
        waited = []
        for load in (0.5, 0.6):
            steps = np.cumsum(load * service - gaps, axis=1)
            waited.append((steps - np.minimum(np.minimum.accumulate(steps, axis=1), 0)).mean(axis=1).reshape(50, 10))
        for one, other in zip(*waited, strict=True):
            found.append(paired(one, other))
            apart = mean_of_replications(other)
            assert isinstance(apart, Interval)
            narrower.append(apart.half_width / found[-1].half_width)
    holds(found, 0.6 * 0.6 / 0.4 - 0.5 * 0.5 / 0.5)
    assert np.median(narrower) > 1.3


@pytest.mark.parametrize(("relative", "spread"), [(0.05, 0.15), (0.05, 0.4), (0.1, 0.4)])
def test_stopping_at_a_half_width_costs_little_coverage(relative: float, spread: float) -> None:
    """Replications (lognormal) until the half width is met: the last interval still covers, and the error is as asked."""
    rng = np.random.default_rng(round(100 * (relative + spread)))
    rule = StopRule(relative, most=3_000)
    found, near, looks = [], 0, 0
    truth = float(np.exp(spread**2 / 2))
    for _ in range(TRIALS):
        values = rng.lognormal(0, spread, rule.most)
        done = rule.first
        while True:
            given = interval(values[:done], "mean")
            look, looks = rule.look(given, done), looks + 1
            if look.next is None:
                break
            done = look.next
        assert look.reached
        assert isinstance(given, Interval)
        found.append(given)
        near += abs(given.estimate / truth - 1) <= relative
    print(f"half width {relative}, spread {spread}: {looks / TRIALS:.1f} looks, within {near / TRIALS:.3f}")
    holds(found, truth)
    assert near / TRIALS >= 0.95


@pytest.mark.slow
def test_one_run_prolonged_until_narrow() -> None:
    """The same rule on the length of one run of M/M/1 at 0.8, until 10%."""
    rule = StopRule(0.10, first=20_000, most=600_000)
    found: list[Found] = []
    for run in runs("M/M/1", 0.8, rule.most, trials=TRIALS):
        done = rule.first
        while (look := rule.look(given := mean_of_run(run[:done]), done)).next is not None:
            done = look.next
        found.append(given)
    share, answered = coverage(found, known_queues.mean("M/M/1", 0.8))
    assert answered > 0.99
    assert COVERS[0] - 0.01 <= share <= COVERS[1]
