"""What a simulated write costs, as ratios in one run, beside the leanest SimPy loop at the same arrival rate and mean batch.

Run with: pytest -m benchmark tests/benchmarks -s. CPU is this process's own, yardstick and simulation take turns, and what is
compared are medians, so that another load on the machine hits both. Three minutes, most of it two whole days of the leak.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import pytest
from yardstick import yardstick

import sim
from sim.assembly import build
from sim.scenario.model import from_dict
from sim.simulation import Progress, run_variant
from sim.units import HOUR, MICROSECOND, MINUTE, SECOND

pytestmark = pytest.mark.benchmark

COUNTS = 40_000_000
ANSWER_AND_WATCH = 2200 * MICROSECOND
"""What a round of the yardstick takes besides thinking and saving."""


@dataclass(frozen=True)
class Lean:
    """The yardstick at some rate: median CPU seconds of a write, mean batch, events of a write."""

    cost: float
    batch: float
    events: float


def leanest(keys: int, per_second: float, batch: float, writes: int = 20_000) -> Lean:
    """The yardstick with so many keys that make so many writes a second, in batches of so many (1: nobody waits)."""
    save = 20 * MICROSECOND if batch < 1.1 else round(batch * SECOND / per_second)
    think = round(keys * SECOND / per_second - 1.5 * save - ANSWER_AND_WATCH)
    runs = [yardstick(keys, think, save, round(writes * SECOND / per_second) + think) for _ in range(3)]
    return Lean(median(run[1] for run in runs), runs[0][2], runs[0][3])


def events_per_write(scenario: sim.Scenario, horizon: int) -> float:
    world = build(scenario, 1)
    world.env.advance(horizon)
    return next(world.env._eid) / world.leader.entries


def told(what: str, ours: float, batch: float, events: float, lean: Lean, lean_cost: float) -> float:
    """Print both; their ratio."""
    print(
        f"\n{what}: {ours * 1e6:.2f} us a write, batch {batch:.2f}, {events:.2f} events; "
        f"the leanest loop {lean_cost * 1e6:.2f} us, batch {lean.batch:.2f}, {lean.events:.2f} events: {ours / lean_cost:.2f} times"
    )
    assert lean.batch == pytest.approx(batch, rel=0.1)
    return ours / lean_cost


@pytest.fixture(scope="module")
def day() -> float:
    """CPU of a write over that of the leanest loop, over the leaking variant's day.

    The whole day, start and summary included; once a CPU second it stops for the yardstick at the rate of the moment.
    """
    stretches: list[tuple[int, float, Lean]] = []  # writes, CPU seconds, and the yardstick after them
    at = writes = 0
    began = time.process_time()

    def pause(progress: Progress) -> None:
        nonlocal at, writes, began
        cpu = time.process_time() - began
        if cpu >= 1:
            count = progress.writes - writes
            rate = count * SECOND / (progress.simulated - at)
            stretches.append((count, cpu, leanest(max(1, round(10 * rate)), rate, 1)))  # each entry comes round every 10 s
            at, writes, began = progress.simulated, progress.writes, time.process_time()

    scenario = sim.load("zero-value-leak")
    figures = run_variant(scenario, "leaking", progress=pause).metrics
    total, batch = figures["etcd.puts"], figures["etcd.writes_per_batch"]
    assert total is not None
    assert batch is not None
    stretches.append((int(total) - writes, time.process_time() - began, stretches[-1][2]))
    lean_cost = sum(count * lean.cost for count, _, lean in stretches) / total
    events = events_per_write(sim.load("zero-value-leak-small").variant("leaking"), 20 * MINUTE)
    ours = sum(cpu for _, cpu, _ in stretches) / total
    ratio = told("24 h of the leak", ours, batch, events, stretches[-1][2], lean_cost)
    print(f"median of its {len(stretches)} parts: {median(cpu / count / lean.cost for count, cpu, lean in stretches):.2f} times")
    return ratio


@pytest.mark.xfail(reason="12.4 times (27.4 us against 2.2) at batch 1.00 and 4.4 events a write", strict=False)
def test_the_leaking_day_costs_at_most_four_times_the_leanest_loop(day: float) -> None:
    assert day <= 4


def test_a_saturated_closed_loop_costs_at_most_eight_times_the_leanest_loop() -> None:
    """500 raw clients who do not think, before three members."""
    scenario = from_dict(
        {
            "horizon": "3s",
            "etcd": {"members": {name: {"disk": "cloud-ssd"} for name in "abc"}, "compaction": {"by": "never"}, "quota": "off"},
            "clients": {"load": {"clients": 500}},
        }
    )
    costs, leans = [], []
    for _ in range(5):
        began = time.process_time()
        figures = run_variant(scenario, "default").metrics
        writes, batch = figures["etcd.puts"], figures["etcd.writes_per_batch"]
        assert writes is not None
        assert batch is not None
        costs.append((time.process_time() - began) / writes)
        leans.append(leanest(500, writes / 3, batch, writes=60_000))
    lean_cost = median(lean.cost for lean in leans)
    ratio = told("500 clients", median(costs), batch, events_per_write(scenario, SECOND), leans[0], lean_cost)
    assert ratio <= 8


def count(until: int) -> None:
    for _ in range(until):
        pass


def wall(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_variants_run_side_by_side() -> None:
    """Two equal variants gain from a second process what two loops that only count gain from it at the same time."""
    scenario = sim.load("zero-value-leak-small").with_({"horizon": "1h", "objectives": {}, "variants": {"one": {}, "other": {}}})
    fork = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    ours, machine = [], []
    for _ in range(5):
        ours.append(wall(lambda: sim.run(scenario, workers=2)) / wall(lambda: sim.run(scenario, workers=1)))
        with fork.Pool(2) as pool:
            together = wall(lambda pool=pool: pool.map(count, [COUNTS] * 2))
        machine.append(together / wall(lambda: [count(COUNTS) for _ in range(2)]))
    print(f"\ntwo workers take {median(ours):.2f} of the time of one, two loops that count {median(machine):.2f}")
    assert median(ours) <= 1.3 * median(machine)


PEAK = """
import pathlib, re, resource, sys, sim
sim.run(sim.load("zero-value-leak"), variants=["leaking"], workers=1, horizon=int(sys.argv[1]))
if sys.platform == "linux":  # ru_maxrss starts at what the process had that started this one
    print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture(scope="module")
def peaks() -> tuple[float, float]:
    """Peak memory of a process that runs the leaking variant for an hour and for a day, bytes."""
    hour, day = (
        float(subprocess.run([sys.executable, "-c", PEAK, str(hours * HOUR)], capture_output=True, text=True, check=True).stdout)
        for hours in (1, 24)
    )
    print(f"\npeak memory: {hour / 1e6:.0f} MB for an hour, {day / 1e6:.0f} MB for a day: {day / hour:.2f} times")
    return hour, day


def test_a_day_takes_less_than_600_mb(peaks: tuple[float, float]) -> None:
    assert peaks[1] < 600e6


@pytest.mark.xfail(reason="1.22 times (196 MB against 161): 2.5 million slots of the backend's page accounting", strict=False)
def test_a_day_takes_the_memory_of_an_hour(peaks: tuple[float, float]) -> None:
    assert peaks[1] <= 1.2 * peaks[0]
