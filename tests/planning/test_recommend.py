"""`etcdsim recommend`: on systems whose best setting is known, and as a command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_systems import Known

import sim
from sim.analysis import Interval, mean_of_replications
from sim.cli import main
from sim.planning.recommend import Recommendation, recommend
from sim.planning.search import violation
from sim.planning.study import Study, study
from sim.scenario import Scenario

P99 = "etcd.apply_seconds.p99"
GOOD = "writes.succeeded"
WAL = "etcd.wal_bytes_written"
CONTROLLER = "controllers.zero-pod-writer"
QPS, WORKERS, BURST = f"{CONTROLLER}.client.qps", f"{CONTROLLER}.workers", f"{CONTROLLER}.client.burst"
OVER = {QPS: "log(2, 500)", WORKERS: "logint(1, 200)", BURST: "int(1, 50)"}
OBJECTIVES = {
    "apply": {"figure": P99, "max": "100ms"},
    "quota": {"figure": "etcd.seconds_to_quota", "min": "30d"},
    "goodput": {"figure": GOOD, "goal": "high"},
}
DAY = 86_400.0


def law(spread: float = 0.05) -> Any:
    """Goodput min(qps, 4 workers); p99 is 100 ms at a goodput of 100; the quota is never reached below 60, and in time below 150.

    The best is a goodput of 100: qps 100 or more of a kind only with fewer than 25 workers.
    """

    def figures(point: Mapping[str, Any], rng: np.random.Generator) -> Mapping[str, float | None]:
        noise = rng.lognormal(-spread**2 / 2, spread)
        rate = min(point.get(QPS, 5.0), 4.0 * point.get(WORKERS, 500))
        return {
            P99: 0.1 * (rate / 100) ** 2 * noise,
            GOOD: rate * 60 * rng.lognormal(0, 0.01),
            WAL: rate * 1e6,
            "etcd.seconds_to_quota": None if rate < 60 else 30 * DAY * (150 / rate),
        }

    return figures


def asked(objectives: Mapping[str, Any] = OBJECTIVES, over: Mapping[str, Any] = OVER, **options: Any) -> Study:
    scenario: Scenario = sim.load("zero-value-leak-small").with_({"controllers.zero-pod-writer.client.qps": 5})
    return study("known", scenario, over, objectives, variant="fixed", **{"trials": 40, **options})


def goodput(found: Recommendation) -> float:
    assert found.point is not None
    return min(float(found.point[QPS]), 4.0 * float(found.point[WORKERS]))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_finds_the_best_that_keeps_the_bounds(seed: int) -> None:
    found = recommend(Known(law(), seed), asked(seed=seed))
    assert found.outcome == "pass"
    assert 80 <= goodput(found) <= 100
    assert found.chosen is not None
    assert {one.goal.name: one.outcome for one in found.chosen.probe.judgements} == {"apply": "pass", "quota": "pass"}
    assert found.now.wishes[0].estimate == pytest.approx(300, rel=0.05)


def test_the_same_seed_gives_the_same_answer_and_another_one_another() -> None:
    first, again, other = (recommend(Known(law()), asked(seed=seed)).to_json() for seed in (1, 1, 2))
    assert first == again
    assert first["tried"] != other["tried"]


def test_a_guided_search_beats_chance() -> None:
    """Of the last twenty settings more are good than of as many by chance; a search that learned nothing would not do it."""
    tried = recommend(Known(law()), asked(trials=60)).tried

    def good(part: Any) -> int:
        return sum(one.feasible and (one.wishes[0] or 0) > 60 * 60 for one in part)

    assert good(tried[-20:]) >= good(tried[:20]) + 4


def test_it_is_judged_on_worlds_that_the_search_has_not_seen() -> None:
    bench = Known(law())
    recommend(bench, asked(replications=3))
    searched = {ask.first for ask in bench.asked if ask.count == 3 and ask.first == 0}
    judged = [ask for ask in bench.asked if ask.first]
    assert searched == {0}
    assert judged
    assert all(ask.first == 3 for ask in judged)


def test_it_seldom_recommends_what_breaks_a_bound() -> None:
    broken = sum(goodput(found) > 100 for seed in range(20) if (found := recommend(Known(law(0.3), seed), asked(trials=16))).point)
    assert broken <= 3


def test_what_cannot_be_negative_has_no_negative_interval() -> None:
    """Three worlds that differ by orders of magnitude: t alone would reach below zero."""

    def wild(point: Mapping[str, Any], rng: np.random.Generator) -> Mapping[str, float | None]:
        return {P99: 0.01, GOOD: 60.0 * rng.lognormal(0, 3)}

    objectives = {"apply": OBJECTIVES["apply"], "goodput": OBJECTIVES["goodput"]}
    found = recommend(Known(wild), asked(objectives, over={QPS: [10, 20]}, replications=3, most_replications=3))
    (goodput,) = found.now.wishes
    alone = mean_of_replications(found.now.values[0])
    assert isinstance(goodput, Interval)
    assert isinstance(alone, Interval)
    assert alone.low < 0 == goodput.low
    assert (goodput.estimate, goodput.high) == (alone.estimate, alone.high)


def test_several_goals_give_a_front() -> None:
    objectives = {
        "apply": {"figure": P99, "max": "100ms"},
        "goodput": {"figure": GOOD, "goal": "high"},
        "log": {"figure": WAL, "goal": "low"},
    }
    found = recommend(Known(law()), asked(objectives))
    rates = [min(float(one.point[QPS]), 4.0 * float(one.point[WORKERS])) for one in found.front]
    assert len(found.front) >= 4
    assert max(rates) <= 110
    assert min(rates) < goodput(found) < max(rates)
    reached = [one.wishes for one in found.tried if one.feasible]
    for one in found.front:
        assert not any(good > one.wishes[0] and log < one.wishes[1] for good, log in reached)  # type: ignore[operator]


def test_nothing_satisfies_and_one_bound_is_in_the_way() -> None:
    objectives = {**OBJECTIVES, "apply": {"figure": P99, "max": "1us"}}
    found = recommend(Known(law()), asked(objectives))
    assert found.outcome == "fail"
    assert found.point is None
    assert [goal.name for goal in found.binds] == ["apply"]
    assert found.to_json()["recommended"] is None
    found.plot()


def test_two_bounds_that_exclude_each_other() -> None:
    objectives = {"apply": {"figure": P99, "max": "9ms"}, "enough": {"figure": GOOD, "min": 3600}}
    found = recommend(Known(law()), asked(objectives))
    assert found.outcome == "fail"
    assert {goal.name for goal in found.binds} == {"apply", "enough"}


def test_without_a_goal_the_largest_margin_is_recommended() -> None:
    objectives = {"apply": {"figure": P99, "max": "100ms"}, "enough": {"figure": GOOD, "min": 1200}}
    found = recommend(Known(law(0.01)), asked(objectives, trials=60))
    assert goodput(found) == pytest.approx((20 * 100**2) ** (1 / 3), rel=0.15)  # (100 / g)^2 and g / 20 are equal there


def test_lists_are_tried_whole() -> None:
    found = recommend(Known(law()), asked(over={QPS: [10, 50, 90, 200], WORKERS: [5, 50]}))
    assert len(found.tried) == 8
    assert found.point == {QPS: 90, WORKERS: 50}
    assert {(one.knob, one.point[one.knob]) for one in found.around} == {(QPS, 50), (QPS, 200), (WORKERS, 5)}


def test_a_knob_without_effect_moves_nothing() -> None:
    found = recommend(Known(law()), asked())
    steps = [one for one in found.around if one.knob == BURST]
    assert steps
    assert all(given.low == given.high == 0 for one in steps for given in one.changes.values() if hasattr(given, "low"))


@pytest.mark.parametrize(
    ("limit", "value", "bound", "expected"),
    [
        (0.1, 0.05, "max", -0.693),
        (0.1, 0.2, "max", 0.693),
        (30.0, 60.0, "min", -0.693),
        (30.0, float("inf"), "min", -20),
        (0, 3, "max", 3),
    ],
)
def test_violations(limit: float, value: float, bound: Any, expected: float) -> None:
    from sim.analysis.objectives import Goal

    assert violation(Goal("x", P99, bound, limit), value) == pytest.approx(expected, abs=1e-3)


def test_tables_and_picture(tmp_path: Path) -> None:
    found = recommend(Known(law()), asked())
    frame = found.table()
    assert len(frame) == len(found.tried)
    assert frame.loc[frame.keeps_all, P99].max() <= 0.1
    json.dumps(found.to_json(), allow_nan=False)
    found.plot().savefig(tmp_path / "recommend.png")
    assert found.scenario.controllers["zero-pod-writer"].resolved().qps == pytest.approx(found.point[QPS] if found.point else 0)


STUDY = """
scenario: ./blink.yaml
variant: leaking
over:
  controllers.zero-pod-writer.count: [1, 2]
