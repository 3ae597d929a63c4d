"""A bench whose figures follow a law that the test knows, in place of simulated runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sim.analysis.objectives import Bound, Goal
from sim.planning.bench import Answer, Ask, Bench, Spent

Law = Callable[[Mapping[str, Any], np.random.Generator], Mapping[str, float | None]]


class Known(Bench):
    """Replication r of every point draws from the same generator: common random numbers."""

    def __init__(self, law: Law, seed: int = 1):
        self.name, self.variant, self.seed, self.spent = "known", "default", seed, Spent()
        self.law = law
        self.asked: list[Ask] = []

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        self.asked += asks
        answers = []
        for ask in asks:
            runs = []
            for replication in range(ask.first, ask.first + ask.count):
                self.spent.runs.add(f"{sorted(ask.point.items())} {replication}")
                runs.append(dict(self.law(ask.point, np.random.default_rng([self.seed, replication]))))
            never = tuple({figure: "never" for figure, value in run.items() if value is None} for run in runs)
            answers.append(Answer(tuple(runs), never))
        return answers


P99 = "etcd.apply_seconds.p99"
KEYS = "etcd.keys_created"


def at_most(figure: str, limit: float) -> Goal:
    bound: Bound = "max"
    return Goal(figure, figure, bound, limit)
