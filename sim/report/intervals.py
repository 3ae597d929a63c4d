"""How sure the figures of a result are: intervals over its replications, or of one steady run; else why there are none.

Several worlds give every figure an interval: of its mean (t), or of its median where some worlds never get there. One run gives
intervals only where its scenario says `analysis: steady` and the run has settled: of means and quantiles, from its windows without
the warm-up. One run of a terminating scenario is one draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pandas as pd

from sim.analysis import (
    Interval,
    Judgement,
    Refused,
    goals,
    interval_of,
    judge,
    judge_by,
    mean_of_windows,
    observed,
    quantile_of_windows,
)
from sim.analysis.objectives import mean_of_figure
from sim.metrics.steady import WARM_UP
from sim.result import QUANTILES, Run, Runs

_ONE_DRAW: Final = "one run of a terminating scenario is one draw; --replications 5 gives intervals"
_NO_SAMPLES: Final = "a figure of one run that is no mean or quantile of samples has none; --replications 5 gives intervals"


def interval(runs: Runs, variant: str, figure: str) -> Interval | Refused:
    """The interval of a figure of a variant, or why it has none."""
    worlds = runs.replications.get(variant, ())
    if worlds:
        values = [observed(world.metrics.get(figure), world.status.get(figure)) for world in worlds]
        return mean_of_figure(values) if all(map(math.isfinite, values)) else interval_of(figure, values)
    run = runs[variant]
    return _of_steady(run, figure) if WARM_UP in run.status else Refused(_ONE_DRAW)


def _of_steady(run: Run, figure: str) -> Interval | Refused:
    warm_up = run.metrics.get(WARM_UP)
    if warm_up is None:
        return Refused("the run has not settled: no end of its warm-up was found; run longer, or is it growing (terminating)?")
    name, _, suffix = figure.rpartition(".")
    windows = run.windows.get(name, [])
    if not windows or suffix not in (*QUANTILES, "mean"):
        return Refused(_NO_SAMPLES)
    rest = windows[round(warm_up / run.horizon_seconds * len(windows)) :]
    return mean_of_windows(rest) if suffix == "mean" else quantile_of_windows(rest, QUANTILES[suffix])


def intervals(runs: Runs, variant: str, figures: Iterable[str]) -> dict[str, Interval]:
    """Those of the figures that have an interval, with it."""
    found = {figure: interval(runs, variant, figure) for figure in figures}
    return {figure: one for figure, one in found.items() if isinstance(one, Interval)}


def table(runs: Runs) -> pd.DataFrame:
    """See `Runs.intervals`."""
    rows = [
        (variant, figure, one.estimate, one.low, one.high, one.n_eff, one.method)
        for variant, run in runs.items()
        for figure, one in intervals(runs, variant, sorted(run.metrics)).items()
    ]
    return pd.DataFrame(rows, columns=["variant", "figure", "estimate", "low", "high", "n_eff", "method"])


def judgements(runs: Runs) -> list[Judgement]:
    """Each objective against each variant that it is about: over the replications, or by the interval of the one run."""
    found = []
    for goal in goals(runs.scenario):
        for variant, run in runs.items():
            if goal.variant not in (None, variant):
                continue
            worlds = runs.replications.get(variant, ())
            if worlds:
                values = [observed(world.metrics.get(goal.figure), world.status.get(goal.figure)) for world in worlds]
                found.append(judge(goal, values, variant))
                continue
            one = judge_by(goal, interval(runs, variant, goal.figure), variant)
            value = observed(run.metrics.get(goal.figure), run.status.get(goal.figure))
            found.append(replace(one, estimate=None if math.isnan(value) else value) if one.interval is None else one)
    return found


def interval_object(found: Interval) -> dict[str, Any]:
    """The object of `--json`. An end that is never reached is null."""
    from sim.report.objectives import finite

    return {
        "estimate": finite(found.estimate), "low": finite(found.low), "high": finite(found.high), "n_eff": finite(found.n_eff),
        "method": found.method, "level": finite(found.level), "notes": list(found.notes),
    }  # fmt: skip
