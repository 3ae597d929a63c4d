"""`sim.sweep`: the table, the store behind it, executors, knobs without effect, failing points."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sweep_help import CONTROLLER, QPS, WORKERS, tiny

import sim
import sim.sweeps.plan
import sim.sweeps.runner
import sim.sweeps.work
from sim.analysis import Interval
from sim.errors import InputError
from sim.simulation import run_variant
from sim.sweeps.api import Sweep, execute, sweep
from sim.sweeps.effects import without_effect
from sim.sweeps.keys import SAYS_ONLY, run_key
from sim.sweeps.plan import Plan
from sim.sweeps.rows import Results
from sim.sweeps.store import Store, StoreFull
from sim.sweeps.study import study
from sim.sweeps.work import Outcome, Task

FIGURES = ["etcd.puts", "etcd.apply_seconds.p99"]


def test_a_row_a_run_and_each_is_what_the_simulator_says(blink: sim.Scenario) -> None:
    found = sweep(blink, {QPS: [2, 50]}, replications=2, figures=FIGURES, workers=2)
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == ["point", QPS, "variant", "replication", "seed", *FIGURES]
    assert len(found) == 2 * 2 * 2
    assert found.seed.tolist() == [1, 2] * 4
    for row in found.to_dict("records"):
        run = run_variant(blink.with_({QPS: row[QPS]}), row["variant"], seed=row["seed"])
        assert [row[figure] for figure in FIGURES] == [run.metrics[figure] for figure in FIGURES]
    assert found[found.variant == "leaking"].groupby(QPS)["etcd.puts"].mean().is_monotonic_increasing


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_gives_the_same(blink: sim.Scenario, executor: Any) -> None:
    expected = sweep(blink, {QPS: [2, 50]}, replications=1, workers=1)
    if executor is None:
        found = sweep(blink, {QPS: [2, 50]}, replications=1, workers=2)
    else:
        with executor(1) as pool:
            found = sweep(blink, {QPS: [2, 50]}, replications=1, executor=pool)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_the_package_can_be_called(blink: sim.Scenario) -> None:
    options = {"replications": 1, "figures": "etcd.puts", "workers": 1, "variants": ["fixed"]}
    assert sim.sweep(blink, over={QPS: [5]}, **options).shape == (1, 6)  # type: ignore[arg-type]


def test_nothing_is_simulated_twice(blink: sim.Scenario, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = sweep(blink, {QPS: [2, 50]}, replications=1, workers=1, store=store)
    started: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        submit = pool.submit

        def counted(work: Any, task: Task) -> Any:
            started.append(task.key)
            return submit(work, task)

        pool.submit = counted  # type: ignore[method-assign,assignment]
        again = sweep(blink, {QPS: [2, 50]}, replications=1, executor=pool, store=store)
        assert started == []
        more = sweep(blink, {QPS: [2, 9, 50]}, replications=2, executor=pool, store=store)
    pd.testing.assert_frame_equal(again, first, check_exact=True)
    assert len(more) == 3 * 2 * 2
    assert len(started) == len(set(started)) == 12 - 4
    with Store(store) as opened:
        rows = list(Results(opened).rows(["etcd.puts"]))
    assert len(rows) == 12  # the smaller sweep is part of the larger one


def test_points_that_are_equal_run_once_and_are_two_rows(blink: sim.Scenario, tmp_path: Path) -> None:
    points: list[dict[str, Any]] = [{QPS: 5}, {QPS: "5/s"}, {QPS: 5}]
    found = sweep(blink, points=points, replications=1, variants=["fixed"], store=tmp_path / "s", workers=1)
    assert found.point.tolist() == [0, 1, 2]
    with sqlite3.connect(tmp_path / "s" / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_keys_know_what_is_simulated_and_nothing_else(blink: sim.Scenario) -> None:
    scenario = blink.variant("leaking")
    key = run_key(scenario, 1, "m")
    renamed = scenario.model_copy(update={"name": "other", "about": "words", "notes": ("a note",)})
    assert run_key(renamed, 1, "m") == key
    assert run_key(scenario.with_({"etcd.quota": "2GiB"}), 1, "m") == run_key(scenario.with_({"etcd.quota": 2**31}), 1, "m")
    others = [run_key(scenario, 2, "m"), run_key(scenario, 1, "n"), run_key(scenario.with_({QPS: 7}), 1, "m")]
    assert len({key, *others}) == 4
    assert set(SAYS_ONLY) < set(type(scenario).model_fields)


def test_an_objective_counts_where_a_rollout_is_undone_by_it() -> None:
    def key(limit: str, rollback: str | None) -> str:
        rollout: dict[str, Any] = {"controller": "zero-pod-writer", "to": {"cache.on_delete": "remove-key"}}
        objective = {"tail": {"figure": "etcd.apply_seconds.p99", "max": limit}}
        given = {"objectives": objective, "rollouts": {"fix": rollout | ({} if rollback is None else {"rollback_on": rollback})}}
        return run_key(sim.load("zero-value-leak-small").with_(given).variant("leaking"), 1, "m")

    assert key("1s", None) == key("2s", None)
    assert key("1s", "objectives.tail") != key("2s", "objectives.tail")


def test_a_plan_is_named_once(blink: sim.Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is a hash over all its runs: asked again for each row that is written, a large sweep would never begin."""
    plan = Plan(study("s", blink, {QPS: [2, 50]}, replications=20))
    asked: list[int] = []
    digest = sim.sweeps.plan.digest  # type: ignore[attr-defined]
    monkeypatch.setattr(sim.sweeps.plan, "digest", lambda value: asked.append(1) or digest(value))  # type: ignore[attr-defined]
    with Store(tmp_path / "s", create=True) as store:
        store.register(plan)
        store.register(plan)
    assert len(asked) == 1


