"""What a prediction is made from. Everything here is measured without any of the workloads, or is a default; each says which.

    disk        write + fdatasync in the folder where etcd's data will lie, by as many writers at once as there are members: on one
                machine they share it. Or a device profile that the user names
    client      one request that writes nothing (a serializable get of no key): loopback, the generator's own cost, gRPC on both
                sides. What etcd's gRPC goroutine costs by default is taken off again, because the simulator adds it
    peers       one byte to and fro on a TCP connection of loopback
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
from sim.hardware.probe import QUANTILES, check_directory, probe
from sim.scenario.device import DeviceProfile, load_profile
from sim.units import MICROSECOND, Bytes, Nanoseconds, format_duration

PROBE_SAMPLES: Final = 4_000
PROBE_SECONDS: Final = 3.0
PROBE_SIZE: Final[Bytes] = 2_048
_PINGS: Final = 2_000
_ROOM: Final[Bytes] = 2 * 2**30
"""What a member may need: segments of 64 MB, a backend file with its free pages, and the same again to be on the safe side."""


@dataclass(slots=True)
class Inputs:
    """The parameters of a prediction. disks: a profile a member; client: quantiles of a request that writes nothing, nanoseconds;
    peer_rtt, peer_jitter: nanoseconds, 0 for one member. sources: what each is from, for people."""

    disks: list[DeviceProfile]
    client: dict[float, Nanoseconds] = field(default_factory=dict)
    peer_rtt: Nanoseconds = 0
    peer_jitter: Nanoseconds = 0
    sources: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON has it, sources beside values."""
        first = self.disks[0].fdatasync.model_dump(mode="json")
        return {
            "etcd.members.*.disk": {"value": first, "from": self.sources["disk"]},
            "clients.rtt": {
                "value": {f"{at:g}": format_duration(value) for at, value in self.client.items()}, "from": self.sources["client"],
            },
            "etcd.network": {
                "value": {"rtt": format_duration(self.peer_rtt), "jitter": format_duration(self.peer_jitter)},
                "from": self.sources["peers"],
            },
            "etcd.costs": {"value": self.sources["changed"] or "defaults", "from": self.sources["costs"]},
        }  # fmt: skip


def check_place(place: Path, members: int) -> None:
    """Whether etcd's data can lie there. Raises InputError."""
    check_directory(place)
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    if free < members * _ROOM:
        raise InputError(f"{place} has {free / 1e9:.1f} GB left; {members} x {_ROOM / 1e9:.1f} GB are needed")


class Probes:
    """What is measured beside the workloads, a little before each round, so that inputs and measurements meet the same neighbours.

    device: a profile's name or path instead of probes of the disk.
    """

    def __init__(self, place: Path, members: int, device: str | None):
        self._place, self._members, self._device = place, members, device
        self._given = None if device is None else load_profile(device)
        self._disks: list[list[dict[str, Any]]] = []
        self._reads: list[NDArray[np.int64]] = []
        self._pings: list[NDArray[np.int64]] = []

    def once(self) -> None:
        """Probe the disk, and with several members the loopback. Nothing else of ours may run. Raises InputError."""
        if self._given is None:
            self._disks.append(_probe(self._place, self._members))
        if self._members > 1:
            self._pings.append(_ping_pong())

    def read(self, latencies: NDArray[np.int64]) -> None:
        """Note what requests took that write nothing, nanoseconds."""
        self._reads.append(latencies)

    def inputs(self, request: Nanoseconds, changes: dict[str, Any]) -> Inputs:
        """Everything so far together. request: the default cost of etcd's gRPC goroutine; changes: what the user set, by path."""
        rounds = len(self._reads)
        if self._given is not None:
            inputs = Inputs([self._given] * self._members)
            inputs.sources["disk"] = f"the device profile {self._device}"
        else:
            inputs = Inputs([_together([found[member] for found in self._disks]) for member in range(self._members)])
            who = f"{self._members} writers at once" if self._members > 1 else "one writer"
            inputs.sources["disk"] = f"probed before each of {rounds} rounds: {who}, {PROBE_SIZE} B + fdatasync, no etcd running"
        reads = np.concatenate(self._reads)
        found = np.maximum(np.quantile(reads, QUANTILES) - request, 0)
        inputs.client = {at: round(float(value)) for at, value in zip(QUANTILES, found, strict=True)}
        inputs.sources["client"] = (
            f"probed: {len(reads)} gets that touch nothing, by one client, less etcd.costs.request ({request / MICROSECOND:g} us)"
        )
        inputs.sources["peers"] = "one member: no network"
        if self._members > 1:
            pings = np.concatenate(self._pings)
            low = int(np.quantile(pings, 0.1))
            inputs.peer_rtt, inputs.peer_jitter = low, max(int(pings.mean()) - low, 0)
            inputs.sources["peers"] = f"probed: {len(pings)} round trips of a byte on loopback; rtt: p10, jitter: mean - p10"
        inputs.sources["changed"] = ", ".join(f"{path}={value}" for path, value in changes.items())
        inputs.sources["costs"] = "defaults" + (f" but {inputs.sources['changed']}" if changes else "") + ": sim/scenario/etcd.py"
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


def _probe(place: Path, members: int) -> list[dict[str, Any]]:
    """The disk as that many processes see it that write at the same time."""
    if members == 1:
        return [probe(place, PROBE_SAMPLES, PROBE_SIZE, PROBE_SECONDS)]
    context = _context()
    together = context.Barrier(members)
    pairs = [context.Pipe(duplex=False) for _ in range(members)]
    children = [context.Process(target=_probe_together, args=(place, together, theirs)) for _, theirs in pairs]
    try:
        for child in children:
            child.start()
        found = []
        for ours, theirs in pairs:
            theirs.close()
            try:
                answer = ours.recv()
            except EOFError:
                raise InputError(f"{place}: a probe ended without an answer") from None
            if isinstance(answer, InputError):
                raise answer
            found.append(answer)
        return found
    finally:
        for child in children:
            if child.is_alive():
                child.kill()
            child.join()


def _probe_together(place: Path, together: Any, parent: Any) -> None:
    _left_to_the_parent()
    try:
        together.wait(10)
        parent.send(probe(place, PROBE_SAMPLES, PROBE_SIZE, PROBE_SECONDS))
    except InputError as error:
        parent.send(error)


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
