"""`etcdsim gate`: replications until objectives are decided, and the exit code that a CI reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sweep_help import tiny

import sim
from sim.analysis import DecideRule
from sim.cli import main
from sim.errors import InputError
from sim.scenario import dump
from sim.simulation import run_variant
from sim.sweeps.gate import decide
from sim.sweeps.store import Store

RULE = DecideRule(first=3, most=12)
APPLY = "etcd.apply_seconds.mean"


def stating(**objectives: Any) -> sim.Scenario:
    return tiny("1s").with_({"objectives": objectives})


@pytest.fixture(scope="module")
def means() -> list[float]:
    """The mean apply latency of twelve replications of `fixed`, by the simulator itself."""
    return [run_variant(tiny("1s"), "fixed", seed=seed).metrics[APPLY] or 0.0 for seed in range(1, 13)]


def test_far_from_the_bound_the_first_look_decides(means: list[float], tmp_path: Path) -> None:
    scenario = stating(few={"figure": APPLY, "max": 2 * max(means), "variant": "fixed"})
    with Store(tmp_path / "s", create=True) as store:
        found = decide(scenario, store, RULE, workers=1)
        assert (found.outcome, found.replications, found.runs) == ("pass", {"fixed": 3}, 3)
        (one,) = found.judgements
        assert one.estimate == pytest.approx(sum(means[:3]) / 3)
        assert decide(scenario, store, RULE, workers=1).runs == 0  # the store knows them


def test_near_the_bound_it_goes_on_and_stays_undecided(means: list[float], tmp_path: Path) -> None:
    assert len(set(means)) > 1
    scenario = stating(few={"figure": APPLY, "max": sum(means) / 12, "variant": "fixed"})
    with Store(tmp_path / "s", create=True) as store:
        looks: list[int] = []
        found = decide(scenario, store, RULE, workers=1, heard=lambda count, known: looks.append(count))
    assert (found.outcome, found.replications, looks) == ("undecided", {"fixed": 12}, [3, 6, 12])
    assert found.judgements[0].interval is not None
    assert found.judgements[0].interval.level == pytest.approx(1 - 0.05 / 3)


def test_what_no_run_can_tell_is_not_asked_again(tmp_path: Path) -> None:
    scenario = stating(quota={"figure": "etcd.seconds_to_quota", "min": "30d", "variant": "fixed"})
    with Store(tmp_path / "s", create=True) as store:
        found = decide(scenario, store, RULE, workers=1)
    assert (found.outcome, found.replications) == ("undecided", {"fixed": 3})
    assert "cannot tell" in found.judgements[0].why


@pytest.mark.parametrize(("limit", "code", "word"), [(1000.0, 0, "pass"), (1e-9, 1, "fail"), (None, 3, "undecided")])
def test_exit_codes(
    limit: float | None, code: int, word: str, means: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of two objectives: what fails decides, what is undecided withholds the pass."""
    bound = sum(means[:6]) / 6 if limit is None else limit
    path = tmp_path / "gated.yaml"
    path.write_text(dump(stating(few={"figure": APPLY, "max": bound}, some={"figure": APPLY, "min": 0})))
    options = ["--variant", "fixed", "--first", "6", "--replications", "6", "--workers", "1"]
    assert main(["gate", str(path), *options, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["replications"]) == (word, {"fixed": 6})
    first = found["objectives"][0]
    assert (first["name"], first["variant"], first["verdict"]) == ("few", "fixed", word)
    low, value, high = (first[name] for name in ("low", "value", "high"))
    assert low < value < high
    assert main(["gate", str(path), *options, "--objective", "some"]) == 0
    assert "pass" in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gated.yaml"
    path.write_text(dump(stating(few={"figure": APPLY, "max": 1, "variant": "fixed"})))
    for options, said in (
        (["--variant", "fixd"], 'variant: "fixd" is not a declared variant; did you mean "fixed"?'),
        (["--variant", "leaking"], "no objective is about variant leaking"),
        (["--objective", "fw"], '"fw" is not a declared objective'),
        (["--level", "1.5"], "--level: a confidence of 1.5 is not between 0 and 1"),
        (["--replications", "0"], "--replications"),
        (["--set", "objectives.few.figure=etcd.apply_seconds.men"], "no run reports etcd.apply_seconds.men"),
    ):
        assert main(["gate", str(path), *options]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert err.count("\n") == 1
    path.write_text(dump(tiny().with_({"objectives": {}})))
    assert main(["gate", str(path)]) == 2
    assert "states no objectives" in capsys.readouterr().err


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(InputError, match="not a declared objective"):
        decide(stating(few={"figure": APPLY, "max": 1}), None, names=["many"])  # type: ignore[arg-type]
