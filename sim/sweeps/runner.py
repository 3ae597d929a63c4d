"""The loop between plan, executor and store: claim, submit, wait, keep.

Few runs are submitted ahead, so that memory and what a kill loses stay small. A run that another sweep has claimed is
looked at again later: done by then, or free because that sweep is gone.

A worker that is ended from outside (out of memory) breaks its whole pool. Whoever was in flight is tried again alone: who
breaks a pool of its own twice is to blame and fails, the others lose nothing. An executor that was given (a cluster's) is not
replaced: where it is gone, what it had not done is left for the next time.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Final

from sim.sweeps import pool
from sim.sweeps.plan import Cell, Plan
from sim.sweeps.store import Answer, Store, StoreFull
from sim.sweeps.work import Outcome, Task, reason, simulate

_MOST_UNSAVED: Final = 1_000
"""Runs that wait in memory for room on a full disk."""
_LOOK_AGAIN_SECONDS: Final = 0.2
_CANCELLED: Final = "the executor cancelled its runs"
_ENDED: Final = "its process was ended from outside: out of memory?"


@dataclass(slots=True)
class Tally:
    """How far a sweep is. present: runs that the store had before; unsaved: simulated, but the disk was full.

    gone: why the executor that was given takes no more runs; what is `left` then was not simulated.
    """

    total: int
    present: int = 0
    done: int = 0
    elsewhere: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    unsaved: int = 0
    full: str = ""
    gone: str = ""
    began: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> int:
        """Runs still to come."""
        return self.total - self.present - self.done - self.elsewhere - len(self.failed)

    @property
    def per_second(self) -> float:
        """Runs finished here a second."""
        passed = time.perf_counter() - self.began
        return (self.done + len(self.failed)) / passed if passed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """About how long; None before the first run has finished."""
        return self.left / self.per_second if self.per_second else None


Report = Callable[[Tally], None]


class Runner:
    """Runs what a store lacks of a plan."""

    def __init__(self, plan: Plan, store: Store, executor: Executor | None, workers: int | None, report: Report | None):
        self._plan = plan
        self._store = store
        self._given = executor
        self._workers = workers or getattr(executor, "_max_workers", None) or os.cpu_count() or 1
        self._report = report or (lambda tally: None)
        self._executor: Executor | None = None
        self._flying: dict[Future[Outcome], Cell] = {}
        self._finished: list[Outcome] = []
        self._suspects: deque[Cell] = deque()
        self._broke: set[str] = set()
        self._alone = False

    def run(self) -> Tally:
        """Run everything that is missing; returns how it went. Interrupted, it keeps what had finished."""
        cells = {cell.key: cell for cell in self._plan.cells}
        known = self._store.known(cells)
        self._tally = Tally(total=len(cells), present=len(known))
        self._waiting = deque(cell for key, cell in cells.items() if key not in known)
        self._workers = max(min(self._workers, len(self._waiting)), 1)
        try:
            while (self._waiting or self._suspects or self._flying) and not self._tally.gone:
                self._step()
            self._gather(done for done in self._flying if done.done())
            self._keep()
        except BaseException:
            self._gather(done for done in self._flying if not done.cancel() and done.done())
            self._keep()
            raise
        finally:
            if self._executor is not None and self._given is None:
                pool.end(self._executor) if self._flying else self._executor.shutdown()
        self._tally.unsaved += sum(one.metrics is not None for one in self._finished)
        return self._tally

    def _step(self) -> None:
        held = self._submit(self._next())
        self._report(self._tally)
        if self._flying:
            done, _ = wait(self._flying, timeout=_LOOK_AGAIN_SECONDS * 5, return_when=FIRST_COMPLETED)
            self._gather(done)
        elif held:
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _next(self) -> list[Cell]:
        """What to submit now: suspects one by one, else enough to keep all workers busy."""
        if self._suspects:
            self._alone = True
            return [] if self._flying else [self._suspects.popleft()]
        if self._alone and self._flying:
            return []
        self._alone = False
        room = max(2 * self._workers - len(self._flying), 0)
        return [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]

    def _submit(self, cells: list[Cell]) -> bool:
        """Keep what finished, and submit those of the cells that are ours; whether others hold some of them."""
        answers = self._turn([cell.key for cell in cells])
        held = False
        for at, cell in enumerate(cells):
            answer = answers.get(cell.key, "ours")
            if answer == "theirs":
                held = True
                self._waiting.append(cell)
            elif answer == "done":
                self._tally.elsewhere += 1
            elif not self._start(cell):
                self._suspects.extendleft(reversed(cells[at:]))
                break
        return held

    def _turn(self, keys: list[str]) -> dict[str, Answer]:
        if not keys and not self._finished:
            return {}
        try:
            answers = self._store.turn(self._finished, keys, self._plan.model)
            self._finished.clear()
            self._store.write_series()
            return answers
        except StoreFull as problem:
            self._tally.full = str(problem)
            surplus = max(len(self._finished) - _MOST_UNSAVED, 0)
            self._tally.unsaved += sum(one.metrics is not None for one in self._finished[:surplus])
            del self._finished[:surplus]
            return {}

    def _start(self, cell: Cell) -> bool:
        """Submit one run; False where the pool is broken."""
        task = Task(cell.key, self._plan.scenario(cell), cell.seed, self._plan.study.series, self._plan.model)
        if self._executor is None:
            self._executor = self._given or pool.processes(self._workers)
        try:
            self._flying[self._executor.submit(simulate, task)] = cell
        except BrokenExecutor:
            self._broken([])
            return False
        except Exception as error:  # an executor that is shut down, a cluster that went away
            if self._given is None:
                raise
            self._lost(reason(error))
            return False
        return True

    def _gather(self, futures: Iterable[Future[Outcome]]) -> None:
        """Take the outcomes of finished futures."""
        broken: list[Cell] = []
        for future in list(futures):
            cell = self._flying.pop(future)
            try:
                outcome = future.result()
            except BrokenExecutor:
                broken.append(cell)
                continue
            except CancelledError:
                self._lost(_CANCELLED)
                continue
            except BaseException as error:  # an executor's own: not picklable, a machine lost too often
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcome = Outcome(cell.key, cell.seed, problem=reason(error))
            self._finish(outcome)
        if broken:
            self._broken(broken)

    def _finish(self, outcome: Outcome) -> None:
        self._finished.append(outcome)
        if outcome.problem is None:
            self._tally.done += 1
        else:
            self._tally.failed[outcome.key] = outcome.problem

    def _broken(self, cells: list[Cell]) -> None:
        """Replace a broken pool; a run that broke it alone has failed, several are tried one by one."""
        lost = [*cells, *self._flying.values()]
        self._flying.clear()
        if self._executor is not None and self._given is None:
            pool.end(self._executor)
        self._executor = None
        if self._given is not None:
            self._lost(_ENDED)
            return
        if self._alone and len(lost) == 1:
            (cell,) = lost
            if cell.key in self._broke:
                self._finish(Outcome(cell.key, cell.seed, problem=_ENDED))
                return
            self._broke.add(cell.key)  # once may have been somebody else's kill
        self._suspects.extendleft(reversed(lost))

    def _lost(self, why: str) -> None:
        """The executor that was given is gone: nothing more is submitted, and nobody waits for what it had."""
        self._tally.gone = self._tally.gone or why

    def _keep(self) -> None:
        """A last time: what finished, and the series that still wait."""
        self._turn([])
        try:
            self._store.write_series(everything=True)
        except StoreFull as problem:
            self._tally.full = str(problem)  # they stay in the ledger
