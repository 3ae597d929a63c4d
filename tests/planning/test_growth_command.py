"""`etcdsim growth`: laws that are known, on independent and on common worlds, in time; and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sweep_help import tiny

import sim
from sim.analysis import Interval
from sim.cli import main
from sim.planning.growth import Growth, growth, over_time

KEYS, COUNT = "etcd.keys_created", "controllers.zero-pod-writer.count"
PLACES = (1, 2, 5, 10, 20)


def runs(rng: np.random.Generator, common: bool, worlds: int = 5, world: float = 0.1, own: float = 0.02) -> pd.DataFrame:
    """8 n + 4 n^2 keys, as in the article; each world is luckier or not, each run has some luck of its own."""
    factors = np.exp(rng.normal(0, world, worlds))
    rows = []
    for place, n in enumerate(PLACES):
        for at in range(worlds):
            factor = factors[at] if common else np.exp(rng.normal(0, world))
            luck = np.exp(rng.normal(0, own))
            rows.append({COUNT: n, KEYS: (8 * n + 4 * n * n) * factor * luck, "seed": at if common else place * worlds + at})
    return pd.DataFrame(rows)


def covered(common: bool, trials: int, x: float = 60.0) -> tuple[float, float, float]:
    """How often the quadratic, the truth, is best or not excluded; its interval at x holds it; a further run falls in the band."""
    hits = np.zeros(3)
    truth = 8 * x + 4 * x * x
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        found = growth(runs(rng, common), KEYS, COUNT, laws=("linear", "quadratic", "power", "exponential"))
        assert found.common == common
        assert found.best is not None
        hits[0] += "quadratic" in (found.best.law.name, *found.rivals)
        said = found.at(x, "quadratic")
        assert isinstance(said.law, Interval)
        assert isinstance(said.run, Interval)
        hits[1] += truth in said.law
        hits[2] += truth * np.exp(rng.normal(0, 0.1) + rng.normal(0, 0.02)) in said.run
    return tuple(hits / trials)  # type: ignore[return-value]


@pytest.mark.parametrize("common", [True, False])
def test_bands_hold_what_they_say(common: bool) -> None:
    """With 150 trials a true 95% lies above 90%; on common worlds a fit that takes the runs as independent would hold 60%."""
    law, curve, run = covered(common, 150)
    assert law > 0.9
    assert curve > 0.9
    assert run > 0.9


def test_independent_bands_are_not_right_on_common_worlds() -> None:
    """Why common worlds are treated apart: the same points, taken as independent."""
    held = 0
    for trial in range(60):
        frame = runs(np.random.default_rng(trial), common=True).assign(seed=range(25))
        said = growth(frame, KEYS, COUNT, laws=("quadratic", "linear")).at(1.0, "quadratic").law
        held += 12 in said  # type: ignore[operator]
    assert held / 60 < 0.87


def test_three_points_decide_nothing() -> None:
    frame = pd.DataFrame({"n": [1, 5, 20], "keys": [12, 137, 1786]})
    found = growth(frame, "keys", "n")
    assert found.best is None
    assert "3 points allow no choice" in found.statement
    quadratic = found.at(100, "quadratic")
    assert quadratic.far
    assert quadratic.estimate == pytest.approx(40_900, rel=0.01)
    assert isinstance(quadratic.run, Interval)
    assert quadratic.run.low < 30_000 < 60_000 < quadratic.run.high


def test_where_a_level_is_reached() -> None:
    found = growth(runs(np.random.default_rng(1), common=True, world=0.02), KEYS, COUNT, laws=("quadratic", "linear"))
    reached = found.reaches(8 * 80 + 4 * 80**2, "quadratic", 1000)
    assert isinstance(reached, Interval)
    assert 80 in reached
    assert reached.half_width < 12
    assert not isinstance(found.reaches(1e12, "quadratic", 1000), Interval)


def curves(rng: np.random.Generator, law: Any, worlds: int = 5) -> list[tuple[Any, Any]]:
    """Counted arrivals whose rate follows the law's growth."""
    times = np.linspace(60, 3600, 60)
    means = np.diff(law(np.concatenate([[0.0], times])))
    return [(times, np.cumsum(rng.poisson(means)).astype(float)) for _ in range(worlds)]


