"""The article's storm, 57.6 million offered writes, beside the leanest closed SimPy loop, in one run of one core.

Run with: pytest -m benchmark tests/benchmarks/test_storm_cost.py -s. A minute or two.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

import pytest
from yardstick import yardstick

pytestmark = pytest.mark.benchmark

OFFERED = 57_600_000
LEAN_WRITES = 6_000_000
STORM = """
import pathlib, re, resource, sys, time, sim
from sim.simulation import run_variant
began = time.process_time()
run = run_variant(sim.load("rollout-storm"), sys.argv[1])
cpu = time.process_time() - began
if sys.platform == "linux":  # ru_maxrss starts at what the process had that started this one
    peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(cpu, peak, run.metrics["storm.offered"], run.metrics["storm.accepted"], run.metrics["storm.resent"])
"""


def lean() -> float:
    """CPU seconds of a write of the leanest loop: 500 keys, batches of about 70."""
    return median(yardstick(500, 15_000_000, 1_200_000, 6_000_000_000)[1] for _ in range(3))


@pytest.fixture(scope="module")
def storms() -> dict[str, list[float]]:
    """CPU seconds, peak bytes, offered writes, and lean writes of the same time; without and with callers that come again."""
    found = {}
    for variant in ("no-retry", "storm"):
        before = lean()
        said = subprocess.run([sys.executable, "-c", STORM, variant], capture_output=True, text=True, check=True).stdout
        cpu, peak, offered, accepted, resent = (float(part) for part in said.split())
        cost = (before + lean()) / 2
        found[variant] = [cpu, peak, offered, cpu / cost]
        print(
            f"\n{variant}: {offered:,.0f} offered, {accepted:,.0f} accepted, {resent:,.0f} sent again: {cpu:.1f} s, "
            f"{peak / 1e6:.0f} MB; the leanest loop makes {cpu / cost:,.0f} writes in that time ({cost * 1e6:.2f} us each)"
        )
        time.sleep(0.1)
    return found


@pytest.mark.xfail(reason="15.8 million (35.9 s; 18.2 million where callers come again), most of it per batch of 95", strict=False)
def test_the_storm_takes_the_time_of_six_million_lean_writes(storms: dict[str, list[float]]) -> None:
    _, _, offered, writes = storms["no-retry"]
    assert offered == pytest.approx(OFFERED, rel=0.001)
    assert writes <= LEAN_WRITES


def test_it_takes_less_than_a_gibibyte(storms: dict[str, list[float]]) -> None:
    assert all(peak < 2**30 for _, peak, _, _ in storms.values())
