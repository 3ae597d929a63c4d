"""What fio measured of a disk, from its JSON: `fio --name=etcd --rw=write --ioengine=sync --fdatasync=1 --bs=2300 ...
--output-format=json`.

fio reports the percentiles of each fdatasync (`sync.lat_ns`) and of the write(2) before it (`write.lat_ns`). The profile's
law is of both together; that the write is the same at every percentile is a simplification of microseconds. Its bandwidth
(bw_bytes) with an fdatasync after every block is the latency's reciprocal, not the device's: that is taken from a second,
sequential job, where the file holds one.

Source: fio's HOWTO, --fdatasync, --output-format and "JSON output"; fio 3.x stat.c.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import optimize

from sim.calibration.laws import Points
from sim.calibration.sources import read_text
from sim.errors import InputError

COMMAND: Final = (
    "fio --name=etcd --rw=write --ioengine=sync --fdatasync=1 --bs=2300 --size=22m --directory=DIR --output-format=json"
)
_FEWEST: Final = 100
_INNER: Final = (0.25, 0.5, 0.75, 0.9)
_LARGE_BLOCK: Final = 64 * 1024
_SIZES: Final = {"": 1, "b": 1, "k": 2**10, "kb": 2**10, "kib": 2**10, "m": 2**20, "mb": 2**20, "mib": 2**20}


@dataclass(frozen=True)
class FioMeasurement:
    """A disk as fio saw it: law of write + fdatasync (seconds), samples, block bytes, bandwidths in bytes per second.

    turns: bytes per second of the job with an fdatasync after each block, a lower bound; bandwidth: of a sequential job, if
    there was one.
    """

    called: str
    law: Points
    samples: int
    mean: float
    block_bytes: int
    turns: float
    bandwidth: float | None
    release: str


def read_fio(path: Path) -> FioMeasurement:
    """The measurement in a file of fio's JSON. Raises InputError for another job than a write with an fdatasync after each
    block."""
    called = str(path)
    report = _report(read_text(path), called)
    jobs = report["jobs"]
    syncing = [job for job in jobs if _syncs(job)]
    options = report.get("global options")
    if not syncing:
        raise InputError(f"{called}: no job waits for an fdatasync; run {COMMAND}")
    if len(syncing) > 1:
        names = ", ".join(str(job.get("jobname")) for job in syncing)
        raise InputError(f"{called}: {len(syncing)} jobs call fdatasync ({names}); run one at a time, or add --group_reporting")
    job = syncing[0]
    settings = {**(options if isinstance(options, Mapping) else {}), **_map(job, "job options")}
    where = f'{called}: job "{job.get("jobname")}"'
    _check(job, settings, where)
    sync, write = _map(job, "sync").get("lat_ns"), _map(job, "write")
    if not isinstance(sync, Mapping) or not isinstance(sync.get("percentile"), Mapping):
        raise InputError(f"{where}: sync.lat_ns.percentile is missing; fio 3.5 or newer writes it")
    law, samples = _law(sync, write, where)
    mean = (_number(sync, "mean", where) + _number(_map(write, "lat_ns"), "mean", where)) / 1e9
    return FioMeasurement(
        called, law, samples, mean, _block(settings, write, where), _number(write, "bw_bytes", where), _sequential(jobs),
        str(report.get("fio version", "fio")),
    )  # fmt: skip


def _report(text: str, called: str) -> dict[str, Any]:
    begins = text.find("{")  # fio may say something before
    try:
        report = json.JSONDecoder().raw_decode(text[max(begins, 0) :])[0]
    except ValueError as error:
        cut = "the file is truncated, or" if begins >= 0 else "it"
        raise InputError(f"{called}: is not JSON ({error}); {cut} was written without --output-format=json") from None
    if not isinstance(report, dict) or not isinstance(report.get("jobs"), list) or not report["jobs"]:
        raise InputError(f"{called}: is not a report of fio; it has no jobs")
    if not all(isinstance(job, Mapping) for job in report["jobs"]):
        raise InputError(f"{called}: is not a report of fio; its jobs are not mappings")
    return report


def _syncs(job: Mapping[str, Any]) -> bool:
    latencies = _map(job, "sync").get("lat_ns")
    return isinstance(latencies, Mapping) and bool(latencies.get("N"))


def _check(job: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> None:
    if job.get("error"):
        raise InputError(f"{where}: ended with error {job['error']}")
    allowed = {"rw": ("write",), "ioengine": ("sync", "psync"), "fdatasync": ("1",), "iodepth": ("1",), "numjobs": ("1",)}
    for option, values in allowed.items():
        given = settings.get(option, settings.get("readwrite") if option == "rw" else None)
        if given is None and option == "fdatasync":
            other = next((name for name in ("fsync", "sync", "end_fsync") if name in settings), None)
            raise InputError(f"{where}: runs with {other or 'no'} sync option, not with fdatasync=1 as etcd does; run {COMMAND}")
        if given is not None and str(given) not in values:
            raise InputError(f'{where}: runs with {option}="{given}"; allowed is {" or ".join(values)}; run {COMMAND}')


def _law(sync: Mapping[str, Any], write: Mapping[str, Any], where: str) -> tuple[Points, int]:
    samples = int(_number(sync, "N", where))
    if samples < _FEWEST:
        raise InputError(f"{where}: sync.lat_ns.N: {samples} is too few for a tail; at least {_FEWEST}")
    writing = _number(_map(write, "lat_ns"), "mean", where)
    points: dict[float, float] = {0.0: _number(sync, "min", where), 1.0: _number(sync, "max", where)}
    for name in sync["percentile"]:
        try:
            at = round(float(name) / 100, 9)
        except ValueError:
            raise InputError(f'{where}: sync.lat_ns.percentile: "{name}" is not a percentage') from None
        # A percentile beyond the sample repeats its maximum.
        if 0 < at < 1 and (1 - at) * samples >= 1:
            points[at] = _number(sync["percentile"], name, where)
    values = [min(max(points[at], points[0.0]), points[1.0]) for at in sorted(points)]
    if any(low > high for low, high in pairwise(values)):
        raise InputError(f"{where}: sync.lat_ns.percentile does not rise")
    mean = _number(sync, "mean", where)
    return _bent(sorted(points), [(value + writing) / 1e9 for value in values], (mean + writing) / 1e9), samples


def _bent(probabilities: list[float], values: list[float], mean: float) -> Points:
    """Through all percentiles, and bent between them so that the mean is what fio says: straight lines put too much into long
    gaps."""

    def points(power: float) -> Points:
        at: list[tuple[float, float]] = [(probabilities[0], values[0])]
        for (p, low), (q, high) in pairwise(zip(probabilities, values, strict=True)):
            inner = _INNER if high > 1.2 * low else ()
            at += [(p + (q - p) * share, low + (high - low) * share**power) for share in (*inner, 1.0)]
        return Points(tuple(p for p, _ in at), tuple(value for _, value in at))

    def off(log_power: float) -> float:
        return points(float(np.exp(log_power))).mean - mean

    if off(-2.0) * off(3.0) >= 0:
        return points(1.0)
    return points(float(np.exp(optimize.brentq(off, -2.0, 3.0))))


def _sequential(jobs: list[Any]) -> float | None:
    """Bytes per second of the fastest job that wrote large blocks in a row, made durable at its end."""
    found = []
    for job in jobs:
        settings, write = _map(job, "job options"), _map(job, "write")
        block = _size(settings.get("bs", settings.get("blocksize", "")))
        durable = str(settings.get("end_fsync", "0")) == "1" or str(settings.get("direct", "0")) == "1"
        large = block is not None and block >= _LARGE_BLOCK
        if large and durable and settings.get("rw") == "write" and str(settings.get("fdatasync", "0")) == "0":
            found.append(float(write.get("bw_bytes", 0)))
    return max((one for one in found if one > 0), default=None)


def _block(settings: Mapping[str, Any], write: Mapping[str, Any], where: str) -> int:
    declared = _size(settings.get("bs", settings.get("blocksize", "")))
    if declared is not None:
        return declared
    return round(_number(write, "io_bytes", where) / max(_number(write, "total_ios", where), 1))


def _size(text: Any) -> int | None:
    digits = str(text).rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = str(text)[len(digits) :].lower()
    return int(digits) * _SIZES[unit] if digits.isdecimal() and unit in _SIZES else None


def _map(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = parent.get(key)
    return found if isinstance(found, Mapping) else {}


def _number(parent: Mapping[str, Any], key: str, where: str) -> float:
    found = parent.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < float("inf"):
        raise InputError(f"{where}: {key}: {found!r} is not a number; fio 3.5 or newer writes it in ns")
    return float(found)
