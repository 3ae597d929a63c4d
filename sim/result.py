"""What a run leaves behind: figures, distributions, time series, writers and incidents; in seconds and bytes.

A `Run` is one variant, `Runs` are the variants of one scenario that met the same world. Both are plain data: made once
when a simulation ends, never changed, and exactly restored from the directory that `Runs.save` writes. Durations are
kept as logarithmic buckets, so that a day of samples costs what an hour costs.

Tables, pictures and files are made by `sim.report`, imported only when one is asked for: this module stays light.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import InputError, nearest
from sim.units import HOUR, Nanoseconds, format_duration, parse_duration, seconds

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from sim.scenario import Scenario

SCHEMA_VERSION: Final = 1
MODE: Final = "exact"

BUCKETS_PER_OCTAVE: Final = 32
GROWTH: Final = 2.0 ** (1 / BUCKETS_PER_OCTAVE)
"""Upper edge over lower edge of a bucket: a quantile inside one is off by at most 2.2%."""

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
STATISTICS: Final = (*QUANTILES, "max", "mean", "count")
"""The suffixes of a distribution's figures, in the order in which they are shown."""


def bucket_of(duration: Nanoseconds) -> int:
    """The bucket of a duration: i holds more than GROWTH**(i-1) and at most GROWTH**i nanoseconds; -1 holds zero."""
    return -1 if duration <= 0 else math.ceil(math.log2(duration) * BUCKETS_PER_OCTAVE - 1e-9)


def upper_seconds(buckets: ArrayLike) -> NDArray[np.float64]:
    """The upper edges of buckets, in seconds."""
    index = np.asarray(buckets, dtype=np.int64)
    return np.where(index < 0, 0.0, np.exp2(index / BUCKETS_PER_OCTAVE) * 1e-9)


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """Durations: exact count, sum and extremes, and how many fell into each logarithmic bucket.

    upper_seconds: upper edges of the buckets that are not empty, rising, shape (n,); counts: samples in each.
    A bucket spans a factor of GROWTH. An empty distribution has min +inf and max -inf.
    """

    count: int
    sum_seconds: float
    min_seconds: float
    max_seconds: float
    upper_seconds: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Distribution:
        return cls(0, 0.0, math.inf, -math.inf, np.empty(0), np.empty(0, dtype=np.int64))

    @classmethod
    def of(cls, durations: Iterable[Nanoseconds]) -> Distribution:
        """The distribution of given durations, in nanoseconds."""
        samples = list(durations)
        if not samples:
            return cls.empty()
        buckets, counts = np.unique([bucket_of(sample) for sample in samples], return_counts=True)
        return cls(
            count=len(samples),
            sum_seconds=seconds(sum(samples)),
            min_seconds=seconds(min(samples)),
            max_seconds=seconds(max(samples)),
            upper_seconds=upper_seconds(buckets),
            counts=counts.astype(np.int64),
        )

    @property
    def mean(self) -> float | None:
        """Mean in seconds; None without samples."""
        return self.sum_seconds / self.count if self.count else None

    def quantile(self, q: float) -> float | None:
        """The duration in seconds that a share `q` of the samples do not exceed; None without samples.

        Within a bucket the samples are taken as spread evenly in the logarithm; the extremes are exact.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"quantile {q} is not between 0 and 1")
        if not self.count:
            return None
        if q in (0, 1):
            return self.min_seconds if q == 0 else self.max_seconds
        reached = np.cumsum(self.counts)
        rank = q * self.count
        at = min(int(np.searchsorted(reached, rank)), len(reached) - 1)
        share = (rank - (int(reached[at]) - int(self.counts[at]))) / int(self.counts[at])
        value = float(self.upper_seconds[at]) * math.exp2((share - 1) / BUCKETS_PER_OCTAVE)
        return min(max(value, self.min_seconds), self.max_seconds)

    def merge(self, *others: Distribution) -> Distribution:
        """The distribution of the samples of all of them."""
        parts = [part for part in (self, *others) if part.count]
        if not parts:
            return Distribution.empty()
        edges, place = np.unique(np.concatenate([part.upper_seconds for part in parts]), return_inverse=True)
        counts = np.zeros(len(edges), dtype=np.int64)
        np.add.at(counts, place, np.concatenate([part.counts for part in parts]))
        return Distribution(
            count=sum(part.count for part in parts),
            sum_seconds=math.fsum(part.sum_seconds for part in parts),
            min_seconds=min(part.min_seconds for part in parts),
            max_seconds=max(part.max_seconds for part in parts),
            upper_seconds=edges,
            counts=counts,
        )

    def figures(self, name: str) -> dict[str, float | None]:
        """The figures `name.p50` ... `name.count`; without samples all but the count are None."""
        found: dict[str, float | None] = {f"{name}.{suffix}": self.quantile(q) for suffix, q in QUANTILES.items()}
        found[f"{name}.max"] = self.max_seconds if self.count else None
        found[f"{name}.mean"] = self.mean
        found[f"{name}.count"] = float(self.count)
        return found


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that an operator would be told: an alarm, an election, a quota, a breaker that trips.

    kind: a fixed word to select by; about: one sentence for people; details: further values, JSON scalars.
    """

    at_seconds: float
    kind: str
    about: str
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if taken := {"at_seconds", "kind", "about"} & self.details.keys():
            raise ValueError(f"details of an incident may not be called {', '.join(sorted(taken))}")


