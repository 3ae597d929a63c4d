"""What is said of how sure a result is: over worlds, of one steady run, or why nothing can be said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_sample import lognormal, runs

import sim
from sim.analysis import Interval, Refused, quantile_of_windows
from sim.cli import main
from sim.errors import InputError
from sim.metrics.steady import WARM_UP
from sim.report.intervals import interval, judgements
from sim.result import Replication, Runs
from sim.scenario import dump

KEYS, P99 = "etcd.keys_live", "etcd.apply_seconds.p99"
OBJECTIVES = {"few": {"figure": KEYS, "max": 1e9, "variant": "fixed"}, "quota": {"figure": "etcd.seconds_to_quota", "min": "30d"}}


def several(count: int = 6) -> Runs:
    """The sample with worlds whose live keys are 1000, 1010, 1020 ..., and whose quota is never reached by `fixed`."""
    of = runs(objectives=OBJECTIVES)
    worlds = [
        Replication(7 + at, {KEYS: 1000.0 + 10 * at, "etcd.seconds_to_quota": None}, {"etcd.seconds_to_quota": "never"})
        for at in range(count)
    ]
    return Runs(of.scenario, 7, dict(of), version="0.1.0", replications={"leaking": worlds, "fixed": worlds})


def test_over_worlds() -> None:
    found = interval(several(), "fixed", KEYS)
    assert isinstance(found, Interval)
    assert (found.estimate, found.n_eff, found.method) == (1025.0, 6, "t over 6 replications")
    assert found.half_width == pytest.approx(2.570582 * np.std([0, 10, 20, 30, 40, 50], ddof=1) / np.sqrt(6))
    assert [(one.goal.name, one.variant, one.outcome) for one in judgements(several())] == [
        ("few", "fixed", "pass"), ("quota", "leaking", "pass"), ("quota", "fixed", "pass"),
    ]  # fmt: skip
    table = several().intervals
    (row,) = table[(table.variant == "fixed") & (table.figure == KEYS)].to_dict("records")
    assert (row["low"], row["high"], row["n_eff"]) == (found.low, found.high, 6)
    assert runs().intervals.empty
    told = several().to_json()
    assert told["replications"] == 6
    assert told["variants"]["fixed"]["intervals"][KEYS]["low"] == pytest.approx(found.low)
    assert [one["verdict"] for one in told["objectives"]] == ["pass"] * 3


def test_one_world_of_a_terminating_scenario_is_one_draw() -> None:
    found = interval(runs(), "fixed", P99)
    assert isinstance(found, Refused)
    assert "--replications 5" in found.reason
    assert runs().to_json()["variants"]["fixed"]["intervals"] == {}


def steady(warm_up: float | None) -> Runs:
    """The sample as a steady run of 48 windows, the first 12 of which are a hundred times slower."""
    of = runs()
    windows = [lognormal(at, 4e7 if at < 12 else 4e5, 0.5, 500) for at in range(48)]
    word = "never" if warm_up is None else "reached"
    metrics = {**of["fixed"].metrics, WARM_UP: warm_up}
    run = replace(of["fixed"], windows={"etcd.apply_seconds": windows}, metrics=metrics, status={WARM_UP: word})
    return Runs(of.scenario, 7, {"fixed": run}, version="0.1.0")


def test_one_steady_run_without_its_warm_up() -> None:
    of = steady(6 * 3600.0)
    found = interval(of, "fixed", P99)
    assert isinstance(found, Interval)
    assert found == quantile_of_windows(of["fixed"].windows["etcd.apply_seconds"][12:], 0.99)
    assert found.high < 0.01
    assert isinstance(interval(of, "fixed", "etcd.apply_seconds.max"), Refused)
    unsettled = interval(steady(None), "fixed", P99)
    assert isinstance(unsettled, Refused)
    assert "has not settled" in unsettled.reason


def test_too_few_samples_are_refused_with_the_reason() -> None:
    of = steady(6 * 3600.0)
    short = replace(of["fixed"], windows={"etcd.apply_seconds": [lognormal(at, 4e5, 0.5, 5) for at in range(48)]})
    found = interval(Runs(of.scenario, 7, {"fixed": short}), "fixed", "etcd.apply_seconds.mean")
    assert isinstance(found, Refused)
    assert "the effective sample is 180: below 300 no interval is given" in found.reason


def test_worlds_are_saved_and_loaded(tmp_path: Path) -> None:
    of = several()
    loaded = Runs.load(of.save(tmp_path / "saved"))
    assert loaded.replications == of.replications
    assert loaded.to_json()["objectives"] == of.to_json()["objectives"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Worlds of the command are runs of their own seeds, whatever the number of workers."""
    values = {"horizon": "1s", "workloads.pod-churn.every": "100ms", "background.nodes": 0}
    scenario = sim.load("zero-value-leak-small").with_(values)
    path = tmp_path / "short.yaml"
    path.write_text(dump(scenario))
    printed = []
    for workers in ("1", "2"):
        command = ["run", str(path), "--variant", "fixed", "--replications", "3", "--seed", "5", "--workers", workers, "--json"]
        assert main(command) == 0
        told = json.loads(capsys.readouterr().out)
        told.pop("wall_seconds")
        printed.append(told)
    assert printed[0] == printed[1]
    found = printed[0]["variants"]["fixed"]
    values_ = [sim.run(scenario, seed=seed, variants=["fixed"])["fixed"].metrics[P99] or 0 for seed in (5, 6, 7)]
    assert found["metrics"][P99] == pytest.approx(values_[0])
    assert found["intervals"][P99]["estimate"] == pytest.approx(sum(values_) / 3)
    assert main(["run", str(path), "--replications", "0"]) == 2
    assert "--replications" in capsys.readouterr().err
    with pytest.raises(InputError, match='replications: "0" is not allowed'):
        sim.run(scenario, replications=0)


def test_worlds_until_they_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is narrow after ten worlds stops there; what is not goes on to the most; and more worlds are those of one longer run."""
    values = {"horizon": "500ms", "workloads.pod-churn.every": "50ms", "background.nodes": 0}
    path = tmp_path / "short.yaml"
    path.write_text(dump(sim.load("zero-value-leak-small").with_(values)))
    command = ["run", str(path), "--variant", "fixed", "--workers", "1", "--json"]
    assert main([*command, "--until-half-width", "etcd.wal_bytes_written=50%"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["replications"] == 10
    assert "fixed, etcd.wal_bytes_written: half width" in err
    assert main([*command, "--until-half-width", "etcd.apply_seconds.p99=0.1%", "--replications", "13"]) == 0
    out, err = capsys.readouterr()
    longer = json.loads(out)
    assert longer["replications"] == 13
    assert "given up: " in err
    assert main([*command, "--replications", "13"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["variants"] == longer["variants"]
    assert main([*command, "--until-half-width", "etcd.putz=5%"]) == 2
    assert 'no run reports "etcd.putz"' in capsys.readouterr().err
