"""`--until-half-width`: replications of each point until a named figure is narrow enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sweep_help import CONTROLLER, QPS

import sim
import sim.sweeps.runner
from sim.analysis import Interval
from sim.cli import main
from sim.errors import InputError
from sim.scenario import dump
from sim.sweeps.api import execute
from sim.sweeps.intervals import estimates
from sim.sweeps.plan import Plan
from sim.sweeps.rows import Results
from sim.sweeps.runner import Tally
from sim.sweeps.store import Store
from sim.sweeps.study import Study, study, until
from sim.sweeps.until import reached
from sim.sweeps.work import Outcome, Task

FIGURE = "etcd.puts"


def noisy(task: Task) -> Outcome:
    """A model of one figure, whose spread is a share of its mean: 5% at a QPS of 10 and 30% at 20."""
    qps = task.scenario.controllers[CONTROLLER.partition(".")[2]].resolved().qps or 0
    value = 100 * (1 + 0.05 * (1 if qps < 15 else 6) * np.random.default_rng(task.seed).normal())
    return Outcome(task.key, task.seed, {FIGURE: value}, {})


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim.sweeps.runner, "simulate", noisy)  # type: ignore[attr-defined]


def asked(blink: sim.Scenario, **options: Any) -> Study:
    return study("s", blink, {QPS: [10, 20]}, series=0, until={FIGURE: 0.05}, **options)


class Threads:
    """An executor that runs at once, in this process, where the model is replaced."""

    _max_workers = 1

    def __init__(self) -> None:
        self.started = 0

    def submit(self, work: Any, task: Task) -> Any:
        from concurrent.futures import Future

        self.started += 1
        future: Future[Outcome] = Future()
        future.set_result(work(task))
        return future


def test_noisy_points_get_more(model: None, blink: sim.Scenario, tmp_path: Path) -> None:
    executor = Threads()
    plan = Plan(asked(blink))
    with Store(tmp_path / "s", create=True) as store:
        tally = execute(plan, store, executor)  # type: ignore[arg-type]
        results = Results(store, plan.id)
        found = {(one.point, one.variant): one for one in estimates(results, [FIGURE])}
        told = reached(plan.study, results)
    calm, wild = found[0, "fixed"], found[1, "fixed"]
    assert calm.runs == 10
    assert 100 <= wild.runs <= 200
    assert found[1, "leaking"].runs == wild.runs  # pairs stay pairs
    assert all(one.reached for one in told)
    for one in found.values():
        assert isinstance(one.found, Interval)
        assert one.found.relative_half_width <= 0.05 / 1.05
    assert executor.started == tally.done == 2 * (calm.runs + wild.runs)
    assert (tally.total, tally.present) == (tally.done, 0)
    with Store(tmp_path / "s") as store:
        again = execute(plan, store, Threads())  # type: ignore[arg-type]
        assert (again.done, again.present) == (0, tally.done)
        assert len(Results(store).sweeps) == 1


def test_interrupted_it_takes_the_same_looks(model: None, blink: sim.Scenario, tmp_path: Path) -> None:
    """Whatever the store holds by then: here some runs of the second round."""

    def stop(tally: Tally) -> None:
        if tally.total > 100 and tally.done > 20:
            raise KeyboardInterrupt

    counts = []
    for name in ("whole", "broken"):
        with Store(tmp_path / name, create=True) as store:
            plan = Plan(asked(blink))
            if name == "broken":
                with pytest.raises(KeyboardInterrupt):
                    execute(plan, store, Threads(), progress=stop)  # type: ignore[arg-type]
            execute(plan, store, Threads())  # type: ignore[arg-type]
            counts.append([one.runs for one in estimates(Results(store, plan.id), [FIGURE])])
    assert counts[0] == counts[1]


def test_it_gives_up_at_the_most(model: None, blink: sim.Scenario, tmp_path: Path) -> None:
    plan = Plan(asked(blink, replications=30))
    with Store(tmp_path / "s", create=True) as store:
        execute(plan, store, Threads())  # type: ignore[arg-type]
        told = {one.point: one for one in reached(plan.study, Results(store, plan.id)) if one.variant == "fixed"}
    assert (told[0].reached, told[1].reached, told[1].runs) == (True, False, 30)
    assert told[1].why.startswith("given up: ")


def test_which_figure() -> None:
    assert until("5%", ()) == (("etcd.apply_seconds.p99", 0.05),)
    assert until("5%", ("etcd.puts", "etcd.deletes")) == (("etcd.puts", 0.05), ("etcd.deletes", 0.05))
    assert until(["etcd.puts=2%", "0.1"], ("etcd.deletes",)) == (("etcd.puts", 0.02), ("etcd.deletes", 0.1))
    assert until({"etcd.puts": "2.5%"}, ()) == (("etcd.puts", 0.025),)
    for wrong in ("0", "100%", "-5%", "etcd.puts=", True, "5 %%"):
        with pytest.raises(InputError, match="is not a share of the mean"):
            until(wrong, ())


def test_on_the_command_line_and_in_a_study(blink_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blink_file.write_text(dump(sim.load(str(blink_file)).with_({"horizon": "1s"})))
    command = ["sweep", str(blink_file), "--vary", f"{QPS}=50", "--variant", "fixed", "-o", str(tmp_path / "s"), "--workers", "1"]
    assert main([*command, "--until-half-width", "etcd.wal_bytes_written=10%", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["sweeps"][0]["until_half_width"] == {"etcd.wal_bytes_written": 0.1}
    assert len(found["rows"]) == 10
    assert "1 of 1 intervals are narrow enough" in err
    assert main([*command, "--until-half-width", "etcd.putz=10%"]) == 2
    assert capsys.readouterr().err == 'etcdsim: until_half_width: no run reports "etcd.putz"; `etcdsim metrics` lists all figures\n'
    path = tmp_path / "study.yaml"
    of: dict[str, Any] = {"scenario": str(blink_file), "over": {QPS: [50]}, "variants": ["fixed"]}
    of["until_half_width"] = {"etcd.wal_bytes_written": "10%"}
    path.write_text(yaml.safe_dump(of))
    assert main(["sweep", str(path), "-o", str(tmp_path / "s"), "--workers", "1", "--dry-run"]) == 0
    said = "1 points x 1 variants x at least 10, at most 200 replications: 10 runs for a first look\n10 already there, 0 to do\n"
    assert capsys.readouterr().out == said
