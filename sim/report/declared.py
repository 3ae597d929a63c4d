"""What a scenario declares about its own figures: references, objectives, and what was fitted or assumed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sim.errors import InputError, nearest
from sim.metrics.catalogue import base, catalogue, describe
from sim.report.human import quantity

if TYPE_CHECKING:
    from sim.scenario import Scenario

RATIO: Final = "ratio"
"""The key of `reference` whose values are the first variant over the second."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Where a parameter's value is from. standing: fitted, assumed, measured ...; why: to what, why, from where."""

    path: str
    standing: str
    why: str

    def names(self, figure: str) -> bool:
        """Whether what is said of the parameter names the figure."""
        return re.search(rf"(?<![\w.]){re.escape(figure)}(?!\w|\.\w)", self.why) is not None


def references(scenario: Scenario) -> dict[str, dict[str, float]]:
    """variant (or `ratio`) -> figure -> the value to compare a prediction with."""
    found: dict[str, dict[str, float]] = {}
    for variant, figures in _mapping(getattr(scenario, "reference", None)).items():
        for figure, value in _mapping(figures).items():
            unit = "" if variant == RATIO else _unit(figure, f"reference.{variant}")
            found.setdefault(variant, {})[figure] = quantity(value, unit)
    return found


def parameters(scenario: Scenario) -> list[Parameter]:
    """The parameters whose origin the scenario declares, in its order."""
    found = []
    for path, entry in _mapping(getattr(scenario, "provenance", None)).items():
        said = _mapping(entry)
        why = " ".join(str(said[key]) for key in ("to", "why", "source") if said.get(key))
        found.append(Parameter(path, str(said["is"]), why))
    return found


def standing(scenario: Scenario, figure: str) -> str:
    """What a figure is worth as evidence.

    fitted: a fitted parameter names it: it was set so that the figure comes out; assumed: an assumed parameter names it:
    the assumption decides it; else predicted.
    """
    found = {one.standing for one in parameters(scenario) if one.names(figure) or one.names(base(figure))}
    return next((word for word in ("fitted", "assumed") if word in found), "predicted")


def check(scenario: Scenario) -> None:
    """Raises InputError if an objective or a reference names a figure that no run reports."""
    references(scenario)
    for name, entry in _mapping(getattr(scenario, "objectives", None)).items():
        _unit(str(_mapping(entry)["figure"]), f"objectives.{name}.figure")


def _unit(figure: str, where: str) -> str:
    known = describe(figure)
    if known is None:
        raise InputError(f"{where}: no run reports {figure}{nearest(figure, [entry.name for entry in catalogue()])}")
    return known.unit


def _mapping(value: Any) -> Mapping[str, Any]:
    """A section of a scenario as a plain mapping, under the names that the file uses."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    dumped: Mapping[str, Any] = value.model_dump(by_alias=True)
    return dumped
