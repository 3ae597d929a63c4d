"""A rollout: step by step processes of a controller end and start again as another release; or all return to the old one.

Simplified: a process ends and its successor starts after the controller's `restart`, without the kubelet's back-off; no surge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from sim.processes.events import Clock
from sim.units import SECOND, Nanoseconds

_LOOK: Final[Nanoseconds] = SECOND


class Rollout:
    """One rollout. replicas: for each process in its order, how to make it the new release, or the old one again.

    watched: whether it may have to be undone; breached: why it has to be now, None: it need not; asked every second, and set by
    whoever observes the run. told: of each step.
    """

    def __init__(
        self, env: Clock, name: str, at: Nanoseconds, steps: Sequence[tuple[float, Nanoseconds]],
        replicas: Sequence[Callable[[bool], None]], told: Callable[[Nanoseconds, str], None], watched: bool,
    ):  # fmt: skip
        self._env, self.name, self._at, self._steps, self._replicas = env, name, at, steps, replicas
        self._told, self._watched = told, watched
        self.breached: Callable[[], str | None] = lambda: None
        self._new = 0
        self.rolled_back = False

    def run(self) -> Generator[Any, Any, None]:
        """The process: ends with the last step, or, where it is watched, with the run."""
        env = self._env
        yield env.timeout(self._at)
        for share, pause in self._steps:
            self._upgrade(math.ceil(round(share * len(self._replicas), 9)))
            if (yield from self._wait(pause)):
                return
        if self._watched:
            yield from self._wait(None)

    def _upgrade(self, wanted: int) -> None:
        for replica in self._replicas[self._new : wanted]:
            replica(True)
        self._new = max(self._new, wanted)
        self._told(self._env._now, f"{self.name}: {self._new} of {len(self._replicas)} processes have the new release")

    def _wait(self, pause: Nanoseconds | None) -> Generator[Any, Any, bool]:
        """Let time pass, None: for ever; true where it was rolled back meanwhile."""
        env = self._env
        until = None if pause is None else env._now + pause
        if pause is not None and not self._watched:
            yield env.timeout(pause)
            return False
        while until is None or env._now < until:
            yield env.timeout(_LOOK if until is None else min(_LOOK, until - env._now))
            why = self.breached()
            if why is not None:
                for replica in self._replicas[: self._new]:
                    replica(False)
                self.rolled_back = True
                self._told(env._now, f"{self.name}: rolled back, {why}")
                return True
        return False
