"""What a sweep costs beside its runs: two workers against one process alone, and the parent's memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import sim
from sim.simulation import run_variant
from sim.sweeps.api import execute
from sim.sweeps.plan import Plan
from sim.sweeps.store import Store
from sim.sweeps.study import study

pytestmark = pytest.mark.benchmark

RUNS = 200
COUNTS = 30_000_000
CONTROLLER = "controllers.zero-pod-writer"
QPS = f"{CONTROLLER}.client.qps"


def one_second_runs() -> Plan:
    """Points that differ in one knob, of a variant that takes about a second of CPU a run."""
    values = {"horizon": "40s", "workloads.pod-churn.every": "40ms", "background.nodes": 0}
    values |= {f"{CONTROLLER}.reconcile.every": "1s", f"{CONTROLLER}.client.burst": 1}
    scenario = sim.load("zero-value-leak-small").with_(values)
    points = [{QPS: 10 + at / 100} for at in range(RUNS // 2)]
    return Plan(study("cost", scenario, {}, points, replications=2, variants=["leaking"]))


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_two_workers_reach_90_percent_of_twice_the_rate_of_one_process(tmp_path: Path) -> None:
    """Or of what this machine gives a second process, where that is less: two loops that count at the same time tell it."""
    plan = one_second_runs()
    machine = [_machine()]
    alone = [_alone(plan, at) for at in range(0, RUNS, RUNS // 10)]
    with Store(tmp_path / "s", create=True) as store:
        began = time.perf_counter()
        tally = execute(plan, store, workers=2)
        took = time.perf_counter() - began
    alone += [_alone(plan, at) for at in range(5, RUNS, RUNS // 10)]
    machine.append(_machine())
    assert tally.done == RUNS
    rate, single = RUNS / took, 1 / (sum(alone) / len(alone))
    print(f"\n{RUNS} runs of {1 / single:.2f} s: {rate:.3f} runs/s, one process alone {single:.3f}: {rate / single:.2f} times")
    print(f"two loops that count: {sum(machine) / 2:.2f} times the rate of one")
    assert rate >= 0.9 * min(2, sum(machine) / 2) * single


def _count(until: int) -> None:
    for _ in range(until):
        pass


def _machine() -> float:
    """The rate of two processes that only count over that of one."""
    began = time.perf_counter()
    for _ in range(2):
        _count(COUNTS)
    one = time.perf_counter() - began
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_count, [1, 1]))
        began = time.perf_counter()
        list(pool.map(_count, [COUNTS] * 2))
        two = time.perf_counter() - began
    return one / two


def _alone(plan: Plan, at: int) -> float:
    """Wall time of one run in this process, without a sweep around it."""
    cell = plan.cells[at]
    scenario = plan.scenario(cell)
    began = time.perf_counter()
    run_variant(scenario, "default", seed=cell.seed)
    return time.perf_counter() - began


MEMORY = """
import dataclasses, pathlib, re, sys, tempfile
from concurrent.futures import Future
import sim
from sim.sweeps.api import execute
from sim.sweeps.plan import Plan
from sim.sweeps.store import Store
from sim.sweeps.study import study
from sim.sweeps.work import Task, simulate

scenario = sim.load("zero-value-leak-small").with_({"horizon": "2s", "workloads.pod-churn.every": "200ms"})

class Instant:
    _max_workers = 4
    made = simulate(Task("x", scenario.variant("fixed"), 1, 200))
    def submit(self, work, task):
        future = Future()
        future.set_result(dataclasses.replace(self.made, key=task.key, seed=task.seed))
        return future

plan = Plan(study("memory", scenario, {"etcd.quota": ["2GiB", "8GiB"]}, replications=int(sys.argv[1]), variants=["fixed"]))
with tempfile.TemporaryDirectory() as folder, Store(pathlib.Path(folder) / "s", create=True) as store:
    execute(plan, store, Instant())
print(int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_parents_memory_does_not_grow_with_the_runs() -> None:
    """Ten times the runs, with figures and series of real size: the peak stays where it is, but for the plan's list of runs."""
    few, many = (_peak(count) for count in (250, 2_500))
    print(f"\npeak of the parent: {few / 1e3:.0f} MB with 500 runs, {many / 1e3:.0f} MB with 5,000: {many / few:.2f} times")
    assert many <= 1.1 * few




def _peak(replications: int) -> int:
    """Kilobytes."""
    done = subprocess.run([sys.executable, "-c", MEMORY, str(replications)], capture_output=True, text=True, check=True)
    return int(done.stdout)
