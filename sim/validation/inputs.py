"""What predictions are made from. Nothing here is measured with a load that is predicted; each input says where it is from.

    disk        write + fdatasync in the folder where etcd's data will lie, one writer, no etcd running: the shape of the law
    client      one request that writes nothing (a serializable get of no key): loopback, the generator's own cost, gRPC on both
                sides. What etcd's gRPC goroutine costs is taken off again, because the simulator adds it
    peers       one byte to and fro on a TCP connection of loopback
    fitted      what the probe suite says of CPU costs, and of how long a save takes as etcd sees it (`sim.validation.fit`)
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.hardware.probe import QUANTILES, check_directory, looks_like_memory, probe
from sim.scenario.device import DeviceProfile
from sim.scenario.load_test import LoadTest
from sim.units import Bytes, Nanoseconds, format_duration
from sim.validation.scrape import Buckets

PROBE_SAMPLES: Final = 4_000
PROBE_SECONDS: Final = 2.0
PROBE_SIZE: Final[Bytes] = 2_048
SPARSE_RATE: Final = 300
_PINGS: Final = 2_000
_ROOM: Final[Bytes] = 2 * 2**30
"""What a member may need: segments of 64 MB, a backend file with its free pages, and the same again to be on the safe side."""


@dataclass(slots=True)
class Inputs:
    """The parameters of predictions for one number of members.

    disk: as probed, or as the fit has scaled it; client: quantiles of a request that writes nothing, nanoseconds,
    sparse: the same where few come, and whoever serves them sleeps; peer_rtt,
    peer_jitter: nanoseconds, 0 for one member; fitted: fields of the scenario, path to value. sources: where each is from; cores:
    of the machine that etcd, its clients and all members share.
    """

    disk: DeviceProfile
    probed: DeviceProfile = None  # type: ignore[assignment]  # as it was measured; when absent, `disk`
    client: dict[float, Nanoseconds] = field(default_factory=dict)
    sparse: dict[float, Nanoseconds] = field(default_factory=dict)
    peer_rtt: Nanoseconds = 0
    peer_jitter: Nanoseconds = 0
    fitted: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    sender: Nanoseconds = 0
    """CPU of the client's process for one request."""
    seen: Buckets | None = None
    """What a lone client's saves took, as etcd's histogram has it."""
    memory: bool = False
    """Whether the disk answers as memory does."""

    def __post_init__(self) -> None:
        if self.probed is None:
            self.probed = self.disk

    def fields(self, load: LoadTest) -> dict[str, Any]:
        """Fields of the scenario that simulates a load."""
        return dict(self.fitted)

    def plain(self) -> dict[str, Any]:
        """As JSON has it, sources beside values."""
        found = {
            "etcd.members.*.disk": {"value": self.disk.model_dump(mode="json", exclude_none=True), "from": self.sources["disk"]},
            "clients.rtt": {
                "value": {f"{at:g}": format_duration(value) for at, value in self.client.items()}, "from": self.sources["client"],
            },
            "clients.rtt when idle": {
                "value": {f"{at:g}": format_duration(value) for at, value in self.sparse.items()}, "from": self.sources["sparse"],
            },
            "etcd.network": {
                "value": {"rtt": format_duration(self.peer_rtt), "jitter": format_duration(self.peer_jitter)},
                "from": self.sources["peers"],
            },
        }  # fmt: skip
        for path, value in self.fitted.items():
            found[path] = {"value": value, "from": self.sources["fitted"]}
        return found


def check_place(place: Path, members: int) -> None:
    """Whether etcd's data can lie there. Raises InputError."""
    check_directory(place)
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    if free < members * _ROOM:
        raise InputError(f"{place} has {free / 1e9:.1f} GB left; {members} x {_ROOM / 1e9:.1f} GB are needed")


