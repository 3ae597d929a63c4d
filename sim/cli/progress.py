"""Progress of a long run on stderr: simulated time, writes per second, time left, per variant; only on a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from sim.units import SECOND

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from sim.simulation import Progress


class Watch:
    """Shows how far each variant is while it is open, and knows it when the run is interrupted."""

    def __init__(self, variants: Sequence[str], replications: int = 1):
        self._reached: dict[str, Progress] = {}
        self._shares: dict[str, dict[int, float]] = {}
        self._replications = replications
        self._variants = variants
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Watch:
        if sys.stderr.isatty():
            self._bars = _bars()
            for variant in self._variants:
                self._tasks[variant] = self._bars.add_task(variant, total=1.0, at="", rate="", left="")
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, progress: Progress) -> None:
        """Called by the simulation now and then, for one variant at a time."""
        self._reached[progress.variant] = progress
        share = progress.simulated / progress.horizon
        self._shares.setdefault(progress.variant, {})[progress.seed] = share
        if self._bars is None or progress.variant not in self._tasks:
            return
        from sim.report.human import clock, horizon, human

        wall = progress.wall_seconds
        shares = self._shares[progress.variant]
        world = f", world {len(shares)} of {self._replications}" if self._replications > 1 else ""
        self._bars.update(
            self._tasks[progress.variant],
            completed=(len(shares) - 1 + share) / self._replications,
            at=f"{clock(progress.simulated / SECOND)} of {horizon(progress.horizon / SECOND)}{world}",
            rate=f"{human(progress.writes / wall, '')} writes/s" if wall > 0 else "",
            left=f"{horizon(math.ceil(wall / share - wall))} left" if 0 < share < 1 else "",
        )

    def where(self) -> str:
        """How far the run was: `at 3h12m00s of 24h (leaking)`."""
        from sim.report.human import clock, horizon

        reached = [
            f"{clock(one.simulated / SECOND).strip()} of {horizon(one.horizon / SECOND)} ({variant})"
            for variant, one in self._reached.items()
        ]
        return f"at {', '.join(reached)}" if reached else "before the first simulated minute"


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[at]}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
        console=Console(stderr=True, highlight=False),
        transient=True,
        refresh_per_second=4,
    )
