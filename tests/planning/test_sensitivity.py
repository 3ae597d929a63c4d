"""`etcdsim sensitivity`: functions whose indices are known, a simulation whose answer is known, and mistakes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_systems import KEYS, P99, Known

import sim
from sim.cli import main
from sim.planning.sensitivity import Sensitivity, sensitivity
from sim.sweeps.values import read

CONTROLLER = "controllers.zero-pod-writer"


def analysed(law: Any, ranges: Mapping[str, str], **options: Any) -> Sensitivity:
    knobs = {path: read(text, path) for path, text in ranges.items()}
    return sensitivity(Known(law), knobs, [P99], **{"replications": 1, **options})


def ishigami(point: Mapping[str, Any], rng: np.random.Generator) -> Mapping[str, float | None]:
    """sin a + 7 sin^2 b + 0.1 c^4 sin a (Ishigami and Homma 1990)."""
    a, b, c = (float(point.get(name, 0.0)) for name in "abc")
    return {P99: math.sin(a) + 7 * math.sin(b) ** 2 + 0.1 * c**4 * math.sin(a)}


def test_sobol_indices_of_ishigami() -> None:
    """First order 0.3139, 0.4424, 0; total 0.5576, 0.4424, 0.2437, all analytic."""
    pi = "linear(-3.14159, 3.14159)"
    found = analysed(ishigami, dict.fromkeys("abcd", pi), method="sobol", samples=1024)
    first = {"a": 0.3139, "b": 0.4424, "c": 0.0, "d": 0.0}
    total = {"a": 0.5576, "b": 0.4424, "c": 0.2437, "d": 0.0}
    for one in found.effects:
        assert one.first == pytest.approx(first[one.knob], abs=0.05)
        assert one.size == pytest.approx(total[one.knob], abs=0.05)
        assert one.low - 0.02 <= total[one.knob] <= one.high + 0.02
    assert [one.knob for one in found.effects] == ["a", "b", "c", "d"]
    assert found.without_effect == ["d"]


def linear(spread: float) -> Any:
    """10 b + a - b a / 5 over a in 0 to 10, log of b from 1 to 100; noise that all settings share, and some that they do not."""

    def figures(point: Mapping[str, Any], rng: np.random.Generator) -> Mapping[str, float | None]:
        a, b = float(point.get("a", 0.0)), math.log10(float(point.get("b", 1.0))) / 2
        own = np.random.default_rng([int(rng.integers(1 << 30)), *json.dumps(dict(sorted(point.items()))).encode()])
        return {P99: 100 + 10 * b + a - 0.2 * a * b + rng.normal(0, 5) + own.normal(0, spread), KEYS: 1.0}

    return figures


def test_morris_measures_a_linear_law() -> None:
    found = analysed(linear(0.0), {"a": "linear(0, 10)", "b": "log(1, 100)", "c": "int(1, 9)"}, samples=16)
    sizes = {one.knob: one for one in found.effects}
    assert sizes["a"].size == pytest.approx(9, abs=0.5)  # 10 - 2 b
    assert sizes["a"].first == pytest.approx(9, abs=0.5)
    assert sizes["b"].size == pytest.approx(9, abs=0.5)  # 10 - 0.2 a
    assert sizes["a"].sigma == pytest.approx(0.7, abs=0.4)
    assert sizes["c"].size == pytest.approx(0, abs=1e-9)
    assert {one.word for one in found.effects} == {"matters", "no effect"}
    assert found.without_effect == ["c"]


def test_what_only_chance_does_is_not_called_an_effect() -> None:
    found = analysed(linear(1.0), {"a": "linear(0, 10)", "b": "log(1, 100)", "c": "int(1, 9)"}, samples=16, replications=4)
    assert {one.knob: one.word for one in found.effects} == {"a": "matters", "b": "matters", "c": "not told from chance"}
    assert found.without_effect == []


def test_a_small_effect_drowns_without_enough_worlds() -> None:
    ranges = {"a": "linear(0, 1)", "b": "log(1, 100)"}
    assert {one.knob: one.word for one in analysed(linear(4.0), ranges, replications=2).effects}["a"] == "not told from chance"
    assert {one.knob: one.word for one in analysed(linear(0.05), ranges, replications=2).effects}["a"] == "matters"


def test_the_tornado_is_the_change_from_the_scenario_as_it_is() -> None:
    found = analysed(linear(0.0), {"a": "linear(0, 10)", "b": "log(1, 100)"}, replications=3)
    ends = {(one.knob, one.end): one.change.estimate for one in found.swings}
    assert ends == pytest.approx({("a", "low"): 0, ("a", "high"): 10, ("b", "low"): 0, ("b", "high"): 10})


@pytest.mark.parametrize("method", ["morris", "sobol"])
def test_tables_and_picture(method: Any, tmp_path: Path) -> None:
    ranges = {"a": "linear(0, 10)", "b": "log(1, 100)", "c": "int(1, 9)"}
    found = analysed(linear(1.0), ranges, method=method, samples=8, replications=2)
    assert len(found.table()) == 3
    json.dumps(found.to_json(), allow_nan=False)
    found.plot().savefig(tmp_path / "sensitivity.png")


def test_a_simulation_whose_answer_is_known(
    blink_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice the controllers reconcile twice as often; the quota of a database that stays small does nothing."""
    given = ["sensitivity", str(blink_file), "--variant", "leaking", "--figure", "controller.reconciles", "--replications", "2"]
    given += ["--vary", f"{CONTROLLER}.count=1,2", "--vary", "etcd.quota=2GiB,8GiB", "--samples", "2", "-o", str(tmp_path / "out")]
    assert main([*given, "--dry-run"]) == 0
    assert capsys.readouterr().out == "11 settings x 2 replications: at most 22 runs\n"
    assert main([*given, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["without_effect"] == ["etcd.quota"]
    effects = {one["knob"]: one for one in answer["effects"]}
    assert effects[f"{CONTROLLER}.count"]["is"] == "matters"
    base = answer["as_it_is"]["controller.reconciles"]
    doubled = next(one for one in answer["tornado"] if one["value"] == 2)
    assert doubled["change"] == pytest.approx(base, rel=0.1)
    assert (tmp_path / "out" / "sensitivity.png").stat().st_size > 10_000
    assert main(given) == 0
    again = capsys.readouterr()
    assert "no effect on any figure of any run: etcd.quota" in again.out
    assert "etcdsim: 0 runs simulated" in again.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--vary", f"{CONTROLLER}.counts=1,2"], f"{CONTROLLER}.counts: unknown key"),
        (["--vary", "etcd.quota=2GiB"], "leaves nothing to choose"),
        (["--vary", "etcd.quota"], "not a knob with values"),
        (["--vary", "etcd.quota=log(8GiB,2GiB)"], "empty range"),
        (["--vary", "name=a,b"], "name: decides nothing"),
        (["--figure", "etcd.nothing"], 'figure: no run reports "etcd.nothing"'),
        (["--method", "guess"], 'method: "guess" is not allowed'),
        (["--method", "sobol", "--samples", "12"], "not a power of two"),
        (["--samples", "1"], "--samples"),
        (["--replications", "0"], "--replications"),
    ],
)
def test_what_cannot_be_is_one_line(
    options: list[str], said: str, blink_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["sensitivity", str(blink_file), "--variant", "leaking", "--vary", f"{CONTROLLER}.count=1,2", *options]
    assert main([*given, "-o", str(tmp_path / "out")]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err
    assert found.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_figure_that_some_runs_lack_is_refused() -> None:
    def lacking(point: Mapping[str, Any], rng: np.random.Generator) -> Mapping[str, float | None]:
        return {P99: None}

    with pytest.raises(sim.InputError, match="never comes in some runs"):
        analysed(lacking, {"a": "linear(0, 10)", "b": "log(1, 100)"})
