"""Prediction beside measurement: rows of figures with their errors, and what they come to over all loads that were held out.

error: (predicted - measured) / measured. noise: (largest - smallest) / median of the rounds, that is by how much the measurement
disagrees with itself; for figures that grow with the requests sent, of the figure a request. A figure that is a time of etcd's own
histograms is read on both sides through etcd's buckets. A row that cannot be judged says why, and counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from sim.scenario.load_test import LoadTest
from sim.validation.measure import Measured
from sim.validation.predict import Predicted
from sim.validation.scrape import Buckets, through

BUSY: Final = 0.6
"""From this share of a core on, the generator's own waiting stands in the latencies."""
_LATENCY: Final = "etcd.request_seconds"
TIMED: Final = (
    "etcd.requests_per_second", f"{_LATENCY}.mean", f"{_LATENCY}.p50", f"{_LATENCY}.p90", f"{_LATENCY}.p99",
    "etcd.longest_gap_seconds", "etcd.leases_gone_after_seconds", "etcd.requests_failed", "etcd.leader_changes", "etcd.wal_fsyncs",
    "etcd.writes_per_batch", "etcd.compaction_seconds.mean",
)  # fmt: skip
"""Of the run that lasts as long as the measurement."""
COUNTED: Final = (
    "etcd.keys_live", "etcd.revision", "etcd.wal_entries", "etcd.wal_entry_bytes", "etcd.wal_bytes_written", "etcd.db_bytes_total",
    "etcd.db_bytes_in_use",
)  # fmt: skip
"""Of the run with as many requests as the measurement's median round."""
EXACT: Final = COUNTED[:3]
RACES: Final = EXACT[:2]
_STEADY: Final = {"etcd.keys_live", "etcd.db_bytes_total", "etcd.db_bytes_in_use"}
"""Figures that need not grow with the requests."""
BUCKETED: Final = ("etcd.wal_fsync_seconds", "etcd.backend_commit_seconds", "etcd.apply_execution_seconds")
ORDER: Final = (
    *TIMED[:-1], *(f"etcd.wal_fsync_seconds.{part}" for part in ("mean", "p50", "p99", "within_1ms")),
    *(f"etcd.backend_commit_seconds.{part}" for part in ("count", "mean", "p50", "p99")),
    *(f"etcd.apply_execution_seconds.{part}" for part in ("mean", "p99", "within_100us")), TIMED[-1], *COUNTED,
)  # fmt: skip
GOALS: Final = {
    **dict.fromkeys(EXACT, 0.0), "etcd.wal_bytes_written": 0.005, "etcd.db_bytes_in_use": 0.02, "etcd.db_bytes_total": 0.15,
    "etcd.requests_per_second": 0.10, f"{_LATENCY}.p50": 0.15, f"{_LATENCY}.p99": 0.30, "etcd.compaction_seconds.mean": 0.25,
}  # fmt: skip
"""How far off a prediction may be; see `goal` for what moves them."""
_AFTER_COMPACTION: Final = 0.05


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one load; None where there is nothing to say. doubt: why it does not count; held_out: no input knew of it."""

    workload: str
    figure: str
    predicted: float | None
    measured: float | None
    error: float | None
    noise: float | None
    held_out: bool = True
    doubt: str = ""
    goal: float | None = None

    @property
    def counts(self) -> bool:
        return self.held_out and not self.doubt and self.error is not None

    def plain(self) -> dict[str, Any]:
        return {
            "workload": self.workload, "figure": self.figure, "predicted": _digits(self.predicted),
            "measured": _digits(self.measured), "error": _digits(self.error), "noise": _digits(self.noise),
            "held_out": self.held_out, "goal": _digits(self.goal), "counts": self.counts, "doubt": self.doubt,
        }  # fmt: skip


def middle_round(rounds: Sequence[Measured]) -> Measured:
    """The round with the median number of requests (of two middle ones the smaller)."""
    return sorted(rounds, key=lambda one: one.requests)[(len(rounds) - 1) // 2]


def rows(rounds: Sequence[Measured], predicted: Predicted, held_out: bool = True) -> list[Row]:
    """The rows of one load."""
    load, chosen = rounds[0].load, middle_round(rounds)
    found: dict[str, tuple[float | None, float | None, float | None]] = {}
    by_kind = [f"{_LATENCY}.{kind}.{part}" for kind in load.shares for part in ("p50", "p99")] if load.op == "mix" else []
    for figure in (*TIMED, *by_kind):
        found[figure] = _against(predicted.figures.get(figure), [one.figures.get(figure) for one in rounds])
    for figure in COUNTED:
        values = [one.figures.get(figure) for one in rounds]
        if figure not in _STEADY:
            values = [None if value is None else value / one.requests for value, one in zip(values, rounds, strict=True)]
        found[figure] = predicted.figures.get(figure), chosen.figures.get(figure), noise(values)
    for figure in BUCKETED:
        measured_buckets = [one.buckets[figure] for one in rounds]
        own_buckets = through(predicted.run.distributions[figure], measured_buckets[0].bounds)
        for part in ("count", "mean", "p50", "p99", "within_1ms", "within_100us"):
            own_part, parts = _read(own_buckets, part), [_read(one, part) for one in measured_buckets]
            found[f"{figure}.{part}"] = _against(own_part, parts)
    made = []
    for figure in (*ORDER[:5], *by_kind, *ORDER[5:]):
        own, measured, spread = found.get(figure, (None, None, None))
        if measured is None or (figure in ("etcd.requests_failed", "etcd.leader_changes") and not own and not measured):
            continue
        error = relative(own, measured)
        why, wanted = doubt(figure, rounds), goal(figure, load, spread)
        made.append(Row(load.name, figure, own, measured, error, spread, held_out, why, wanted))
    return made


def goal(figure: str, load: LoadTest, spread: float | None) -> float | None:
    """How far off this figure of this load may be; None where nothing is promised.

    Bytes in use have less to keep after a compaction; a p99 twice its own noise, where that is more.
    """
    found = GOALS.get(figure)
    if figure == "etcd.db_bytes_in_use" and load.compact_every_seconds:
        return _AFTER_COMPACTION
    return max(found, 2 * spread) if figure == f"{_LATENCY}.p99" and found is not None and spread is not None else found


def doubt(figure: str, rounds: Sequence[Measured]) -> str:
    """Why a figure of a load cannot be judged; empty where it can."""
    share = max(one.shares["generator"] for one in rounds)
    if figure.startswith(_LATENCY) and share > BUSY:
        return f"the generator used {share:.0%} of a core: its own waiting is in it"
    server = figure.startswith(BUCKETED) or figure in ("etcd.wal_fsyncs", "etcd.writes_per_batch", *COUNTED[3:])
    if server and any(one.figures.get("etcd.leader_changes") for one in rounds):
        return "the lead changed: it is of the member that led first"
    if figure in RACES and rounds[0].load.clients and {"put_new", "delete"} <= set(rounds[0].load.shares):
        return "whether a delete finds a key that was put a moment before is a race"
    if figure in COUNTED and any(one.failures for one in rounds):
        return "requests failed, and which of them were applied is chance"
    return ""


def summary(all_rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """For each figure the median and the worst of the errors' sizes over the loads that were held out, and whether that will do.

    met: the median of error over goal is at most 1.
    """
    found: dict[str, dict[str, Any]] = {}
    for figure in ORDER:
        chosen = [row for row in all_rows if row.figure == figure and row.counts]
        if not chosen:
            continue
        worst = max(chosen, key=lambda row: abs(row.error or 0.0))
        found[figure] = {
            "median_error": _rounded(median(abs(row.error or 0.0) for row in chosen)),
            "worst_error": _rounded(abs(worst.error or 0.0)), "worst_at": worst.workload, "loads": len(chosen),
        }  # fmt: skip
        if figure in GOALS:
            reached = [_of_goal(abs(row.error or 0.0), row.goal or 0.0) for row in chosen]
            found[figure] |= {"goal": GOALS[figure], "met": median(reached) <= 1}
    return found


def _of_goal(error: float, wanted: float) -> float:
    if wanted:
        return error / wanted
    return 2.0 if error else 0.0


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


def _against(own: float | None, values: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    known = [value for value in values if value is not None]
    return own, median(known) if known else None, noise(values)


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