def test_common_random_numbers_by_default(blink: sim.Scenario) -> None:
    asked = study("s", blink, {QPS: [1, 2]}, replications=3, seed=10)
    assert [cell.seed for cell in Plan(asked).cells if cell.variant == "fixed"] == [10, 11, 12] * 2
    other = Plan(asked.changed(common=False))
    assert [cell.seed for cell in other.cells if cell.variant == "fixed"] == [10, 11, 12, 13, 14, 15]


def test_a_failing_point_does_not_stop_the_others(blink: sim.Scenario) -> None:
    lease = f"{CONTROLLER}.election.lease_duration"
    found = sweep(blink, {lease: ["15s", "5s"], QPS: [5]}, replications=1, workers=1, figures="etcd.puts")
    assert set(found.point) == {0}
    (failure,) = found.failures
    assert failure.startswith("point 1: ")
    assert "renew deadline" in failure
    with pytest.raises(InputError, match="renew deadline"):
        sweep(blink, {lease: ["5s"]}, replications=1)


def breaks(task: Task) -> Outcome:
    """A model that cannot simulate seed 2, and whose process dies of seed 3."""
    if task.seed == 3:
        os._exit(9)
    if task.seed == 2:
        return Outcome(task.key, task.seed, problem="ZeroDivisionError: never mind")
    return sim.sweeps.work.simulate(task)  # type: ignore[attr-defined]


def test_runs_that_fail_or_take_their_process_along(
    blink: sim.Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim.sweeps.runner, "simulate", breaks)  # type: ignore[attr-defined]
    plan = Plan(study("s", blink, {QPS: [5, 6]}, replications=4, variants=["fixed"]))
    with Store(tmp_path / "s", create=True) as store:
        tally = execute(plan, store, workers=2)
        assert (tally.done, len(tally.failed), tally.left) == (4, 4, 0)
        results = Results(store)
        assert [row.seed for row in results.rows(["etcd.puts"])] == [1, 4, 1, 4]
        reasons = [(one.point, one.replication, one.reason.split(":")[0]) for one in results.failures()]
        ended = "its process was ended from outside"
        assert reasons == [(0, 1, "ZeroDivisionError"), (0, 2, ended), (1, 1, "ZeroDivisionError"), (1, 2, ended)]
        monkeypatch.undo()
        assert execute(plan, store, workers=1).done == 4  # what failed is tried again
        assert list(Results(store).failures()) == []


