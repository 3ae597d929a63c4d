"""A controller process: it stands for election, leads, and ends; then it is started again.

    wait for the lease -> begin: informers, queues, workers -> lost the lease, or a panic nobody recovers -> end -> restart

What is in memory (queues, stores, maps) is gone with the process; what it has counted stays. The kubelet starts it again, later and
later if it ends again and again.

Sources: controller-runtime pkg/manager/internal.go (engageStopProcedure; losing the lease ends the process); kubelet
pkg/kubelet/kubelet.go (back-off of 10 s, doubled up to 300 s, forgotten after ten minutes).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

from simpy.events import Event, Process

from sim.clientgo.backoff import ExponentialBackoffManager
from sim.processes.election import CANCELLED
from sim.processes.events import Clock
from sim.units import MINUTE, SECOND, Nanoseconds

_FIRST_BACK_OFF: Final[Nanoseconds] = 10 * SECOND
_LONGEST_BACK_OFF: Final[Nanoseconds] = 5 * MINUTE
_FORGOTTEN_AFTER: Final[Nanoseconds] = 10 * MINUTE


class Part(Protocol):
    """What a process runs while it leads: a controller, an informer."""

    def begin(self) -> None:
        """Start anew, with nothing in memory."""

    def end(self) -> None:
        """The process is gone."""


class Candidate(Protocol):
    """Stands for a lease."""

    def run(self) -> Generator[Any, Any, None]:
        """The process: ends when it does not lead any more, and has no chance to."""


class Leadership:
    """Who leads of several processes that stand for one lease; times in nanoseconds.

    Counts `changes` of the lead, the time `without` a leader (before the first only where there never is one), and `with_two` or
    more (a leader that does not know yet that its lease has expired). told: of each change, with its time and a sentence.
    """

    def __init__(self, name: str, told: Callable[[Nanoseconds, str], None]):
        self.name, self._told = name, told
        self._leading: list[str] = []
        self._since: Nanoseconds = 0
        self.changes = 0
        self.without: Nanoseconds = 0
        self.with_two: Nanoseconds = 0

    def advance(self, now: Nanoseconds) -> None:
        """Count the time up to now."""
        if not self._leading:
            self.without += now - self._since
        elif len(self._leading) > 1:
            self.with_two += now - self._since
        self._since = now

    def starts(self, now: Nanoseconds, who: str) -> None:
        """A process leads."""
        self.advance(now)
        self._leading.append(who)
        if not self.changes:
            self.without = 0  # somebody has to be the first: no outage
        self.changes += 1
        if self.changes > 1:
            self._told(now, f"{who} leads {self.name}")

    def stops(self, now: Nanoseconds, who: str) -> None:
        """A process leads no longer."""
        self.advance(now)
        self._leading.remove(who)
        self._told(now, f"{who} no longer leads {self.name}")


class Manager:
    """One process, again and again.

    parts: begun in this order when it leads, ended together. candidacy: makes one that calls back when it leads and when it does
    not any more; None: it needs no lease. leadership: of all who stand for it. phase: when it first starts; restart: until it is
    there again, nanoseconds. Counts its `lives` and `crashes`.
    """

    def __init__(
        self, env: Clock, name: str, parts: list[Part],
        candidacy: Callable[[Callable[[], None], Callable[[], None]], Candidate] | None, leadership: Leadership | None,
        phase: Nanoseconds, restart: Nanoseconds,
    ):  # fmt: skip
        self._env, self.name, self._parts, self._candidacy, self._leadership = env, name, parts, candidacy, leadership
        self._phase, self._restart = phase, restart
        self._back_off: ExponentialBackoffManager | None = None
        self._crashed: Event = env.event()
        self._running = False
        self._replaced = False
        self.lives = 0
        self.crashes = 0

    def crash(self) -> None:
        """A panic that nobody recovers."""
        if not self._crashed.triggered:
            self.crashes += 1
            self._crashed.succeed()

    def replace(self) -> None:
        """Another release takes its place: it ends in its own time and starts again, without a back-off."""
        if self._running and not self._crashed.triggered:
            self._replaced = True
            self._crashed.succeed()

    def run(self) -> Generator[Any, Any, None]:
        """The process of all its lives."""
        env = self._env
        if self._phase:
            yield env.timeout(self._phase)
        while True:
            self.lives += 1
            self._crashed = env.event()
            if self._candidacy is None:
                self._begin()
                yield self._crashed
            else:
                candidate: Process = env.process(self._candidacy(self._begin, self._end).run())
                yield candidate | self._crashed
                if candidate.is_alive and self._replaced:
                    self._end()  # its controllers first, then the lease (engageStopProcedure)
                    candidate.interrupt(CANCELLED)
                    yield candidate
                elif candidate.is_alive:
                    candidate.interrupt()
            self._end()
            replaced, self._replaced = self._replaced, False
            yield env.timeout(self._restart + (0 if replaced else self._extra(env._now)))

    def _extra(self, now: Nanoseconds) -> Nanoseconds:
        """What the kubelet makes a process wait that ends again and again; nothing the first time."""
        if self._back_off is None:
            self._back_off = ExponentialBackoffManager(now, _FIRST_BACK_OFF, _LONGEST_BACK_OFF, _FORGOTTEN_AFTER, 2.0, 0.0)
            return 0
        return self._back_off.next(now)

    def _begin(self) -> None:
        self._running = True
        if self._leadership is not None:
            self._leadership.starts(self._env._now, self.name)
        for part in self._parts:
            part.begin()

    def _end(self) -> None:
        if not self._running:
            return
        self._running = False
        if self._leadership is not None:
            self._leadership.stops(self._env._now, self.name)
        for part in self._parts:
            part.end()
