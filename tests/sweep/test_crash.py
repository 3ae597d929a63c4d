"""Workers and sweeps that are killed at random, and disks that are full: at most what was in flight is lost, nothing twice."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from own_process import OwnProcess
from sweep_help import QPS, finish, start, tiny

from sim.report.sweep_document import document
from sim.scenario import dump
from sim.sweeps.api import sweep
from sim.sweeps.rows import Results
from sim.sweeps.store import Store

OVER = {QPS: [2, 50]}
REPLICATIONS = 3
RUNS = 2 * 2 * REPLICATIONS


@pytest.fixture(scope="module")
def blink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crash") / "blink.yaml"
    path.write_text(dump(tiny("1s")))
    return path


@pytest.fixture(scope="module")
def whole(blink: Path) -> dict[str, Any]:
    """What an undisturbed sweep says."""
    store = blink.parent / "whole"
    sweep(str(blink), OVER, replications=REPLICATIONS, workers=1, store=store)
    return said(store)


def said(store: Path) -> dict[str, Any]:
    with Store(store) as opened:
        return document(Results(opened), None)


def command(blink: Path, store: Path, workers: int = 2) -> list[str | Path]:
    knob = f"{QPS}={','.join(map(str, OVER[QPS]))}"
    options = ["--replications", str(REPLICATIONS), "--workers", str(workers)]
    return ["sweep", blink, "--vary", knob, *options, "-o", store, "--json"]


def stored(store: Path) -> dict[str, float]:
    """Key and wall time of the runs in the ledger: a run that was made again would have another time."""
    try:
        with sqlite3.connect(f"file:{store}/ledger.sqlite?mode=rw", uri=True, timeout=30) as ledger:
            return dict(ledger.execute("SELECT key, wall_seconds FROM runs").fetchall())
    except sqlite3.OperationalError:
        return {}


def children(of: int) -> list[int]:
    try:
        with open(f"/proc/{of}/task/{of}/children", encoding="ascii") as file:
            return [int(number) for number in file.read().split()]
    except FileNotFoundError:
        return []


def kill_a_worker(process: OwnProcess, chance: random.Random) -> None:
    found = children(process.pid)
    if found:
        os.kill(chance.choice(found), signal.SIGKILL)


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds workers in /proc")


@needs_proc
def test_killed_workers_lose_no_run(blink: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    """The sweep goes on by itself: what a killed worker had is simulated again, and nothing has failed."""
    store, chance = tmp_path / "store", random.Random(5)
    process = start(*command(blink, store))
    for goal in (1, 5):
        while len(stored(store)) < goal and process.poll() is None:
            time.sleep(0.01)
        kill_a_worker(process, chance)
    code, _, err = finish(process)
    assert code == 0, err
    assert f"{RUNS} runs simulated, 0 already there, 0 failed" in err
    assert said(store) == whole


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_kills_of_everything(seed: int, blink: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    """Parents and workers are killed at moments that nobody chose, with two sweeps on the store; no stored run is made again."""
    store, chance = tmp_path / "store", random.Random(seed)
    before: dict[str, float] = {}
    for _ in range(12):
        both = [start(*command(blink, store)) for _ in range(chance.choice([1, 2]))]
        time.sleep(chance.uniform(1.5, 6))
        if chance.random() < 0.4:
            kill_a_worker(both[0], chance)
            time.sleep(chance.uniform(0, 1))
        for process in both:
            process.kill()
            process.communicate()
        now = stored(store)
        assert before.items() <= now.items()
        before = now
    code, _, err = finish(start(*command(blink, store)))
    assert code == 0, err
    assert before.items() <= stored(store).items()
    assert said(store) == whole
    assert list((store / "owners").iterdir()) == []


def test_a_full_disk(blink: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    """No file may grow beyond 130 kB: what fits is stored whole, the rest is told, and with room again nothing is missing."""
    store = tmp_path / "store"
    limit = 130_000
    process = OwnProcess(*command(blink, store, 1), first=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    code, _, err = finish(process)
    assert code == 1, err
    assert "Traceback" not in err
    assert "runs were simulated but not stored; make room and start again" in err
    kept = len(stored(store))
    assert 0 < kept < RUNS
    assert f"{RUNS - kept} runs were simulated but not stored" in err
    assert (store / "ledger.sqlite").stat().st_size <= limit
    code, _, err = finish(start(*command(blink, store)))
    assert code == 0, err
    assert f"{RUNS - kept} runs simulated, {kept} already there, 0 failed" in err
    assert said(store) == whole
