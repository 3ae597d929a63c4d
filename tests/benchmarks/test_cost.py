"""What a simulated write costs, as ratios in one run, beside the leanest SimPy loop at the same arrival rate and mean batch.

Run with: pytest -m benchmark tests/benchmarks -s. The CPU is this process's own, yardstick and simulation take turns, and what
is compared are medians: another load on the machine hits both. Three minutes, most of it two whole days of the leak.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest
import yardstick as lean
from yardstick import yardstick

import sim
from sim.scenario.model import from_dict
from sim.units import HOUR, MILLISECOND, SECOND

pytestmark = pytest.mark.benchmark

PERIOD = 10 * SECOND
ANSWER_AND_WATCH = 2_200_000
"""What a round of the yardstick takes besides thinking and saving, ns."""


@dataclass(frozen=True)
class Lean:
    """The yardstick at some rate and batch: median CPU seconds and events of a write, mean batch."""

    cost: float
    batch: float
    events: float


def leanest(per_second: float, batch: float, writes: int = 20_000, repeats: int = 3) -> Lean:
    """The yardstick with so many writes a second in batches of so many."""
    if batch < 1.5:  # nobody waits: a short save, and the keys of a leak that come round every ten seconds
        keys, think, save = max(1, round(per_second * PERIOD / SECOND)), PERIOD, round(MILLISECOND * max(0.02, 1e3 * (batch - 1) / per_second))
    else:  # saves back to back, each with a batch
        keys, save = 500, round(batch * SECOND / per_second)
        think = round(keys * SECOND / per_second - 1.5 * save - ANSWER_AND_WATCH)
    horizon = round(writes * SECOND / per_second) + think
    runs = [yardstick(keys, think, save, horizon) for _ in range(repeats)]
    return Lean(median(cost for _, cost, _, _ in runs), runs[0][2], runs[0][3])


@dataclass
class Stretch:
    """A part of the run, of about a CPU second: what a write cost in it, and beside it."""

    until: int
    writes: int
    cpu: float
    lean: Lean


@pytest.fixture(scope="module")
def day() -> list[Stretch]:
    """The leaking variant's whole day, interrupted once a second by the yardstick at the rate of the moment."""
    stretches: list[Stretch] = []
    at, writes, began = 0, 0, time.process_time()

    def pause(progress: Any) -> None:
        nonlocal at, writes, began
        cpu = time.process_time() - began
        if cpu < 1:
            return
        rate = (progress.writes - writes) * SECOND / (progress.simulated - at)
        stretches.append(Stretch(progress.simulated, progress.writes - writes, cpu, leanest(rate, 1.0)))
        at, writes, began = progress.simulated, progress.writes, time.process_time()

    scenario = sim.load("zero-value-leak")
    run = sim.simulation.run_variant(scenario, "leaking", progress=pause)
    written = run.metrics["etcd.puts"]
    assert written is not None
    last = stretches[-1]
    stretches.append(Stretch(24 * HOUR, int(written) - writes, time.process_time() - began, last.lean))
    print(f"\n{written:,.0f} writes in {sum(one.cpu for one in stretches):.0f} s, batch {run.metrics['etcd.writes_per_batch']:.3f}")
    return stretches


def test_the_leaking_day_costs_at_most_four_times_the_leanest(day: list[Stretch]) -> None:
    """The whole day, start and summary included; the yardstick at the rate of each stretch of it."""
    writes, cpu = sum(one.writes for one in day), sum(one.cpu for one in day)
    least = sum(one.writes * one.lean.cost for one in day)
    ratio = cpu / least
    middle = median(one.cpu / one.writes / one.lean.cost for one in day)
    print(
        f"day: {cpu / writes * 1e6:.2f} us a write against {least / writes * 1e6:.2f}, batch 1.00 against {day[-1].lean.batch:.2f}, "
        f"{day[-1].lean.events:.2f} events a lean write: {ratio:.2f}x; median of {len(day)} stretches {middle:.2f}x"
    )
    assert min(ratio, middle) <= 4
