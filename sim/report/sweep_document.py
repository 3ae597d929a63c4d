"""What a store of sweeps says, for programs: the object of `etcdsim results --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sim.analysis import Interval, Refused
from sim.report.document import number
from sim.report.objectives import finite, objective_object
from sim.sweeps.effects import without_effect
from sim.sweeps.intervals import Estimate, estimates, held
from sim.sweeps.rows import Asked, Difference, Results, Row

SCHEMA_VERSION: Final = 1


def document(found: Results, figures: Sequence[str] | None) -> dict[str, Any]:
    """The object of `--json`: the same bytes for the same runs, whoever made them in which order."""
    shown = list(figures or found.figures)
    return {
        "schema_version": SCHEMA_VERSION,
        "sweeps": [_sweep(asked) for asked in found.sweeps],
        "rows": [_row(row) for row in found.rows(figures)],
        "failures": [
            {"sweep": one.sweep, "point": one.point, "values": one.values, "variant": one.variant, "replication": one.replication,
             "reason": one.reason}
            for one in found.failures()
        ],
        "intervals": [_estimate(one) for one in estimates(found, shown)],
        "differences": [_difference(one) for one in found.differences(shown)],
        "objectives": [
            {"sweep": one.sweep, "point": one.point, "values": one.values, **objective_object(one.judgement)}
            for one in held(found)
        ],
        "without_effect": [
            {"sweep": one.sweep, "path": one.path, "values": list(one.values), "variants": list(one.variants), "why": one.why}
            for one in without_effect(found)
        ],
    }  # fmt: skip


def interval_object(found: Interval | Refused) -> dict[str, Any]:
    """An interval in JSON; where there is none, why. An end that is never reached is null, as in objectives."""
    if not isinstance(found, Interval):
        return {"low": None, "high": None, "n_eff": None, "method": None, "why": found.reason}
    ends = {"low": finite(found.low), "high": finite(found.high), "n_eff": finite(found.n_eff)}
    return {**ends, "method": found.method, "why": ""}


def _sweep(asked: Asked) -> dict[str, Any]:
    return {
        "sweep": asked.id,
        "name": asked.name,
        "scenario": asked.scenario["name"],
        "model": asked.model,
        "design": asked.design,
        "knobs": list(asked.paths),
        "replications": asked.replications,
        "seed": asked.seed,
        "until_half_width": asked.until,
        "runs": asked.runs,
        "done": asked.done,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "sweep": row.sweep,
        "point": row.point,
        "values": row.values,
        "variant": row.variant,
        "replication": row.replication,
        "seed": row.seed,
        "metrics": {name: number(value) for name, value in sorted(row.metrics.items())},
        "status": dict(sorted(row.status.items())),
    }


def _estimate(one: Estimate) -> dict[str, Any]:
    return {
        "sweep": one.sweep,
        "point": one.point,
        "values": one.values,
        "variant": one.variant,
        "figure": one.figure,
        "runs": one.runs,
        "present": one.present,
        "mean": number(one.mean),
        "samples": one.samples,
        **interval_object(one.found),
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "sweep": one.sweep,
        "point": one.point,
        "values": one.values,
        "variant": one.variant,
        "against": one.against,
        "figure": one.figure,
        "mean": number(one.mean),
        "pairs": one.pairs,
        **interval_object(one.found),
    }