objectives:
  work: {figure: controller.reconciles, max: %s}
  keys: {figure: etcd.keys_created, goal: high}
replications: 3
most_replications: 6
"""


def test_the_command(blink_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(STUDY % 140)
    told = []
    for workers in ("1", "2"):
        assert main(["recommend", str(file), "--json", "--workers", workers, "-o", str(tmp_path / workers)]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    answer = json.loads(told[0])
    assert answer["recommended"]["values"] == {"controllers.zero-pod-writer.count": 1}
    assert sim.load(tmp_path / "1" / "recommended.yaml").controllers["zero-pod-writer"].count == 1
    assert (tmp_path / "1" / "recommend.png").stat().st_size > 10_000
    assert main(["recommend", str(file), "-o", str(tmp_path / "1")]) == 0
    again = capsys.readouterr()
    assert "etcdsim: 0 runs simulated" in again.err
    assert "controllers.zero-pod-writer.count: 1" in again.out
    file.write_text(STUDY % 3)
    assert main(["recommend", str(file), "-o", str(tmp_path / "1")]) == 1
    assert "No setting that was tried satisfies the constraints" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("objectives:", "objective:", "objective: unknown key"),
        ("etcd.keys_created", "etcd.keys_made", "objectives.keys.figure: no run reports"),
        ("goal: high", "goal: up", 'objectives.keys.goal: "up" is not allowed; high or low'),
        ("goal: high", "aim: high", "objectives.keys.aim: unknown key"),
        (", goal: high", "", "objectives.keys: has neither min nor max nor goal"),
        ("max: 140", "max: many", "objectives.work.max"),
        ("[1, 2]", "[1]", "leaves nothing to choose"),
        ("[1, 2]", "log(9, 3)", "empty range"),
        ("writer.count", "writer.counts", "controllers.zero-pod-writer.counts: unknown key"),
        ("zero-pod-writer.count: [1, 2]", "", "controllers"),
        ("variant: leaking", "variant: leeking", '"leeking" is not a declared variant'),
        ("variant: leaking", "", "say which one is meant"),
        ("replications: 3\n", "replications: 0\n", 'replications: "0" is not allowed'),
        ("replications: 3\n", "replications: 9\n", "more than most_replications"),
        ("replications: 3\n", "confidence: 2\n", 'confidence: "2" is not a share'),
        ("./blink.yaml", "./nothing.yaml", "nothing.yaml"),
    ],
)
def test_what_cannot_be_is_one_line(
    old: str, new: str, said: str, blink_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STUDY % 140
    assert old in text
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(old, new, 1))
    assert main(["recommend", str(file), "-o", str(tmp_path / "out")]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err
    assert found.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_study_without_objectives_is_refused(blink_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("scenario: ./blink.yaml\nvariant: leaking\nover: {controllers.zero-pod-writer.count: [1, 2]}\n")
    assert main(["recommend", str(file)]) == 2
    assert "objectives: missing" in capsys.readouterr().err
