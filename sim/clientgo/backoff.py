"""How long to wait before trying again: apimachinery's wait.Backoff, and the manager that paces a reflector.

A backoff's delay is multiplied by `factor` at each step until the steps are used up or the cap is reached; from then
on it stays. Jitter adds up to `jitter` times the delay, drawn anew each time, and does not enter the growth.

The reflector's manager waits 0.8, 1.6, 3.2 ... 25.6, 30, 30 s, each stretched by a uniform factor in [1, 2), so 30 to
60 s in the end; when it has not been asked for more than two minutes it starts over.

Source: k8s.io/apimachinery v0.35.0, pkg/util/wait/backoff.go (delay, exponentialBackoffManagerImpl), wait.go (Jitter);
k8s.io/client-go v0.35.0, tools/cache/reflector.go (NewReflectorWithOptions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from sim.units import MILLISECOND, MINUTE, SECOND, Nanoseconds

_MAX_STEPS: Final = 2**31 - 1
_TWO_TO_63: Final = 2.0**63


class Uniforms(Protocol):
    """A source of uniforms in [0, 1), such as `sim.streams.Stream`."""

    def uniform(self) -> float:
        """The next uniform."""


@dataclass(slots=True)
class Backoff:
    """wait.Backoff: `duration` and `cap` (0: none) in nanoseconds; `steps` is how often the duration may still grow.

    jitter: each delay is stretched by a uniform share of itself up to this; it needs the stream given to `step`.
    """

    duration: Nanoseconds
    factor: float = 0.0
    jitter: float = 0.0
    steps: int = 0
    cap: Nanoseconds = 0

    def step(self, stream: Uniforms | None = None) -> Nanoseconds:
        """The next delay in nanoseconds; grows the duration for the one after."""
        delay = self.duration
        if self.steps < 1:
            self.steps = 0
            return self._jittered(delay, stream)
        self.steps -= 1
        if self.factor != 0.0:
            grown = _to_duration(float(delay) * self.factor)
            if self.cap > 0 and grown > self.cap:
                grown = self.cap
                self.steps = 0
            self.duration = grown
        return self._jittered(delay, stream)

    def _jittered(self, delay: Nanoseconds, stream: Uniforms | None) -> Nanoseconds:
        if self.jitter <= 0.0 or stream is None:
            return delay
        return delay + _to_duration(stream.uniform() * self.jitter * float(delay))


class ExponentialBackoffManager:
    """A backoff that starts over when nobody has asked it for longer than `reset_after` (nanoseconds)."""

    __slots__ = ("_backoff", "_initial", "_last", "_reset_after", "_stream")

    def __init__(
        self,
        now: Nanoseconds,
        initial: Nanoseconds,
        maximum: Nanoseconds,
        reset_after: Nanoseconds,
        factor: float,
        jitter: float,
        stream: Uniforms | None = None,
    ):
        self._backoff = Backoff(initial, factor, jitter, _MAX_STEPS, maximum)
        self._initial = initial
        self._reset_after = reset_after
        self._last = now
        self._stream = stream

    def next(self, now: Nanoseconds) -> Nanoseconds:
        """How long to wait from `now` before the next try, nanoseconds."""
        if now - self._last > self._reset_after:
            self._backoff.steps = _MAX_STEPS
            self._backoff.duration = self._initial
        self._last = now
        return self._backoff.step(self._stream)


def reflector_backoff(now: Nanoseconds, stream: Uniforms | None) -> ExponentialBackoffManager:
    """The reflector's: 0.8 s to 30 s, factor 2, jitter 1 drawn from `stream` (None: none), reset after 2 min."""
    return ExponentialBackoffManager(now, 800 * MILLISECOND, 30 * SECOND, 2 * MINUTE, 2.0, 1.0, stream)


def _to_duration(value: float) -> Nanoseconds:
    """A float as Go's int64 on amd64: truncated toward zero; what does not fit becomes the smallest."""
    return int(value) if -_TWO_TO_63 <= value < _TWO_TO_63 else -(2**63)