@dataclass(frozen=True, slots=True)
class Replication:
    """What one of several worlds gave: its seed, its figures and their status."""

    seed: int
    metrics: dict[str, float | None]
    status: dict[str, str]


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One variant, simulated once.

    metrics: figure -> value in SI units, None where the figure is absent; every name is in `sim.metrics.catalogue`.
    status: for figures that can be absent: reached, extrapolated, never or unknown.
    writers: writer -> figure -> value. series: one column a figure, indexed by seconds since the start.
    distributions: figure without suffix -> the whole run. windows: figure -> consecutive equal windows of the horizon.
    """

    variant: str
    seed: int
    horizon_seconds: float
    metrics: dict[str, float | None]
    status: dict[str, str]
    writers: dict[str, dict[str, float]]
    incidents: list[Incident]
    series: pd.DataFrame
    distributions: dict[str, Distribution]
    windows: dict[str, list[Distribution]]
    wall_seconds: float = 0.0

    def __repr__(self) -> str:
        return f"<Run of {self.variant}: {len(self.metrics)} figures, seed {self.seed}, {_hours(self.horizon_seconds)}>"

    def quantile(self, figure: str, q: float, between: tuple[str | float, str | float] | None = None) -> float | None:
        """A quantile of a distribution in seconds, over the run or `between` two times such as ("23h", "24h").

        The two times have to fall on the edges of the windows that the run kept. None where nothing was observed.
        Raises InputError for an unknown figure or times that no windows match.
        """
        if figure not in self.distributions:
            raise InputError(f"{figure} is not a distribution of this run{nearest(figure, self.distributions)}")
        if between is None:
            return self.distributions[figure].quantile(q)
        return self.between(figure, *between).quantile(q)

    def between(self, figure: str, start: str | float, end: str | float) -> Distribution:
        """The distribution of `figure` from `start` to `end`; both on edges of the run's windows. Raises InputError."""
        windows = self.windows.get(figure, [])
        if not windows:
            raise InputError(f"{figure} was not kept by window{nearest(figure, self.windows)}")
        width = self.horizon_seconds / len(windows)
        edges = []
        for text in (start, end):
            try:
                edge = seconds(parse_duration(text)) / width
            except ValueError as error:
                raise InputError(str(error)) from None
            if abs(edge - round(edge)) > 1e-6 or not 0 <= round(edge) <= len(windows):
                kept = format_duration(round(width * 1e9))
                raise InputError(f"{text}: this run kept windows of {kept} up to {_hours(self.horizon_seconds)}")
            edges.append(round(edge))
        if edges[0] >= edges[1]:
            raise InputError(f"nothing lies between {start} and {end}")
        return Distribution.empty().merge(*windows[edges[0] : edges[1]])


class Runs(Mapping[str, Run]):
    """The variants of one scenario, by name, run on common random numbers."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        runs: Mapping[str, Run],
        *,
        wall_seconds: float = 0.0,
        version: str | None = None,
        name: str | None = None,
        replications: Mapping[str, Sequence[Replication]] | None = None,
    ):
        """version: the etcdsim that made them, by default the installed one; name: by default the scenario's.

        replications: for each variant what all its worlds gave, the one of `runs` first; None where there is one world only.
        """
        if not runs:
            raise ValueError("no variant was run")
        self.scenario = scenario
        self.name = name if name is not None else str(scenario.name)
        self.seed = seed
        self.wall_seconds = wall_seconds
        self.version = version if version is not None else installed_version()
        self._runs = dict(runs)
        self.replications = {variant: tuple(found) for variant, found in (replications or {}).items()}

    def __getitem__(self, variant: str) -> Run:
        return self._runs[variant]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        variants = ", ".join(self._runs)
        return f"<Runs of {self.name}: {variants}; seed {self.seed}, {_hours(self.horizon_seconds)}>"

    @property
    def horizon_seconds(self) -> float:
        return next(iter(self._runs.values())).horizon_seconds

    @property
    def summary(self) -> pd.DataFrame:
        """A row a figure: a column a variant, `ratio` where there are two, `reference.*`, `is` and `unit`.

        `is` says what a prediction is worth as evidence: fitted, assumed or predicted.
        """
        from sim.report.summary import summary

        return summary(self)

    @property
    def writers(self) -> pd.DataFrame:
        """Who did it: a row a writer, a column a figure of a variant, as (variant, figure)."""
        from sim.report.summary import writers

        return writers(self)

    @property
    def incidents(self) -> pd.DataFrame:
        """The incidents of all variants in order of time: variant, at_seconds, kind, about."""
        from sim.report.summary import incidents

        return incidents(self)

    @property
    def intervals(self) -> pd.DataFrame:
        """The 95% intervals that there are: variant, figure, estimate, low, high, n_eff, method; in SI units.

        Of all figures where there are several worlds (`sim.run(..., replications=10)`), of means and quantiles where one run with
        `analysis: steady` has settled; none for one run of a terminating scenario.
        """
        from sim.report.intervals import table

        return table(self)

    def plot(self) -> Figure:
        """The overview: keys, WAL bytes, database against its quota, apply latency, queue depth, over time."""
        from sim.report.overview import overview

        return overview(self)

    def to_json(self) -> dict[str, Any]:
        """The object that `etcdsim run --json` prints; floats have nine significant digits."""
        from sim.report.document import document

        return document(self)

    def save(self, directory: str | Path) -> Path:
        """Write everything but the wall time to a new directory of open formats; returns it. Raises InputError."""
        from sim.report.store import save

        return save(self, Path(directory))

    @classmethod
    def load(cls, directory: str | Path) -> Runs:
        """Read what `save` wrote. Raises InputError that names the file which is missing, foreign or corrupt."""
        from sim.report.store import load

        return load(Path(directory))


def installed_version() -> str:
    """The version of the installed distribution; `unknown` in a bare checkout."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("etcdsim")
    except PackageNotFoundError:
        return "unknown"


def _hours(value: float) -> str:
    nanoseconds = round(value * 1e9)
    return f"{nanoseconds // HOUR}h" if nanoseconds % HOUR == 0 else format_duration(nanoseconds)
