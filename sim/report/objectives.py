"""Objectives on a terminal and in JSON: the word, what was predicted with its interval, the limit, the margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from sim.analysis import Interval, Judgement
from sim.metrics.catalogue import describe
from sim.report.document import number
from sim.report.figure_table import plain_table
from sim.report.human import brief, factor, human

_STYLES: Final = {"pass": "green", "FAIL": "bold red", "undecided": "yellow"}
_NEVER: Final = "never"


def objectives_table(found: Sequence[Judgement]) -> Table:
    """A row a goal and variant. One run alone has no interval: its word says whether this run keeps the bound."""
    table = plain_table()
    for name in ("", "objective", "variant", "figure"):
        table.add_column(name, no_wrap=True)
    for name in ("predicted", "limit", "margin"):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(*_row(one))
    return table


def _row(one: Judgement) -> list[Text]:
    unit = _unit(one.goal.figure)
    word = verdict(one)
    limit = f"{'at least' if one.goal.bound == 'min' else 'at most'} {brief(one.goal.limit, unit)}"
    margin = factor(one.margin) if one.margin is not None else ""
    cells = [one.goal.name, one.variant, one.goal.figure, _predicted(one, unit), limit, margin]
    return [Text(f"  {word}", style=_STYLES[word]), *map(Text, cells)]


def verdict(one: Judgement) -> str:
    """pass, FAIL or undecided; of one run alone, which has no interval, what this run says."""
    if one.runs == 1 and one.interval is None and one.keeps is not None:
        return "pass" if one.keeps else "FAIL"
    return "FAIL" if one.outcome == "fail" else one.outcome


def _predicted(one: Judgement, unit: str) -> str:
    if one.estimate is None:
        return "unknown"
    said = said_value(one.estimate, unit)
    return said if one.interval is None else f"{said}\n{bracketed(one.interval, unit)}"


def bracketed(interval: Interval, unit: str) -> str:
    """`(4.9 ms .. 5.3 ms)`."""
    return f"({said_value(interval.low, unit)} .. {said_value(interval.high, unit)})"


def said_value(value: float, unit: str) -> str:
    """A value for people; infinity is `never`."""
    return _NEVER if math.isinf(value) else human(float(f"{value:.12g}"), unit)


def reasons(found: Sequence[Judgement]) -> list[str]:
    """Why goals are undecided, a line each."""
    return [f"{one.goal.name}, {one.variant}: {one.why}" for one in found if one.outcome == "undecided" and one.why]


def objective_object(one: Judgement) -> dict[str, Any]:
    """The object of `--json`. A value or an end that is never reached is null, and its name stands in `never`."""
    ends: dict[str, float | None] = {"value": one.estimate}
    if one.interval is not None:
        ends |= {"low": one.interval.low, "high": one.interval.high}
    interval = one.interval
    return {
        "name": one.goal.name,
        "variant": one.variant,
        "figure": one.goal.figure,
        "bound": one.goal.bound,
        "limit": number(one.goal.limit),
        "verdict": one.outcome,
        **{name: finite(ends.get(name)) for name in ("value", "low", "high")},
        "never": [name for name, value in ends.items() if value is not None and math.isinf(value)],
        "keeps": one.keeps,
        "margin": finite(one.margin),
        "worst_margin": finite(one.worst),
        "runs": one.runs,
        "n_eff": None if interval is None else number(interval.n_eff),
        "method": None if interval is None else interval.method,
        "level": None if interval is None else number(interval.level),
        "why": one.why,
    }


def finite(value: float | None) -> int | float | None:
    """A number as it is written; null for infinity."""
    return None if value is None or not math.isfinite(value) else number(value)


def _unit(figure: str) -> str:
    known = describe(figure)
    return known.unit if known else ""


