"""A circuit breaker that turns a store read-only when too many of its keys are invalid.

    closed     everything passes; when `open_at` of the last `window` accesses found nothing (or an empty value): open
    open       writes are refused, reads are served; a probe at intervals, `successes` good ones in a row: half-open
    half-open  one write passes as a trial: answered well, closed; else open

The published rule never forgets: the window slides on while it is open. But what would have made the misses rarer is writes (a
cache is filled by those who missed), and these are refused; so the share is as high when it closes as when it opened, and the
next access opens it again. Two other rules:

    fresh_window   the window is empty when it closes: it takes `window` accesses, with fills, until it may open again
    fills_pass     creates pass while it is open: whoever missed fills the cache, and the share falls by itself

Source: the source article's chapter 4.3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Literal

from sim.units import Nanoseconds

Rule = Literal["as_published", "fresh_window", "fills_pass"]


class State(IntEnum):
    """As the state metric says it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


CLOSED, HALF_OPEN, OPEN = State.CLOSED, State.HALF_OPEN, State.OPEN
NAMES: Final = {CLOSED: "closed", HALF_OPEN: "half-open", OPEN: "open"}


class Breaker:
    """window: accesses that are remembered; open_at: share of invalid ones; successes: good probes until half-open.

    told: called at each change of state with now, the state and the share of invalid accesses.
    """

    def __init__(
        self, window: int, open_at: float, successes: int, rule: Rule = "as_published",
        told: Callable[[Nanoseconds, State, float], None] | None = None,
    ):  # fmt: skip
        self._window, self._open_at, self._successes, self._rule, self._told = window, open_at, successes, rule, told
        self._accesses: deque[bool] = deque()
        self._invalid = self._good = 0
        self._since: Nanoseconds = 0
        self._open_for: Nanoseconds = 0
        self._trial = False
        self._since_closed = window
        self.state = CLOSED
        self.trips = self.reopened = self.refused = self.passed = 0
        """trips: times it opened; reopened: of these, before a full window of accesses had passed since it closed."""

    @property
    def invalid_share(self) -> float:
        """Of the accesses that are remembered."""
        return self._invalid / len(self._accesses) if self._accesses else 0.0

    def access(self, now: Nanoseconds, invalid: bool) -> None:
        """Somebody read a key: was it invalid?"""
        accesses = self._accesses
        accesses.append(invalid)
        self._invalid += invalid
        if len(accesses) > self._window:
            self._invalid -= accesses.popleft()
        if self.state is CLOSED:
            self._since_closed += 1
            full = len(accesses) == self._window
            if full and self._invalid >= self._open_at * self._window:
                self.trips += 1
                self.reopened += self._since_closed < self._window
                self._become(now, OPEN)

    def lets(self, fill: bool = False) -> bool:
        """Whether a write passes. fill: a create, by somebody who found nothing."""
        if self.state is CLOSED or (fill and self._rule == "fills_pass"):
            self.passed += 1
            return True
        if self.state is HALF_OPEN and not self._trial:
            self._trial = True
            self.passed += 1
            return True
        self.refused += 1
        return False

    @property
    def trying(self) -> bool:
        """Whether the write that passed last is the trial."""
        return self._trial

    def tried(self, now: Nanoseconds, well: bool) -> None:
        """The trial is answered."""
        self._trial = False
        if self.state is HALF_OPEN:
            self._become(now, CLOSED if well else OPEN)

    def probe(self, now: Nanoseconds, well: bool) -> None:
        """What is behind it was asked, and answered well or not."""
        if self.state is not OPEN:
            return
        self._good = self._good + 1 if well else 0
        if self._good >= self._successes:
            self._become(now, HALF_OPEN)

    def seconds_open(self, now: Nanoseconds) -> float:
        """Time in which writes were refused so far, seconds."""
        return (self._open_for + (now - self._since if self.state is not CLOSED else 0)) / 1e9

    def _become(self, now: Nanoseconds, state: State) -> None:
        if self.state is CLOSED:
            self._since = now
        elif state is CLOSED:
            self._open_for += now - self._since
            self._since_closed = 0
            if self._rule == "fresh_window":
                self._accesses.clear()
                self._invalid = 0
        self.state, self._good = state, 0
        if self._told is not None:
            self._told(now, state, self.invalid_share)
