"""Trying once more after a conflict: client-go's retry.OnError and RetryOnConflict.

`steps` of the backoff counts the tries, not the sleeps between them: DEFAULT_RETRY tries at 0, 10-11, 20-22, 30-33 and 40-44 ms
and then returns the conflict to its caller. The sleep begins when the answer is there, so each try moves the next ones.

A backoff with a cap that is reached uses up its steps: the library then still sleeps, and gives up afterwards. One without
steps does not try at all and reports success.

Source: k8s.io/client-go v0.35.0, util/retry/util.go; k8s.io/apimachinery v0.35.0, pkg/util/wait/backoff.go
(ExponentialBackoff).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from sim.clientgo.backoff import Backoff, Uniforms
from sim.units import MILLISECOND, Nanoseconds


@dataclass(frozen=True, slots=True)
class Settings:
    """What a wait.Backoff starts with: `duration` and `cap` (0: none) in nanoseconds, `steps` tries; see `Backoff`."""

    steps: int
    duration: Nanoseconds
    factor: float
    jitter: float
    cap: Nanoseconds = 0


DEFAULT_RETRY: Final = Settings(steps=5, duration=10 * MILLISECOND, factor=1.0, jitter=0.1)
"""retry.DefaultRetry, for a conflict among writers of the same kind: sleeps of 10-11 ms."""

DEFAULT_BACKOFF: Final = Settings(steps=4, duration=10 * MILLISECOND, factor=5.0, jitter=0.1)
"""retry.DefaultBackoff, for an object that controllers manage: sleeps of 10-11, 50-55 and 250-275 ms."""


class Next(NamedTuple):
    """What follows a failed try: sleep `delay` nanoseconds; then, if `again`, try once more, else return the error."""

    again: bool
    delay: Nanoseconds


_GIVE_UP: Final = Next(again=False, delay=0)


class OnError:
    """One call of OnError or RetryOnConflict: ask `failed` after each try that failed with a retriable error (a 409).

    Any other error, and success, end the call at once: nothing to ask. stream: draws the jitter, None: no jitter.
    """

    __slots__ = ("_backoff", "_stream", "tries")

    def __init__(self, settings: Settings = DEFAULT_RETRY, stream: Uniforms | None = None):
        self._backoff = Backoff(settings.duration, settings.factor, settings.jitter, settings.steps, settings.cap)
        self._stream = stream
        self.tries = settings.steps > 0
        """Whether there is a first try; without one the call succeeds at once."""

    def failed(self) -> Next:
        """The try just made failed: what now. Raises RuntimeError when asked again after giving up."""
        backoff = self._backoff
        if backoff.steps < 1:
            raise RuntimeError("no try was left, so none can have failed")
        if backoff.steps == 1:
            backoff.steps = 0
            return _GIVE_UP
        delay = backoff.step(self._stream)
        return Next(backoff.steps > 0, max(delay, 0))
