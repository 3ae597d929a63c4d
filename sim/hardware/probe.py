"""Measure a disk the way etcd uses it: small appends to a preallocated file, each made durable before the next.

What etcd's write-ahead log waits for is one write(2) of a few kilobytes at the end of a preallocated segment and an fdatasync
(etcd: server/storage/wal/wal.go, client/pkg/fileutil/sync_*.go). The probe does just that, in a file without a name: it
is gone when the probe ends, however it ends. Count, time and bytes are bounded; a single call that the device does not
answer cannot be.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.units import MICROSECOND, MILLISECOND, SECOND, Bytes, Nanoseconds

QUANTILES: Final = (
    0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 1,
)  # fmt: skip
_WARM_UP: Final = 5
"""First writes that are not counted: they allocate."""
_FILE_BYTES: Final[Bytes] = 32 * 2**20
_CHUNK_BYTES: Final[Bytes] = 2**20
_LARGEST_WRITE: Final[Bytes] = _CHUNK_BYTES
_FEWEST: Final = 20
_NO_DISK: Final[Nanoseconds] = 10 * MICROSECOND


def probe(directory: Path | str, samples: int = 1000, size: Bytes = 2048, seconds: float = 10) -> dict[str, Any]:
    """Measure the disk under `directory`: a device profile, as a scenario's `disk` takes it.

    At most `samples` writes of `size` bytes, each with an fdatasync, within `seconds`; then up to 32 MiB in a row. Raises
    InputError if the directory cannot be used.
    """
    if samples < _FEWEST:
        raise InputError(f"samples: {samples} is too few for a tail; at least {_FEWEST}")
    if not 0 < size <= _LARGEST_WRITE:
        raise InputError(f"size: {size} is not between 1 and {_LARGEST_WRITE} bytes")
    if not seconds > 0:
        raise InputError(f"seconds: {seconds:g} is not a time to measure in")
    place = Path(directory)
    check_directory(place)
    try:
        with tempfile.TemporaryFile(dir=place, buffering=0, prefix=".etcdsim-probe-") as file:
            latencies = _latencies(file.fileno(), samples, size, round(seconds * SECOND))
            bandwidth = _bandwidth(file.fileno(), round(seconds * SECOND))
    except OSError as error:
        raise InputError(f"{place}: {error.strerror}") from None
    return _profile(latencies, bandwidth, size)


def check_directory(place: Path) -> None:
    """Whether the probe can work there. Raises InputError."""
    if not place.is_dir():
        raise InputError(f"{place} is not a directory")
    if not hasattr(os, "pwrite"):
        raise InputError("this system has no pwrite; the probe works on Linux and macOS")
    try:
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise InputError(f"{place} is not writable: {error.strerror}") from None
    if free < 2 * _FILE_BYTES:
        raise InputError(f"{place} has {free} bytes left; the probe needs {2 * _FILE_BYTES}")


def looks_like_memory(profile: Mapping[str, Any]) -> bool:
    """Whether the median says that nothing was made durable: memory, or a device that answers before it has written."""
    from sim.units import parse_duration

    return parse_duration(profile["fdatasync"]["quantiles"][0.5]) < _NO_DISK


def to_yaml(profile: Mapping[str, Any]) -> str:
    """The profile as the text of a YAML file."""
    # Text in JSON's quotes is text in YAML, whatever it holds.
    lines = [f"{key}: {json.dumps(profile[key])}" for key in ("about", "source", "measured")]
    lines += ["fdatasync:", "  quantiles:"]
    lines += [f"    {probability}: {latency}" for probability, latency in profile["fdatasync"]["quantiles"].items()]
    return "\n".join([*lines, f"bandwidth: {profile['bandwidth']}"]) + "\n"


def _latencies(descriptor: int, samples: int, size: Bytes, limit: Nanoseconds) -> NDArray[np.int64]:
    _preallocate(descriptor, min(_FILE_BYTES, (samples + _WARM_UP) * size))
    data = os.urandom(size)
    room = max(_FILE_BYTES // size, 1)
    measured: list[Nanoseconds] = []
    start = perf_counter_ns()
    for at in range(samples + _WARM_UP):
        before = perf_counter_ns()
        os.pwrite(descriptor, data, at % room * size)
        _make_durable(descriptor)
        after = perf_counter_ns()
        if at >= _WARM_UP:
            measured.append(after - before)
        if after - start > limit and measured:
            break
    return np.array(measured, dtype=np.int64)


def _bandwidth(descriptor: int, limit: Nanoseconds) -> float:
    """Bytes per second of a sequential write that is durable at its end."""
    data = os.urandom(_CHUNK_BYTES)
    written = 0
    start = perf_counter_ns()
    while written < _FILE_BYTES and (written == 0 or perf_counter_ns() - start < limit):
        written += os.pwrite(descriptor, data, written)
    _make_durable(descriptor)
    return written * SECOND / max(perf_counter_ns() - start, 1)


def _preallocate(descriptor: int, size: Bytes) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
    os.fsync(descriptor)


def _make_durable(descriptor: int) -> None:
    if sys.platform == "darwin":
        # fsync does not reach the medium there; etcd uses the same call.
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


def _profile(latencies: NDArray[np.int64], bandwidth: float, size: Bytes) -> dict[str, Any]:
    values = np.quantile(latencies, QUANTILES)
    return {
        "about": f"A disk measured with {len(latencies)} writes of {size} bytes, each with an fdatasync.",
        "source": "etcdsim probe-disk",
        "measured": f"on {platform.system()} {platform.machine()}",
        "fdatasync": {"quantiles": {at: _duration(float(value)) for at, value in zip(QUANTILES, values, strict=True)}},
        "bandwidth": _rate(bandwidth),
    }


def _duration(value: float) -> str:
    """Four significant digits: more would be noise."""
    for unit, size in (("s", SECOND), ("ms", MILLISECOND), ("us", MICROSECOND)):
        if value >= size:
            return f"{float(f'{value / size:.4g}'):g}{unit}"
    return f"{max(round(value), 1)}ns"


def _rate(value: float) -> str:
    return f"{value / 1e6:.0f}MB/s" if value >= 1e7 else f"{max(value / 1e3, 1):.0f}kB/s"