class Probes:
    """What is measured beside the loads, before each round, so that inputs and measurements meet the same neighbours."""

    def __init__(self, place: Path):
        self._place = place
        self._disks: list[dict[str, Any]] = []
        self._reads: dict[int, list[NDArray[np.int64]]] = {}
        self._sparse: dict[int, list[NDArray[np.int64]]] = {}
        self._pings: list[NDArray[np.int64]] = []

    def once(self) -> None:
        """Probe the disk and the loopback. Nothing else of ours may run. Raises InputError."""
        self._disks.append(probe(self._place, PROBE_SAMPLES, PROBE_SIZE, PROBE_SECONDS))
        self._pings.append(_ping_pong())

    def read(self, members: int, latencies: NDArray[np.int64], sparse: NDArray[np.int64]) -> None:
        """Note what requests took that write nothing, nanoseconds: one after the other, and few of them."""
        self._reads.setdefault(members, []).append(latencies)
        self._sparse.setdefault(members, []).append(sparse)

    def inputs(self, members: int) -> Inputs:
        """Everything so far together, before anything is fitted."""
        inputs = Inputs(_together(self._disks), memory=any(looks_like_memory(found) for found in self._disks))
        rounds = len(self._disks)
        inputs.sources["disk"] = f"probed before each of {rounds} rounds: one writer, {PROBE_SIZE} B + fdatasync, no etcd running"
        reads = np.concatenate(self._reads[members])
        inputs.client = {at: round(float(value)) for at, value in zip(QUANTILES, np.quantile(reads, QUANTILES), strict=True)}
        inputs.sources["client"] = f"probed: {len(reads)} gets that touch nothing, by one client, less what etcd's goroutine costs"
        sparse = np.concatenate(self._sparse[members])
        inputs.sparse = {at: round(float(value)) for at, value in zip(QUANTILES, np.quantile(sparse, QUANTILES), strict=True)}
        inputs.sources["sparse"] = f"probed: {len(sparse)} of them at {SPARSE_RATE} a second, each of which wakes whoever sleeps"
        inputs.sources["peers"] = "one member: no network"
        if members > 1:
            pings = np.concatenate(self._pings)
            low = int(np.quantile(pings, 0.1))
            inputs.peer_rtt, inputs.peer_jitter = low, max(int(pings.mean()) - low, 0)
            inputs.sources["peers"] = f"probed: {len(pings)} round trips of a byte on loopback; rtt: p10, jitter: mean - p10"
        return inputs


def _together(profiles: Sequence[dict[str, Any]]) -> DeviceProfile:
    """One profile of several probes of a disk: each as likely."""
    weight = 1 / len(profiles)
    laws = [{"weight": weight, **profile["fdatasync"]} for profile in profiles]
    return DeviceProfile.model_validate(
        {"fdatasync": {"mixture": laws} if len(laws) > 1 else profiles[0]["fdatasync"], "bandwidth": profiles[-1]["bandwidth"]}
    )


def machine() -> dict[str, Any]:
    """What was measured on, without names or dates."""
    model = platform.machine()
    memory = 0
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.release()}", "cpu": model, "cores": os.cpu_count() or 1, "memory_bytes": memory,
        "python": platform.python_version(),
    }  # fmt: skip


def _context() -> Any:
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def _ping_pong() -> NDArray[np.int64]:
    """Round trips of one byte between two processes on loopback, nanoseconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = _context().Process(target=_echo, args=(server.getsockname()[1],))
        child.start()
        try:
            server.settimeout(10)
            connection, _ = server.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                times = np.empty(_PINGS, dtype=np.int64)
                for at in range(_PINGS):
                    began = time.perf_counter_ns()
                    connection.sendall(b"x")
                    connection.recv(1)
                    times[at] = time.perf_counter_ns() - began
            return times
        except OSError as error:
            raise InputError(f"loopback: {error}") from None
        finally:
            child.kill()
            child.join()


def _left_to_the_parent() -> None:
    """In a child: Ctrl-C and a terminal that goes away are the parent's to answer; it ends its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _echo(port: int) -> None:
    _left_to_the_parent()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(64):
            connection.sendall(data)
