"""The bench: runs of settings of one scenario and variant, each out of the sweep store or simulated into it.

A setting is a point {path: value}. Replication r has the same seed at every setting (common random numbers), so that two of them
meet the same world. Whatever is asked for in one call is simulated together on all workers; what the store has is not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sim.errors import InputError
from sim.planning.study import problem_of
from sim.scenario import Scenario
from sim.sweeps.design import Point
from sim.sweeps.plan import Cell, Plan
from sim.sweeps.runner import Runner, Tally
from sim.sweeps.store import Store, StoreFull
from sim.sweeps.study import study

Told = Callable[[str], None]
"""Takes a line about progress."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Replications `first` to `first + count - 1` of a setting."""

    point: Point
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out: metrics and status of each replication, in order; problem: why the setting cannot be, or why a run of it
    failed, which `failed` tells apart: a failed run says nothing of the setting."""

    metrics: tuple[dict[str, float | None], ...] = ()
    status: tuple[dict[str, str], ...] = ()
    problem: str = ""
    failed: bool = False


@dataclass(slots=True)
class Spent:
    """What the answers took. settings: different ones; runs: different ones; simulated: those that the store did not have."""

    settings: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    simulated: int = 0


class Bench:
    """Runs of one variant of a scenario. Raises InputError where nothing can be run or stored."""

    def __init__(
        self, name: str, scenario: Scenario, variant: str, store: Store, seed: int = 1, executor: Executor | None = None,
        workers: int | None = None, told: Told | None = None,
    ):  # fmt: skip
        self.name = name
        self.scenario = scenario
        self.variant = variant
        self.seed = seed
        self.spent = Spent()
        self._store = store
        self._executor = executor
        self._workers = workers
        self._told = told or (lambda line: None)

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in the order of the questions."""
        windows = list(dict.fromkeys((ask.first, ask.count) for ask in asks))
        found: list[Answer] = [Answer()] * len(asks)
        for first, count in windows:
            places = [place for place, ask in enumerate(asks) if (ask.first, ask.count) == (first, count)]
            answers = self._measured([asks[place].point for place in places], first, count)
            for place, answer in zip(places, answers, strict=True):
                found[place] = answer
        return found

    def write_down(self, name: str, points: Sequence[Point], first: int, count: int, figures: Sequence[str]) -> None:
        """Make what was run a sweep of the store, for `etcdsim results` and SQL."""
        if points:
            with _told_full():
                self._store.register(self._plan(points, first, count, name, figures))

    def _plan(self, points: Sequence[Point], first: int, count: int, name: str, figures: Sequence[str] = ()) -> Plan:
        options: dict[str, Any] = {"figures": tuple(figures)} if figures else {}
        variants = [self.variant] if self.scenario.variants else None
        made = study(
            name, self.scenario, {}, [dict(point) for point in points], replications=count, seed=self.seed + first,
            variants=variants, series=0, **options,
        )  # fmt: skip
        return Plan(made)

    def _measured(self, points: Sequence[Point], first: int, count: int) -> list[Answer]:
        try:
            plan = self._plan(points, first, count, self.name)
        except InputError as error:
            problems = [problem_of(self.scenario, self.variant, point) for point in points]
            if all(problems):
                return [Answer(problem=problem) for problem in problems]
            raise error
        tally = self._run(plan)
        rows = self._rows(plan.cells)
        self.spent.settings |= {repr(sorted(point.items())) for point in points}
        self.spent.runs |= rows.keys()
        self.spent.simulated += tally.done
        answers = []
        for at in range(len(points)):
            cells = [cell for cell in plan.cells if cell.point == at]
            lost = next((_reason(cell, tally) for cell in cells if cell.key not in rows), "")
            if at in plan.problems:
                answers.append(Answer(problem=plan.problems[at]))
            elif lost:
                answers.append(Answer(problem=f"a run failed: {lost}", failed=True))
            else:
                told = [rows[cell.key] for cell in cells]
                answers.append(Answer(tuple(metrics for metrics, _ in told), tuple(status for _, status in told)))
        return answers

    def _run(self, plan: Plan) -> Tally:
        def report(tally: Tally) -> None:
            self._told(f"{len(self.spent.settings)} settings, {len(self.spent.runs) + tally.done} runs")

        with _told_full():
            tally = Runner(plan, self._store, self._executor, self._workers, report).run()
        if tally.unsaved:
            raise InputError(f"{tally.full}: {tally.unsaved} runs could not be stored; make room and start again")
        return tally

    def _rows(self, cells: Sequence[Cell]) -> dict[str, tuple[dict[str, float | None], dict[str, str]]]:
        keys = list(dict.fromkeys(cell.key for cell in cells))
        found: dict[str, tuple[dict[str, float | None], dict[str, str]]] = {}
        for at in range(0, len(keys), 500):
            part = keys[at : at + 500]
            places = ",".join("?" * len(part))
            for key, metrics, status in self._store.query(f"SELECT key, metrics, status FROM runs WHERE key IN ({places})", part):
                found[key] = json.loads(metrics), json.loads(status)
        return found


@contextmanager
def _told_full() -> Iterator[None]:
    try:
        yield
    except StoreFull as problem:
        raise InputError(str(problem)) from None


def _reason(cell: Cell, tally: Tally) -> str:
    return tally.failed.get(cell.key, "the run is not in the store")
