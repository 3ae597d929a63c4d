"""One round on a real etcd: a fresh cluster, a scrape, the load, a scrape; what the leader and its client say happened between."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import sim
from sim.errors import InputError
from sim.validation.scrape import Buckets, Scrape
from sim.validation.server import Cluster, Member
from sim.validation.walfile import written
from sim.validation.workload import Workload

SETTLES: Final = 0.4
"""After the load: the backend commits what is pending within 100 ms, and the gauges follow the commit."""
_READY_WITHIN: Final = 20.0
_GRACE: Final = 30.0
_WHERE_WE_ARE: Final = (str(Path(sim.__file__).parents[1]), os.environ.get("PYTHONPATH"))
"""The generator is this package's, whatever the working directory holds."""
WAL_FSYNC: Final = "etcd_disk_wal_fsync_duration_seconds"
COMMIT: Final = "etcd_disk_backend_commit_duration_seconds"
APPLY: Final = "etcd_server_apply_duration_seconds"
COMPACTION_MS: Final = "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds"


@dataclass(slots=True, eq=False)
class Load:
    """What a generator did. latencies: nanoseconds; share: of a core that it used."""

    latencies: NDArray[np.int64]
    requests: int
    on_time: int
    failed: int
    late_starts: int
    compactions: int
    share: float


@dataclass(slots=True, eq=False)
class Measured:
    """One round. figures: by name; buckets: the leader's histograms of the round; notes: what a reader should know.

    shares: cores used by the leader, by all members, by the generator, and by anybody else on the machine.
    """

    workload: Workload
    load: Load
    figures: dict[str, float | None]
    buckets: dict[str, Buckets]
    shares: dict[str, float]
    notes: list[str]
    scrapes: tuple[str, str]


def measure(cluster: Cluster, workload: Workload, seconds: float, seed: int, folder: Path) -> Measured:
    """Send one workload to a cluster that has just started. folder: for a file of the generator's. Raises InputError."""
    leader = cluster.leader
    with _generator(leader, workload, seconds, seed, folder) as generator:
        before, wal_before = leader.scrape(), written(leader.wal)
        cpu, machine, ours = [member.cpu_seconds() for member in cluster.members], _busy(), time.process_time()
        began = time.monotonic()
        load = generator.send()
        wall = time.monotonic() - began
        after_cpu = [member.cpu_seconds() for member in cluster.members]
        others = _busy() - machine - (sum(after_cpu) - sum(cpu)) - load.share * wall - (time.process_time() - ours)
    time.sleep(SETTLES)
    after, wal = leader.scrape(), written(leader.wal)
    notes = []
    if not leader.leads() or after.value("etcd_server_leader_changes_seen_total") != before.value(
        "etcd_server_leader_changes_seen_total"
    ):
        notes.append("the lead changed: the leader's figures are not those of the whole round")
    if load.failed:
        notes.append(f"{load.failed} requests failed")
    used = [(b - a) / wall for a, b in zip(cpu, after_cpu, strict=True)]
    shares = {
        "leader": used[cluster.members.index(leader)], "etcd": sum(used), "generator": load.share,
        "others": max(others / wall, 0.0),
    }  # fmt: skip
    buckets = {
        "etcd.wal_fsync_seconds": after.histogram(WAL_FSYNC).since(before.histogram(WAL_FSYNC)),
        "etcd.backend_commit_seconds": after.histogram(COMMIT).since(before.histogram(COMMIT)),
        "etcd.apply_execution_seconds": after.histogram(APPLY).since(before.histogram(APPLY)),
    }
    entries = wal.entries - wal_before.entries
    figures: dict[str, float | None] = {
        "etcd.requests_per_second": load.on_time / seconds,
        "etcd.wal_fsyncs": buckets["etcd.wal_fsync_seconds"].count,
        "etcd.writes_per_batch": _ratio(entries, buckets["etcd.wal_fsync_seconds"].count),
        "etcd.keys_live": _grown("etcd_debugging_mvcc_keys_total", before, after),
        "etcd.revision": after.value("etcd_debugging_mvcc_current_revision") or None,
        "etcd.wal_entries": entries,
        "etcd.wal_entry_bytes": wal.bytes_by_type.get(2, 0) - wal_before.bytes_by_type.get(2, 0),
        "etcd.wal_bytes_written": wal.bytes - wal_before.bytes,
        "etcd.db_bytes_total": after.value("etcd_mvcc_db_total_size_in_bytes"),
        "etcd.db_bytes_in_use": after.value("etcd_mvcc_db_total_size_in_use_in_bytes"),
        **_latency_figures(load.latencies),
    }
    compactions = after.histogram(COMPACTION_MS).since(before.histogram(COMPACTION_MS))
    if compactions.mean is not None:
        figures["etcd.compaction_seconds.mean"] = compactions.mean / 1000
    return Measured(workload, load, figures, buckets, shares, notes, (before.text, after.text))


