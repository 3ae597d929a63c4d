"""`--scheduler`: a real Dask scheduler and two real workers on loopback; a worker is killed in the middle, then the scheduler."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sweep_help import QPS, tiny

import sim
import sim.sweeps.cluster
from sim.cli import main
from sim.errors import InputError
from sim.report.sweep_document import document
from sim.scenario import dump
from sim.sweeps.api import execute, sweep
from sim.sweeps.cluster import cluster
from sim.sweeps.plan import Plan
from sim.sweeps.rows import Results
from sim.sweeps.runner import Tally
from sim.sweeps.store import Store
from sim.sweeps.study import study

pytest.importorskip("distributed")

OBJECTIVE = "{few: {figure: etcd.puts, max: 1}}"


def dask(*arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """`dask ARGUMENTS` on loopback."""
    environment = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=log.parent)


def until(true: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class Cluster:
    """A scheduler, and workers that can be killed."""

    def __init__(self, folder: Path):
        self._folder = folder
        file = folder / "scheduler.json"
        arguments = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        self.processes = [dask(*arguments, log=folder / "scheduler.log")]
        until(file.is_file)
        until(lambda: file.read_text().strip().endswith("}"))
        self.address: str = json.loads(file.read_text())["address"]

    def add_worker(self) -> subprocess.Popen[bytes]:
        log = self._folder / f"worker-{len(self.processes)}.log"
        options = ("--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", "--death-timeout", "60")
        self.processes.append(dask("worker", self.address, *options, log=log))
        until(lambda: b"Registered to" in log.read_bytes())
        return self.processes[-1]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("dask"))
    yield made
    made.close()


OVER = {QPS: [2, 50]}
RUNS = 2 * 2 * 2


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the same sweep on this machine."""
    store = tmp_path_factory.mktemp("local") / "store"
    sweep(tiny("1s"), OVER, replications=2, workers=1, store=store)
    return store


def printed(store: Path) -> str:
    with Store(store) as opened:
        return json.dumps(document(Results(opened), None))


def kills(process: subprocess.Popen[bytes]) -> Callable[[Tally], None]:
    """A progress report that kills a process as soon as two runs are done."""

    def report(tally: Tally) -> None:
        if tally.done >= 2 and process.poll() is None:
            assert tally.left > 0
            os.kill(process.pid, signal.SIGKILL)

    return report


def test_without_workers_it_says_so(working: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "blink.yaml"
    path.write_text(dump(tiny("1s")))
    for command in (["sweep", str(path), "--vary", f"{QPS}=2,50"], ["gate", str(path), "--set", f"objectives={OBJECTIVE}"]):
        assert main([*command, "-o", str(tmp_path / "s"), "--scheduler", working.address]) == 2
        said = f"{working.address} has no workers; start some with `dask worker {working.address} --nthreads 1`"
        assert capsys.readouterr() == ("", f"etcdsim: --scheduler: {said}\n")


def test_a_worker_is_killed_and_the_bytes_are_the_same(working: Cluster, local: Path, tmp_path: Path) -> None:
    victim = working.add_worker()
    working.add_worker()
    store = tmp_path / "store"
    with cluster(working.address, patience=30) as executor:
        sweep(tiny("1s"), OVER, replications=2, executor=executor, store=store, progress=kills(victim))
    assert victim.wait() == -signal.SIGKILL
    assert printed(store) == printed(local)


def test_a_worker_with_another_model_is_refused(working: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim.sweeps.cluster, "model_version", lambda: "0.0.0+other")
    with pytest.raises(InputError, match=r"worker tcp://.* has model .*, not 0\.0\.0\+other; install"), cluster(working.address):
        pass


def test_the_scheduler_is_killed_and_the_rest_is_left(working: Cluster, local: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    plan = Plan(study("zero-value-leak-small", tiny("1s"), OVER, replications=2))
    with Store(store, create=True) as opened, cluster(working.address, patience=30) as executor:
        tally = execute(plan, opened, executor, progress=kills(working.processes[0]))
    assert tally.gone
    assert 2 <= tally.done < RUNS
    assert tally.left == RUNS - tally.done
    assert not tally.failed
    with Store(store) as opened:
        again = execute(plan, opened, workers=1)
    assert (again.present, again.done) == (tally.done, RUNS - tally.done)
    assert printed(store) == printed(local)


@pytest.mark.parametrize("listening", [False, True])
def test_a_scheduler_that_does_not_answer(listening: bool) -> None:
    """Nobody there, or somebody who takes connections and never says a word."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:
            silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=f"{address} does not answer within 1 s"), cluster(address, patience=1):
            pass


def test_what_is_no_address_or_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="is not the address of a Dask scheduler; write such as"), cluster("host:8786"):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'etcdsim\[distributed\]'"), cluster("tcp://host:8786"):
        pass


def test_an_executor_that_is_shut_down_loses_nothing(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        pass
    with pytest.raises(InputError, match=r"the executor takes no more .*: 1 runs were not simulated"):
        sweep(tiny("1s"), {QPS: [2]}, replications=1, variants=["fixed"], executor=executor, store=tmp_path / "s")
    assert len(sweep(tiny("1s"), {QPS: [2]}, replications=1, variants=["fixed"], store=tmp_path / "s", workers=1)) == 1