@pytest.mark.parametrize(
    ("law", "names"),
    [
        (lambda t: 3.0 * t, {"linear", "power"}),
        (lambda t: t**2 / 200, {"power", "quadratic"}),
        (lambda t: 2000 * t / (600 + t), {"michaelis-menten"}),
        (lambda t: 100 * (np.exp(t / 900) - 1) + 100 * (t > 0), {"exponential"}),
    ],
)
def test_the_law_of_a_curve_in_time(law: Any, names: set[str]) -> None:
    found = over_time(curves(np.random.default_rng(3), law), KEYS)
    assert found.best is not None
    assert names & {found.best.law.name, *found.rivals}
    said = found.at(7200, next(iter(names & {found.best.law.name, *found.rivals})))
    assert said.estimate == pytest.approx(float(law(np.array([7200.0]))[0]), rel=0.15)


def test_intervals_in_time_come_from_worlds() -> None:
    held = 0
    for trial in range(60):
        found = over_time(curves(np.random.default_rng(trial), lambda t: 0.05 * t), KEYS, laws=("linear", "power"))
        held += 0.05 in found.parameters("linear")["b1"]  # type: ignore[operator]
    assert held >= 50
    alone = over_time(curves(np.random.default_rng(1), lambda t: 0.05 * t, worlds=1), KEYS, laws=("linear",))
    assert not isinstance(alone.parameters("linear")["b1"], Interval)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two counts, on two worlds."""
    folder = tmp_path_factory.mktemp("growth") / "store"
    frame = sim.sweep(tiny("2s"), {COUNT: [1, 2], "etcd.quota": ["2GiB", "8GiB"]}, 2, variants=["leaking"], store=folder)
    found: Growth = sim.growth(frame[frame["etcd.quota"] == "2GiB"], "controller.reconciles", COUNT)
    assert found.common
    assert found.at(2, "linear").estimate == pytest.approx(frame.groupby(COUNT)["controller.reconciles"].mean()[2], rel=0.1)
    return folder


def test_the_command(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["growth", str(store), "--of", "controller.reconciles", "--against", COUNT, "--where", "etcd.quota=2GiB"]
    picture = tmp_path / "growth.png"
    assert main([*given, "--at", "4,50", "--json", "-o", str(picture)]) == 0
    (found,) = json.loads(capsys.readouterr().out)["growths"]
    assert found["points"] == 4
    assert found["best"] is None
    assert [one["x"] for one in found["laws"][0]["at"]] == [4, 50]
    assert picture.stat().st_size > 10_000
    assert main([*given, "--reach", "10000"]) == 0
    assert "allow no choice" in capsys.readouterr().out
    of_one = ["--where", f"{COUNT}=1", "--where", "etcd.quota=2GiB"]
    assert main(["growth", str(store), "--of", KEYS, "--against", "time", *of_one]) == 0
    assert "no criterion counts points of one curve" in capsys.readouterr().out


def test_measurements_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "measured.csv"
    file.write_text("controllers,keys\n1,12\n2,32\n5,137\n10,480\n20,1786\n40,6690\n")
    assert main(["growth", str(file), "--at", "100"]) == 0
    out = capsys.readouterr().out
    assert "6 points prefer quadratic" in out
    assert "at 100, quadratic: 40." in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--of", "etcd.nothing"], 'figure: no run reports "etcd.nothing"'),
        (["--of", KEYS], "against: "),
        (["--of", KEYS, "--against", "etcd.qouta"], 'did you mean "etcd.quota"'),
        (["--of", KEYS, "--against", COUNT], "etcd.quota: varies too (2GiB, 8GiB)"),
        (["--of", KEYS, "--against", COUNT, "--where", "etcd.quota=4GiB"], "no run has etcd.quota=4GiB"),
        (["--law", "cubik"], 'law: "cubik" is not a law; did you mean "cubic"'),
        (["--of", KEYS, "--against", COUNT, "--where", "etcd.quota=2GiB", "--at", "many"], '--at: "many" is not a number'),
        (["--of", KEYS, "--against", COUNT, "--where", "etcd.quota=2GiB", "--reach", "soon"], "--reach: "),
        (["--variant", "fixed", "--of", KEYS, "--against", COUNT, "--where", "etcd.quota=2GiB"], 'variant: "fixed" has no runs'),
        (["--out", "growth.txt"], "is not the name of a picture"),
        (["--confidence", "0"], "--confidence"),
    ],
)
def test_what_cannot_be_is_one_line(options: list[str], said: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["growth", str(store), *options]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err
    assert found.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"), [("a,b\n1,2\n", "1 different values"), ("a\n1\n", "say which grows"), ("a,b\n1,x\n2,3\n", "no number")]
)
def test_tables_that_are_none(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "measured.csv"
    file.write_text(text)
    assert main(["growth", str(file)]) == 2
    assert said in capsys.readouterr().err
    assert main(["growth", str(tmp_path / "nothing")]) == 2
    assert "there is no such store or file" in capsys.readouterr().err