def wait_for_quiet(most: float) -> bool:
    """Wait up to so many seconds until the machine has been idle for one; whether it has."""
    limit, calm, step = time.monotonic() + most, 0, 0.25
    while time.monotonic() < limit and calm < 4:
        before = _busy()
        time.sleep(step)
        calm = calm + 1 if _busy() - before < 0.15 * step else 0
    return calm >= 4


def reads(leader: Member, seconds: float, folder: Path) -> NDArray[np.int64]:
    """Latencies of one client's requests that write nothing, nanoseconds."""
    with _generator(leader, Workload("read", "read", clients=1), seconds, 1, folder) as generator:
        return generator.send().latencies


class _Generator:
    """A generator process that is connected and waits for the word."""

    def __init__(self, leader: Member, process: subprocess.Popen[str], save: Path, limit: float):
        self._leader, self._process, self._save, self._limit = leader, process, save, limit

    def send(self) -> Load:
        """Have it send its load. Raises InputError if it or etcd fails."""
        said = self._answer("go\n", self._limit)
        try:
            found = json.loads(said)
        except ValueError:
            found = {"error": said.strip() or "it ended"}
        if "error" in found:
            time.sleep(0.2)  # etcd's end, where that is the reason
            raise InputError(self._leader.what_happened() or f"the load generator failed: {found['error']}")
        latencies = np.fromfile(self._save, dtype=np.int64)
        if not len(latencies):
            raise InputError(self._leader.what_happened() or "etcd answered nothing while the load lasted")
        return Load(
            latencies, found["requests"], found["on_time"], found["failed"], found["late_starts"], found["compactions"],
            found["cpu_seconds"] / found["wall_seconds"],
        )  # fmt: skip

    def begin(self, spec: dict[str, Any]) -> None:
        said = self._answer(json.dumps(spec) + "\n", _READY_WITHIN)
        if said.strip() != "ready":
            with suppress(ValueError, KeyError):
                said = json.loads(said)["error"]
            raise InputError(self._leader.what_happened() or f"the load generator failed: {said.strip() or 'it ended'}")

    def _answer(self, text: str, limit: float) -> str:
        """One line for the process, and the line that it answers within so many seconds."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        with suppress(BrokenPipeError):
            process.stdin.write(text)
            process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], limit)
        if not ready:
            raise InputError(self._leader.what_happened() or f"the load generator has not answered for {limit:g} s")
        return process.stdout.readline()


@contextmanager
def _generator(leader: Member, workload: Workload, seconds: float, seed: int, folder: Path) -> Iterator[_Generator]:
    """A generator that has connected to a member; gone at the end, however that comes."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="latencies-") as save:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sim.validation.generator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, _WHERE_WE_ARE))},
        )  # fmt: skip
        try:
            generator = _Generator(leader, process, Path(save.name), seconds + _GRACE)
            generator.begin(
                {
                    "workload": asdict(workload), "seconds": seconds, "seed": seed, "host": "127.0.0.1",
                    "port": leader.client_port, "save": save.name,
                }
            )  # fmt: skip
            yield generator
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(BrokenPipeError):
                        stream.close()


def _latency_figures(latencies: NDArray[np.int64]) -> dict[str, float | None]:
    p50, p90, p99 = np.quantile(latencies, (0.5, 0.9, 0.99)) / 1e9
    return {
        "etcd.request_seconds.mean": float(latencies.mean() / 1e9), "etcd.request_seconds.p50": float(p50),
        "etcd.request_seconds.p90": float(p90), "etcd.request_seconds.p99": float(p99),
    }  # fmt: skip


def _grown(name: str, before: Scrape, after: Scrape) -> float | None:
    return after.value(name) - before.value(name) if after.has(name) else None


def _ratio(one: float, other: float) -> float | None:
    return one / other if other else None


def _busy() -> float:
    """CPU seconds that the whole machine has worked; 0 where /proc is missing."""
    try:
        user, nice, system, _, _, irq, soft, *_ = (
            int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        )
    except OSError:
        return 0.0
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
