"""Prediction beside measurement: rows of figures with their errors, and what they come to over all workloads.

error: (predicted - measured) / measured. noise: (largest - smallest) / median of the rounds, that is by how much the measurement
disagrees with itself; for figures that grow with the requests sent, of the figure a request. A figure that is a time of etcd's own
histograms is read on both sides through etcd's buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from sim.validation.measure import Measured
from sim.validation.predict import Predicted
from sim.validation.scrape import Buckets, through

TIMED: Final = (
    "etcd.requests_per_second", "etcd.request_seconds.mean", "etcd.request_seconds.p50", "etcd.request_seconds.p90",
    "etcd.request_seconds.p99", "etcd.wal_fsyncs", "etcd.writes_per_batch", "etcd.compaction_seconds.mean",
)  # fmt: skip
"""Of the run that lasts as long as the measurement."""
COUNTED: Final = (
    "etcd.keys_live", "etcd.revision", "etcd.wal_entries", "etcd.wal_entry_bytes", "etcd.wal_bytes_written", "etcd.db_bytes_total",
    "etcd.db_bytes_in_use",
)  # fmt: skip
"""Of the run with as many requests as the measurement's median round."""
BUCKETED: Final = ("etcd.wal_fsync_seconds", "etcd.backend_commit_seconds", "etcd.apply_execution_seconds")
ORDER: Final = (
    *TIMED[:7], *(f"etcd.wal_fsync_seconds.{part}" for part in ("mean", "p50", "p99", "within_1ms")),
    *(f"etcd.backend_commit_seconds.{part}" for part in ("count", "mean", "p50", "p99")),
    *(f"etcd.apply_execution_seconds.{part}" for part in ("mean", "p99", "within_100us")), TIMED[7], *COUNTED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one workload; None where there is nothing to say."""

    workload: str
    figure: str
    predicted: float | None
    measured: float | None
    error: float | None
    noise: float | None

    def plain(self) -> dict[str, Any]:
        return {
            "workload": self.workload, "figure": self.figure, "predicted": _digits(self.predicted),
            "measured": _digits(self.measured), "error": _digits(self.error), "noise": _digits(self.noise),
        }  # fmt: skip


def middle_round(rounds: Sequence[Measured]) -> Measured:
    """The round with the median number of requests (of two middle ones the smaller)."""
    return sorted(rounds, key=lambda one: one.load.requests)[(len(rounds) - 1) // 2]


def rows(rounds: Sequence[Measured], predicted: Predicted) -> list[Row]:
    """The rows of one workload."""
    name = rounds[0].workload.name
    chosen = middle_round(rounds)
    found: dict[str, Row] = {}
    for figure in TIMED:
        found[figure] = _row(name, figure, predicted.figures.get(figure), [one.figures.get(figure) for one in rounds])
    leaves_keys = rounds[0].workload.op in ("put_new", "put_over")
    for figure in COUNTED:
        values = [one.figures.get(figure) for one in rounds]
        each = [None if value is None else value / one.load.requests for value, one in zip(values, rounds, strict=True)]
        measured = chosen.figures.get(figure)
        own = predicted.figures.get(figure)
        found[figure] = Row(name, figure, own, measured, relative(own, measured), noise(each))
    for figure in BUCKETED:
        measured_buckets = [one.buckets[figure] for one in rounds]
        own_buckets = through(predicted.run.distributions[figure], measured_buckets[0].bounds)
        for part in ("count", "mean", "p50", "p99", "within_1ms", "within_100us"):
            own_part, parts = _read(own_buckets, part), [_read(one, part) for one in measured_buckets]
            found[f"{figure}.{part}"] = _row(name, f"{figure}.{part}", own_part, parts)
    if not leaves_keys:  # the few that were on their way at the end
        del found["etcd.keys_live"]
    return [found[figure] for figure in ORDER if figure in found and found[figure].measured is not None]


def summary(all_rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """For each figure the median and the worst of the errors' sizes over the workloads."""
    found = {}
    for figure in ORDER:
        errors = [abs(row.error) for row in all_rows if row.figure == figure and row.error is not None]
        if errors:
            found[figure] = {"median_error": _rounded(median(errors)), "worst_error": _rounded(max(errors))}
    return found


def relative(predicted: float | None, measured: float | None) -> float | None:
    """By what part of the measured value the prediction is off; None where one is missing, or 0 was measured."""
    if predicted is None or measured is None:
        return None
    if predicted == measured:
        return 0.0
    return (predicted - measured) / measured if measured else None


def noise(values: Sequence[float | None]) -> float | None:
    """How far apart the rounds are, as a part of their median; None for less than two."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    middle = median(known)
    spread = max(known) - min(known)
    return spread / abs(middle) if middle else (0.0 if not spread else None)


def _row(workload: str, figure: str, predicted: float | None, values: Sequence[float | None]) -> Row:
    known = [value for value in values if value is not None]
    measured = median(known) if known else None
    return Row(workload, figure, predicted, measured, relative(predicted, measured), noise(values))


def _read(buckets: Buckets, part: str) -> float | None:
    match part:
        case "count":
            return buckets.count
        case "mean":
            return buckets.mean
        case "p50" | "p99":
            return buckets.quantile(0.5 if part == "p50" else 0.99)
    bound = 0.001 if part == "within_1ms" else 0.0001
    shares = dict(zip(buckets.bounds, buckets.shares(), strict=False))
    return shares.get(bound)


def _digits(value: float | None) -> float | None:
    return None if value is None else _rounded(value)


def _rounded(value: float) -> float:
    """Nine significant digits; whole numbers stay whole."""
    return float(f"{value:.9g}")
