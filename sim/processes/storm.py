"""Writes that are offered at a rate, whatever becomes of them: independent callers of etcd, each with its own back-off.

    arrive   a put of a fresh key; refused at once (limiter, gap of 5000, NOSPACE), or answered when it is applied, or a timeout
    again    what was refused or not answered comes back after a pause, a limited number of times; then it is given up

Nobody waits for anybody else, so a storm is a list of times: `arrivals` draws it block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.etcd.request import CONFLICT, Op, Outcome, Shape
from sim.journal import Journal, Samples
from sim.processes.events import Alarm, Call, Clock
from sim.streams import Stream
from sim.units import SECOND, Nanoseconds

_BLOCK: Final = 16_384


Course = Sequence[tuple[Nanoseconds, Nanoseconds, float]]
"""(from, until, per second): when how many come; pieces may overlap, their rates add up."""


def arrivals(course: Course, stream: Stream | None) -> Iterator[NDArray[np.int64]]:
    """Times of a course, nanoseconds, block by block, rising: exponential gaps drawn from `stream`, even ones without.

    How many are expected by a time is a broken line; arrivals with gaps of 1 on average (or just 1) are mapped through it.
    """
    if not course:
        return
    knots, expected = _expected(course)
    last, ordinal = 0.0, 0
    while last < expected[-1]:
        if stream is None:
            ranks = (ordinal + np.arange(_BLOCK)).astype(np.float64)
            ordinal += _BLOCK
            last = float(ordinal)
        else:
            ranks = last + np.cumsum(-np.log1p(-stream.block(_BLOCK)))
            last = float(ranks[-1])
        times = np.rint(np.interp(ranks[ranks < expected[-1]], expected, knots)).astype(np.int64)
        if len(times):
            yield times


def _expected(course: Course) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times at which the rate changes, and how many are expected by then."""
    knots = np.unique(np.array([edge for begin, end, _ in course for edge in (begin, end)], dtype=np.float64))
    rates = np.zeros(len(knots) - 1)
    for begin, end, rate in course:
        rates[(knots[:-1] >= begin) & (knots[1:] <= end)] += rate
    return knots, np.concatenate([[0.0], np.cumsum(np.diff(knots) / SECOND * rates)])


@dataclass(slots=True)
class StormTally:
    """What became of the writes of a storm. answers: when each was answered and what it took its caller, all tries together, ns."""

    offered: int = 0
    accepted: int = 0
    refused: int = 0
    no_space: int = 0
    timeouts: int = 0
    resent: int = 0
    given_up: int = 0
    answers: Journal = field(default_factory=Journal)
    failures: Samples = field(default_factory=Samples)


@dataclass(frozen=True, slots=True)
class BackOff:
    """pauses: before each further try, nanoseconds; jitter: each is stretched by a uniform share of itself up to this."""

    pauses: tuple[Nanoseconds, ...]
    jitter: float

    def stretched(self, pause: Nanoseconds, stream: Stream) -> Nanoseconds:
        """A pause with its jitter."""
        return pause + int(pause * self.jitter * stream.uniform())


class _Write(Call):
    """One write of a storm. tries: how often it was sent again."""

    __slots__ = ("tries",)
    tries: int


class Storm:
    """A storm as single requests: an event each. way: one way to etcd; request: its gRPC goroutine, nanoseconds."""

    def __init__(
        self, env: Clock, propose: Callable[[Call], None], shape: Shape, writer: int, times: Iterator[NDArray[np.int64]],
        way: Nanoseconds, request: Nanoseconds, back_off: BackOff, jitter: Stream,
    ):  # fmt: skip
        self._env, self._propose, self._shape, self._writer = env, propose, shape, writer
        self._times, self._ahead, self._way = times, way + request, way
        self._back_off, self._jitter = back_off, jitter
        self.tally = StormTally()
        self._block: list[Nanoseconds] = []
        self._idle: list[_Write] = []
        self._next = Alarm(env, self._arrive)

    def settle(self, now: Nanoseconds) -> None:
        """Nothing: what has arrived by now has been looked at as it came."""

    def begin(self) -> None:
        """The first one is under way."""
        self._arm()

    def fed(self) -> None:
        """More arrivals are known."""
        if not self._next.armed:
            self._arm()

    def _arm(self) -> None:
        while not self._block:
            times = next(self._times, None)
            if times is None:
                return
            self._block = (times + self._ahead)[::-1].tolist()
        self._next.arm(self._block.pop() - self._env._now)

    def _arrive(self, _alarm: Alarm) -> None:
        now = self._env._now
        if self._idle:
            call = self._idle.pop()
        else:
            call = _Write(self._env, self._propose, self._writer)
            call.on_answer = self._answered  # type: ignore[assignment]
            call.op, call.shape, call.data = Op.PUT_ONCE, self._shape, self._shape.put_data
        call.since = now - self._ahead
        call.arrives, call.tries = now, 0
        self.tally.offered += 1
        self._arm()  # before the leader is called: it may go on to its next turn
        self._propose(call)

    def _answered(self, call: _Write, now: Nanoseconds, at: Nanoseconds) -> None:
        """etcd's answer leaves it at `at`. The call is in nobody's hands then: an entry that timed out has left a ghost."""
        tally, heard = self.tally, at + self._way
        if call.outcome < CONFLICT:
            tally.accepted += 1
            tally.answers.times.append(at)
            tally.answers.columns[0].append(heard - call.since)
            self._idle.append(call)
            return
        if call.outcome is Outcome.TIMEOUT:
            tally.timeouts += 1
        else:
            tally.refused += 1
            tally.no_space += call.outcome is Outcome.NO_SPACE
        if call.tries == len(self._back_off.pauses):
            tally.given_up += 1
            tally.failures.add(heard - call.since)
            self._idle.append(call)
            return
        pause = self._back_off.stretched(self._back_off.pauses[call.tries], self._jitter)
        call.tries += 1
        tally.resent += 1
        call.go(max(now, heard + pause + self._ahead), self._propose)
