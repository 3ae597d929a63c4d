"""The systems for programs: one JSON object."""

from __future__ import annotations

import math
from typing import Any, Final

from sim.analysis.outcome import Refused
from sim.report.document import number
from sim.systems.growth import Line, lines
from sim.systems.runs import Tested
from sim.systems.verdict import Judged

SCHEMA_VERSION: Final = 1


def document(tested: list[Tested], quick: bool, seed: int) -> dict[str, Any]:
    """The object of `etcdsim systems --json`; what never comes is null, with `never` beside it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "form": "quick" if quick else "full",
        "seed": seed,
        "systems": [_system(one) for one in tested],
    }


def _system(one: Tested) -> dict[str, Any]:
    system = one.system
    return {
        "id": system.id,
        "name": system.name,
        "verdict": one.verdict,
        "claim": system.claim,
        "source": system.source,
        "scenario": system.scenario,
        "without": system.without,
        "with": system.with_,
        "horizon_seconds": number(one.horizon_seconds),
        "checks": [_check(judged, judged.name in system.deciding()) for judged in one.judged],
        "growth": [_line(line) for line in lines(one)],
        "note": " ".join(system.note.split()),
        "failed": one.failed or None,
    }


def _check(judged: Judged, decides: bool) -> dict[str, Any]:
    check = judged.check
    return {
        "name": judged.name,
        "shows": check.shows,
        "figure": check.figure,
        "per": check.per,
        "unit": judged.unit,
        "without": _value(judged.without),
        "with": _value(judged.with_),
        "compare": None if check.names else check.compare,
        "value": _value(judged.value),
        "names": {run: {"wanted": wanted, "named": judged.named.get(run)} for run, wanted in check.names.items()} or None,
        "never": [side for side, value in (("without", judged.without), ("with", judged.with_)) if value == math.inf],
        "article": check.says or None,
        "rule": judged.rule,
        "decides": decides,
        "verdict": judged.verdict,
    }


def _line(line: Line) -> dict[str, Any]:
    said = line.predictions
    return {
        "line": line.name,
        "points": [[number(x), number(y)] for x, y in line.points],
        "statement": line.choice.statement,
        "best": line.choice.best.law.name if line.choice.best is not None else None,
        "decided": line.choice.decided,
        "at": number(line.at),
        "predictions": {
            law: {"refused": found.reason} if isinstance(found, Refused)
            else {"estimate": _digits(found.estimate), "low": _digits(found.low), "high": _digits(found.high), "level": found.level}
            for law, found in said.items()
        },
    }  # fmt: skip


def _digits(value: float) -> float:
    """Fits agree between machines to some digits only."""
    return float(f"{value:.6g}")


def _value(value: float | None) -> float | int | None:
    return None if value is None or not math.isfinite(value) else number(value)
