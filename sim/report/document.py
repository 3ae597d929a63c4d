"""The JSON of a result: what `etcdsim run --json` prints, and what `summary.json` holds without the wall time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sim.result import MODE, SCHEMA_VERSION, Incident, Run

if TYPE_CHECKING:
    from sim.result import Runs

SIGNIFICANT: Final = 9
"""Digits of a number that is not whole: enough to compare, few enough to be the same on every machine."""


def document(runs: Runs) -> dict[str, Any]:
    """See `Runs.to_json`."""
    from sim.report.intervals import judgements
    from sim.report.objectives import objective_object

    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": runs.name,
        "seed": runs.seed,
        "version": runs.version,
        "mode": MODE,
        "horizon_seconds": number(runs.horizon_seconds),
        "wall_seconds": number(runs.wall_seconds),
        "variants": {variant: _variant(runs, run) for variant, run in runs.items()},
        "replications": max(map(len, runs.replications.values()), default=1),
        "objectives": [objective_object(one) for one in judgements(runs)],
    }


def number(value: float | None) -> int | float | None:
    """A number as it is written: whole ones exactly, others to nine digits. Raises ValueError for NaN and infinity."""
    if value is None:
        return None
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{value} is not a result")
    if float(value).is_integer() and abs(value) < 2**53:
        return int(value)
    return float(f"{value:.{SIGNIFICANT}g}")


def incident(of: Incident) -> dict[str, Any]:
    """An incident as an object: its details stand beside when, kind and about."""
    details = {key: number(value) if isinstance(value, float) else value for key, value in sorted(of.details.items())}
    return {"at_seconds": number(of.at_seconds), "kind": of.kind, "about": of.about, **details}


def text(value: Mapping[str, Any]) -> str:
    """JSON as it is written to files: indented, in the order given, never NaN."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _variant(runs: Runs, run: Run) -> dict[str, Any]:
    from sim.report.intervals import interval_object, intervals

    return {
        "metrics": {name: number(value) for name, value in sorted(run.metrics.items())},
        "status": dict(sorted(run.status.items())),
        "intervals": {name: interval_object(one) for name, one in intervals(runs, run.variant, sorted(run.metrics)).items()},
        "writers": {
            writer: {name: number(value) for name, value in sorted(values.items())}
            for writer, values in sorted(run.writers.items())
        },
        "incidents": [incident(one) for one in run.incidents],
    }
