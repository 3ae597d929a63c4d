"""The rule: from the figures of the runs to reproduced, refuted or not comparable.

    a check     its figure (divided by `per`) in both variants, compared as declared, is
                  not comparable   where the article gives nothing to compare with, or a run does not report the figure
                  reproduced       where it lies within `within` of the article's number, or keeps `at_least` and `at_most`
                  refuted          else
                  one with `names` counts the runs whose diagnosis names what it should: reproduced where all do, refuted else
    a system    refuted where a deciding check is; reproduced where all that can be compared are, and one can; else not comparable

A figure that never comes (`etcd.seconds_to_quota` of a file that does not grow) is beyond any number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from sim.metrics.catalogue import describe
from sim.report.human import brief, factor, human
from sim.systems.declared import COMPARED, Bounds, Check, System

Verdict = Literal["reproduced", "refuted", "not comparable"]
Figures = Mapping[str, float | None]
NEVER: Final = math.inf


@dataclass(frozen=True, slots=True)
class Side:
    """What one variant of a system left behind. never: figures that will never be; station: what its diagnosis names."""

    metrics: Figures
    never: frozenset[str] = frozenset()
    station: str | None = None

    def value(self, figure: str) -> float | None:
        """The figure; infinite where it never comes, None where it was not reported."""
        found = self.metrics.get(figure)
        return NEVER if found is None and figure in self.never else found


@dataclass(frozen=True, slots=True)
class Judged:
    """A check with its figures. value: the compared one; None where it cannot be made. named: by variant, what diagnoses named."""

    name: str
    check: Check
    without: float | None
    with_: float | None
    value: float | None
    rule: str
    verdict: Verdict
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The unit of the two sides, of the catalogue."""
        return _unit(self.check)

    def said(self, value: float | None) -> str:
        """The compared value as people say it."""
        if self.check.names:
            return f"{human(value, '')} of {len(self.check.names)}"
        if value == NEVER:
            return "never" if NEVER in (self.without, self.with_) else "x inf"
        return _said(self.check, value, self.unit)

    @property
    def looked_at(self) -> str:
        """What the check looks at, for a page: a figure, or what diagnoses named."""
        check = self.check
        if check.names:
            return f"`etcdsim diagnose`: {_told(self.named)}"
        return f"`{check.figure}`" + (f" per `{check.per}`" if check.per else "")

    @property
    def sides(self) -> tuple[str, str]:
        """Both sides as people say them; empty what is not compared."""
        compare = self.check.compare
        if self.check.names:
            return "", self.said(self.value)
        return "" if compare == "with" else self._side(self.without), "" if compare == "without" else self._side(self.with_)

    def _side(self, value: float | None) -> str:
        return "never" if value == NEVER else human(value, self.unit)


def judge(system: System, sides: Mapping[str, Side], quick: bool) -> list[Judged]:
    """All checks of a system; sides: variant to what it left."""
    return [_judged(name, check, system, sides, quick) for name, check in system.checks.items()]


def verdict(system: System, judged: list[Judged]) -> Verdict:
    """The system's, from those of its deciding checks."""
    deciding = system.deciding()
    found = [one.verdict for one in judged if one.name in deciding]
    if "refuted" in found:
        return "refuted"
    return "reproduced" if "reproduced" in found else "not comparable"


def telling(system: System, judged: list[Judged]) -> Judged:
    """The deciding check that shows the verdict best: the first that has it."""
    deciding = [one for one in judged if one.name in system.deciding()]
    whole = verdict(system, judged)
    return next((one for one in deciding if one.verdict == whole), deciding[0])


def _judged(name: str, check: Check, system: System, sides: Mapping[str, Side], quick: bool) -> Judged:
    if check.names:
        return _named(name, check, sides)
    without = _figure(check, sides.get(check.without or system.without))
    with_ = _figure(check, sides.get(check.with_ or system.with_))
    value = _compared(check, without, with_)
    bounds = check.bounds(quick)
    said: Verdict = "not comparable"
    if value is not None and bounds.comparable:
        said = "reproduced" if _holds(value, bounds) else "refuted"
    return Judged(name, check, without, with_, value, rule(check, bounds), said)


def _named(name: str, check: Check, sides: Mapping[str, Side]) -> Judged:
    """How many diagnoses name what they should; nothing can be said where a run is missing."""
    found = {variant: sides[variant].station for variant in check.names if variant in sides}
    named = {variant: station for variant, station in found.items() if station is not None}
    wanted = f"all named: {_told(check.names)}"
    if len(named) < len(check.names):
        return Judged(name, check, None, None, None, wanted, "not comparable", named)
    right = sum(named[variant] == station for variant, station in check.names.items())
    said: Verdict = "reproduced" if right == len(check.names) else "refuted"
    return Judged(name, check, None, None, float(right), wanted, said, named)


def _told(stations: Mapping[str, str]) -> str:
    return ", ".join(f"{station} in {variant}" for variant, station in stations.items())


def _figure(check: Check, side: Side | None) -> float | None:
    if side is None or check.figure is None:
        return None
    value = side.value(check.figure)
    if check.per is None or value is None:
        return value
    below = side.value(check.per)
    return None if not below else value / below


def _compared(check: Check, without: float | None, with_: float | None) -> float | None:
    match check.compare:
        case "without":
            return without
        case "with":
            return with_
        case "ratio":
            return _quotient(without, with_)
        case "gain":
            return _quotient(with_, without)
        case "saved":
            left = _quotient(with_, without)
            return None if left is None else 1 - left


def _quotient(above: float | None, below: float | None) -> float | None:
    """None where it is undefined: a side is absent, both are nothing, or both never come."""
    if above is None or below is None or (above == below and (above == 0 or above == NEVER)):
        return None
    return NEVER if below == 0 else above / below


def _holds(value: float, bounds: Bounds) -> bool:
    if bounds.article is not None and bounds.within is not None and not _near(value, bounds.article, bounds.within):
        return False
    if bounds.at_least is not None and value < bounds.at_least:
        return False
    return bounds.at_most is None or value <= bounds.at_most


def _near(value: float, article: float, within: float) -> bool:
    return math.isfinite(value) and abs(value - article) <= within * abs(article)


def rule(check: Check, bounds: Bounds) -> str:
    """The rule in words: `without over with, within 10% of x522`."""
    unit = _unit(check)
    parts = []
    if bounds.article is not None and bounds.within is not None:
        parts.append(f"within {brief(bounds.within, 'share')} of {_said(check, bounds.article, unit)}")
    if bounds.at_least is not None:
        parts.append(f"at least {_said(check, bounds.at_least, unit)}")
    if bounds.at_most is not None:
        parts.append(f"at most {_said(check, bounds.at_most, unit)}")
    return f"{COMPARED[check.compare]}: {', '.join(parts) or 'nothing to compare with'}"


def _unit(check: Check) -> str:
    """The figure's unit; divided by a count, seconds and bytes stay what they are."""
    found = None if check.figure is None else describe(check.figure)
    unit = "" if found is None else found.unit
    return unit if check.per is None or unit in ("seconds", "bytes") else ""


def _said(check: Check, value: float | None, unit: str) -> str:
    match check.compare:
        case "without" | "with":
            return human(value, unit)
        case "saved":
            return human(value, "share")
        case _:
            return factor(value)
