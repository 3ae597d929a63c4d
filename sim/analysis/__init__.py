"""Analysis: from what runs left to figures with intervals. Pure functions; where no honest interval exists, the reason.

    outcome        Interval | Refused: what every function answers
    stopping       when a study has run enough         (sim.metrics.warmup: how much of a steady run's beginning to leave out)
    batches        what correlation leaves of a run's samples              steady     mean and quantiles of ONE steady run
    replications   across independent runs; pairs on common random numbers rare       stalls, maxima, bounds that are passed
    objectives     pass, fail or undecided             deciding       replications until it is decided
    laws, growth   power, polynomial, exponential, saturating: fit, choose, extrapolate      forecast   when a level is reached

`interval` is the short way for tables: one call, one figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, cast, get_args

import numpy as np

from sim.analysis.deciding import DecideRule
from sim.analysis.forecast import Reached, crossing, time_to_level
from sim.analysis.growth import Band, Choice, Fit, choose, fit
from sim.analysis.laws import LAWS
from sim.analysis.objectives import Goal, Judgement, goals, interval_of, judge, judge_by, observations, observed, overall
from sim.analysis.outcome import LEVEL, Interval, Refused, Values
from sim.analysis.rare import Stalls, episodes, passes, probability, rate, stalls_per_day
from sim.analysis.replications import mean_of_replications, next_replication, paired, quantile_of_replications
from sim.analysis.steady import mean_of_run, mean_of_windows, quantile_by_sectioning, quantile_of_run, quantile_of_windows
from sim.analysis.stopping import Look, StopRule
from sim.metrics.warmup import WarmUp, mser5
from sim.result import Distribution

Kind: TypeAlias = Literal[
    "mean",
    "median",
    "next",
    "run.mean",
    "run.p50",
    "run.p90",
    "run.p99",
    "run.p999",
    "pooled.p50",
    "pooled.p90",
    "pooled.p99",
    "pooled.p999",
]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
_Q: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def interval(values: Values | Sequence[Distribution], kind: Kind, level: float = LEVEL) -> Interval | Refused:
    """A figure with its interval, or why it has none. In the unit of the values; distributions are in seconds.

    kind        values                                                        what
    mean        a value a replication (of any figure: its mean, its p99)      t
    median      a value a replication, infinity where it never happened       order statistics
    next        a value a replication                                         where one further run falls
    run.*       ONE steady run without its warm-up: samples in order of time, or its windows (`run.windows[figure]`)
    pooled.*    the distribution of each replication (`run.distributions[figure]`): the quantile of all their samples

    Raises ValueError for an unknown kind, values that do not suit it, or a level outside of (0, 1).
    """
    if kind not in KINDS:
        raise ValueError(f"{kind} is not one of {', '.join(KINDS)}")
    source, _, figure = kind.rpartition(".")
    listed = not isinstance(values, np.ndarray) and bool(len(values)) and all(isinstance(value, Distribution) for value in values)
    if listed:
        windows = cast("Sequence[Distribution]", values)
        if source == "pooled":
            return quantile_of_windows(windows, _Q[figure], level, independent=True)
        if source == "run":
            return mean_of_windows(windows, level) if figure == "mean" else quantile_of_windows(windows, _Q[figure], level)
        raise ValueError(f"{kind} takes one value a replication, not distributions")
    numbers = cast("Values", values)
    match source, figure:
        case "run", "mean":
            return mean_of_run(numbers, level)
        case "run", _:
            return quantile_of_run(numbers, _Q[figure], level)
        case "pooled", _:
            raise ValueError(f"{kind} takes the distribution of each replication")
        case _, "mean":
            return mean_of_replications(numbers, level)
        case _, "median":
            return quantile_of_replications(numbers, 0.5, level)
        case _:
            return next_replication(numbers, level)


__all__ = [
    "KINDS", "LAWS", "LEVEL", "Band", "Choice", "DecideRule", "Fit", "Goal", "Interval", "Judgement", "Kind", "Look", "Reached",
    "Refused", "Stalls", "StopRule", "WarmUp", "choose", "crossing", "episodes", "fit", "goals", "interval", "interval_of", "judge",
    "judge_by", "mean_of_replications", "mean_of_run", "mean_of_windows", "mser5", "next_replication", "observations", "observed",
    "overall", "paired", "passes", "probability", "quantile_by_sectioning", "quantile_of_replications", "quantile_of_run",
    "quantile_of_windows", "rate", "stalls_per_day", "time_to_level",
]  # fmt: skip
