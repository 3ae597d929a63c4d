"""`etcdsim frontier`: where the largest count is known, how often it says too much, what it says where its supposition fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_systems import KEYS, P99, Known, at_most

from sim.analysis.deciding import DecideRule
from sim.cli import main
from sim.planning.aims import Aims
from sim.planning.frontier import Frontier, frontier
from sim.planning.frontier_report import words

COUNT = "controllers.mine.count"
QPS = "controllers.mine.client.qps"
RULE = DecideRule(first=5, most=20)


def law(spread: float, count_at_limit: float = 37.5) -> Any:
    """p99 rises with the square of the count and passes 100 ms at `count_at_limit`, for a qps of 10; more qps, less room."""

    def figures(point: Mapping[str, Any], rng: np.random.Generator) -> Mapping[str, float | None]:
        at = count_at_limit * 10 / point.get(QPS, 10)
        noise = rng.lognormal(-spread**2 / 2, spread)
        return {P99: 0.1 * (point[COUNT] / at) ** 2 * noise, KEYS: point[COUNT] * 1000.0 * noise}

    return figures


def find(bench: Known, most: int = 1000, **options: Any) -> Frontier:
    return frontier(bench, COUNT, most, Aims((at_most(P99, 0.1), at_most(KEYS, 1e9))), rule=RULE, **options)


def test_it_finds_the_largest_count_of_each_setting() -> None:
    found = find(Known(law(0.02)), settings=[{QPS: 5}, {QPS: 10}, {QPS: 40}])
    for limit, truth in zip(found.limits, (75, 37.5, 9.375), strict=True):
        assert limit.meets is not None
        assert limit.fails is not None
        assert 0.93 * truth - 1 <= limit.meets <= truth <= limit.fails <= 1.07 * truth + 1
        assert limit.binds == P99
        assert limit.monotone


def test_it_needs_few_counts() -> None:
    bench = Known(law(0.001, 500.5))
    assert find(bench).limits[0].meets == pytest.approx(500, rel=0.05)
    assert len({ask.point[COUNT] for ask in bench.asked}) <= 20


@pytest.mark.parametrize("spread", [0.05, 0.3])
def test_it_seldom_promises_too_much(spread: float) -> None:
    """At 95% the count that meets all may be too large, or the one that fails too small, one time in twenty."""
    too_much = too_little = 0
    for seed in range(60):
        limit = find(Known(law(spread), seed=seed), most=128).limits[0]
        too_much += (limit.meets or 0) > 37.5
        too_little += (limit.fails or 1000) < 37.5
    assert too_much <= 8
    assert too_little <= 8


def test_noise_leaves_a_band_and_not_a_guess() -> None:
    limit = find(Known(law(0.8)), most=128).limits[0]
    assert limit.undecided
    assert (limit.meets or 0) < min(limit.undecided)
    assert words(limit)[1] != "-"


def test_none_and_all() -> None:
    none = find(Known(law(0.02, 0.5))).limits[0]
    assert (none.meets, none.fails) == (None, 1)
    every = find(Known(law(0.02, 5000))).limits[0]
    assert (every.meets, every.fails) == (1000, None)
    assert words(every)[0] == "1000, the largest allowed"


def test_a_law_that_is_not_monotone_is_said_to_be_so() -> None:
    def bump(point: Mapping[str, Any], rng: np.random.Generator) -> Mapping[str, float | None]:
        bad = 40 <= point[COUNT] <= 50 or point[COUNT] > 100
        return {P99: (0.2 if bad else 0.05) * rng.lognormal(0, 0.01), KEYS: 1.0}

    limit = find(Known(bump), most=128).limits[0]
    assert not limit.monotone
    assert limit.meets is not None
    assert limit.meets < 40


def test_a_setting_that_cannot_be_fails_with_its_reason() -> None:
    class Refusing(Known):
        def answer(self, asks: Any) -> Any:
            found = super().answer(asks)
            return [
                type(one)(problem="controllers.mine.count: too many") if ask.point[COUNT] > 8 else one
                for ask, one in zip(asks, found, strict=True)
            ]

    limit = find(Refusing(law(0.02)), most=128).limits[0]
    assert (limit.meets, limit.fails, limit.binds) == (8, 9, "controllers.mine.count: too many")


def test_a_run_that_failed_decides_nothing() -> None:
    class Failing(Known):
        def answer(self, asks: Any) -> Any:
            found = super().answer(asks)
            return [
                type(one)(problem="a run failed: out of memory", failed=True) if ask.point[COUNT] == 8 else one
                for ask, one in zip(asks, found, strict=True)
            ]

    limit = find(Failing(law(0.02)), most=128).limits[0]
    assert limit.probes[8].outcome == "undecided"
    assert limit.fails is not None
    assert 37 <= limit.fails <= 40


def test_tables_and_picture(tmp_path: Path) -> None:
    found = find(Known(law(0.1)), settings=[{QPS: 5}, {QPS: 10}])
    assert found.table()["meets"].notna().all()
    assert set(found.probes()["objective"]) == {P99, KEYS}
    json.dumps(found.to_json(), allow_nan=False)
    found.plot().savefig(tmp_path / "frontier.png")


COMMAND = ["--knob", "controllers.zero-pod-writer.count", "--max", "2", "--variant", "leaking", "--json"]
FEW = ["--require", "controller.reconciles<=130", "--replications", "3", "--most", "3"]
PER = ["--per", "controllers.zero-pod-writer.workers=50"]


def test_the_command_answers_the_same_whatever_the_workers(
    blink_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["frontier", str(blink_file), *COMMAND, *FEW, *PER]
    told = []
    for workers in ("1", "2"):
        assert main([*given, "--workers", workers, "-o", str(tmp_path / workers)]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    answer = json.loads(told[0])
    (limit,) = answer["settings"]
    assert limit["values"] == {"controllers.zero-pod-writer.workers": 50}
    assert (limit["meets"], limit["fails"], limit["binds"]) == (1, 2, "controller.reconciles")
    assert (tmp_path / "1" / "frontier.png").read_bytes() == (tmp_path / "2" / "frontier.png").read_bytes()
    assert main([*given, "-o", str(tmp_path / "1")]) == 0
    again = capsys.readouterr()
    assert again.out == told[0]
    assert "etcdsim: 0 runs simulated" in again.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--knob", "controllers.zero-pod-writer.counts"], "controllers.zero-pod-writer.counts: unknown key"),
        (["--require", "etcd.nothing<=3"], 'no run reports "etcd.nothing"'),
        (["--require", "etcd.apply_seconds<=3s"], "is a distribution; name one of its figures"),
        (["--require", f"{KEYS}==3"], "write FIGURE<=VALUE"),
        (["--require", f"{P99}<=3 parsecs"], "3 parsecs"),
        (["--max", "0"], "--max"),
        (["--min", "9"], "--max"),
        (["--per", "controllers.zero-pod-writer.client.qps=log(5,1,3)"], "empty range"),
        (["--confidence", "195%"], "confidence"),
        (["--variant", "other"], '"other" is not a declared variant'),
        (["--replications", "0"], "replications"),
    ],
)
def test_what_cannot_be_is_one_line(
    options: list[str], said: str, blink_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["frontier", str(blink_file), *COMMAND, "--require", f"{KEYS}<=400", "-o", str(tmp_path / "out"), *options]
    assert main(given) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err
    assert found.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_figure_that_no_run_has_is_refused() -> None:
    from sim.errors import InputError

    with pytest.raises(InputError, match="has no value in any run"):
        find(Known(lambda point, rng: {P99: float("nan"), KEYS: 1.0}))
