"""What a study has to run: its points, made and checked, and one cell for each variant and replication of each.

A point whose scenario cannot be (a lease shorter than its renewal) is kept with its problem; the others go on. A study
without any point that can be is the user's mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from sim.analysis.stopping import FIRST
from sim.errors import InputError
from sim.scenario import Scenario, to_dict
from sim.sweeps.design import Point
from sim.sweeps.keys import digest, key_of, model_version, simulated
from sim.sweeps.study import Study


@dataclass(frozen=True, slots=True)
class Cell:
    """One run that is asked for. place: the variant's, in the order of the scenario."""

    point: int
    variant: str
    place: int
    replication: int
    seed: int
    key: str


class Plan:
    """The cells of a study. Scenarios are made again when they are needed, so that a plan stays small."""

    def __init__(self, study: Study, counts: Mapping[int, int] | None = None):
        """counts: how many replications of each point; where None those of the study, or those of the first look at a study
        `until`.

        Raises InputError where no point of the study can be simulated.
        """
        self.study = study
        self._counts = counts or {}
        self._count = min(FIRST, study.replications) if study.until else study.replications
        self.model = model_version()
        self.points = study.points()
        self.problems: dict[int, str] = {}
        self.cells = list(self._cells())
        if not self.cells:
            raise InputError(self.problems[0])
        self._scenario = lru_cache(maxsize=16)(self._made)

    @cached_property
    def id(self) -> str:
        """What is the same for two plans that ask for the same runs in the same order, or until the same rule is met."""
        base = {**simulated(self.study.scenario), "variants": to_dict(self.study.scenario)["variants"]}
        study = self.study
        if study.until:
            rule = [study.until, study.replications, study.seed, study.common, study.variant_names(), self.model]
            return digest([base, self.points, rule])[:16]
        asked = [[cell.point, cell.variant, cell.replication, cell.key] for cell in self.cells]
        return digest([base, self.points, asked])[:16]

    def scenario(self, cell: Cell) -> Scenario:
        """What a cell simulates: the scenario of its point and variant, without variants of its own."""
        return self._scenario(cell.point, cell.variant)

    def _made(self, point: int, variant: str) -> Scenario:
        return resolved(self.study.scenario, self.points[point], variant)

    def _cells(self) -> Iterator[Cell]:
        names = self.study.variant_names()
        for at, values in enumerate(self.points):
            try:
                digests = {name: digest(simulated(one)) for name, one in self._variants(values, names).items()}
            except InputError as error:
                self.problems[at] = str(error)
                continue
            for place, name in enumerate(names):
                for replication in range(self._counts.get(at, self._count)):
                    seed = self.study.seed_of(at, replication)
                    yield Cell(at, name, place, replication, seed, key_of(digests[name], seed, self.model))

    def _variants(self, values: Point, names: list[str]) -> dict[str, Scenario]:
        changed = self.study.scenario.with_(values)
        return {name: _alone(changed, name) for name in names}


def resolved(scenario: Scenario, values: dict[str, Any], variant: str) -> Scenario:
    """The scenario of a point and a variant. Raises InputError."""
    return _alone(scenario.with_(values), variant)


def _alone(scenario: Scenario, variant: str) -> Scenario:
    return scenario.variant(variant) if scenario.variants else scenario
