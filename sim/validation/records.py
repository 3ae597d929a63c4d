"""What became of each request of a load, measured or simulated, and the figures that both give by the same rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.scenario.load_test import KINDS, LoadTest
from sim.units import SECOND


@dataclass(slots=True, eq=False)
class Records:
    """One row a request: begun after the start and took, nanoseconds; kind: a place in KINDS; code: a place in `codes`.

    codes: how requests ended; the first, empty, is well.
    """

    began: NDArray[np.int64]
    took: NDArray[np.int64]
    kind: NDArray[np.int8]
    code: NDArray[np.int16]
    codes: list[str] = field(default_factory=lambda: [""])

    def __len__(self) -> int:
        return len(self.took)

    @property
    def well(self) -> NDArray[np.bool_]:
        """Which were answered as asked."""
        return np.asarray(self.code == 0)

    @property
    def failures(self) -> dict[str, int]:
        """How many failed, by reason."""
        return {why: count for place, why in enumerate(self.codes) if place and (count := int((self.code == place).sum()))}


def read(path: Path, count: int, codes: Sequence[str]) -> Records:
    """Of a generator's file."""
    with path.open("rb") as file:
        began, took = (np.fromfile(file, np.int64, count) for _ in range(2))
        kind, code = np.fromfile(file, np.int8, count), np.fromfile(file, np.int16, count)
    return Records(began, took, kind, code, list(codes))


def together(parts: Sequence[Records]) -> Records:
    """Several generators' as one."""
    codes = [""]
    codes += sorted({why for part in parts for why in part.codes[1:]})
    code = [np.array([codes.index(why) for why in part.codes], np.int16)[part.code] for part in parts]
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("began", "took", "kind")]
    return Records(columns[0], columns[1], columns[2], np.concatenate(code), codes)


def figures(records: Records, load: LoadTest) -> dict[str, float | None]:
    """Rate and latencies of what counts: answers between warm-up and end; requests begun after the warm-up."""
    warm, end = load.warmup_seconds * SECOND, load.seconds * SECOND
    ended = records.began + records.took
    counts = records.well & (ended >= warm) & (ended < end)
    found: dict[str, float | None] = {"etcd.requests_per_second": float(counts.sum()) * SECOND / (end - warm)}
    chosen = records.well & (records.began >= warm)
    found |= _latency("etcd.request_seconds", records.took[chosen])
    if load.op == "mix":
        for kind in load.shares:
            took = records.took[chosen & (records.kind == KINDS.index(kind))]
            found |= _latency(f"etcd.request_seconds.{kind}", took, ("p50", "p99"))
    found["etcd.requests_failed"] = float(len(records) - records.well.sum())
    if load.pause is not None:
        found["etcd.longest_gap_seconds"] = longest_gap(records)
    return found


def longest_gap(records: Records) -> float | None:
    """The longest time without an answer, seconds."""
    ended = np.sort((records.began + records.took)[records.well])
    return float(np.diff(ended).max()) / SECOND if len(ended) > 1 else None


def _latency(name: str, took: NDArray[np.int64], parts: Sequence[str] = ("mean", "p50", "p90", "p99")) -> dict[str, float | None]:
    if not len(took):
        return {}
    p50, p90, p99 = np.quantile(took, (0.5, 0.9, 0.99)) / SECOND
    all_parts = {"mean": float(took.mean()) / SECOND, "p50": float(p50), "p90": float(p90), "p99": float(p99)}
    return {f"{name}.{part}": all_parts[part] for part in parts}
