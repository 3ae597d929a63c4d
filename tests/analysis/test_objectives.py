"""Objectives: pass, fail, undecided; and that looking several times keeps the promised error."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sim
from sim.analysis import DecideRule, Goal, Interval, Judgement, Refused, goals, judge, judge_by, observed, overall

CEILING = Goal("tail", "etcd.apply_seconds.p99", "max", 0.1)
FLOOR = Goal("quota", "etcd.seconds_to_quota", "min", 30.0)


@pytest.mark.parametrize(
    ("goal", "values", "outcome", "keeps"),
    [
        (CEILING, [0.05, 0.051, 0.049, 0.05, 0.052], "pass", True),
        (CEILING, [0.15, 0.151, 0.149, 0.15, 0.152], "fail", False),
        (CEILING, [0.09, 0.11, 0.095, 0.1, 0.097], "undecided", True),
        (CEILING, [0.05, 0.051], "undecided", True),  # two replications have no interval
        (CEILING, [0.05] * 5, "undecided", True),  # all the same: five could be luck
        (CEILING, [0.05] * 6, "pass", True),
        (CEILING, [0.05] * 9 + [math.nan], "undecided", None),
        (FLOOR, [math.inf] * 6, "pass", True),
        (FLOOR, [math.inf] * 3 + [20.0] * 3, "undecided", True),
        (FLOOR, [20.0, 21.0, 19.0, 22.0, 18.0, 20.5], "fail", False),
        (FLOOR, [40.0, 41.0, 39.0, 42.0, 38.0, math.inf], "pass", True),
    ],
)
def test_outcomes(goal: Goal, values: list[float], outcome: str, keeps: bool | None) -> None:
    found = judge(goal, values, "fixed")
    assert (found.outcome, found.keeps, found.runs, found.variant) == (outcome, keeps, len(values), "fixed")
    assert bool(found.why) == (outcome == "undecided")


def test_the_maximum_of_a_day_is_judged_by_its_median() -> None:
    """One stall of ten days would carry the mean over the bound; nine days keep it."""
    values = [0.05] * 5 + [0.06] * 4 + [9.0]
    assert judge(Goal("m", "etcd.apply_seconds.max", "max", 0.1), values).outcome == "pass"
    assert judge(Goal("m", "etcd.apply_seconds.mean", "max", 0.1), values).outcome == "undecided"


def test_margins() -> None:
    found = judge(CEILING, [0.04, 0.05, 0.06])
    assert found.margin == pytest.approx(2.0)
    assert isinstance(found.interval, Interval)
    assert found.worst == pytest.approx(0.1 / found.interval.high)
    assert judge(FLOOR, [math.inf] * 6).margin is None
    assert judge(FLOOR, [60.0] * 6).margin == pytest.approx(2.0)


def test_no_figure_is_negative() -> None:
    found = judge(CEILING, [0.0, 0.001, 0.09])
    assert isinstance(found.interval, Interval)
    assert (found.interval.low, found.outcome) == (0.0, "undecided")


def test_an_interval_of_ones_own() -> None:
    assert judge_by(CEILING, Interval(0.05, 0.04, 0.06, 400, "batch means")).outcome == "pass"
    refused = judge_by(CEILING, Refused("too few", 0.2))
    assert (refused.outcome, refused.keeps, refused.why) == ("undecided", False, "too few")


def test_goals_of_a_scenario() -> None:
    given = {"a": {"figure": "etcd.seconds_to_quota", "min": "30d", "variant": "fixed"},
             "b": {"figure": "etcd.keys_live", "min": 1, "max": 10_000}}  # fmt: skip
    scenario = sim.load("zero-value-leak-small").with_({"objectives": given})
    assert goals(scenario) == [
        Goal("a", "etcd.seconds_to_quota", "min", 30 * 86_400.0, "fixed"),
        Goal("b", "etcd.keys_live", "min", 1.0), Goal("b", "etcd.keys_live", "max", 10_000.0),
    ]  # fmt: skip
    assert [one.name for one in goals(scenario, ["a"])] == ["a"]


def test_what_a_run_says() -> None:
    assert observed(3, None) == 3.0
    assert observed(None, "never") == math.inf
    assert math.isnan(observed(None, "unknown"))


def test_all_have_to_pass() -> None:
    def of(outcome: str) -> Judgement:
        return Judgement(CEILING, "v", outcome, None, None, 3)  # type: ignore[arg-type]

    assert overall([of("pass"), of("pass")]) == "pass"
    assert overall([of("pass"), of("undecided")]) == "undecided"
    assert overall([of("undecided"), of("fail")]) == "fail"


def decided(rule: DecideRule, goal: Goal, values: np.ndarray) -> tuple[str, int]:
    for count in rule.looks:
        found = judge(goal, values[:count], level=rule.level_of_a_look)
        if found.outcome != "undecided":
            break
    return found.outcome, count


@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_several_looks_keep_the_error(law: str) -> None:
    """The truth exactly at the bound, the worst case: a verdict of either kind comes in at most 5% of 1,000 trials, in spite of
    five looks; with every look at 95% it would be far more. Three standard deviations of spread away it is decided at the first
    look.
    """
    rng = np.random.default_rng(12)
    draws = rng.normal(0, 1, (1000, 80)) if law == "normal" else rng.lognormal(0, 0.3, (1000, 80)) / np.exp(0.045) - 1
    values = 1 + 0.1 * draws
    rule, goal = DecideRule(), Goal("g", "x.mean", "max", 1.0)
    assert rule.looks == (5, 10, 20, 40, 80)
    wrong = np.mean([decided(rule, goal, row)[0] != "undecided" for row in values])
    naive = DecideRule(level=1 - 5 * 0.05)  # so that each look is at 95%
    assert naive.level_of_a_look == pytest.approx(0.95)
    careless = np.mean([decided(naive, goal, row)[0] != "undecided" for row in values])
    print(f"{law}: decided {wrong:.3f} at the bound, {careless:.3f} with every look at 95%")
    assert wrong <= 0.065
    assert careless > 0.1
    clear = [decided(rule, Goal("g", "x.mean", "max", 1.3), row) for row in values]
    assert {outcome for outcome, _ in clear} == {"pass"}
    assert np.median([count for _, count in clear]) == 5


def test_rules_that_make_no_sense() -> None:
    assert DecideRule(first=5, most=30).looks == (5, 10, 20, 30)
    for options in ({"first": 0}, {"first": 9, "most": 8}, {"level": 1.0}):
        with pytest.raises(ValueError, match="is not between"):
            DecideRule(**options)  # type: ignore[arg-type]