def test_a_full_disk_is_told_and_nothing_is_half_written(
    blink: sim.Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(study("s", blink, {QPS: [5, 6]}, replications=2, variants=["fixed"], series=0))
    with Store(tmp_path / "s", create=True) as store:
        store.register(plan)
        size = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {size + 9}")  # room for a run or two
        tally = execute(plan, store, workers=1)
        assert 1 <= tally.unsaved < 4
        assert "full" in tally.full
        stored = len(list(Results(store).rows(["etcd.puts"])))
        assert stored + tally.unsaved == 4
        store._db.execute("PRAGMA max_page_count = 1000000")
        tally = execute(plan, store, workers=1)
        assert (tally.present, tally.done, tally.unsaved) == (stored, 4 - stored, 0)
    with monkeypatch.context() as patch, Store(tmp_path / "t", create=True) as store:
        calls: list[int] = []
        turn = store.turn

        def once_full(*given: Any) -> Any:
            calls.append(1)
            if len(calls) in (2, 3):
                raise StoreFull("no space left on device")
            return turn(*given)

        patch.setattr(store, "turn", once_full)
        tally = execute(plan, store, workers=1)
        assert (tally.done, tally.unsaved, tally.full) == (4, 0, "no space left on device")
        assert len(list(Results(store).rows(["etcd.puts"]))) == 4


def test_series_go_to_few_files_and_come_back(blink: sim.Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.sweeps.store._BATCH", 3)
    plan = Plan(study("s", blink, {QPS: [5, 6]}, replications=2, series=20))
    with Store(tmp_path / "s", create=True) as store:
        execute(plan, store, workers=1)
        assert 1 < len(list((tmp_path / "s" / "series").iterdir())) <= 4
        assert store._db.execute("SELECT count(*) FROM runs WHERE series IS NOT NULL OR file IS NULL").fetchone() == (0,)
        found = Results(store).series("etcd.puts")
    assert found.groupby(["point", "variant", "replication"]).size().tolist() == [20] * 8
    last = found[(found.point == 1) & (found.variant == "fixed") & (found.replication == 1)].iloc[-1]
    run = run_variant(blink.with_({QPS: 6}), "fixed", seed=2)
    assert last["etcd.puts"] == run.metrics["etcd.puts"]
    assert last["seconds"] == run.series.index[-1]


def test_series_survive_a_failure_to_write_their_file(blink: sim.Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    plan = Plan(study("s", blink, {QPS: [5]}, replications=1, series=20))
    with Store(tmp_path / "s", create=True) as store:
        with monkeypatch.context() as patch:
            patch.setattr("sim.sweeps.store.pq.write_table", full)
            tally = execute(plan, store, workers=1)
        assert (tally.done, tally.unsaved) == (2, 0)
        assert "No space left" in tally.full
        assert len(Results(store).series("etcd.puts")) == 40
        execute(plan, store, workers=1)
        assert len(list((tmp_path / "s" / "series").iterdir())) == 1
        assert len(Results(store).series("etcd.puts")) == 40


# ---- knobs without effect


def idle(scenario: sim.Scenario, over: dict[str, Any], store: Path, **options: Any) -> list[tuple[str, tuple[str, ...], str]]:
    with Store(store, create=True) as opened:
        plan = Plan(study("s", scenario, over, replications=1, **options))
        execute(plan, opened, workers=2)
        return [(one.path, one.variants, one.why) for one in without_effect(Results(opened, plan.id))]


def test_a_knob_without_effect_is_named_with_its_reason(blink: sim.Scenario, tmp_path: Path) -> None:
    found = idle(blink, {WORKERS: [400, 500], QPS: [2, 50]}, tmp_path / "s")
    assert [(path, variants) for path, variants, _ in found] == [(WORKERS, ("leaking", "fixed")), (QPS, ("fixed",))]
    runs = [run_variant(blink.with_({QPS: 50}), name) for name in ("leaking", "fixed")]
    most = max(run.metrics["controller.workers_busy.max"] or 0 for run in runs)
    assert found[0][2] == f"400 to 500 workers, at most {most:.0f} busy"
    assert "no request waited for the client limiter" in found[1][2]


def test_a_stack_without_client_limiter(tmp_path: Path) -> None:
    scenario = sim.load("zero-value-leak-small").with_({"horizon": "4s", "workloads.pod-churn.every": "200ms"})
    assert scenario.controllers["zero-pod-writer"].resolved().qps is None
    found = idle(scenario, {f"{CONTROLLER}.client.burst": [5, 50]}, tmp_path / "s", variants=["leaking"])
    assert found == [(f"{CONTROLLER}.client.burst", ("leaking",), "this stack has no client limiter")]
    off = scenario.with_({QPS: "off"})
    ((_, _, why),) = idle(off, {f"{CONTROLLER}.client.burst": [5, 50]}, tmp_path / "t", variants=["leaking"])
    assert why == "the client limiter is off"


def test_few_workers_do_matter(tmp_path: Path) -> None:
    assert idle(tiny(), {WORKERS: [1, 500]}, tmp_path / "s", variants=["leaking"]) == []


# ---- tables


def test_paired_differences(blink: sim.Scenario, tmp_path: Path) -> None:
    plan = Plan(study("s", blink, {QPS: [50]}, replications=3))
    with Store(tmp_path / "s", create=True) as store:
        execute(plan, store, workers=2)
        results = Results(store)
        (found,) = results.differences(["etcd.puts"])
        rows = list(results.rows(["etcd.puts"]))
    puts = {(row.variant, row.replication): row.metrics["etcd.puts"] or 0 for row in rows}
    each = [puts["fixed", at] - puts["leaking", at] for at in range(3)]
    assert (found.variant, found.against, found.pairs) == ("fixed", "leaking", 3)
    assert found.mean == pytest.approx(sum(each) / 3)
    assert isinstance(found.found, Interval)
    spread = np.std(each, ddof=1) / np.sqrt(3)
    assert found.found.half_width == pytest.approx(4.302653 * spread)


def test_grid_as_xarray(blink: sim.Scenario) -> None:
    pytest.importorskip("xarray")
    found = sweep(blink, {QPS: [2, 50], WORKERS: [1, 9]}, replications=2, figures="etcd.puts", workers=2)
    grid = found.grid("etcd.puts")
    assert grid.dims == (QPS, WORKERS, "variant", "replication")
    assert grid.shape == (2, 2, 2, 2)
    row = found.iloc[5]
    told = {QPS: row[QPS], WORKERS: row[WORKERS], "variant": row["variant"], "replication": row["replication"]}
    assert float(grid.sel(told)) == row["etcd.puts"]


def test_grid_without_xarray_or_figure(blink: sim.Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Sweep({"point": [0], "a": [1], "variant": ["x"], "replication": [0], "etcd.puts": [1.0]})
    found.knobs = ["a"]
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "xarray", None)
        with pytest.raises(InputError, match=r"pip install 'etcdsim\[grid\]'"):
            found.grid("etcd.puts")


# ---- refusals


@pytest.mark.parametrize(
    ("over", "options", "said"),
    [
        ({}, {}, "nothing is varied"),
        ({QPS: []}, {}, f"{QPS}: an empty range"),
        ({"controllers.zero-pod-writr.workers": [1]}, {}, 'did you mean "zero-pod-writer"?'),
        ({f"{CONTROLLER}.wrkers": [1, 2]}, {}, "wrkers: unknown key"),
        ({"about": ["x"]}, {}, "about: decides nothing"),
        ({QPS: [1]}, {"replications": 0}, 'replications: "0" is not allowed; a whole number from 1'),
        ({QPS: [1]}, {"replications": 1.5}, 'replications: "1.5"'),
        ({QPS: [1]}, {"seed": -1}, 'seed: "-1"'),
        ({QPS: [1]}, {"design": "gird"}, 'did you mean "grid"?'),
        ({QPS: [1]}, {"variants": ["leakin"]}, 'did you mean "leaking"?'),
        ({QPS: [1]}, {"figures": ["etcd.nonsense"]}, "no run reports"),
        ({QPS: [1]}, {"points": [{QPS: 2}]}, "not allowed beside over"),
    ],
)
def test_refusals(blink: sim.Scenario, over: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        sweep(blink, over, **options)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
