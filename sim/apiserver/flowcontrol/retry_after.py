"""What a rejected client is told to wait: the Retry-After of a level's 429 answers.

It starts at 1 s. When the first request of a new second is dropped, the whole seconds before it are looked at, as many
as the current value R: with 3R drops or more it doubles (32 s at most, and only if R seconds have passed since it last
doubled); with fewer than R it falls by one. So nothing falls while nothing is dropped.

Source: k8s.io/apiserver v0.35.0, pkg/util/flowcontrol/dropped_requests_tracker.go.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from sim.units import SECOND, Nanoseconds

MAX_RETRY_AFTER_SECONDS: Final = 32
_LONG_AGO: Final = -(1 << 60)


class DroppedRequests:
    """The drops of one priority level (droppedRequestsStats). Seconds begin at whole multiples of 1e9 ns."""

    __slots__ = ("_count", "_doubled", "_history", "_second", "retry_after_seconds")

    def __init__(self) -> None:
        self.retry_after_seconds = 1
        self._history: deque[tuple[int, int]] = deque()  # (second, drops in it)
        self._second = _LONG_AGO
        self._count = 0
        self._doubled = _LONG_AGO

    def record(self, now: Nanoseconds) -> int:
        """One more request is dropped at `now`; the seconds its client is told to wait."""
        second = now // SECOND
        if second == self._second:
            self._count += 1
            return self.retry_after_seconds
        self._history.append((self._second, self._count))
        keep = min(2 * self.retry_after_seconds, MAX_RETRY_AFTER_SECONDS)
        while self._second - self._history[0][0] > keep:
            self._history.popleft()
        self._second = second
        self._count = 1
        self._adjust(second)
        return self.retry_after_seconds

    def _adjust(self, second: int) -> None:
        current = self.retry_after_seconds
        dropped = sum(count for when, count in self._history if second - when <= current)
        if second - self._doubled >= current and dropped >= 3 * current:
            self.retry_after_seconds = min(2 * current, MAX_RETRY_AFTER_SECONDS)
            self._doubled = second
        elif dropped < current and current > 1:
            self.retry_after_seconds = current - 1
