"""What a study asks of a setting: requirements that have to hold, goals that should come out as high or as low as possible.

    objectives:
      apply:   {figure: etcd.apply_seconds.p99, max: 100ms}      # a requirement, as in a scenario
      quota:   {figure: etcd.seconds_to_quota, min: 30d}
      goodput: {figure: writes.succeeded, goal: high}            # a goal; bounds may stand beside it

On a command line a requirement is `"etcd.apply_seconds.p99 <= 100ms"`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import ValidationError

from sim.analysis.objectives import Bound, Goal, goals
from sim.errors import InputError, nearest
from sim.metrics.catalogue import SUFFIXES, catalogue, describe
from sim.scenario import Scenario
from sim.scenario.refusal import problems_of, refusal, shown, unknown
from sim.scenario.review import Objective

Direction = Literal["high", "low"]
DIRECTIONS: Final = ("high", "low")
_SUCH_AS: Final = "{figure: etcd.apply_seconds.p99, max: 100ms}"
_SUFFIXES: Final = tuple(f".{suffix}" for suffix in SUFFIXES["distribution"])
_KEYS: Final = ("figure", "min", "max", "goal")
_WRITTEN: Final = re.compile(r"\s*([^<>=\s]+)\s*(<=|>=|<|>|=+)\s*(\S.*?)\s*")


@dataclass(frozen=True, slots=True)
class Wish:
    """A figure that is to be as high or as low as possible."""

    name: str
    figure: str
    direction: Direction

    @property
    def unit(self) -> str:
        """The catalogue's unit of the figure."""
        return unit(self.figure)

    @property
    def sign(self) -> float:
        """1 where more is better."""
        return 1.0 if self.direction == "high" else -1.0


@dataclass(frozen=True, slots=True)
class Aims:
    """All that is asked of a setting, in the order in which it was written. requirements: bounds that have to be kept."""

    requirements: tuple[Goal, ...] = ()
    wishes: tuple[Wish, ...] = ()

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that it takes, each once."""
        return tuple(dict.fromkeys([*(one.figure for one in self.requirements), *(one.figure for one in self.wishes)]))


def unit(figure: str) -> str:
    """The unit of a figure; empty for one that counts nothing."""
    known = describe(figure)
    return known.unit if known else ""


def check_figure(figure: Any, where: str) -> str:
    """The figure itself. Raises InputError for what no run reports."""
    known = describe(figure) if isinstance(figure, str) else None
    if known is not None and known.kind == "distribution" and not str(figure).endswith(_SUFFIXES):
        raise InputError(f"{where}: {shown(figure)} is a distribution; name one of its figures, such as {figure}.p99")
    if not isinstance(figure, str) or known is None:
        hint = nearest(str(figure), [known.name for known in catalogue()]) or "; `etcdsim metrics` lists all figures"
        raise InputError(f"{where}: no run reports {shown(figure)}{hint}")
    return figure


def of_scenario(scenario: Scenario, variant: str) -> Aims:
    """The objectives that a scenario declares for a variant. Raises InputError for an unknown figure."""
    mine = tuple(goal for goal in goals(scenario) if goal.variant in (None, variant))
    for goal in mine:
        check_figure(goal.figure, f"objectives.{goal.name}.figure")
    return Aims(mine)


def of_mapping(objectives: Any, where: str = "objectives") -> Aims:
    """The `objectives` of a study. Raises InputError."""
    if not isinstance(objectives, Mapping):
        raise InputError(f"{where}: {shown(objectives)} is not a mapping; such as apply: {_SUCH_AS}")
    requirements: list[Goal] = []
    wishes: list[Wish] = []
    for name, entry in objectives.items():
        at = f"{where}.{name}"
        if not isinstance(entry, Mapping):
            raise InputError(f"{at}: {shown(entry)} is not a mapping; such as {_SUCH_AS}")
        for key in entry:
            if key not in _KEYS:
                raise InputError(f"{at}.{key}: {unknown(key, _KEYS)}")
        figure = check_figure(entry.get("figure"), f"{at}.figure")
        if (goal := entry.get("goal")) is not None:
            if goal not in DIRECTIONS:
                raise InputError(f"{at}.goal: {shown(goal)} is not allowed; high or low")
            wishes.append(Wish(str(name), figure, goal))
        bounds = {key: entry[key] for key in ("min", "max") if entry.get(key) is not None}
        if bounds:
            requirements += _bounds(str(name), _objective({"figure": figure, **bounds}, at))
        elif goal is None:
            raise InputError(f"{at}: has neither min nor max nor goal; give a bound, or goal: high or low")
    return Aims(tuple(requirements), tuple(wishes))


def of_text(text: str) -> Goal:
    """`"etcd.apply_seconds.p99 <= 100ms"`. Raises InputError."""
    found = _WRITTEN.fullmatch(text)
    if found is None or found[2] not in ("<=", ">="):
        raise InputError(f"--require: {shown(text)} is not a requirement; write FIGURE<=VALUE or FIGURE>=VALUE")
    figure = check_figure(found[1], "--require")
    bound: Bound = "max" if found[2] == "<=" else "min"
    (made,) = _bounds(figure, _objective({"figure": figure, bound: found[3]}, "--require"))
    return made


def required(scenario: Scenario, variant: str, texts: Sequence[str]) -> Aims:
    """The requirements of a command line: those that were written, else the scenario's own. Raises InputError without any."""
    aims = Aims(tuple(of_text(text) for text in texts)) if texts else of_scenario(scenario, variant)
    if not aims.requirements:
        example = "--require 'etcd.apply_seconds.p99<=100ms'"
        raise InputError(f"objectives: {scenario.name} has none for {variant}; say what has to hold, such as {example}")
    return aims


def said(requirement: Goal) -> str:
    """`etcd.apply_seconds.p99 at most 100 ms`."""
    from sim.report.human import brief

    word = "at least" if requirement.bound == "min" else "at most"
    return f"{requirement.figure} {word} {brief(requirement.limit, unit(requirement.figure))}"


def _objective(values: dict[str, Any], where: str) -> Objective:
    try:
        return Objective.model_validate(values)
    except ValidationError as error:
        raise refusal(problems_of(error), f"{where}.") from None


def _bounds(name: str, one: Objective) -> list[Goal]:
    ends: tuple[tuple[Bound, Any], ...] = (("min", one.min), ("max", one.max))
    return [Goal(name, one.figure, bound, float(limit)) for bound, limit in ends if limit is not None]
