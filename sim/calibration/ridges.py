"""What the input cannot tell: sets of parameters that explain it equally well, printed as sets and not as one point.

Each ridge is a table of combinations along it. The combination that the calibration writes is marked, with the reason;
`apart` says what measurement would tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.calibration.histogram import Histogram
from sim.calibration.laws import Law, Lognormals


@dataclass(frozen=True)
class Ridge:
    """Combinations of parameters that the input cannot tell apart.

    columns: name and unit (`seconds`, `share`, `per_hour` or "") of each; points: one row a combination; chosen: the row that is
    written, or None where the scenario has no place for it; notes: what each row supposes.
    """

    name: str
    why: str
    apart: str
    columns: tuple[tuple[str, str], ...]
    points: tuple[tuple[float, ...], ...]
    chosen: int | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Below:
    """What lies under the lowest bound, in seconds: share of the observations, and the range in which their mean and median
    can lie."""

    bound: float
    share: float
    mean: tuple[float, float]
    median: tuple[float, float]


def below(histogram: Histogram) -> Below | None:
    """What the lowest bucket hides; None if it is empty.

    The sum leaves the mean of what is in it between two values; the median of the whole sample then lies where a law on [0,
    bound] with such a mean can have it, whatever its form (Markov's inequality from both sides).
    """
    inside = histogram.counts[0]
    if not inside:
        return None
    bound = histogram.bounds[0]
    rest = range(1, len(histogram.counts))
    least = sum(histogram.counts[at] * histogram.bounds[at - 1] for at in rest)
    most = sum(histogram.counts[at] * histogram.bounds[min(at, len(histogram.bounds) - 1)] for at in rest)
    low = max((histogram.sum - most) / inside, 0.0) if not histogram.counts[-1] else 0.0
    high = min((histogram.sum - least) / inside, bound)
    half = 0.5 * histogram.count / inside
    if half >= 1:
        return Below(bound, inside / histogram.count, (low, high), histogram.bracket(0.5))
    under = max((low - (1 - half) * bound) / half, 0.0)
    over = min(high / (1 - half), bound)
    return Below(bound, inside / histogram.count, (low, high), (under, over))


def tails(law: Law, histogram: Histogram, seconds: float | None) -> Ridge | None:
    """Independent slow fsyncs against stalls that make several slow in a row. None if nothing is slow."""
    tail = _slow_part(law, histogram)
    if tail is None:
        return None
    share, mean = tail
    slow = share * histogram.count
    hours = seconds / 3600 if seconds else float("nan")
    points = [(float(each), slow / each / hours, each * mean, share) for each in (1, 3, 10, 30) if each <= slow]
    return Ridge(
        "independent tail or stalls",
        "a histogram counts slow fsyncs and not when they came: these rates and lengths of slow episodes give the same counts "
        "and sum",
        "a series of scrapes at intervals (--series), or --prometheus",
        (("slow fsyncs in a row", ""), ("episodes per hour", "per_hour"), ("episode", "seconds"), ("slow fsyncs", "share")),
        tuple(points), 0 if points else None, ("each by itself", *["clustered"] * (len(points) - 1))[: len(points)],
    )  # fmt: skip


def applies(total: float, body: float, held: float | None) -> Ridge:
    """Cost of an apply against its wait for the batch lock, means in seconds.

    total: mean of the whole histogram; body: mean without the slow part; held: the wait that arrivals at random would have
    had, from the commits' own durations, where known.
    """
    along = _along(
        [(body, "the slow part of the histogram is wait"), (total, "no wait"), (total / 2, "half and half")]
        + ([(max(total - held, 0.0), "wait as for arrivals at random")] if held is not None else []),
    )
    costs = [cost for cost, _ in along]
    return Ridge(
        "apply cost or lock wait",
        "the metric encloses the wait for the batch lock: only cost + wait is measured",
        "scrapes of an idle cluster with the same values, where nothing holds the lock",
        (("mean cost", "seconds"), ("mean lock wait", "seconds"), ("both", "seconds")),
        tuple((cost, total - cost, total) for cost in costs),
        costs.index(body), tuple(note for _, note in along),
    )  # fmt: skip


def shared_disk(commit: float, fsync: float, pages: float, written: float) -> Ridge:
    """fdatasync of the backend against cost per page, seconds: a commit is two of the one and `pages` of the other.

    commit: mean of the whole; fsync: mean of the WAL's; written: the pages' part in what is written.
    """
    along = _along(
        [(written, "pages at the written cost"), (0.0, "pages cost nothing"), (commit / 2, "half of a commit is pages")]
        + ([(commit - 2 * fsync, "as fast as the WAL's")] if commit > 2 * fsync else []),
    )
    parts = [part for part, _ in along]
    return Ridge(
        "one disk for WAL and backend",
        "a commit is two fdatasyncs and the writing of its pages, and both wait for the WAL where they share a disk: only the "
        "total is measured",
        "WAL and backend on two disks, or fio on the idle disk (--fio)",
        (("backend fdatasync", "seconds"), ("a page", "seconds"), ("to the WAL's", "factor"), ("commit", "seconds")),
        tuple(((commit - part) / 2, part / pages if pages else 0.0, (commit - part) / 2 / fsync, commit) for part in parts),
        parts.index(written), tuple(note for _, note in along),
    )  # fmt: skip


def _along(points: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Points of a ridge in order, without those that are nearly the first one (what is written) or each other."""
    largest = max(at for at, _ in points)
    kept: list[tuple[float, str]] = []
    for at, note in points:
        if all(abs(at - other) > 0.02 * largest for other, _ in kept):
            kept.append((at, note))
    return sorted(kept)


def _slow_part(law: Law, histogram: Histogram) -> tuple[float, float] | None:
    """Share and mean (seconds) of the law's tail: its last component, or what is above ten medians."""
    if isinstance(law, Lognormals) and len(law.parts) > 1:
        body = max(law.parts, key=lambda part: part.weight)
        slow = [part for part in law.parts if part.median > 4 * body.median]
        share = sum(part.weight for part in slow)
        if share > 0:
            return share, sum(part.weight * part.mean for part in slow) / share
    limit = 10 * max(histogram.bracket(0.5)[1], 1e-9)
    counts = [(count, low) for count, low in zip(histogram.counts, histogram.lower, strict=True) if low >= limit and count]
    total = sum(count for count, _ in counts)
    if not total:
        return None
    return total / histogram.count, sum(count * low * 2**0.5 for count, low in counts) / total
