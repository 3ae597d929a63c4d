"""Scrapes as a real etcd would show them, made from known laws."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from sim.calibration.histogram import Floats, Histogram, from_cumulative, from_sample

DATA = Path(__file__).parent / "data"
REFERENCE = Path(__file__).resolve().parents[2] / "data" / "reference"

MILLISECONDS = tuple(0.001 * 2**i for i in range(14))
"""Bounds of etcd's disk histograms (facts: E1)."""
TENTHS = tuple(0.0001 * 2**i for i in range(16))
"""Bounds of the round-trip histogram (E3)."""


def public_histogram() -> Histogram:
    """The published histogram of 18.8 million fsyncs."""
    published = json.loads((REFERENCE / "etcd-7312-wal-fsync.json").read_text(encoding="utf-8"))
    cumulative = [(float(bound), count) for bound, count in published["cumulative"].items()]
    return from_cumulative(cumulative, published["sum_seconds"], "etcd-7312")


def lognormal(random: np.random.Generator, size: int, median: float, sigma: float) -> Floats:
    return median * np.exp(sigma * random.standard_normal(size))


def exposition(
    histograms: Mapping[str, Histogram],
    version: str = "3.5.17",
    member: str = "8e9e05c52164694d",
    started: float = 1_700_000_000,
    gauges: Mapping[str, float] | None = None,
    peers: Iterable[str] = (),
) -> str:
    """The text that such an etcd would show, families in etcd's order, the process' own last."""
    families: dict[str, list[str]] = {
        "etcd_server_version": [f'etcd_server_version{{server_version="{version}"}} 1'],
        "etcd_cluster_version": [f'etcd_cluster_version{{cluster_version="{version.rpartition(".")[0]}"}} 1'],
        "etcd_server_id": [f'etcd_server_id{{server_id="{member}"}} 1'],
    }
    for name, histogram in histograms.items():
        if name == "etcd_network_peer_round_trip_time_seconds":
            families[name] = [line for peer in peers for line in _series(name, histogram, f'To="{peer}"')]
        elif name == "etcd_server_apply_duration_seconds":
            families[name] = _series(name, histogram, 'op="Put",success="true",version="v3"')
        else:
            families[name] = _series(name, histogram, "")
    for name, value in (gauges or {}).items():
        families[name] = [f"{name} {value:g}"]
    lines = []
    process = {"process_start_time_seconds": [f"process_start_time_seconds {started:.3f}"]}
    for name, samples in [*sorted(families.items()), ("etcd_snap_fsync_duration_seconds", []), *process.items()]:
        kind = "histogram" if name in histograms else "gauge"
        lines += [f"# HELP {name} Text for people.", f"# TYPE {name} {kind}", *samples]
    return "\n".join(lines) + "\n"


def _series(name: str, histogram: Histogram, labels: str) -> list[str]:
    lines, total = [], 0
    comma = "," if labels else ""
    for bound, count in zip([*histogram.bounds, float("inf")], histogram.counts, strict=True):
        total += count
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        lines.append(f'{name}_bucket{{{labels}{comma}le="{le}"}} {total}')
    braces = f"{{{labels}}}" if labels else ""
    return [*lines, f"{name}_sum{braces} {histogram.sum!r}", f"{name}_count{braces} {total}"]


def drawn(seed: int, size: int = 20_000, median: float = 0.0012, sigma: float = 0.45, slow: float = 0.0) -> Histogram:
    """A histogram of fsyncs: lognormal, and a share of slow ones around 80 ms."""
    random = np.random.default_rng(seed)
    values = lognormal(random, size, median, sigma)
    late = random.random(size) < slow
    values[late] = lognormal(random, int(late.sum()), 0.08, 0.5)
    return from_sample(values, MILLISECONDS)
